"""`dragonfly train --data mine.csv`: the data as the recipe's only source, what was understood of it, and what to do next."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Train on this: .csv, .tsv, .json, .jsonl, .parquet, a folder, or OWNER/NAME of the hub (docs/data.md).",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="PART=COLUMN,...", help="Which column is which: image=Bild,question=Frage,answer=Antwort."),
]
ImageRoot = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where relative image paths start; the file's own folder if not given.")
]

SHOWN_ROWS, SHOWN_BAD, SHOWN_ANSWERS = 3, 20, 5


def own_changes(
    recipe: str, changes: Sequence[str], data: str | None, columns: str | None, image_root: str | None, out: Path | None
) -> list[str]:
    """The overrides that `--data`, `--columns`, `--image-root` and `--out` stand for, after those that are given.

    The data replace the recipe's sources and keep all else, also how many questions on an image are asked together.
    """
    if data is None and (columns or image_root):
        raise ValueError(
            "--columns and --image-root say how to read --data; give --data PATH, or set them in the recipe's data.train"
        )
    found = list(changes)
    if data is not None:
        from dragonfly.data.readers import locate, parse_columns
        from dragonfly.research.curriculum import HOOKS
        from dragonfly.training import Recipe

        first = Recipe.load(recipe, changes, hooks=HOOKS).data.train[0]
        path, split = locate(data)
        source: dict[str, Any] = {"name": Path(path).stem or "data", "path": path, "group_questions": first.group_questions}
        source |= {"split": split} if split else {}
        source |= {"columns": parse_columns(columns)} if columns else {}
        source |= {"image_root": image_root} if image_root else {}
        found.append(f"data.train={json.dumps([source], ensure_ascii=False)}")
    return [*found, f"output={json.dumps(str(out), ensure_ascii=False)}"] if out is not None else found


def show_understood(recipe: Any) -> None:
    """Print what the first source of a recipe is taken for: columns, counts, unusable rows, three rows as they are learned.

    ValueError where more rows are unusable than the recipe allows, or none is left.
    """
    from dragonfly.data import BadRow, check_bad, read
    from dragonfly.data.readers.look import look

    source = recipe.data.train[0]
    seen = look(source.path, source.split, source.columns)
    options: dict[str, Any] = {"columns": source.columns, "split": source.split}
    rows, bad = [], []
    for row in read(source.path, source.format, source.image_root, **options):
        (bad if isinstance(row, BadRow) else rows).append(row)
    common.say(f"{source.path}: {_counts(rows)} ({seen.written})")
    for part, column in seen.parts.items():
        common.say(f"  {part:<9} <- {column}")
    if seen.others:
        common.say(f"  kept      <- {', '.join(seen.others)}")
    if seen.parts and "image" not in seen.parts:
        common.say("  image     none of the columns: text alone")
    for row in bad[:SHOWN_BAD]:
        common.say(f"  cannot be used: {row}")
    if len(bad) > SHOWN_BAD:
        common.say(f"  cannot be used: {len(bad) - SHOWN_BAD} more")
    check_bad(bad, len(rows) + len(bad), recipe.data.max_bad_share)
    if rows:
        common.say(f"  answers   {_answers(rows)}")
        _show_rows(recipe, rows)


def show_end(recipe: Any, folder: Path, data: str | None, columns: str | None, image_root: str | None) -> None:
    """After a finished run: its loss, its time, and the next commands, ready to be copied."""
    losses = [json.loads(line) for line in (folder / "loss.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row["loss"] for row in losses if "loss" in row]
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    minutes, seconds = divmod(round(run["speed"]["seconds"]), 60)
    fell = f"loss {losses[0]:.3f} -> {losses[-1]:.3f} in " if losses else ""
    common.say(f"{recipe.name}: {fell}{run['steps']} steps, {minutes} min {seconds} s; model: {folder}")
    if data is None:
        return
    options = {"--columns": columns, "--image-root": image_root}
    rows = " ".join([shlex.quote(_to_score(data)), *(f"{name} {shlex.quote(value)}" for name, value in options.items() if value)])
    model = shlex.quote(str(folder))
    common.say("next (rows of images that were not trained on give an honest score):")
    common.say(f"  dragonfly eval -m {model} --tasks {rows}")
    common.say(f'  dragonfly ask -m {model} IMAGE "QUESTION"')


def _to_score(data: str) -> str:
    """The data, by their other split where training took `train` of a folder that has several."""
    from dragonfly.data.readers.folders import split_of

    folder = Path(data)
    known = {split_of(one) for one in folder.iterdir()} if folder.is_dir() else set[str | None]()
    other = next((split for split in ("test", "validation") if {"train", split} <= known), None)
    return f"{data}:{other}" if other else data


def _counts(rows: Sequence[Any]) -> str:
    images = {image.path or image.bytes for row in rows for image in row.images}
    groups = {image.group for row in rows for image in row.images if image.group}
    grouped = f" of {len(groups)} groups" if groups else ""
    return f"{_number(len(rows), 'row')}, {_number(len(images), 'image')}{grouped}"


def _answers(rows: Sequence[Any]) -> str:
    told = Counter(message.text for row in rows for message in row.messages if message.role == "assistant")
    most = [f"{_short(answer, 30)} {count}" for answer, count in told.most_common(SHOWN_ANSWERS)]
    rest = len(told) - len(most)
    return ", ".join(most) + (f", and {_number(rest, 'other')}" if rest > 0 else "")


def _show_rows(recipe: Any, rows: Sequence[Any]) -> None:
    """Three rows spread over the data, each with its images, its words and the tokens that are learned of it."""
    from dragonfly.data import BadSample, image_size
    from dragonfly.training.build import build_processor

    picked = (
        [rows[place * len(rows) // SHOWN_ROWS] for place in range(min(SHOWN_ROWS, len(rows)))] if len(rows) > 2 else list(rows)
    )
    processor = build_processor(recipe)
    dataset = recipe.objective_hook.examples(recipe, picked, processor) if recipe.objective_hook.examples else None
    for number, row in enumerate(picked, start=1):
        common.say(f"  row {number}")
        for image in row.images:
            try:
                height, width = image_size(image)
                common.say(f"    image     {image.path or 'in the file'}, {width} x {height} pixels")
            except BadSample as error:
                common.say(f"    image     {error}")
        for message in row.messages:
            common.say(f"    {message.role:<9} {_short(message.text, 300)}")
        if dataset is not None:
            try:
                common.say(f"    {_learned(dataset.encoded(row), processor)}")
            except BadSample as error:
                common.say(f"    cannot be used: {error}")


def _learned(example: Any, processor: Any) -> str:
    from dragonfly.data import IGNORE_INDEX, image_mask

    ids, labels = example["input_ids"], example["labels"]
    images = int(image_mask(ids, processor.image_token_id, processor.separator_token_id).sum())
    learned = labels[labels != IGNORE_INDEX].tolist()
    text = _short(processor.tokenizer.decode(learned, skip_special_tokens=False), 200)
    prompt = len(ids) - images - len(learned)
    return f"tokens    {len(ids)}: {images} image, {prompt} prompt, {len(learned)} learned: {text!r}"


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _short(text: str, letters: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= letters else f"{line[: letters - 3]}..."
