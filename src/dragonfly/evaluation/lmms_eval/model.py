"""The model as lmms-eval calls it. Imports lmms-eval, so only lmms-eval imports this file.

The same images and text get the answers of `dragonfly eval`. Images precede the text, as there; where a message has images
between its texts, the texts are joined. One process.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lmms_eval.api.instance import GenerationResult, TokenCounts  # pyright: ignore[reportMissingImports]
from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]
from lmms_eval.protocol import ChatMessages  # pyright: ignore[reportMissingImports]

from dragonfly.inference import Row, load
from dragonfly.inference.batch import Asker
from dragonfly.lens.asker import MAX_CALLS, MAX_TOKENS, LensAsker


class DragonflyChat(lmms):
    """`--model dragonfly --model_args pretrained=DIRECTORY_OR_NAME,dtype=auto,set=model.selection.policy=detail`, or with a lens
    `pretrained=DIRECTORY_OR_NAME,lens=attention,max_tokens=1024,max_calls=4`."""

    is_simple = False

    def __init__(
        self,
        pretrained: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str = 1,
        set: str | None = None,
        max_batch_size: int | None = None,
        lens: str | None = None,
        max_tokens: int = MAX_TOKENS,
        max_calls: int = MAX_CALLS,
    ) -> None:
        """`set` holds overrides as `dragonfly eval --set` takes them, joined by semicolons. A batch size is a number.

        `lens` is a method of `dragonfly.lens`, which then asks any model that transformers loads about one image, with at most
        `max_tokens` visual tokens and `max_calls` calls a question.
        """
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ValueError(f"batch_size is {batch_size!r}; give a number of at least 1")
        overrides = [part for part in (set or "").split(";") if part]
        if lens is not None and overrides:
            raise ValueError(f"lens {lens!r} does not take set; leave one of them out")
        if lens is None:
            self.engine: Asker = load(pretrained, device=device or "auto", dtype=dtype, overrides=overrides)
        else:
            from dragonfly.lens import Lens

            asked = Lens(pretrained, method=lens, device=device or "auto", dtype=dtype)
            self.engine = LensAsker(asked, max_tokens=int(max_tokens), max_calls=int(max_calls))
        self.batch_size = min(int(batch_size), max_batch_size or int(batch_size))

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """A `GenerationResult` for each request, in order; neighbours that are generated alike share batches."""
        results: list[Any] = []
        for options, some in groupby(requests, key=lambda request: _options(request.args[2])):
            group = list(some)
            rows = [self._row(request) for request in group]
            answers = self.engine.ask_batch(rows, batch_size=self.batch_size, **dict(options))
            for request, answer in zip(group, answers, strict=True):
                self.cache_hook.add_partial("generate_until", (request.args[0], request.args[2]), answer.text)
                counts = TokenCounts(input_tokens=answer.prompt_tokens, output_tokens=len(answer.token_ids))
                results.append(GenerationResult(text=answer.text, token_counts=counts))
        return results

    def _row(self, request: Any) -> Row:
        _, to_messages, _, identity, task, split = request.args
        return row_of(ChatMessages(messages=to_messages(self.task_dict[task][split][identity])).to_hf_messages())

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        raise ValueError("dragonfly answers in words and gives no likelihoods; choose tasks with output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        raise ValueError("dragonfly answers one round in lmms-eval; choose tasks with output_type generate_until")


def row_of(messages: Sequence[dict[str, Any]]) -> Row:
    """One question of chat messages: at most a system message, then one of the user. ValueError for anything else."""
    system = _text(messages[0]) if messages and messages[0]["role"] == "system" else None
    asked = messages[1:] if system is not None else messages
    kinds = {part["type"] for message in asked for part in message["content"]}
    if [message["role"] for message in asked] != ["user"] or not kinds <= {"text", "image"}:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"dragonfly takes one user message of images and text; got {roles} with {', '.join(sorted(kinds))}")
    return Row([part["image"] for part in asked[0]["content"] if part["type"] == "image"], _text(asked[0]), system)


def _text(message: dict[str, Any]) -> str:
    texts = [part["text"].strip() for part in message["content"] if part["type"] == "text"]
    return "\n".join(text for text in texts if text)


def _options(generation: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """lmms-eval's generation settings as ours, hashable; greedy unless `do_sample` asks for more."""
    stops = generation.get("until") or ()
    found: dict[str, Any] = {"stop": (stops,) if isinstance(stops, str) else tuple(stops)}
    if "max_new_tokens" in generation:
        found["max_new_tokens"] = int(generation["max_new_tokens"])
    if generation.get("do_sample") and float(generation.get("temperature") or 0) > 0:
        found["temperature"] = float(generation["temperature"])
        found["top_p"] = float(generation.get("top_p") or 1.0)
    return tuple(found.items())
