"""Questions about small things in large images: V*, HR-Bench at 4K and 8K, MME-RealWorld and its lite version.

Rows as published: V* as parquet or as its authors' folder, whose annotations hold the boxes of what is asked about; HR-Bench
and MME-RealWorld as parquet with images in base64, the latter also as its authors' JSON beside images. Each answer is a letter.
"""

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample
from dragonfly.files import sha256

from ..metrics import choices
from ..question import RowReader, read_rows
from .layouts import Fields
from .task import Reader, Rows, TaskSpec, either, files, hub

_OPTION = re.compile(r"^\s*\(([A-E])\)\s*(.*)$", re.MULTILINE)


def vstar(row: Fields, folder: Path) -> Fields:
    """lmms-lab/vstar-bench, or craigwu/vstar_bench's test_questions.jsonl: `text` holds question, options and suffix.

    The authors' folder keeps a JSON file beside each image with `bbox`, [left, top, width, height] of each thing asked about;
    these are the evidence, which the parquet file does not have.
    """
    category = row["category"]
    boxes = _target_boxes(folder / row["image"]) if isinstance(row["image"], str) else ()
    return {
        "id": f"{category}-{row['question_id']}",
        "question": row["text"],
        "answer": row["label"].strip(),
        "options": [text.strip() for _, text in _OPTION.findall(row["text"])],
        "evidence": boxes,
        "text": None,  # the question again, and not a key to break scores down by
        "label": None,
    }


def _target_boxes(image: Path) -> tuple[tuple[float, float, float, float], ...]:
    """The boxes of the annotation beside an image; none where there is no such file."""
    path = image.with_suffix(".json")
    if not path.is_file():
        return ()
    found = json.loads(path.read_text(encoding="utf-8"))["bbox"]
    return tuple((float(x), float(y), float(x + width), float(y + height)) for x, y, width, height in found)


def hr_bench() -> RowReader:
    """DreamMr/HR-Bench: `image` in base64, options in columns A to D, the same question four times with its options in turn.

    Rows of one question have the same image, words and set of options; `item` names it. `cycle_category` says which turn. An
    image is held once, however many rows show it.
    """
    images: dict[str, bytes] = {}

    def change(row: Fields, _: Path) -> Fields:
        options = [str(row[letter]) for letter in "ABCD" if row.get(letter) is not None]
        image = _decoded(row["image"])
        group = sha256(image)[:16]
        item = sha256("\n".join([group, row["question"].strip(), *sorted(options)]).encode())[:16]
        return {
            **dict.fromkeys("ABCD"),  # the options again, and no keys to break scores down by
            "id": row["index"],
            "image": images.setdefault(group, image),
            "options": options,
            "group": group,
            "meta": {"item": item},
        }

    return change


def mme_real_world(row: Fields, _: Path) -> Fields:
    """yifanzhang114/MME-RealWorld-Lmms-eval: image in base64 under `bytes`, `category` such as "Perception/Remote Sensing"."""
    task, _, subtask = row["category"].rpartition("/")
    kind = "Perception" if "perception" in task.lower() else "Reasoning"
    return {
        **_lettered(row["question"], row["multi-choice options"], row["answer"]),
        "id": row["index"],
        "image": _decoded(row["bytes"]),
        "meta": {"task": kind, "subtask": subtask, "category": _category(row["l2-category"])},
        "bytes": None,
        "l2-category": None,
    }


def mme_real_world_file(row: Fields, _: Path) -> Fields:
    """The authors' JSON, with images in folders beside it."""
    own = {
        "Text": None,
        "Ground truth": None,
        "Question_id": None,
        "Image": None,
        "Category": None,
        "Task": None,
        "Subtask": None,
    }
    return {
        **own,
        **_lettered(row["Text"], row["Answer choices"], row["Ground truth"]),
        "id": row["Question_id"],
        "image": row["Image"],
        "meta": {"task": row["Task"], "subtask": row["Subtask"], "category": _category(row["Category"])},
    }


def _lettered(question: str, listed: list[str], answer: str) -> Fields:
    """Question, options and answer as both harnesses ask: options as "(A) text", then what to reply with."""
    asked = f"{question} The choices are listed below:\n" + "\n".join(listed) + f"\n{_ONLY_THE_LETTER}"
    return {"question": asked, "options": [_OPTION.sub(r"\2", one) for one in listed], "answer": answer.strip()}


_ONLY_THE_LETTER = (
    "Select the best answer to the above multiple-choice question based on the image. Respond with only the letter "
    "(A, B, C, D, or E) of the correct option.\nThe best answer is:"
)


def _category(name: str) -> str:
    """The official code joins the attributes of one kind of thing."""
    lower = name.lower()
    return f"{lower.partition('/')[0]}/attribute" if "attribute" in lower else lower


def _decoded(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, TypeError, ValueError):
        raise BadSample("broken-image", f"an image in base64 was expected, not {str(text)[:40]!r}") from None


def _hr(name: str, split: str) -> Reader:
    def read(data: Path) -> Rows:
        return files(name, f"{name}.parquet", *hub(split), change=hr_bench())(data)  # each read with images of its own

    return read


def _mme(folder: str, official: str) -> Reader:
    rows = files(folder, *hub("train"), change=mme_real_world)
    return either(folder, (official,), lambda found: read_rows(found, mme_real_world_file), rows)


VSTAR = TaskSpec(
    name="vstar",
    read=files("vstar", "test_questions.jsonl", *hub("test"), change=vstar),
    metrics=(choices.VSTAR_LMMS, choices.VLMEVALKIT),
    split="test (191 questions: 115 direct attributes, 76 relative positions)",
    source="lmms-lab/vstar-bench, or craigwu/vstar_bench's test_questions.jsonl beside its folders",
    hub="lmms-lab/vstar-bench",
    hub_files=hub("test"),
    citation="Wu and Xie 2023, V*: guided visual search as a core mechanism in multimodal LLMs (arXiv 2312.14135)",
    licence="not stated in the sources read",
    prompt="{question}",
    max_new_tokens=16,
    breakdown=("category",),
    parsing="lmms-eval's, in this order: a letter A to D begins the reply; a letter after answer, choice or option; (A); A with "
    "a full stop or a bracket; a lone A; the only such letter. VLMEvalKit's, without its judge, as for `ai2d_vlmevalkit`.",
    paper="Not in the paper.",
    notes="A random option is right in 35.0 % (115 questions with four options, 76 with two). The rows' own text is asked, with "
    "its options as (A) and its suffix; lmms-eval writes them as A. and repeats the suffix. A reply that begins with such a "
    'letter counts as it ("Blue" is B): ask for letters. The paper instead compares the likelihood of the options, so its '
    "numbers are not these. 191 questions rank few models: where a report says that a difference is not significant, it is none.",
)
HR_BENCH_4K = TaskSpec(
    name="hr_bench_4k",
    read=_hr("hr_bench_4k", "hrbench_4k"),
    metrics=(choices.VLMEVALKIT, choices.ALL_CYCLES),
    split="hrbench_4k (200 questions, each with its four options in four orders: 800 rows)",
    source="DreamMr/HR-Bench",
    hub="DreamMr/HR-Bench",
    hub_files=("hr_bench_4k.parquet",),
    citation="Wang et al. 2024, Divide, conquer and combine (arXiv 2408.15556)",
    licence='"other" on its data card',
    prompt="{question}\n{options}\nAnswer the option letter directly.",
    max_new_tokens=16,
    breakdown=("category", "cycle_category"),
    parsing="VLMEvalKit's, without its judge: the one letter that stands among the last words, else the one option whose text is "
    "in the reply; a reply that names none or several is wrong.",
    paper="Not in the paper.",
    notes="A random option is right in 25 %, in all four orders in 0.4 %. `accuracy_vlmevalkit` is the mean over a question's "
    "orders; `all_orders_right` the share of questions that are right in all of them, which no fixed letter reaches. single: "
    "one thing (100 questions), cross: several (100). Prompt as lmms-eval; the authors ask as VLMEvalKit and let a language "
    "model judge, so their scores are a little higher for models that explain.",
)
MME_REAL_WORLD = TaskSpec(
    name="mme_realworld",
    read=_mme("mme_realworld", "MME_RealWorld.json"),
    metrics=(choices.MME_REAL_WORLD, choices.MME_REFUSALS),
    split="English questions (29,429 with the 5,917 of the Chinese part; README)",
    source="yifanzhang114/MME-RealWorld-Lmms-eval, or MME_RealWorld.json beside its images",
    hub="yifanzhang114/MME-RealWorld-Lmms-eval",
    hub_files=hub("train"),
    citation="Zhang et al. 2024, MME-RealWorld (arXiv 2408.13257)",
    licence="academic research only (README); Apache-2.0 on its data card",
    prompt="{question}",
    max_new_tokens=16,
    breakdown=("task", "subtask", "category"),
    parsing='Official: without "The (best, correct) answer (is)", the first capital A to E is the letter; without one, a reply '
    "that is a part of an option is that option, so an empty reply is A; more than ten words without a letter are no answer.",
    paper="Not in the paper.",
    notes="A random option is right in 20 %. The parquet files are read into memory whole: of the full set name the authors' "
    "folder, or --limit. Option E says that the image does not show what is asked; `share_of_e` is how often "
    'it is chosen. Prompt as official. "Best answer: C" is read as B, as in the official code: ask for the letter alone.',
)

HIGH_RESOLUTION = (
    VSTAR,
    HR_BENCH_4K,
    replace(
        HR_BENCH_4K,
        name="hr_bench_8k",
        read=_hr("hr_bench_8k", "hrbench_8k"),
        split="hrbench_8k (200 questions, each with its four options in four orders: 800 rows)",
        hub_files=("hr_bench_8k.parquet",),
    ),
    MME_REAL_WORLD,
    replace(
        MME_REAL_WORLD,
        name="mme_realworld_lite",
        read=_mme("mme_realworld_lite", "MME*Lite.json"),
        split="lite: up to 50 questions of each category (1,919)",
        source="yifanzhang114/MME-RealWorld-lite-lmms-eval, or the authors' JSON (MME-RealWorld-Lite) beside its images",
        hub="yifanzhang114/MME-RealWorld-lite-lmms-eval",
    ),
)
