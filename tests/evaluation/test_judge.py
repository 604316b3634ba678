"""The judge: what is sent, what is recorded, what is never asked again, and what a broken endpoint looks like."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Judge, Question, Settings, check_judge, evaluate, load_questions, rescore, statistics
from dragonfly.evaluation.judge import KEY, judge_all, verdicts
from dragonfly.evaluation.run import predictions_of
from dragonfly.evaluation.tasks import rubrics

from .fakes import RuleEngine
from .layouts import hallusion, mmvet_hub

SECRET = "sk-very-secret"


class Endpoint:
    """An OpenAI-compatible server on this machine; `answer(body, number)` gives a text, or (status, text of a fault)."""

    def __init__(self, answer: Callable[[dict[str, Any], int], Any]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    endpoint.requests.append({"path": self.path, **body})
                    endpoint.headers.append(dict(self.headers))
                    said = answer(body, len(endpoint.requests))
                status, text = said if isinstance(said, tuple) else (200, None)
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                document = {"choices": [{"message": {"content": said}}]}
                self.wfile.write(json.dumps(document).encode() if text is None else text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(statistics, "RESAMPLES", 10)
    open_ones: list[Endpoint] = []

    def start(answer: Callable[[dict[str, Any], int], Any]) -> Endpoint:
        open_ones.append(Endpoint(answer))
        return open_ones[-1]

    yield start
    for endpoint in open_ones:
        endpoint.close()


def judge_at(endpoint: Endpoint, **changes: Any) -> Judge:
    return replace(Judge(endpoint.url, "gpt-4", wait=lambda _: None), **changes)


def test_a_request_is_a_chat_completion_with_the_key_in_its_header_alone(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(lambda body, _: "0.5")
    assert judge_at(endpoint).ask("grade this", 0.2, 8) == "0.5"
    message = {"role": "user", "content": "grade this"}
    path = "/v1/chat/completions"
    assert endpoint.requests == [{"path": path, "model": "gpt-4", "messages": [message], "temperature": 0.2, "max_tokens": 8}]
    assert endpoint.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_without_a_key_none_is_sent(serve: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY)
    endpoint = serve(lambda body, _: "0.5")
    judge_at(endpoint).ask("p", 0.0, 8)
    assert "Authorization" not in endpoint.headers[0]


def test_a_busy_endpoint_is_asked_again_with_growing_waits(serve: Callable[..., Endpoint]) -> None:
    waits: list[float] = []
    endpoint = serve(lambda _, number: "1.0" if number == 4 else (429, "slow down"))
    assert judge_at(endpoint, wait=waits.append).ask("p", 0.0, 8) == "1.0"
    assert waits == [2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("answer", "tries", "message"),
    [
        ((401, f"bad key {SECRET}\nsorry"), 1, r"answers 401 Unauthorized: bad key \*\*\* sorry; repair that"),
        ((307, ""), 1, "answers 307 "),
        ((503, "busy"), 5, "answers 503 Service Unavailable: busy"),
        ((200, "<html>"), 1, "no chat completion"),
        ((200, '{"choices": []}'), 1, "no chat completion"),
    ],
)
def test_a_fault_is_one_line_without_the_key(
    serve: Callable[..., Endpoint], answer: tuple[int, str], tries: int, message: str
) -> None:
    endpoint = serve(lambda *_: answer)
    with pytest.raises(ValueError, match=message) as caught:
        judge_at(endpoint).ask("p", 0.0, 8)
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    assert len(endpoint.requests) == tries


def test_an_endpoint_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(ValueError, match=r"the judge m at http://127.0.0.1:9/v1 answers .*refused"):
        Judge("http://127.0.0.1:9/v1", "m", wait=lambda _: None).ask("p", 0.0, 8)


@pytest.mark.parametrize(
    ("url", "model", "message"),
    [
        ("api.openai.com/v1", "m", "is no address"),
        ("file:///etc/passwd", "m", "is no address"),
        ("https://me:pw@host/v1", "m", "put its key into DRAGONFLY_JUDGE_KEY"),
        ("https://host/v1?key=1", "m", "may hold no name, password or query"),
        ("https://host/v1", "", "--judge-model NAME"),
    ],
)
def test_a_judge_that_cannot_be_is_refused(url: str, model: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Judge(url, model)


def test_an_unreadable_grade_is_asked_for_again_and_then_is_the_worst(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    endpoint = serve(lambda body, _: "hard to say" if "never" in body["messages"][0]["content"] else "0.7 or so")
    judge_all(judge_at(endpoint), rubrics.MMVET, ["never", "fine", "fine"], tmp_path / "judge.jsonl", lambda *_: None)
    assert sorted(round(request["temperature"], 1) for request in endpoint.requests) == [0.0, 0.0, 0.2, 0.4, 0.6, 0.8]
    assert verdicts(tmp_path / "judge.jsonl") == ("gpt-4", {"never": "0", "fine": "0.7"})
    first = json.loads((tmp_path / "judge.jsonl").read_text().splitlines()[0])
    assert first == {"judge": "gpt-4", "prompt": "never", "replies": ["hard to say"] * 5, "verdict": "0"}


def run_mmvet(endpoint: Endpoint, folder: Path, **settings: Any) -> dict[str, Any]:
    if not (folder / "data").is_dir():
        mmvet_hub(folder / "data")
    chosen = Settings(tasks=("mmvet",), data=str(folder / "data"), **settings)
    scores = evaluate(RuleEngine(lambda _: "red"), {}, chosen, load_questions(chosen), folder / "out", judge=judge_at(endpoint))
    return scores["tasks"]["mmvet"]


def test_every_prompt_and_reply_is_recorded_and_none_is_asked_twice(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    """A run that is stopped in the middle of its judging, and one that is not, end the same."""

    def answer(body: dict[str, Any], _: int) -> str:
        return "0.5" if "<AND>" in body["messages"][0]["content"].splitlines()[-1] else "1.0"

    whole = serve(answer)
    found = run_mmvet(whole, tmp_path / "whole")
    assert found["judge"] == "gpt-4"
    assert found["scores"]["judge_score"]["value"] == 0.75
    assert {key: part["judge_score"]["value"] for key, part in found["breakdown"]["capability"].items()} == {
        "math": 1.0,
        "ocr": 1.0,
        "rec": 0.5,
    }
    # The model says "red" with, without and with another image: one prompt each. The majority answer is another reply.
    assert len(whole.requests) == 6 + 6
    broken = serve(lambda body, number: answer(body, number) if number <= 8 else (400, "out of credit"))
    with pytest.raises(ValueError, match="400 Bad Request: out of credit"):
        run_mmvet(broken, tmp_path / "parts")
    record = tmp_path / "parts/out/mmvet/judge.jsonl"
    kept = record.read_text().splitlines()
    assert len(kept) == 8
    record.write_text("\n".join(kept[:5]) + '\n{"judge": "gp')  # the last line cut off
    again = serve(answer)
    run_mmvet(again, tmp_path / "parts")
    assert len(again.requests) == 12 - 5
    for name in ("scores.json", "mmvet/judge.jsonl"):
        assert (tmp_path / "whole/out" / name).read_bytes() == (tmp_path / "parts/out" / name).read_bytes()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    before = (tmp_path / "whole/out/scores.json").read_bytes()
    rescore(tmp_path / "whole/out")
    assert (tmp_path / "whole/out/scores.json").read_bytes() == before and len(whole.requests) == 12
    assert predictions_of(tmp_path / "whole/out", "mmvet")[0]["reply"] == "red"
    assert predictions_of(tmp_path / "whole/out", "mmvet")[0]["verdict"] == "1"


def test_a_run_has_one_judge(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    endpoint = serve(lambda *_: "1.0")
    run_mmvet(endpoint, tmp_path, with_baselines=False)
    with pytest.raises(
        ValueError, match=r"holds the verdicts of gpt-4; for another judge copy the run's folder without that file"
    ):
        rescore(tmp_path / "out", replace(judge_at(endpoint), model="other"))
    (tmp_path / "out/mmvet/judge.jsonl").unlink()
    with pytest.raises(ValueError, match=r"no judge has read the replies in .*mmvet"):
        rescore(tmp_path / "out")
    assert rescore(tmp_path / "out", replace(judge_at(endpoint), model="other"))["tasks"]["mmvet"]["judge"] == "other"


def test_a_judged_task_without_a_judge_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    hallusion(tmp_path)
    for task in ("mmvet", "hallusion_bench_judge"):
        with pytest.raises(ValueError, match=f"task '{task}' is scored by a judge; name one: --judge URL"):
            check_judge(Settings(tasks=("hallusion_bench", task)), None)
    check_judge(Settings(tasks=("hallusion_bench", "mmvet_keyword")), None)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("0.5", "0.5"), (" 1.0\n", "1"), ("**0.0**", "0"), ("1", "1"), (".3", "0.3"), ("10", None), ("1.5", None), ("good", None)],
)
def test_a_grade_is_a_number_from_0_to_1(text: str, verdict: str | None) -> None:
    assert rubrics.MMVET.verdict(text) == verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Correct.", "correct"),
        ("incorrect", "incorrect"),
        ("It is unclear", "unclear"),
        ("correct or incorrect", None),
        ("", None),
    ],
)
def test_a_verdict_is_one_word(text: str, verdict: str | None) -> None:
    assert rubrics.HALLUSION.verdict(text) == verdict


def test_the_judge_sees_question_truth_and_reply() -> None:
    question = Question("a", "What|is\nit?", ("x<AND>y",), meta={"gt_answer_details": "it is x"})
    assert rubrics.MMVET.prompt(question, "an x\nand a y").endswith("\nWhat/is it? | x <AND> y | an x and a y | ")
    assert "Truth: it is x\nPrediction: an x\n" in rubrics.HALLUSION.prompt(question, "an x")


def test_a_reply_without_end_is_not_read_to_its_end(serve: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.evaluation.judge._MOST", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        judge_at(serve(lambda *_: "x" * 2000)).ask("?", 0.0, 5)


@pytest.mark.parametrize(
    ("url", "warns"), [("http://judge.example/v1", True), ("https://judge.example/v1", False), ("http://127.0.0.1:1/v1", False)]
)
def test_a_key_that_would_travel_unencrypted_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str, warns: bool
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    Judge(url, "m")
    assert ("goes to judge.example unencrypted; use https" in caplog.text) == warns and SECRET not in caplog.text
