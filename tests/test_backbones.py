"""docs/backbones.md is carried out, with tiny random models in place of those it names; its table and its YAML are sound."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from dragonfly.__main__ import main
from dragonfly.research.lab.study import Study
from dragonfly.vision import make_layout
from dragonfly.vision.spec import EncoderSpec

from . import templates
from .blocks import blocks, to_run

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "backbones.md"
YAML = [block.text for block in blocks(PAGE) if block.kind == "yaml"]
TOWER, LANGUAGE_MODEL = "google/siglip2-so400m-patch16-384", "Qwen/Qwen3-8B"
SMALLER = ["data.workers=0", "batch.global_size=4", "batch.per_device=4"]  # the paper's 64 rows a step, in steps of 4


def write_models(folder: Path) -> tuple[Path, Path]:
    """A SigLIP tower of 4 x 4 patches and a Qwen3 of two layers, both random, as their hub repositories lie on a disk."""
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    tower = AutoConfig.for_model("siglip_vision_model", **sizes, image_size=32, patch_size=8)
    AutoModel.from_config(tower).save_pretrained(folder / "tower")
    pixels = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "tower" / "preprocessor_config.json").write_text(json.dumps(pixels))
    tokenizer = templates.tokenizer(templates.FAMILIES["thinking"])
    config = AutoConfig.for_model(
        "qwen3",
        **{**sizes, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8},
        **{"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": 0},
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "language_model")
    tokenizer.save_pretrained(folder / "language_model")
    return folder / "tower", folder / "language_model"


def write_rows(folder: Path) -> None:
    names = ("form.png", "label.png", "chart.png", "table.png")
    folder.mkdir()
    for name in names:
        shutil.copy(ROOT / "examples" / "images" / name, folder / name)
    rows = [{"image": name, "question": "What is this?", "answer": name.removesuffix(".png")} for name in names]
    for file in ("pairs", "instructions", "dev"):
        (folder / f"{file}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = [{"question": row["question"], "answer": row["answer"]} for row in rows]
    (folder / "text.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in text))


@pytest.mark.slow
def test_the_page_leads_from_two_directories_to_a_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    tower, language_model = write_models(tmp_path / "models")
    write_rows(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    commands = [words for block in to_run(PAGE) for words in block.commands]
    assert [words[1] for words in commands] == ["new", "train", "train", "eval", "report"]
    for words in commands:
        here = [{TOWER: str(tower), LANGUAGE_MODEL: str(language_model)}.get(word, word) for word in words[1:]]
        assert main([*here, *(SMALLER if here[0] == "train" else [])]) == 0, (words, capsys.readouterr().err)
    trained = json.loads((tmp_path / "runs" / "stage1" / "dragonfly.json").read_text())["parameters"]
    assert trained["multi_modal_projector"]["trained"] > 0 == trained["language_model"]["trained"]
    assert "exact_match" in (tmp_path / "runs" / "dev" / "scores.json").read_text()


def test_the_encoder_of_the_page_is_one_with_every_high_sub_image_in_a_region():
    spec = EncoderSpec.from_dict(yaml.safe_load(YAML[0]))
    for size in ((3000, 4000), (4000, 3000), (1000, 4000)):
        layout = make_layout(size, spec)
        assert layout.num_kept_high == spec.selection.keep < layout.count("high")


def test_the_studies_of_the_page_are_studies(tmp_path: Path):
    names = []
    for text in YAML[1:]:
        (tmp_path / "study.yaml").write_text(text)
        names.append(Study.load(tmp_path / "study.yaml").name)
    assert names == ["how-many", "pool-or-select"]


def test_the_table_of_costs_is_its_result_file():
    script = runpy.run_path(str(ROOT / "benchmarks" / "plan_backbones.py"))
    result = json.loads((ROOT / "benchmarks" / "results" / "plan_backbones.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert script["with_table"](page, result) == page
    cells = [cell for row in result["pairs"] for machine in row["machines"].values() for cell in machine.values()]
    assert len(cells) == 45 and all(cell["command"].startswith("dragonfly plan --tower ") for cell in cells)


def test_the_plan_still_says_what_the_table_says(tmp_path: Path):
    script = runpy.run_path(str(ROOT / "benchmarks" / "plan_backbones.py"))
    result = json.loads((ROOT / "benchmarks" / "results" / "plan_backbones.json").read_text(encoding="utf-8"))
    script["write_configs"](tmp_path)
    cell = result["pairs"][0]["machines"]["1 x 24 GB"]["stage1"]
    assert script["cell"](cell["command"], tmp_path) == cell, "write it again: python benchmarks/plan_backbones.py"


def test_the_hardware_page_has_the_planned_numbers():
    text = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
    planned = json.loads((ROOT / "benchmarks" / "results" / "plan_backbones.json").read_text(encoding="utf-8"))["released"]
    rows = re.findall(
        r"^\| (nano-scans|nano|v1|v2)\b.*? \| ([\d.]+) [MB] \| ([\d,]+) \| ([\d.]+) GB.*? \| (?:([\d.]+) GB )?\|$", text, re.M
    )
    for name, parameters, tokens, memory, four_bits in rows:
        one = planned[name]
        assert parameters == f"{one['parameters'] / (1e6 if name.startswith('nano') else 1e9):.1f}"
        assert tokens == f"{one['image_tokens']:,}"
        assert float(memory) == round(one["gb"], len(memory.partition(".")[2]))
        assert not four_bits or float(four_bits) == round(one["gb_int4"], 1)
    assert [row[0] for row in rows] == ["nano", "nano-scans", "v1", "v2"]
