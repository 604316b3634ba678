"""The functions that the task files name: a row's question, its images, its scores, and the score of a whole set.

The rows are those of the published layouts that `dragonfly eval` reads; the metrics are the same functions. Local images are
looked for where `dragonfly eval` looks, under the folder named by `DRAGONFLY_DATA` (the working directory if unset). Needs no
lmms-eval.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.imaging import load_image

from ..metrics import captions
from ..metrics.short import closed_accuracy, exact_match, is_yes_no, token_f1
from ..tasks.layouts import FINDINGS, GROSS_CAPTION, MEDICAL_CAPTION

Doc = dict[str, Any]
"""One row of the data set, as lmms-eval hands it over."""
Settings = dict[str, Any] | None


def short_question(row: Doc, lmms_eval_specific_kwargs: Settings = None) -> str:
    """The question and what lmms-eval puts around it."""
    around = lmms_eval_specific_kwargs or {}
    return f"{around.get('pre_prompt', '')}{row['question'].strip()}{around.get('post_prompt', '')}"


def images(row: Doc) -> list[Image.Image]:
    """The row's own image."""
    return [row["image"].convert("RGB")]


def _constant(text: str) -> Callable[[Doc], str]:
    return lambda _: text


findings_question = _constant(FINDINGS)
caption_question = _constant(MEDICAL_CAPTION)
gross_question = _constant(GROSS_CAPTION)


def _local(task: str, *names: str) -> list[Image.Image]:
    root = Path(os.environ.get("DRAGONFLY_DATA", ".")) / task
    return [load_image(str(root / name)).image for name in names]


def iu_xray_images(row: Doc) -> list[Image.Image]:
    return _local("iu_xray", *(f"images/{name}" for name in row["image_path"]))


def mimic_cxr_images(row: Doc) -> list[Image.Image]:
    return _local("mimic_cxr", *(f"images/{name}" for name in row["image_path"]))


def peir_gross_images(row: Doc) -> list[Image.Image]:
    return _local("peir_gross", f"peir_gross_images/{row['image'].strip()}")


def roco_images(row: Doc) -> list[Image.Image]:
    return _local("roco", f"data/test/radiology/images/{row['image'].strip()}.jpg")


def short_scores(row: Doc, results: Sequence[str]) -> dict[str, float | None]:
    """The scores of one short answer; `closed_accuracy` is None for an open question and left out of its mean."""
    reply, answer = results[0].strip(), str(row["answer"])
    return {
        "exact_match_vqa": exact_match(reply, [answer]),
        "closed_accuracy": closed_accuracy(reply, answer) if is_yes_no(answer) else None,
        "token_f1": token_f1(reply, answer),
    }


def mean_of_present(values: Sequence[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else 0.0


CAPTION_METRICS = ("cider_d", "rouge_l", "bleu_1", "bleu_4", "meteor")


def caption_scores(row: Doc, results: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The pair that each score of the whole set is made of."""
    pair = (results[0].strip(), str(row.get("report") or row["caption"]).strip())
    return dict.fromkeys(CAPTION_METRICS, pair)


def _of_the_set(name: str, ptb: bool) -> Callable[[Sequence[tuple[str, str]]], float]:
    def score(pairs: Sequence[tuple[str, str]]) -> float:
        replies, references = [reply for reply, _ in pairs], [[reference] for _, reference in pairs]
        return captions.caption_scores(replies, references, ptb=ptb, meteor=name == "meteor").corpus[name]

    return score


cider_d, rouge_l, bleu_1, bleu_4, meteor = (_of_the_set(name, True) for name in CAPTION_METRICS)
cider_d_plain, rouge_l_plain, bleu_1_plain, bleu_4_plain, meteor_plain = (_of_the_set(name, False) for name in CAPTION_METRICS)
