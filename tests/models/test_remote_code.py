"""A saved model where only transformers was imported: loaded on request, refused by name without, never taken for another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto import modeling_auto

from dragonfly.models import DragonflyConfig, remote_code
from tests import tiny

HEAD = "dragonfly_auto.DragonflyForConditionalGeneration"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny.model().save_pretrained(tmp_path)
    tiny.processor().save_pretrained(tmp_path)
    return tmp_path


def test_what_is_saved_names_the_shim(saved: Path) -> None:
    assert (saved / "dragonfly_auto.py").read_text() == remote_code.SHIM.read_text()
    config = json.loads((saved / "config.json").read_text())
    assert config["auto_map"]["AutoConfig"] == "dragonfly_auto.DragonflyConfig"
    assert {config["auto_map"][f"AutoModelFor{task}"] for task in ("ImageTextToText", "MultimodalLM")} == {HEAD}
    processor = json.loads((saved / "processor_config.json").read_text())
    assert processor["auto_map"] == {"AutoProcessor": "dragonfly_auto.DragonflyProcessor"}
    assert processor["image_processor"]["auto_map"] == {"AutoImageProcessor": "dragonfly_auto.DragonflyImageProcessor"}


def test_an_older_checkpoint_gains_it(saved: Path) -> None:
    for name in ("config.json", "processor_config.json"):
        values = json.loads((saved / name).read_text())
        del values["auto_map"]
        (saved / name).write_text(json.dumps(values))
    (saved / "dragonfly_auto.py").unlink()
    config = AutoConfig.from_pretrained(saved)
    assert config.auto_map["AutoModelForImageTextToText"] == HEAD  # where TRL looks, given a path
    config.save_pretrained(saved / "again")
    assert (saved / "again" / "dragonfly_auto.py").exists()
    assert "auto_map" in json.loads((saved / "again" / "config.json").read_text())


def test_a_trusted_model_is_saved_with_the_shim_and_nothing_of_ours(saved: Path) -> None:
    for cls in (AutoModelForImageTextToText, AutoProcessor):
        cls.from_pretrained(saved, trust_remote_code=True).save_pretrained(saved / "again")
    DragonflyConfig.register_for_auto_class()  # what transformers calls after loading by the shim
    AutoConfig.from_pretrained(saved).save_pretrained(saved / "again")
    assert [file.name for file in (saved / "again").glob("*.py")] == ["dragonfly_auto.py"]


def test_tables_that_transformers_serve_reads() -> None:
    for task in ("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM"):
        table = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES")
        assert table["dragonfly"] == "DragonflyForConditionalGeneration"


# A process that never imports this package itself; the finder stands for a machine that lacks it.
ALONE = """
import sys, torch
from transformers import AutoModelForImageTextToText, AutoProcessor

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name == "dragonfly":
            raise ModuleNotFoundError("No module named 'dragonfly'")

def refused(cls, error, *words, **options):
    try:
        cls.from_pretrained(sys.argv[1], **options)
    except error as caught:
        assert all(word in str(caught) for word in words), caught
    else:
        raise AssertionError("loaded")

both = (AutoProcessor, AutoModelForImageTextToText)
for cls in both:
    refused(cls, ValueError, "trust_remote_code=True")
lacking = Lacking()
sys.meta_path.insert(0, lacking)
for cls in both:
    refused(cls, ImportError, "pip install dragonfly-vlm", trust_remote_code=True)
sys.meta_path.remove(lacking)
processor, model = (cls.from_pretrained(sys.argv[1], trust_remote_code=True) for cls in both)
print(type(processor).__module__, type(model).__module__, "tests" in sys.modules)
"""


@pytest.mark.slow
def test_transformers_alone(saved: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(saved)], capture_output=True, text=True, check=False, env=environment, input=""
    )
    printed = "dragonfly.models.processing_dragonfly dragonfly.models.modeling_dragonfly False"
    assert done.stdout.strip().endswith(printed), done.stderr
