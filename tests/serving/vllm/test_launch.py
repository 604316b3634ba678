"""A vLLM of our own starts with what it needs and ends with us, however we end. A stand-in is vLLM here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dragonfly.serving.vllm import launch

SERVER = """
import json, os, sys, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
if "--fail" in sys.argv:
    sys.exit("no such GPU")
port = int(sys.argv[sys.argv.index("--port") + 1])
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
json.dump({"pid": os.getpid(), "key": os.environ["VLLM_API_KEY"], "arguments": sys.argv[1:]}, open(os.environ["SEEN"], "w"))
server.serve_forever()
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in says how it was started."""
    package = tmp_path / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(SERVER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    return tmp_path / "seen.json"


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_answers_in_the_block_and_is_gone_after_it(seen: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with launch.launched(Path("model"), "bfloat16", 3, ["--tensor-parallel-size=2"]) as place:
        started = json.loads(seen.read_text())
        assert launch.answers(place.url) and is_there(started["pid"])
    assert not is_there(started["pid"]) and not launch.answers(place.url) and signal.getsignal(signal.SIGTERM) is before
    arguments = started["arguments"]
    assert place.key == started["key"] and len(started["key"]) > 30 and started["key"] not in " ".join(arguments)
    assert arguments[:4] == ["--model", "model", "--host", "127.0.0.1"] and arguments[-1] == "--tensor-parallel-size=2"
    assert '{"image": 3}' in arguments and "bfloat16" in arguments


def test_one_that_ends_before_it_answers(seen: Path) -> None:
    with (
        pytest.raises(ValueError, match="vLLM ended with status 1 before it answered"),
        launch.launched(Path("m"), "auto", 1, ["--fail"]),
    ):
        pytest.fail("it never answered")


def test_sigterm_ends_both(seen: Path) -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom dragonfly.serving.vllm.launch import launched\n"
        "with launched(Path('m'), 'auto', 1):\n    os.kill(os.getpid(), signal.SIGTERM)\n    signal.pause()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0 and not is_there(json.loads(seen.read_text())["pid"])


def test_without_vllm_the_line_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    told = pytest.raises(ValueError, match=r"needs vLLM.*\[vllm\].*or name one that runs: --vllm-url")
    with told, launch.launched(Path("m"), "auto", 1):
        pytest.fail("there is none")
