"""`dragonfly push` against a stand-in hub: what goes up, what does not, the card, and every refusal in one line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from dragonfly.__main__ import main
from dragonfly.inference import load
from dragonfly.inference.push import card_of
from dragonfly.models.origin import write_origin
from tests.inference.hub import TOKEN, Hub, running

# The hub's client uploads by an interface that its transport is retiring.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

RECORD = {
    "recipe": "small",
    "init_from": {"checkpoint": "owner/base"},
    "data": {"rows": "ab" * 32},
    "best": {"task": "pope", "metric": "accuracy", "step": 4, "score": 0.75, "scores": {"2": 0.5, "4": 0.75}},
}


@pytest.fixture
def model(saved_model: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(saved_model, tmp_path / "model"))
    write_origin(folder, RECORD)
    (folder / "checkpoint-2").mkdir()
    for stray in ("run.json", "loss.jsonl", ".env.json"):
        (folder / stray).write_text("{}")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield hub


def _visibility(hub: Hub) -> str:
    """As the hub is told by this release of its client: `visibility`, before that `private`."""
    asked = hub.repositories["mine"]
    return asked.get("visibility") or ("private" if asked.get("private") else "public")


def test_the_model_arrives_whole_and_private(model: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(model), "me/mine", "--license", "mit"]) == 0
    assert f"pushed: {hub.address}/me/mine" in capsys.readouterr().err
    assert _visibility(hub) == "private" and hub.repositories["mine"]["organization"] == "me"
    assert len(hub.commits) == 1
    sent = {file.name for file in model.iterdir() if file.is_file()} - {"run.json", "loss.jsonl", ".env.json"}
    assert set(hub.files) == sent | {"README.md"} and {"model.safetensors", "dragonfly.json"} < sent
    assert all(hub.files[name] == (model / name).read_bytes() for name in sent)
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, data in hub.files.items():
        (copy / name).write_bytes(data)
    assert load(copy, device="cpu").ask(None, "Who?", max_new_tokens=1).token_ids


def test_the_card_tells_what_is_known(model: Path) -> None:
    card = card_of(model, "me/mine", "mit")
    assert card.startswith("---\nlibrary_name: dragonfly-vlm\n") and 'license: "mit"' in card
    for told in (
        "`v1`",
        "`clip_vision_model`",
        "`llama`",
        "`small`",
        "owner/base",
        "rows (sha256 abababababab)",
        "| `4` | 0.7500 |",
    ):
        assert told in card
    assert 'dragonfly.load("me/mine")' in card and "no measurement on questions" in card
    write_origin(model, {"recipe": "a`](http://evil)\n# x | y"})
    told = card_of(model, "me/mine")
    assert "\n# x" not in told and "`a'](http://evil) # x / y`" in told
    assert "license:" not in told and "No licence is stated" in told and "## Scores" not in told
    (model / "README.md").write_text("my own words\n")
    assert card_of(model, "me/mine", "mit") == "my own words\n"


def test_public_is_asked_for_and_a_dry_run_sends_nothing(model: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(model), "me/mine", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "model.safetensors" in captured.err and "loss.jsonl" not in captured.err and captured.out.startswith("---\n")
    assert not hub.repositories and not hub.files
    assert main(["push", str(model), "me/mine", "--public", "-m", "first"]) == 0
    assert _visibility(hub) == "public" and hub.commits == ["first"]


def test_refusals(model: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["push", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "'mine' names no repository; write owner/name" in refused(str(model), "mine")
    assert "is no model directory" in refused(str(model / "checkpoint-2"), "me/mine")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = refused(str(model), "me/mine")
    assert "cannot push to 'me/mine'" in said and "401" in said and said.endswith("is HF_TOKEN a token that may write there?")
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", "http://127.0.0.1:9")
    (model / "chat_template.jinja").write_text("{{ 1 }}")
    assert "chat_template.jinja has 7 bytes, dragonfly.json says" in refused(str(model), "me/mine")
    assert not hub.files
