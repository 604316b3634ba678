"""What docs/architecture.md states in tables is what the code does."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dragonfly.installation import bundled_model
from dragonfly.vision import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.selection_spec import NEEDS, SelectionSpec
from dragonfly.vision.spec import Grid

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, dict[str, str]]:
    """The table whose first column has this heading: first cell without backquotes -> heading -> cell."""
    lines = ARCHITECTURE.splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    start = next(i - 1 for i in rules if lines[i - 1].startswith(f"| {heading} |"))
    rows: list[list[str]] = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {row[0].strip("`"): dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def grids(cell: str) -> tuple[Grid, ...]:
    """(rows, cols) of a cell that says columns x rows."""
    return tuple((int(rows), int(cols)) for cols, rows in re.findall(r"(\d+)x(\d+)", cell))


PRESET_ROWS = table("preset")


def test_every_preset_is_in_the_table() -> None:
    assert list(PRESET_ROWS) == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_the_preset_table_is_what_the_code_does(name: str) -> None:
    preset, row = PRESETS[name], PRESET_ROWS[name]
    spec = preset.spec
    tower = (
        row["tower"].lower().replace("clip vit-b/32", "clip-vit-base-patch32").replace("clip vit-l/14", "clip-vit-large-patch14")
    )
    assert preset.tower.removeprefix("openai/").removesuffix("-336") == tower
    assert spec.resolution == int(row["R"])
    assert grids(row["mid grids"]) == (spec.mid.grids if spec.mid else ())
    assert grids(row["high grids"]) == (spec.high.grids if spec.high else ())
    if spec.partners is not None:
        assert tuple(grids(cell) for cell in row["high grids"].split(";")) == tuple(highs for _, highs in spec.partners)
    for size in ((480, 640), (640, 480), (100, 1000), (1000, 100), (1, 1)):
        layout = make_layout(size, spec)
        kept = f"{layout.num_kept_high} of {layout.count('high')}" if spec.high else "-"
        if spec.grid_rule == "resolution":  # these sizes get the least grid
            kept += " or more"
        assert (row["kept of high"], row["sub-images kept"]) == (kept, str(layout.num_kept))
        assert int(row["image tokens"]) == layout.num_image_tokens


def test_the_policy_table_is_what_the_code_does() -> None:
    rows = table("policy")
    assert {name: row["needs"] for name, row in rows.items()} == NEEDS
    for name, row in rows.items():
        rule = SelectionSpec(policy=name, keep=1)  # pyright: ignore[reportArgumentType]
        assert (row["decided"] == "before the tower") == rule.early


def test_every_room_is_named() -> None:
    rows = " ".join(table("packages, top to bottom"))
    rooms = {path.stem for path in (ROOT / "src" / "dragonfly").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert {room for room in rooms - {"__init__", "__pycache__"} if room not in rows} <= {"assets", "recipes"}


def test_linked_files_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", ARCHITECTURE)
    assert targets and all((ROOT / "docs" / target).is_file() for target in targets if "://" not in target)


def test_the_figure_can_be_drawn_again(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "draw_architecture.py"))
    script["main"]("v1", tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as drawn, Image.open(script["TARGET"]) as committed:
        assert drawn.size == committed.size
    assert script["TARGET"].stat().st_size < 200_000


def test_the_quantisation_table_is_its_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "quantization.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"On {result['questions']} questions of nano's test set" in text
    for name, one in result["weights"].items():
        exact, low, high = (f"{100 * value:.1f}" for value in (one["exact"], *one["interval"]))
        row = f"| {name} | {exact} % ({low} to {high}) | {100 * one['same_as_float32']:.1f} % | {one['matrix_bytes']:,} |"
        assert row in text


def test_the_parity_table_is_its_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "metric_parity.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `?(.*?)`? \| (.*?) \| ([\d,]+) of ([\d,]+) \|$", text, re.MULTILINE)
    rows = [(one["metric"], one["against"], f"{one['equal']:,}", f"{one['comparisons']:,}") for one in result["comparisons"]]
    assert found == rows and len(rows) >= 12
    assert all(one["predictions"] == 1000 and one["sha256"] for one in result["comparisons"])


def test_the_fine_tunes_numbers_are_those_of_its_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "vqa_rad_finetune.json").read_text(encoding="utf-8"))["evaluation"]
    rows = re.findall(
        r"^\| (?:the|always) .*? \| ([\d.]+).*? \| ([\d.]+).*? \|$", (ROOT / "docs/finetune.md").read_text(), re.MULTILINE
    )
    scores = [result["scores"], *(result["baselines"][name]["scores"] for name in ("majority", "blind", "shuffled_image"))]
    expected = [tuple(f"{100 * each[key]['value']:.1f}" for key in ("exact_match", "closed_accuracy")) for each in scores]
    assert rows == expected


def said_of_scans(name: str) -> tuple[dict[str, Any], str]:
    """A result file of `scripts/measure_scans.py`, and what docs/synthetic.md says."""
    result = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return result, " ".join((ROOT / "docs" / "synthetic.md").read_text(encoding="utf-8").split())


def of_receipts(result: dict[str, Any]) -> str:
    """What a model gives of totals, dates and companies, as it is said there."""
    total, date, company = (result["receipts_dev"][name]["image"] for name in ("total", "date", "company"))
    return f"{total} % of the totals, {date} % of the dates and {company} % of the companies"


def test_what_is_said_of_the_model_for_scans_is_in_its_result_files() -> None:
    asked, text = said_of_scans("nano_scans")
    rules = said_of_scans("nano_reading")[0]["receipts_dev"]["by_rules"]
    receipts, documents = asked["receipts_dev"], asked["documents"]["all"]
    total, date, company = (receipts[name] for name in ("total", "date", "company"))
    folder = bundled_model("nano-scans")
    kept = json.loads((folder / "config.json").read_text(encoding="utf-8"))["encoder"]["selection"]["keep"]
    stages = json.loads((folder / "dragonfly.json").read_text(encoding="utf-8"))["stages"]
    steps = [stage["steps"] for stage in stages if stage["recipe"] == "nano/scan-ask"]
    numbers = {5: "five", 7: "seven", 9: "nine"}
    for expected in (
        f"Asked about {date['asked']} real receipts, it gives {of_receipts(asked)}",
        f"give {rules['total']['exact']}, {rules['date']['exact']} and {rules['company']['exact']} %",
        f"answers {documents['image']} % (another image: {documents['another_image']} %; the commonest answers: "
        f"{documents['commonest_answer']} %)",
        f"the {numbers[kept]} sub-images that it keeps in {date['line_kept']} % of the receipts, and in the four of the greatest "
        f"score in {date['line_in_four']} %; a total's in {total['line_kept']} and {total['line_in_four']} %, "
        f"a company's in {company['line_kept']} and {company['line_in_four']} %",
        f"{sum(steps):,} steps, the last {sum(steps[-2:])} of them told where to look",
    ):
        assert expected in text, expected


def test_what_is_said_of_scans_without_the_high_level_is_in_its_result_file() -> None:
    result, text = said_of_scans("nano_scans_without_high")
    documents = result["documents"]["all"]
    expected = f"gives {of_receipts(result)}, and {documents['image']} % of documents (another image: "
    assert f"{expected}{documents['another_image']} %; the commonest answers: {documents['commonest_answer']} %)" in text


def test_what_is_said_of_choices_before_is_in_their_result_files() -> None:
    rows, text = said_of_scans("nano_scans_rows")
    assert f"it was {of_receipts(rows)} ([result](../benchmarks/results/nano_scans_rows.json))" in text
    patches, _ = said_of_scans("nano_scans_patches")
    date, total, company = (patches["receipts_dev"][name] for name in ("date", "total", "company"))
    for expected in (
        f"the line of the date in {date['line_kept']} % of these receipts, of the total in {total['line_kept']} and of the "
        f"company in {company['line_kept']} %; in the four of the greatest score {date['line_in_four']}, {total['line_in_four']} "
        f"and {company['line_in_four']} %",
        f"gives {of_receipts(patches)} ([result](../benchmarks/results/nano_scans_patches.json))",
    ):
        assert expected in text, expected


def test_the_compatibility_page_is_what_its_result_file_says() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "compatibility.py"))
    result = json.loads((ROOT / "benchmarks" / "results" / "compatibility.json").read_text(encoding="utf-8"))
    assert script["render"](result) == (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    measured = [facts for facts in result["language_models"].values() if "refused" not in facts]
    assert len(measured) > 50 and max(facts["logits"] for facts in measured) < 1e-5 > max(facts["loss"] for facts in measured)


PAGES = sorted((ROOT / "docs").glob("*.md"))
GENERATED = ("reference/", "notebooks/")  # by scripts/docs_site.py


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^(```.*?^```|    .*?$)", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link and not link.startswith(GENERATED)]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_error_that_the_faq_answers_is_one_that_the_code_gives() -> None:
    source = " ".join(
        re.sub(r'"\s*\n\s*f?r?"', "", file.read_text(encoding="utf-8")) for file in (ROOT / "src" / "dragonfly").rglob("*.py")
    )
    quoted = re.findall(r"^## `(.+)`$", (ROOT / "docs" / "faq.md").read_text(encoding="utf-8"), re.MULTILINE)
    others = {"command not found: dragonfly", "ModuleNotFoundError: No module named 'mpi4py'"}  # not ours
    assert len(quoted) > 20 and others < set(quoted)
    assert [message for message in quoted if message not in others and message not in source] == []


@pytest.mark.slow
def test_the_reference_has_every_command_key_and_preset() -> None:
    from dragonfly.cli import application
    from dragonfly.training import Recipe

    site = runpy.run_path(str(ROOT / "scripts" / "docs_site.py"))
    commands, recipe, encoder = site["cli_page"](), site["recipe_page"](), site["spec_page"]()
    named = [command.name or getattr(command.callback, "__name__", "") for command in application().registered_commands]
    assert len(named) > 15 and all(f"## `dragonfly {name}`" in commands for name in named)
    assert all(f"| `{key}` |" in recipe for key in Recipe.model_fields)
    assert "| `data.train[].group_questions` | `int` | `1` |" in recipe and "| `lora.r` | `int` | `16` |" in recipe
    assert all(f"### {name}\n" in encoder for name in PRESETS)


def test_the_audit_page_shows_its_result_file_and_its_snippet_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dragonfly.evaluation.report.audited import condition_rows, curve_rows, sentences

    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    result = json.loads((ROOT / "benchmarks" / "results" / "audit.json").read_text(encoding="utf-8"))
    ((name, task),) = result["tasks"].items()
    assert f"--tasks {name}" in text and not result["dirty"]
    shown = {" ".join(line.split()) for line in text.splitlines()}
    rows = [*condition_rows(task), *curve_rows(task)]
    assert [row for row in rows if " ".join(" ".join(row).split()) not in shown] == []
    assert [line for line in sentences(task) if line not in " ".join(text.split())] == []
    alone = task["evidence"]["looked"]["controls"]["only"]["changed"]["value"]
    assert f"with those alone, {100 * alone:.1f} % of answers change" in " ".join(text.split())
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    monkeypatch.chdir(ROOT)
    exec(snippet[1], {})
    assert capsys.readouterr().out.startswith("Removing what it looked at changes ")


def test_the_numbers_of_dicom_are_those_of_their_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "medical_files.json").read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs" / "formats" / "dicom.md").read_text(encoding="utf-8").split())
    shipped, damaged = result["shipped"]["pydicom"], result["mutated_dicom"]
    assert not (result["dirty"] or shipped["faults"] or damaged["faults"]) and damaged["slowest_s"] < 2
    for part, words in (
        (shipped, "Of the {} files that pydicom ships, {} open and {}"),
        (damaged, "of {} damaged ones, {} open and {}"),
    ):
        assert words.format(part["files"], part["total"]["opened"], part["total"]["refused"]) in page


def test_the_numbers_of_volumes_and_slides_are_those_of_their_result_files() -> None:
    results = ROOT / "benchmarks" / "results"
    slide = json.loads((results / "slide_memory.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "formats" / "slides.md").read_text(encoding="utf-8")
    most = max(slide["zoom"]["max_rss_gib"], slide["ask"]["max_rss_gib"])
    assert slide["passed"] and most <= slide["limit_gib"] == 1.2 and f"take {most:.2f} GiB of memory" in text
    off = max(one["off_in_sub_image_pixels"] for one in slide["marks"])
    assert all(slide["regions_exact"]) and off <= float(re.findall(r"within ([\d.]+) pixels of a sub-image", text)[0]) <= 1
    files = json.loads((results / "medical_volumes.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "formats" / "nifti.md").read_text(encoding="utf-8")
    damaged = files["damaged"]
    assert set(damaged["total"]) == {"shown", "refused"} and not damaged["faults"] and f"{damaged['files']:,} damaged" in text
    assert damaged["slowest_s"] <= float(re.findall(r"more than ([\d.]+) seconds of processor time", text)[0])
    assert set(files["inside_nibabel"].values()) == {"shown"} and set(files["isolated_slides"]["total"]) <= {"shown", "refused"}
