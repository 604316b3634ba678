"""Expected beside actual: rows by rows, and where the paper counts questions, questions."""

from typing import Any

from dragonfly.curation.expected import SOURCES_HEAD, STEPS_HEAD, expected_tables
from dragonfly.curation.mix import Mix

MIX = Mix.model_validate(
    {
        "name": "m",
        "sources": [
            {"name": "svit", "path": "a"},
            {"name": "cauldron", "path": "b"},
            {"name": "vqa-rad", "path": "c", "expected": 1790},
            {"name": "openhermes", "path": "d"},
        ],
        "steps": [{"step": "validate", "expected": 9_000_000}, {"step": "cap", "per_image": 8, "expected": 1_000}],
    }
)


def record(step: str, text: int, **rows: int) -> dict[str, Any]:
    by_source = {"svit": 600, "cauldron": 300, "vqa-rad": 100, **rows, "openhermes": text}
    images = sum(by_source.values()) - text
    return {"step": step, "out": images + text, "with_images": images, "by_source": by_source}


def test_samples_are_svits_questions_and_the_rows_of_all_others():
    read = record("read", 50) | {"questions": {"svit": 2_000, "cauldron": 900, "vqa-rad": 100, "openhermes": 70}}
    sources, steps = expected_tables(MIX, [read, record("validate", 50), record("cap", 50, svit=500)])
    assert [len(line) for line in sources] == [len(SOURCES_HEAD)] * 4 and [len(line) for line in steps] == [len(STEPS_HEAD)] * 3
    assert sources[0] == ("svit", "3,026,000", "600", "4,200,000", "2,000", "500", "")
    assert sources[1] == ("cauldron", "1,880,992", "300", "1,880,992", "300", "300", "")
    assert sources[2] == ("vqa-rad", "1,790", "100", "1,790", "100", "100", "1,790")
    validate, cap = steps[1], steps[2]
    assert validate[1:5] == ("at most 4,908,782", "1,000", "at most 1,001,551", "50")
    assert validate[5:] == ("9,000,000", "-8,997,600 (-100.0%)")  # 2,000 questions, 300 and 100 rows
    assert cap[2] == "900" and cap[5:] == ("1,000", "-100 (-10.0%)")  # rows: which were drawn is known, their questions are not


def test_a_source_that_gave_nothing_is_in_the_table_all_the_same():
    read = record("read", 0) | {"questions": {"svit": 9}}
    del read["by_source"]["vqa-rad"]
    sources, _ = expected_tables(MIX, [read, record("validate", 0), record("cap", 0)])
    assert sources[2][:5] == ("vqa-rad", "1,790", "0", "1,790", "0")
