"""`dragonfly zoom` and `presets`: what an image becomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common, images


def zoom(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it; IMAGE.zoom.png if not given.")] = None,
    model: common.Model = None,
    preset: Annotated[str | None, typer.Option(help="Draw this preset's layout, without a model.")] = None,
    scores: common.Scores = False,
    json: common.Json = False,
    allow_urls: images.AllowUrls = False,
    max_pixels: images.MaxPixels = None,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    set: common.Overrides = None,
) -> int:
    """
    Draw how an image is cut and which sub-images the model is given.

    Examples:

      dragonfly zoom scan.png -o where.png

      dragonfly zoom scan.png --preset v2

      dragonfly zoom scan.png --set model.selection.policy=detail --json
    """
    if output is not None:
        common.check_image_target(output, [image])
    allowed = images.allowed(allow_urls, max_pixels)
    if preset is not None:
        if quantize is not None:
            raise ValueError("--quantize is for a model's weights, and --preset draws without a model; leave one of the two out")
        loaded, layout, selection = _layout_of(image, preset, model, set, allowed)
    else:
        from dragonfly.imaging import load_image
        from dragonfly.inference import load

        loaded = images.named(image).load(images.policy_of(allowed))  # before a model is loaded, so that a slip costs no time
        engine = load(model, device=device, dtype=dtype, quantization=quantize, overrides=set or ())
        engine.image_options = allowed
        loaded = load_image(loaded, engine.image_policy)  # as the model sees it
        if engine.processor.asks:
            how = "it chooses them by the question, so all are drawn; to see its choice: dragonfly ask IMAGE QUESTION --zoom FILE"
            layout, selection = _whole_layout(loaded.size, engine.processor.image_processor.spec, "this model", how)
        else:
            encoded = engine.encode([loaded])[0]
            layout, selection = encoded.layout, encoded.selection
    notes = tuple(f"{loaded.source}: {note}" for note in loaded.notes)
    common.say_notes(notes)
    if output is None:
        stem = "stdin" if image == images.STDIN else Path(loaded.source).stem
        common.check_image_target(target := Path(f"{stem}.zoom.png"), [image])
    else:
        target = output
    from dragonfly.inference.answer import Answer

    empty = Answer("", (), 0.0, 0, (layout,), (selection,), {}, notes, spacings=(loaded.spacing,))
    draw_answer(loaded.image, target, empty, scores=scores)
    if json:
        facts = empty.to_dict()
        common.print_json({key: facts[key] for key in ("layouts", "selections", "notes")})
    common.say(f"zoom image: {target}")
    return 0


def _layout_of(
    image: str, preset: str, model: str | None, overrides: Sequence[str] | None, allowed: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """The image and its layout: with nothing left out where choosing takes a model, else with what the pixels choose."""
    from dataclasses import replace

    from dragonfly.imaging import DEFAULT_POLICY, RELEASED_POLICY
    from dragonfly.vision.presets import get_preset

    if model is not None or overrides:
        raise ValueError("--preset draws a layout without a model; leave --model and --set out, or use --set model.preset=...")
    chosen = get_preset(preset)
    loaded = images.named(image).load(replace(RELEASED_POLICY if chosen.released else DEFAULT_POLICY, **allowed))
    if chosen.spec.selection.early:
        return loaded, *_chosen_by_pixels(loaded.image, preset)
    return loaded, *_whole_layout(loaded.size, chosen.spec, f"preset '{preset}'", "a model chooses them, so all are drawn")


def _chosen_by_pixels(image: Any, preset: str) -> tuple[Any, Any]:
    """The layout and what a policy that runs before the vision tower keeps: the image processor alone, no model."""
    from dragonfly.inference.answer import describe_selection
    from dragonfly.models import DragonflyImageProcessor

    batch = DragonflyImageProcessor(preset=preset)([image], return_tensors="np")
    return batch["layouts"][0], describe_selection(batch["layouts"][0], batch["selected_high"][0].tolist(), None)


def _whole_layout(size: tuple[int, int], spec: Any, who: str, why: str) -> tuple[Any, Any]:
    """The layout with all high sub-images, and a note where the encoder would choose among them."""
    from dragonfly.inference.answer import describe_selection
    from dragonfly.vision.layout import make_layout

    if spec.selects:
        layout = make_layout(size, spec)
        if layout.num_kept_high < layout.count("high"):
            common.say(f"note: {who} keeps {layout.num_kept_high} of {layout.count('high')} high sub-images; {why}")
        spec = spec.with_selection(policy="all")
    layout = make_layout(size, spec)
    return layout, describe_selection(layout, None, None)


def draw_answer(
    image: Any, path: Path, answer: Any, index: int = 0, *, question: str = "", reasons: Any = None, scores: bool = False
) -> None:
    """Write the zoom image of one source image of an answer; with `reasons`, what each sub-image contributed."""
    from dragonfly.imaging import INTENDED_USE
    from dragonfly.inference.words import sureness
    from dragonfly.visualization.zoom import draw_zoom

    said = [sureness(answer.confidence)] if question else []
    if any(note.endswith(INTENDED_USE) for note in answer.notes):
        said.append(INTENDED_USE)
    layout, selection = answer.layouts[index], answer.selections[index]
    drawn = draw_zoom(
        image,
        layout,
        [item.index for item in selection if item.kept],
        [item.score for item in selection] if scores and selection and selection[0].score is not None else None,
        question=question,
        answer=answer.text,
        sure=" · ".join(said),
        contributions=None if reasons is None else reasons.of_image(index),
        detail=getattr(answer, "detail", 1.0),  # a lens may show its close-ups reduced
    )
    common.save_image(drawn, path)


def presets(json: common.Json = False) -> int:
    """
    All presets: tower, levels, what is kept, and tokens to the language model.

    Examples:

      dragonfly presets

      dragonfly presets --json
    """
    from dragonfly.vision.layout import make_layout
    from dragonfly.vision.presets import PRESETS

    rows: list[dict[str, Any]] = []
    for preset in PRESETS.values():
        layout = make_layout((1, 1), preset.spec)  # the counts do not depend on the image, but for the high ones of `v1-any`
        counts = {name: layout.count(name) for name in ("low", "mid", "high")}
        rows.append(
            {
                "name": preset.name,
                "tower": preset.tower,
                **counts,
                "kept": layout.num_kept,
                "tokens": layout.num_image_tokens,
                "about": preset.about,
            }
        )
    if json:
        common.print_json(rows)
        return 0
    common.print_table(None, [list(rows[0]), *(list(map(str, row.values())) for row in rows)])
    return 0
