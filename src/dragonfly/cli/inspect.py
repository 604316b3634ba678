"""`dragonfly zoom` and `presets`: what an image becomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common


def zoom(
    image: Annotated[str, typer.Argument(help="The image.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it; IMAGE.zoom.png if not given.")] = None,
    model: common.Model = None,
    preset: Annotated[str | None, typer.Option(help="Draw this preset's layout, without a model.")] = None,
    json: common.Json = False,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    set: common.Overrides = None,
) -> int:
    """
    Draw how an image is cut and which sub-images the model is given.

    Examples:

      dragonfly zoom scan.png -o where.png

      dragonfly zoom scan.png --preset v2

      dragonfly zoom scan.png --set model.selection.policy=detail --json
    """
    from dragonfly.imaging import load_image

    if output is not None:
        common.check_image_target(output, [image])
    if preset is not None:
        loaded, layout, selection = _layout_of(image, preset, model, set)
    else:
        from dragonfly.inference import load

        loaded = load_image(image)  # before a model is loaded, so that a slip costs no time
        engine = load(model, device=device, dtype=dtype, overrides=set or ())
        if engine.processor.asks:
            raise ValueError("policy 'question' chooses for a question; ask one: dragonfly ask IMAGE QUESTION --zoom OUT.png")
        loaded = load_image(loaded, engine.processor.image_processor.image_policy)  # as the model sees it
        encoded = engine.encode([loaded])[0]
        layout, selection = encoded.layout, encoded.selection
    for note in loaded.notes:
        common.say(f"note: {loaded.source}: {note}")
    if output is None:
        common.check_image_target(target := Path(f"{Path(loaded.source).stem}.zoom.png"), [image])
    else:
        target = output
    draw_answer(loaded.image, layout, selection, target, title=Path(loaded.source).name)
    if json:
        from dragonfly.inference.answer import Answer

        empty = Answer("", (), 0.0, 0, (layout,), (selection,), {}).to_dict()
        common.print_json({key: empty[key] for key in ("layouts", "selections")})
    common.say(f"zoom image: {target}")
    return 0


def _layout_of(image: str, preset: str, model: str | None, overrides: Sequence[str] | None) -> tuple[Any, Any, Any]:
    """The image and its layout with nothing left out: choosing takes a model."""
    from dragonfly.imaging import DEFAULT_POLICY, RELEASED_POLICY, load_image
    from dragonfly.inference.answer import describe_selection
    from dragonfly.vision.layout import make_layout
    from dragonfly.vision.presets import get_preset

    if model is not None or overrides:
        raise ValueError("--preset draws a layout without a model; leave --model and --set out, or use --set model.preset=...")
    chosen = get_preset(preset)
    loaded = load_image(image, RELEASED_POLICY if chosen.released else DEFAULT_POLICY)
    spec = chosen.spec
    if spec.selects:
        layout = make_layout(loaded.size, spec)
        common.say(
            f"note: preset '{preset}' keeps {layout.num_kept_high} of {layout.count('high')} high sub-images; a model chooses "
            "them, so all are drawn"
        )
        spec = spec.with_selection(policy="all")
    layout = make_layout(loaded.size, spec)
    return loaded, layout, describe_selection(layout, None, None)


def draw_answer(image: Any, layout: Any, selection: Any, path: Path, title: str) -> None:
    """Write the zoom image of one source image."""
    from dragonfly.visualization.zoom import draw_zoom

    kept = [item.index for item in selection if item.kept]
    scores = [item.score for item in selection] if selection and selection[0].score is not None else None
    common.save_image(draw_zoom(image, layout, kept, scores, title=title), path)


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
        layout = make_layout((1000, 1000), preset.spec)  # the counts do not depend on the image
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
