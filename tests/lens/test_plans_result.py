"""docs/lens.md says what the result file says, and the result file what the code plans."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "lens_plans.py"))
SAVED = json.loads((ROOT / "benchmarks" / "results" / "lens_plans.json").read_text(encoding="utf-8"))


def test_the_page_has_the_table_of_the_result() -> None:
    assert f"{SCRIPT['MARK']}\n{SCRIPT['table'](SAVED)}\n\n" in (ROOT / "docs" / "lens.md").read_text(encoding="utf-8")


def test_the_result_is_what_is_planned_now() -> None:
    found = json.loads(json.dumps(SCRIPT["result"]()))
    assert {key: SAVED[key] for key in found} == found
