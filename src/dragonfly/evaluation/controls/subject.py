"""Who is audited: anything that answers questions about images and says where it looked.

`EngineSubject` is a Dragonfly model, `LensSubject` a model of any family that looks closer through a lens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from PIL import Image

from dragonfly.imaging import load_image
from dragonfly.inference import Answer, Engine, Row
from dragonfly.inference.occlusion import explain
from dragonfly.lens import Lens, LensAnswer
from dragonfly.lens.asker import MAX_CALLS, MAX_TOKENS, LensAsker
from dragonfly.vision import make_layout
from dragonfly.vision.layout import Box

LookedAt = Literal["kept", "why"]
LensLookedAt = Literal["close-ups", "stated"]


def check_looked(looked: str | None, *, lensed: bool) -> str | None:
    """The word itself. ValueError where a model, or a lens, has no such place to have looked at."""
    accepted = get_args(LensLookedAt if lensed else LookedAt)
    if looked is not None and looked not in accepted:
        raise ValueError(f"--looked is '{looked}'; accepted {'with' if lensed else 'without'} a lens: {', '.join(accepted)}")
    return looked


SHARE = 0.25
"""Of the image's area: more is no place to have looked at. A model that keeps more is asked which of it contributed most."""


@dataclass(frozen=True)
class Spot:
    """A box in source pixels on one of a question's images (counted from 0)."""

    image: int
    box: Box


@dataclass(frozen=True)
class Reply:
    """An answer, and the spots that the model looked at for it, the most important first.

    `ranking` orders the whole image where the model can, for curves; `looked` if empty.
    """

    text: str
    looked: tuple[Spot, ...] = ()
    ranking: tuple[Spot, ...] = ()


class Subject(Protocol):
    """An image-text model under audit. Questions that are asked together must not influence each other."""

    def load(self, source: Any) -> Image.Image:
        """An image in RGB and upright, as the model gets it. ValueError where it cannot be read."""
        ...

    def answer(self, rows: Sequence[Row]) -> Sequence[str]:
        """The text alone, of each row."""
        ...

    def look(self, rows: Sequence[Row]) -> Sequence[Reply]:
        """The same answers, with where the model looked."""
        ...


@dataclass(frozen=True)
class Simple:
    """Any model of two functions: `answer(images, question)`, and `boxes(images, question, answer)`, the spots it states."""

    ask: Callable[[Sequence[Image.Image], str], str]
    boxes: Callable[[Sequence[Image.Image], str, str], Sequence[Spot]]

    def load(self, source: Any) -> Image.Image:
        return load_image(source).image

    def answer(self, rows: Sequence[Row]) -> list[str]:
        return [self.ask(self._images(row), row.question) for row in rows]

    def look(self, rows: Sequence[Row]) -> list[Reply]:
        stated = [(row, self._images(row), text) for row, text in zip(rows, self.answer(rows), strict=True)]
        return [Reply(text, tuple(self.boxes(images, row.question, text))) for row, images, text in stated]

    def _images(self, row: Row) -> list[Image.Image]:
        return [self.load(source) for source in row.images]


class EngineSubject:
    """A Dragonfly model.

    Args:
        looked: `kept`, the high sub-images that its policy keeps; or `why`, of those that the language model was given the ones
            whose leaving out costs the answer most (`ask --why`), up to `SHARE` of the image and at least one. None takes `kept`
            where the policy keeps no more than `SHARE` of a square image's high sub-images, else `why`.
    """

    def __init__(self, engine: Engine, looked: LookedAt | None = None, *, batch_size: int = 8, max_new_tokens: int = 32) -> None:
        self.engine = engine
        self.looked: LookedAt = looked or _usual(engine)
        self.options: dict[str, Any] = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}

    def load(self, source: Any) -> Image.Image:
        return load_image(source, self.engine.image_policy).image

    def answer(self, rows: Sequence[Row]) -> list[str]:
        return [answer.text for answer in self.engine.ask_batch(rows, **self.options)]

    def look(self, rows: Sequence[Row]) -> list[Reply]:
        answers = self.engine.ask_batch(rows, **self.options)
        if self.looked == "kept":
            return [_kept(answer) for answer in answers]
        return [self._why(row, answer) for row, answer in zip(rows, answers, strict=True)]

    def _why(self, row: Row, answer: Answer) -> Reply:
        """Positive contributions of high sub-images alone: what an answer gains by losing it did not look at."""
        images = [self.engine.connect(image, row.question) for image in self.engine.encode(row.images)]
        ranked = explain(self.engine, images, row.question, answer, row.system).high()
        room = SHARE * sum(layout.size[0] * layout.size[1] for layout in answer.layouts)
        spots = [Spot(one.image, one.box) for one in ranked]
        sure: list[Spot] = []
        for one, spot in zip(ranked, spots, strict=True):
            room -= _area(one.box)
            if one.value <= 0 or (sure and room < 0):
                break
            sure.append(spot)
        return Reply(answer.text, tuple(sure), tuple(spots))


class LensSubject:
    """A model of any family through a lens. Questions about one image, or none.

    Args:
        looked: where it looked: `close-ups`, what they showed; or `stated`, the boxes that the answer's words name.
        max_tokens, max_calls, max_new_tokens: as `Lens.ask` takes them.
    """

    def __init__(
        self,
        lens: Lens,
        looked: LensLookedAt = "close-ups",
        *,
        max_tokens: int = MAX_TOKENS,
        max_calls: int = MAX_CALLS,
        max_new_tokens: int = 256,
    ) -> None:
        self.lens, self.looked, self.max_new_tokens = lens, looked, max_new_tokens
        self.asker = LensAsker(lens, max_tokens=max_tokens, max_calls=max_calls)

    def load(self, source: Any) -> Image.Image:
        return load_image(source, self.lens.policy).image

    def answer(self, rows: Sequence[Row]) -> list[str]:
        return [answer.text for answer in self._ask(rows)]

    def look(self, rows: Sequence[Row]) -> list[Reply]:
        answers = self._ask(rows)
        if self.looked == "close-ups":
            return [_kept(answer) for answer in answers]
        return [Reply(answer.text, tuple(Spot(0, box) for box in answer.stated)) for answer in answers]

    def _ask(self, rows: Sequence[Row]) -> list[LensAnswer]:
        return self.asker.ask_batch(rows, max_new_tokens=self.max_new_tokens)


def _usual(engine: Engine) -> LookedAt:
    layout = make_layout((1024, 1024), engine.processor.image_processor.spec)
    return "kept" if layout.num_kept_high <= SHARE * layout.count("high") else "why"


def _kept(answer: Answer) -> Reply:
    """Kept high sub-images by their score; the ranking goes on with the others by theirs, where there are scores."""
    every = [(number, item) for number, items in enumerate(answer.selections) for item in items]
    ordered = sorted(every, key=lambda one: (not one[1].kept, -(one[1].score or 0.0)))
    spots = [Spot(number, item.box) for number, item in ordered]
    kept = sum(item.kept for _, item in every)
    return Reply(answer.text, tuple(spots[:kept]), tuple(spots if all(item.score is not None for _, item in every) else ()))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
