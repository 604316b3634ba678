"""What docs/serving.md says is what the code does and what was measured."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from dragonfly.cli.ask import ask
from dragonfly.cli.serve import serve
from dragonfly.serving.schema import ChatRequest
from dragonfly.serving.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", DOCUMENT, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python(snippet: str, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = snippet.replace("http://127.0.0.1:8000", listening).replace('"nano"', '"tiny"')
    names: dict[str, Any] = {}
    exec(here, names)
    found = names["answer"].to_dict() if "answer" in names else names["response"]
    assert found["choices"][0]["message"]["role"] == "assistant" and len(found["dragonfly"]["images"]) == 1
    if "client" in names:
        names["client"].close()


def test_options_and_fields_exist() -> None:
    offered = {f"--{name.replace('_', '-')}" for command in (serve, ask) for name in signature(command).parameters}
    ours = re.sub(r"vllm serve [^\n`]*|--vllm-arg=\S+", "--vllm-arg", DOCUMENT)  # the rest of these lines is vLLM's
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", ours))
    assert len(named) > 8 and named <= offered
    said = re.search(r"A request may say (.*?)\. Three", DOCUMENT, re.DOTALL)
    assert said
    assert set(re.findall(r"`(\w+)`", said[1])) <= set(ChatRequest.model_fields)


def test_the_memory_of_bodies_is_that_of_the_defaults() -> None:
    settings = Settings()
    assert f"({settings.requests} of {settings.max_body // 2**20} MiB)" in DOCUMENT
    assert f"{settings.requests * settings.max_body / 2**30} GiB of bodies" in DOCUMENT
    assert f"{settings.max_text:,} characters" in DOCUMENT and f"{settings.body_seconds:g} seconds to arrive" in DOCUMENT


def test_settings_are_refused_in_one_line() -> None:
    for one in fields(Settings):
        wrong: Any = {"domains": ("http://x/",), "keys": ("",), "hosts": None}.get(one.name, -1)
        if wrong is not None:
            with pytest.raises(ValueError, match=r"\w"):
                Settings(**{one.name: wrong})


def test_the_numbers_under_load_are_those_of_the_result_file() -> None:
    result = json.loads((ROOT / "benchmarks/results/serving.json").read_text(encoding="utf-8"))
    together, alone = result["together"], result["one_at_a_time"]
    steady = result["steady"]
    assert steady["seconds"] > 600 and (steady["lost"], steady["places_still_held"]) == (0, 0)
    said = " ".join(DOCUMENT.split())
    for sentence in (
        f"{together['clients']} clients got {together['answers']:,} answers in {together['seconds']:.0f} seconds, "
        f"{result['ratio']:.1f} times as many a second as one client alone",
        f"{together['server_cpu_ms_per_answer']:g} ms of the server's processor time, and "
        f"{alone['server_cpu_ms_per_answer']:g} ms alone",
        f"none of the {together['checked']:,} that were compared",
        f"for ten minutes, {steady['leavers']} clients hung up",
        f"memory grew by {100 * steady['growth']:.1f} %",
    ):
        assert sentence in said
    assert (together["lost"], together["wrong"], alone["lost"], alone["wrong"]) == (0, 0, 0, 0)
    assert (result["leaving"]["places_still_held"], result["leaving"]["next_request"]) == (0, 200)


def test_page_and_description_hold_as_their_result_files_say() -> None:
    page, openapi = (
        json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8")) for name in ("page", "openapi")
    )
    said = " ".join(DOCUMENT.split())
    assert not page["faults"] and not any(page["axe_core"].values()) and f"{len(page['held'])} checks hold" in said
    sent = sum(sum(openapi["statuses"][route].values()) for route in ("/v1/chat/completions", "/v1/zoom"))
    assert (openapi["server_errors"], openapi["exit"]) == (0, 0) and f"schemathesis sent {sent:,} requests" in said


def test_the_answers_of_vllm_are_those_of_its_result_file() -> None:
    result = json.loads((ROOT / "benchmarks/results/vllm_parity.json").read_text(encoding="utf-8"))
    assert f"{result['same_answers']} of {result['cases']} greedy answers were the engine's" in " ".join(DOCUMENT.split())
    cases = [case for model in result["models"] for case in model["cases"]]
    assert len(cases) == result["cases"] and sum(case["same_answer"] for case in cases) == result["same_answers"]
    assert {case["images"] for case in cases} == {0, 1, 3}
