"""A judge behind an OpenAI-compatible endpoint, and judge.jsonl: every prompt that it was sent, with its replies and the verdict.

Each reply of a judged task goes to the judge once; the metrics of such a task read the verdict in the reply's place. A prompt
that has a verdict is never sent again. A verdict belongs to the judge's model, not to its address. The key is neither written nor
shown; a fault of the endpoint is a ValueError of one line.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from .predictions import append
from .scoring import Records, read_records
from .tasks import TaskSpec
from .tasks.rubrics import ATTEMPTS, Rubric

logger = logging.getLogger(__name__)

KEY = "DRAGONFLY_JUDGE_KEY"
"""The environment variable that holds the endpoint's key, where it wants one."""

FILE = "judge.jsonl"
TOGETHER = 4  # questions under way at once

_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_TRIES = 5
_MOST = 4 * 2**20  # bytes of a reply; a verdict takes a few hundred


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True)
class Judge:
    """`url` is the endpoint's base, such as https://api.openai.com/v1; `timeout` is in seconds for each try."""

    url: str
    model: str
    timeout: float = 120.0
    wait: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"judge {self.url!r} is no address; give the endpoint's base, such as https://api.openai.com/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(f"the judge's address may hold no name, password or query; put its key into {KEY}")
        if parts.scheme == "http" and os.environ.get(KEY) and not _is_here(parts.hostname):
            logger.warning("the key in %s goes to %s unencrypted; use https", KEY, parts.hostname)
        if not self.model:
            raise ValueError("the judge has no model; name it: --judge-model NAME")

    def ask(self, prompt: str, temperature: float, max_tokens: int) -> str:
        """The judge's reply. ValueError in one line where the endpoint gives none; a busy endpoint is tried `_TRIES` times."""
        message = {"role": "user", "content": prompt}
        body = {"model": self.model, "messages": [message], "temperature": temperature, "max_tokens": max_tokens}
        fault = ""
        for attempt in range(_TRIES):
            if attempt:
                self.wait(2.0**attempt)
            try:
                return _text(self._post(body))
            except HTTPError as error:
                with error:
                    fault = f"{error.code} {error.reason}: {_hide(error.read(2000).decode(errors='replace'))}"
                if error.code not in _AGAIN:
                    break
            except (URLError, HTTPException, OSError) as error:
                fault = _hide(str(getattr(error, "reason", error)) or type(error).__name__)
            except (ValueError, LookupError, TypeError) as error:
                fault = f"no chat completion ({_hide(str(error))})"
                break
        raise ValueError(f"the judge {self.model} at {self.url} answers {fault:.300}; repair that and run the same command again")

    def _post(self, body: dict[str, Any]) -> bytes:
        url = self.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = Request(url, json.dumps(body).encode(), headers, method="POST")
        with build_opener(_NoRedirect()).open(request, timeout=self.timeout) as response:
            document = response.read(_MOST + 1)
        if len(document) > _MOST:
            raise ValueError(f"more than {_MOST} bytes")
        return document


def _is_here(host: str) -> bool:
    """Whether the host's name says that it is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(document: bytes) -> str:
    content = json.loads(document)["choices"][0]["message"]["content"]
    return content if isinstance(content, str) else ""


def _hide(text: str) -> str:
    """One line without the key, should the endpoint repeat it."""
    key = os.environ.get(KEY)
    return " ".join((text.replace(key, "***") if key else text).split())


def judge_replies(
    task: TaskSpec, variants: dict[str, Records], folder: Path, judge: Judge, progress: Callable[..., None]
) -> None:
    """Have the judge grade every reply that has no verdict yet, into judge.jsonl of the task's `folder`.

    `progress(label, done, total)` is called as it goes. ValueError where the endpoint fails, or another judge wrote the file.
    """
    assert task.rubric is not None
    prompts = [prompt for records in variants.values() for prompt in _prompts(task, records) if prompt is not None]
    judge_all(judge, task.rubric, prompts, folder / FILE, lambda done, total: progress(f"{task.name} judge", done, total))


def with_verdicts(task: TaskSpec, records: Records, folder: Path) -> Records:
    """The records, each with its `verdict`; unchanged where the task has no judge. ValueError where a verdict is missing."""
    if task.rubric is None:
        return records
    _, known = verdicts(folder / FILE)
    prompts = _prompts(task, records)
    if missing := sum(prompt is not None and prompt not in known for prompt in prompts):
        raise ValueError(
            f"the judge has not read {missing} of the replies of {folder}; `dragonfly rescore RUN --judge URL --judge-model NAME`"
        )
    return [
        record if prompt is None else {**record, "verdict": known[prompt]}
        for record, prompt in zip(records, prompts, strict=True)
    ]


def judge_name(task: TaskSpec, folder: Path) -> dict[str, Any]:
    """{"judge": its model}, for the scores of a judged task; {} for others."""
    return {} if task.rubric is None else {"judge": verdicts(folder / FILE)[0]}


def _prompts(task: TaskSpec, records: Records) -> list[str | None]:
    """What the judge is asked of each record; None where there is no reply to judge."""
    assert task.rubric is not None
    pairs = zip(*read_records(records), strict=True)
    return [None if reply is None else task.rubric.prompt(question, reply) for question, reply in pairs]


def judge_all(judge: Judge, rubric: Rubric, prompts: Iterable[str], file: Path, progress: Callable[[int, int], None]) -> None:
    """Append to `file` a verdict for every prompt that has none. ValueError where another judge wrote the file."""
    _cut_broken_line(file)
    records = _records(file)
    if others := {record["judge"] for record in records} - {judge.model}:
        raise ValueError(
            f"{file} holds the verdicts of {', '.join(sorted(others))}; for another judge copy the run's folder without that file"
        )
    known = {record["prompt"] for record in records}
    wanted = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    file.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(TOGETHER) as pool:
        for start in range(0, len(wanted), TOGETHER):
            progress(start, len(wanted))
            some = wanted[start : start + TOGETHER]
            append(file, list(pool.map(lambda prompt: _judged(judge, rubric, prompt), some)))
    progress(len(wanted), len(wanted))


def _judged(judge: Judge, rubric: Rubric, prompt: str) -> dict[str, Any]:
    """One line of the file: the first text that holds a verdict, the temperature rising from 0; else the fallback."""
    replies: list[str] = []
    for attempt in range(ATTEMPTS):
        replies.append(_hide(judge.ask(prompt, attempt / ATTEMPTS, rubric.max_tokens)))
        if (verdict := rubric.verdict(replies[-1])) is not None:
            return {"judge": judge.model, "prompt": prompt, "replies": replies, "verdict": verdict}
    return {"judge": judge.model, "prompt": prompt, "replies": replies, "verdict": rubric.fallback}


def verdicts(file: Path) -> tuple[str, dict[str, str]]:
    """The judge's model and its verdict on each prompt. ValueError where no judge was asked."""
    records = _records(file)
    if not records:
        raise ValueError(
            f"no judge has read the replies in {file.parent}: `dragonfly rescore RUN --judge URL --judge-model NAME`"
        )
    return records[0]["judge"], {record["prompt"]: record["verdict"] for record in records}


def _records(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _cut_broken_line(file: Path) -> None:
    """Remove the partial line of an interrupted run; its prompt is sent again."""
    if file.is_file() and not (content := file.read_bytes()).endswith(b"\n"):
        with file.open("r+b") as handle:
            handle.truncate(content.rfind(b"\n") + 1)
