"""`dragonfly plan`: tokens, FLOPs, memory and hours of a model before any weights exist."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dragonfly.cli import common

LANGUAGE_MODEL = "meta-llama/Meta-Llama-3-8B-Instruct"


def plan(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A Dragonfly model's directory or hub name.")] = None,
    preset: Annotated[str | None, typer.Option(help="Name of a preset; see `dragonfly presets`.")] = None,
    image: Annotated[
        str, typer.Option("--image-size", "--image", metavar="WxH", help="Size of the image, such as 1024x768.")
    ] = "1024x768",
    tower: Annotated[str | None, typer.Option(help="Directory, config.json or name; the preset's own if not given.")] = None,
    language_model: Annotated[
        str | None, typer.Option(help=f"Directory, config.json or name; {LANGUAGE_MODEL} if not given.")
    ] = None,
    text_tokens: Annotated[int, typer.Option(help="Tokens of a prompt or row besides the image.")] = 64,
    new_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 128,
    batch: Annotated[int, typer.Option(help="Questions at once, or rows on a device.")] = 1,
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    quantize: Annotated[str | None, typer.Option(help="The language model's matrices: int8 or int4.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Plan a step of training instead of answers.")] = False,
    recipe: Annotated[str | None, typer.Option(help="Plan the training of a recipe: a YAML file or a shipped name.")] = None,
    trainable: Annotated[
        str | None, typer.Option(help="Trained modules, with commas: multi_modal_projector,language_model.")
    ] = None,
    accumulation: Annotated[int, typer.Option(help="Batches per step.")] = 1,
    lora: Annotated[int | None, typer.Option(help="Rank of an adapter on the language model.", metavar="RANK")] = None,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Activations are computed again.")] = False,
    zero: Annotated[int, typer.Option(help="ZeRO stage: 1, 2 or 3.", min=0, max=3)] = 0,
    fsdp: Annotated[bool, typer.Option("--fsdp", help="Weights, gradients and optimiser shared out.")] = False,
    devices: Annotated[int, typer.Option(help="Number of devices.")] = 1,
    device: Annotated[str | None, typer.Option(help="Its published figures give the time: H100, L4, RTX-4090, ...")] = None,
    peak_tflops: Annotated[float | None, typer.Option(help="Of a device with no published figure, or another.")] = None,
    utilisation: Annotated[float, typer.Option(help="Share of the device's arithmetic that is reached.")] = 0.4,
    samples: Annotated[float | None, typer.Option(help="Rows of the training set, such as 1e6: gives hours.")] = None,
    epochs: Annotated[float, typer.Option(help="How often each row is taken.")] = 1.0,
    budget: Annotated[str | None, typer.Option(help="What fits so much memory of one device, such as 24GB.")] = None,
    json: common.Json = False,
) -> int:
    """
    Tokens, FLOPs, memory and hours, without any weights. Every number is an estimate.

    Examples:

      dragonfly plan --preset v1 --image-size 1024x768 --device RTX-4090

      dragonfly plan --preset v2 --quantize int4 --budget 24GB

      dragonfly plan --train --zero 1 --devices 8 --device H100 --samples 1.2e6

      dragonfly plan --tower ./siglip --language-model ./qwen3 --device L4

      dragonfly plan ./my-model --recipe qlora --budget 24GB
    """
    from dragonfly.planning import Answers, Training, fit, parse_bytes, plan_inference, plan_training

    size = common.parse_size(image)
    card = _device(device, peak_tflops)
    room = parse_bytes(budget) if budget is not None else None
    wanted: dict[str, Any] = {"image_size": size, "batch": batch, "text_tokens": text_tokens, "quantize": quantize}
    if zero and fsdp:
        raise ValueError("--zero and --fsdp both share out the optimiser's state; give one")
    if recipe is not None:
        from dragonfly.training.dry_run import planned_work

        chosen = _read_recipe(recipe)
        source = _model_of_recipe(chosen, model, preset, tower, language_model)
        work, epochs = planned_work(chosen, devices, wanted["image_size"], wanted["text_tokens"]), chosen.epochs or epochs
        planned = plan_training(source, work, device=card, utilisation=utilisation, samples=samples, epochs=epochs)
    elif train:
        source = _model(model, preset, tower, language_model)
        wanted |= {"accumulation": accumulation, "lora_rank": lora, "gradient_checkpointing": checkpointing, "devices": devices}
        wanted |= {"precision": dtype, "sharding": "fsdp" if fsdp else f"zero{zero}" if zero else "none"}
        if trainable is not None or lora is not None:
            wanted["trainable"] = tuple(name.strip() for name in (trainable or "").split(",") if name.strip())
        work = Training(**wanted)
        planned = plan_training(source, work, device=card, utilisation=utilisation, samples=samples, epochs=epochs)
    else:
        source = _model(model, preset, tower, language_model)
        work = Answers(**wanted, new_tokens=new_tokens, dtype=dtype)  # pyright: ignore[reportArgumentType]
        planned = plan_inference(source, work, device=card, utilisation=utilisation)
    fitting = fit(source, planned.work, room, card.context if card else 0) if room is not None else None
    if json:
        extra = {"fit": fitting.to_dict()} if fitting else {}
        common.print_json({**planned.cost.to_dict(), **planned.to_dict(), **extra})
        return 0
    show(planned, fitting)
    return 0


def _device(name: str | None, peak_tflops: float | None) -> Any:
    from dataclasses import replace

    from dragonfly.planning import get_device

    if name is None:
        if peak_tflops is not None:
            raise ValueError("--peak-tflops is of a device; name one with --device (cpu for any)")
        return None
    found = get_device(name)
    if peak_tflops is not None:
        return replace(found, flops=peak_tflops * 1e12)
    if found.flops is None:
        raise ValueError(f"machines of the kind '{found.name}' differ; say what yours reaches at most: --peak-tflops N")
    return found


def _read_recipe(name: str) -> Any:
    from dragonfly.research.curriculum import HOOKS
    from dragonfly.training import Recipe

    return Recipe.load(name, hooks=HOOKS)


def _model(model: str | None, preset: str | None, tower: str | None, language_model: str | None) -> Any:
    """What the options name: a Dragonfly model, or a tower and a language model under a preset."""
    from dragonfly.installation import bundled_model, bundled_name
    from dragonfly.planning import ModelSize
    from dragonfly.planning.configs import read_config
    from dragonfly.planning.language_models import KNOWN_LANGUAGE_MODELS
    from dragonfly.planning.towers import read_tower
    from dragonfly.vision.presets import get_preset

    if model is not None and (tower or language_model):
        raise ValueError("MODEL has its own tower and language model; leave --tower and --language-model out, or MODEL")
    if model is not None:
        bundled = bundled_name(model)
        found = ModelSize.of_checkpoint(bundled_model(bundled) if bundled else model)
        return found.with_preset(preset) if preset else found
    name = preset or "v1"
    own = read_tower(tower or get_preset(name).tower)
    return ModelSize.from_configs(
        own, read_config(language_model or LANGUAGE_MODEL, KNOWN_LANGUAGE_MODELS, "language model"), preset=name
    )


def _model_of_recipe(recipe: Any, model: str | None, preset: str | None, tower: str | None, language_model: str | None) -> Any:
    """A recipe's own beginning with its changes to the encoder, or what the options name in its place."""
    from dragonfly.training.build import encoder_for
    from dragonfly.vision.spec import spec_of

    start = recipe.init_from
    if not recipe.objective_hook.images:
        raise ValueError(f"objective '{recipe.objective.name}' has no images, and a plan is of images; plan another recipe")
    if model is None and not (tower or language_model):
        if start.initializer is not None:
            raise ValueError(f"the recipe begins with '{start.initializer}', which makes the model; name it: MODEL, or --tower")
        model, tower, language_model = start.checkpoint, start.tower, start.language_model
    found = _model(model, preset or recipe.model.preset, tower, language_model)
    options = recipe.model.model_copy(update={"preset": None})  # which is in it already
    return found.with_spec(spec_of(encoder_for(options, found.spec.to_dict())))


def plan_of_recipe(recipe: Any, devices: int, text_tokens: int, rows: float, device: str | None) -> Any:
    """A `planning.Plan` of training `rows` rows by a recipe on so many devices; without a name, devices of its `peak_flops`."""
    from dragonfly.planning import Device, plan_training
    from dragonfly.training.dry_run import planned_work

    card = _device(device, None)
    if card is None and recipe.peak_flops is not None:
        card = Device("the recipe's device", None, recipe.peak_flops, None)
    work = planned_work(recipe, devices, (768, 1024), text_tokens)
    return plan_training(_model_of_recipe(recipe, None, None, None, None), work, device=card, samples=rows)


def memory_and_hours(planned: Any) -> dict[str, str]:
    """A plan in a few lines, by what they are of."""
    return {f"memory of one device, {planned.memory.peak_moment}": f"{_gigabytes(planned.needed)} GB", **_verdict(planned)}


def show(planned: Any, fitting: Any = None) -> None:
    """A plan as text: the image, the parts, the memory, the time. `planned` is a `planning.Plan`, `fitting` a `planning.Fit`."""
    cost, work = planned.cost, planned.work
    height, width = cost.size
    levels = [
        [level.name, "{} x {}".format(*level.grid), *map(str, (level.sub_images, level.encoded, level.kept, level.tokens))]
        for level in cost.levels
    ]
    head = ["level", "grid (rows x cols)", "sub-images", "encoded", "kept", "tokens each"]
    typer.echo(f"An image of {width} x {height}")
    common.print_table(None, [head, *levels])
    print_facts(
        {
            "encoder passes": f"{cost.num_encoded:,}",
            "image tokens, separators included": f"{cost.num_image_tokens:,}",
            "prompt tokens": f"{cost.prompt_tokens:,}",
            "vision tower": f"{cost.tower_flops / 1e9:,.1f} GFLOP",
            "projector": f"{cost.projector_flops / 1e9:,.1f} GFLOP",
            "language model, prompt": f"{cost.prefill_flops / 1e9:,.1f} GFLOP",
            "language model, each new token": f"{cost.flops_per_generated_token / 1e9:,.1f} GFLOP",
        }
    )
    counts = [[name, f"{count:,}", f"{planned.trained.get(name, 0):,}"] for name, count in planned.parameters.items() if count]
    counts += [["adapter", f"{planned.trained['lora']:,}", f"{planned.trained['lora']:,}"]] if "lora" in planned.trained else []
    common.print_table(None, [["part", "parameters", "trained"], *counts])
    kind = "A training step" if planned.trained else "An answer"
    held = [[name, _gigabytes(number)] for name, number in planned.memory.parts.items()]
    held += [["the device's own context", _gigabytes(planned.device.context)]] if planned.device else []
    typer.echo(f"\n{kind}, batch {work.batch}: memory of one device at its fullest ({planned.memory.peak_moment}), an estimate")
    common.print_table(None, [["held by", "GB"], *held, ["together", _gigabytes(planned.needed)]])
    print_facts(_verdict(planned))
    if fitting is not None:
        print_facts(_fitting(fitting, work.batch))
    for note in planned.notes:
        common.say(f"note: {note}")


def _verdict(planned: Any) -> dict[str, str]:
    """Whether it fits, and the time, each with what it stands on."""
    device, facts = planned.device, {}
    if device is None:
        return {"time and fit": "name a device: --device H100, L4, RTX-4090, ..."}
    if device.memory is not None:
        facts[f"fits {device.name} ({device.memory / 1e9:g} GB)"] = "yes, by this estimate" if planned.fits else "no"
    time, share = planned.time, f"at {planned.utilisation:.0%} of {device.flops / 1e12:g} TFLOP/s"
    if time is None:
        return facts
    if planned.trained:
        facts["training"] = f"{time.seconds_per_step:,.2f} s per step, {time.samples_per_second:,.2f} samples/s, {share}"
        if time.hours is not None:
            facts["the whole run"] = f"{time.hours:,.1f} hours"
        return facts
    facts["prompt"] = f"{time.prompt_seconds:,.3f} s, {share}"
    read = f"{planned.bandwidth_utilisation:.0%} of {device.bandwidth / 1e9:,.0f} GB/s" if device.bandwidth else ""
    facts["each new token"] = f"{1000 * time.seconds_per_token:,.1f} ms, at {read}"
    facts["answers"] = f"{time.answers_per_second:,.2f} per second"
    return facts


def _fitting(found: Any, batch: int) -> dict[str, str]:
    facts = {
        f"needs, of {found.budget / 1e9:g} GB": f"{_gigabytes(found.needed)} GB",
        "largest batch that fits": str(found.largest_batch) if found.largest_batch else "none, not even 1",
        f"presets that fit at batch {batch}": ", ".join(found.presets) or "none",
    }
    if found.largest_keep is not None:
        facts[f"largest selection.keep at batch {batch}"] = str(found.largest_keep) if found.largest_keep else "none"
    return facts


def print_facts(facts: dict[str, str]) -> None:
    typer.echo()
    for name, value in facts.items():
        typer.echo(f"  {name:<36} {value}")


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.2f}"
