"""The look at the labels that comes before any training: a run with silent labelling mistakes does not start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragonfly.data import BadSample, Sample, answer_marks, audit, audit_batch, image_size

from .recipe import Recipe

SHOWN = 5


def audit_labels(recipe: Recipe, sources: Mapping[str, Sequence[Sample]], processor: Any) -> dict[str, dict[str, int]]:
    """Encode the first `data.audit` rows of each source and look each over, alone and in padded batches.

    Returns for each source its rows, tokens, those that stand for images, and trained ones. Nothing where the objective's
    examples have no token labels.
    ValueError naming source, row and fault.
    """
    if recipe.objective_hook.examples is None:
        return {}
    marks, faults, report = answer_marks(processor), [], {}
    for name, rows in sources.items():
        examples, promised = _encoded_rows(recipe, rows, processor)
        options: dict[str, Any] = {
            "image_token_id": processor.image_token_id,
            "separator_token_id": processor.separator_token_id,
            "marks": marks,
            "train_on": recipe.data.train_on,
        }
        for number, (example, tokens) in enumerate(zip(examples, promised, strict=True)):
            faults += [f"{name} row {number}: {fault}" for fault in audit(example, num_image_tokens=tokens, **options)]
        if examples:
            lengths = [len(example["input_ids"]) for example in examples]
            ends = [lengths.index(min(lengths)), lengths.index(max(lengths))]  # as much padding as there can be
            batch = recipe.objective_hook.collate(processor)([examples[number] for number in ends])
            of_batch = audit_batch(batch, [promised[number] for number in ends], **options)
            faults += [f"{name} rows {ends[0]} and {ends[1]} as a batch: {fault}" for fault in of_batch]
        report[name] = {
            "rows": len(examples),
            "tokens": sum(len(example["input_ids"]) for example in examples),
            "image_tokens": sum(sum(tokens) for tokens in promised),
            "trained": sum(int((example["labels"] >= 0).sum()) for example in examples),
        }
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(
            f"the labels are not as they should be, so training does not start: {'; '.join(faults[:SHOWN])}{more}; "
            "see them with `dragonfly inspect data`"
        )
    return report


def _encoded_rows(recipe: Recipe, rows: Sequence[Sample], processor: Any) -> tuple[list[Any], list[list[int]]]:
    """The first usable rows as examples, and for each the tokens that its images' layouts promise."""
    assert recipe.objective_hook.examples is not None
    dataset = recipe.objective_hook.examples(recipe, rows, processor)
    examples, promised = [], []
    for index in range(min(recipe.data.audit, len(rows))):
        try:
            sizes = [image_size(image, dataset.image_policy) for image in rows[index].images]
        except BadSample:
            continue  # the run itself counts and names it
        known = len(dataset.bad)
        example = dataset[index]
        if len(dataset.bad) > known:
            continue  # the next row stands in for this one
        tokens = processor._get_num_multimodal_tokens(image_sizes=sizes).num_image_tokens if sizes else []
        kept = len(example.get("pixel_values", ())) if example["num_truncated"] else len(tokens)
        examples.append(example)
        promised.append(list(tokens)[:kept])
    return examples, promised
