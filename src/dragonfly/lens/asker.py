"""A lens in an engine's place: questions about one image or none, each within the budget that is given once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dragonfly.imaging import ImagePolicy
from dragonfly.inference.conversation import Images, Row, as_list
from dragonfly.lens import MAX_CALLS, MAX_TOKENS

if TYPE_CHECKING:
    from dragonfly.lens.lens import Lens, LensAnswer
    from dragonfly.vision.layout import Box


class LensAsker:
    """Asks as `Engine` does, row by row. A question takes at most `max_tokens` visual tokens and `max_calls` calls."""

    def __init__(self, lens: Lens, *, max_tokens: int = MAX_TOKENS, max_calls: int = MAX_CALLS) -> None:
        self.lens, self.max_tokens, self.max_calls = lens, max_tokens, max_calls

    @property
    def name(self) -> str:
        return self.lens.reader.name

    @property
    def model(self) -> Any:
        return self.lens.reader.model

    @property
    def device(self) -> Any:
        return self.model.device

    @property
    def processor(self) -> Any:
        return self.lens.reader.processor

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def image_policy(self) -> ImagePolicy:
        return self.lens.policy

    def ask(
        self,
        images: Images,
        question: str,
        *,
        system: str | None = None,
        evidence: Sequence[Box] | None = None,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        **_: Any,
    ) -> LensAnswer:
        """Answer one question; `top_p`, `seed` and what else changes no greedy answer is taken as `Engine.ask` takes it.

        Raises:
            ValueError: for several images, a system message or a temperature above 0, and as `Lens.ask`.
        """
        given = as_list(images)
        if temperature > 0:
            raise ValueError(f"a lens answers greedily, and temperature is {temperature}; leave it out")
        if system or len(given) > 1:
            has = "a system message" if system else f"{len(given)} images"
            raise ValueError(f"a lens asks about one image and without a system message; the question has {has}")
        answer = self.lens.ask(
            given[0] if given else None,
            question,
            max_tokens=self.max_tokens,
            max_calls=self.max_calls,
            evidence=evidence,
            max_new_tokens=max_new_tokens,
        )
        return _cut(answer, stop)

    def ask_batch(self, rows: Iterable[Row], *, batch_size: int = 1, **options: Any) -> list[LensAnswer]:
        """The answers in order. `batch_size` changes nothing: each question's calls follow from those before it.

        A row that says which boxes hold its answer (`evidence`) hands them to method `oracle`.
        """
        return [
            self.ask(row.images, row.question, system=row.system, evidence=getattr(row, "evidence", None) or None, **options)
            for row in rows
        ]


def _cut(answer: LensAnswer, stop: Sequence[str]) -> LensAnswer:
    """The answer up to the first stop string."""
    ends = [place for text in stop if text and (place := answer.text.find(text)) >= 0]
    return replace(answer, text=answer.text[: min(ends)], finish="stop") if ends else answer
