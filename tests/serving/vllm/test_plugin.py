"""The plug-in of vLLM: what it adds and refuses, and that it needs no vLLM to be imported. `make vllm` asks vLLM itself."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import transformers

from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.serving.vllm import plugin
from tests import tiny
from tests.conftest import golden_directories

ROOT = Path(__file__).parents[3]


class OfOthers:
    """A hook that vLLM, or another plug-in, has under the same name."""

    seen: list[Any] = []  # noqa: RUF012

    @classmethod
    def verify_and_update_model_config(cls, model_config: Any) -> None:
        cls.seen.append(model_config)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """vLLM's table of hooks, in a stand-in for vLLM."""
    names = ("vllm", "vllm.model_executor", "vllm.model_executor.models", "vllm.model_executor.models.config")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module: Any = sys.modules[names[-1]]
    module.MODELS_CONFIG_MAP = {plugin.BACKENDS[0]: OfOthers}
    module.VerifyAndUpdateConfig = type("VerifyAndUpdateConfig", (), {"verify_and_update_model_config": staticmethod(print)})
    monkeypatch.setattr(OfOthers, "seen", [])
    monkeypatch.delattr(transformers, "DragonflyForConditionalGeneration", raising=False)
    plugin.register()
    plugin.register()  # vLLM may call it more than once
    return module.MODELS_CONFIG_MAP


def model_config(**selection: Any) -> Any:
    settings = tiny.config()
    settings.encoder = settings.spec.changed({"selection": selection}).to_dict()
    return SimpleNamespace(hf_config=settings, model="no/such/model", try_get_generation_config=dict)


def test_the_entry_point_names_a_function_that_is_there() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["vllm.general_plugins"]
    module, _, name = points["dragonfly"].partition(":")
    assert getattr(importlib.import_module(module), name) is plugin.register


def test_it_loads_nothing_until_it_is_called_and_names_what_is_missing() -> None:
    code = (
        "import sys, dragonfly.serving.vllm.plugin as plugin\n"
        "assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)\n"
        "sys.modules['vllm'] = None\n"
        "plugin.register()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: this is a plug-in of vLLM") and "is not there (" in last and "[vllm]" in last


def test_vllm_finds_the_class_under_its_name(hooks: dict[str, Any]) -> None:
    found = getattr(transformers, tiny.model().config.__class__.__name__.replace("Config", "ForConditionalGeneration"))
    assert found is DragonflyForConditionalGeneration
    assert set(plugin.BACKENDS) <= set(hooks)


def test_other_models_meet_their_own_hook_alone(hooks: dict[str, Any]) -> None:
    other = SimpleNamespace(hf_config=SimpleNamespace(model_type="llava"))
    hooks[plugin.BACKENDS[0]].verify_and_update_model_config(other)
    assert OfOthers.seen == [other]


@pytest.mark.parametrize("backend", plugin.BACKENDS)
@pytest.mark.parametrize(("policy", "reads"), [("question", "the question"), ("oracle", "the boxes")])
def test_a_policy_that_needs_more_than_the_image_is_refused(hooks: dict[str, Any], backend: str, policy: str, reads: str) -> None:
    with pytest.raises(ValueError, match=rf"^policy '{policy}' chooses sub-images by {reads}.* vLLM encodes an image without it"):
        hooks[backend].verify_and_update_model_config(model_config(policy=policy))


@pytest.mark.parametrize("policy", ["similarity", "residual", "uniform"])
def test_other_policies_are_served(hooks: dict[str, Any], policy: str) -> None:
    hooks[plugin.BACKENDS[1]].verify_and_update_model_config(model_config(policy=policy))


def test_a_policy_that_chooses_nothing_is_not_asked_about() -> None:
    """`v2` keeps all, whatever its policy is called."""
    settings = tiny.config("v2")
    settings.encoder = {**settings.spec.to_dict(), "selection": {**settings.spec.to_dict()["selection"], "policy": "all"}}
    plugin.check(settings)


@pytest.mark.parametrize(("name", "value"), [("logits_scaling", 8.0), ("logits_soft_cap", 30.0)])
def test_logits_that_vllm_would_not_finish_are_refused(name: str, value: float) -> None:
    settings = tiny.config()
    setattr(settings.text_config, name, value)
    with pytest.raises(ValueError, match=rf"'llama'.*{name}={value}, which vLLM does not apply"):
        plugin.check(settings)
    for neutral in (None, 0.0 if name == "logits_soft_cap" else 1.0):
        setattr(settings.text_config, name, neutral)
        plugin.check(settings)


@pytest.mark.parametrize("directory", golden_directories(), ids=lambda path: path.name)
def test_a_released_answer_ends_at_its_turn(hooks: dict[str, Any], directory: Path) -> None:
    from dragonfly.models import DragonflyConfig
    from dragonfly.models.released import end_ids

    checkpoint = str(directory / "v1" / "checkpoint")
    config = DragonflyConfig.from_pretrained(checkpoint)
    served = SimpleNamespace(hf_config=config, model=checkpoint, try_get_generation_config=lambda: {"eos_token_id": 502})
    hooks[plugin.BACKENDS[0]].verify_and_update_model_config(served)
    ends = served.try_get_generation_config()["eos_token_id"]
    assert ends == end_ids(checkpoint, 502) and len(ends) == 2 and 502 in ends
