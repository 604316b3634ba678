"""A lens: any image-text model, asked about an image of any size under a budget of visual tokens and calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.config import nearest
from dragonfly.imaging import DEFAULT_POLICY, ImagePolicy, LoadedImage, load_image
from dragonfly.imaging.load import Source
from dragonfly.inference.answer import Answer, SubImageScore, describe_selection
from dragonfly.inference.clock import Clock
from dragonfly.lens import MAX_CALLS, MAX_TOKENS
from dragonfly.lens.families import Options
from dragonfly.lens.grid import Block, Grid, Scores, View, whole_layout
from dragonfly.lens.loading import Pair, load_pair
from dragonfly.lens.methods import METHODS, Choice
from dragonfly.lens.plan import LensPlan, PlannedCall, make_plan
from dragonfly.lens.reader import CLOSE_UP, WHOLE, Reader, Said
from dragonfly.lens.stated import stated_boxes
from dragonfly.vision.layout import Box, Size, SubImageLayout

DEFAULT_METHOD = "attention"
SURE = 0.9
"""Confidence from which a gate takes the answer about the whole image, where none was calibrated."""
NEARLY = 0.99  # of full resolution, above which nobody sees a difference


@dataclass(frozen=True)
class LensAnswer(Answer):
    """An answer, and what it took. Its one layout holds the image's cells, its selection which of them a close-up showed.

    Args:
        method: its name.
        views: what the answering call was handed, the whole image first, then the close-ups in reading order.
        calls: how many calls ran.
        image_tokens: visual tokens of all of them, as the family's processor counts them.
        stated: boxes that the answer's own words name, in source pixels.
        detail: pixels that are encoded per source pixel along a side, in the close-up that has least: 1 is full resolution.
        all_prompt_tokens: length of the prompts of all calls together, image tokens included.
    """

    method: str = ""
    views: tuple[View, ...] = ()
    calls: int = 0
    image_tokens: int = 0
    stated: tuple[Box, ...] = ()
    detail: float = 1.0
    all_prompt_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        said = super().to_dict()
        for layout in said["layouts"]:  # views take different numbers of tokens; `image_tokens` is their sum
            del layout["num_image_tokens"]
            for level in layout["levels"]:
                del level["tokens"]
        views = [{"box": list(view.box), "size": list(view.size)} for view in self.views]
        spent = {"method": self.method, "views": views, "calls": self.calls, "image_tokens": self.image_tokens}
        return {**said, **spent, "stated": list(map(list, self.stated)), "detail": round(self.detail, 4)}


class Lens:
    """Look closer with any model.

    Args:
        model: a directory or hub name that transformers' `AutoModelForImageTextToText` loads, ours included; or a loaded
            (model, processor).
        method: a name of `METHODS`.
        seed: of `random`.
        threshold: of `gate`: the confidence from which the answer about the whole image is taken (`calibrate`).
        device, dtype: as `dragonfly.load` takes them, for a model that is loaded here.

    Raises:
        ValueError: one line, for an unknown method or a model that cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path | Pair | None,
        method: str = DEFAULT_METHOD,
        seed: int = 0,
        *,
        threshold: float = SURE,
        device: str = "auto",
        dtype: str = "auto",
        policy: ImagePolicy = DEFAULT_POLICY,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method {nearest(method, METHODS)}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a confidence from 0 to 1, got {threshold}")
        self.method, self.seed, self.threshold, self.policy = method, seed, threshold, policy
        self.reader = Reader(*load_pair(model, device, dtype))

    def plan(self, image_size: Size, question: str = "", *, max_tokens: int = MAX_TOKENS, max_calls: int = MAX_CALLS) -> LensPlan:
        """What a question about an image of (height, width) costs at most, before anything runs. The text's tokens are not in it.

        Raises:
            ValueError: where the budget is too small; it says what is needed.
        """
        needs = METHODS[self.method].needs
        return make_plan(self.reader, self.method, needs, image_size, max_tokens=max_tokens, max_calls=max_calls)

    def ask(
        self,
        image: Source | None,
        question: str,
        *,
        max_tokens: int = MAX_TOKENS,
        max_calls: int = MAX_CALLS,
        evidence: Sequence[Box] | None = None,
        max_new_tokens: int = 256,
    ) -> LensAnswer:
        """Answer a question about one image.

        Args:
            image: whatever `load_image` takes; a slide is read level by level. None asks without an image.
            question: the user's text.
            max_tokens: visual tokens over all calls of this question, as the family's own processor counts them: never exceeded.
            max_calls: calls of the model, those that look before they answer included.
            evidence: boxes in source pixels that hold the answer, for method `oracle`.
            max_new_tokens: longest answer.

        Returns:
            The answer; boxes are (left, top, right, bottom) in source pixels of the upright image.

        Raises:
            ValueError: for an image that cannot be read, a budget that is too small, or what cannot be asked; one line.
        """
        self.reader.check_question(question)
        clock = Clock()
        if image is None:
            return self._blind(question, max_new_tokens, clock)
        loaded: LoadedImage = clock.timed("images", load_image, image, self.policy)
        plan = self.plan(loaded.size, question, max_tokens=max_tokens, max_calls=max_calls)
        return _Asking(self, loaded, question, plan, evidence, max_new_tokens, clock).run()

    def _blind(self, question: str, max_new_tokens: int, clock: Clock) -> LensAnswer:
        said = clock.timed("generate", self.reader.answer, [], question, {}, 0, max_new_tokens)
        return LensAnswer(
            **said.fields(),
            layouts=(),
            selections=(),
            timings=clock.report(),
            method=self.method,
            calls=1,
            all_prompt_tokens=said.prompt_tokens,
        )


@dataclass
class _Asking:
    """One question on its way; what `methods.Sight` promises a method."""

    lens: Lens
    loaded: LoadedImage
    question: str
    plan: LensPlan
    evidence: Sequence[Box] | None
    max_new_tokens: int
    clock: Clock
    calls: int = 0
    image_tokens: int = 0
    left: list[PlannedCall] = field(default_factory=list[PlannedCall])
    shown: dict[View, Image.Image] = field(default_factory=dict[View, Image.Image])

    def __post_init__(self) -> None:
        height, width = self.loaded.size
        self.whole = View((0, 0, width, height), self.plan.whole_size)
        self.left = list(self.plan.calls)
        self.reader, self.seed, self.image = self.lens.reader, self.lens.seed, self.loaded.image
        self.read_before = self.reader.prompt_tokens
        self.grid = self.plan.grid or Grid.of(self.loaded.size, max(self.loaded.size))
        self.whole_size, self.close_ups = self.reader.encoded(self.plan.whole_size), self.plan.close_ups

    def run(self) -> LensAnswer:
        method = METHODS[self.plan.method]
        if method.choose is None or self.plan.grid is None:
            return self._finish([self.whole], self._answer([self.whole], self.plan.whole_options), Choice([]))
        if method.needs.answers > 1:
            said = self._answer([self.whole], self.plan.whole_options)
            if said.confidence >= self.lens.threshold:
                return self._finish([self.whole], said, Choice([]))
        choice = self.clock.timed("choose", method.choose, self)
        blocks = sorted(choice.blocks, key=lambda block: (block.top, block.left))
        views = [self.whole, *map(self._close_up, blocks)]
        return self._finish(views, self._answer(views, self.reader.family.close), choice)

    def _close_up(self, block: Block) -> View:
        """A block's pixels as they are, or reduced to a close-up's tokens; squeezed where its shape takes more at any size."""
        area = self.grid.area(block)
        left, top, right, bottom = area
        fitted = self.reader.fit((bottom - top, right - left), self.plan.close_up_tokens)
        side = self.reader.window(self.plan.close_up_tokens)
        assert fitted is not None or side is not None, self.plan
        return View(area, fitted or (side or 0, side or 0))

    def _call(self, purpose: str, views: Sequence[View], options: Options) -> int:
        """Take a call from the plan and say how many tokens it takes; more than planned is a fault of ours."""
        while self.left and self.left[0].purpose != purpose:
            self.left.pop(0)  # a method may need fewer calls than planned
        planned = self.left.pop(0)
        tokens = sum(self.reader.tokens(view.size, options) for view in views)
        assert tokens <= planned.tokens, (purpose, tokens, planned)
        self.calls += 1
        self.image_tokens += tokens
        return tokens

    def _labelled(self, views: Sequence[View]) -> list[tuple[str, Any]]:
        """Views behind their labels; the only one there is needs none."""
        numbers = iter(range(1, len(views) + 1))
        labels = [WHOLE if view is self.whole else CLOSE_UP.format(next(numbers)) for view in views]
        return [(label if len(views) > 1 else "", self._cut(view)) for label, view in zip(labels, views, strict=True)]

    def _cut(self, view: View) -> Image.Image:
        if view not in self.shown:
            self.shown[view] = self.clock.timed("images", view.cut, self.image, self.loaded.size)
        return self.shown[view]

    def _answer(self, views: Sequence[View], options: Options) -> Said:
        tokens = self._call("answer", views, options)
        return self.clock.timed(
            "generate", self.reader.answer, self._labelled(views), self.question, options, tokens, self.max_new_tokens
        )

    def attention(self, question: str) -> Scores:
        tokens = self._call("look", [self.whole], self.reader.family.close)
        return self.reader.attention(self._labelled([self.whole])[0][1], question, tokens)

    def compare(self, blocks: Sequence[Block]) -> Scores:
        views = [self._close_up(block) for block in blocks]
        tokens = self._call("compare", views, self.reader.family.close)
        return self.reader.choose(self._labelled(views), self.question, tokens)

    def can_compare(self) -> bool:
        return any(call.purpose == "compare" for call in self.left)

    def _finish(self, views: list[View], said: Said, choice: Choice) -> LensAnswer:
        layout, selection = self._looked(choice)
        least = min((self.reader.detail(view) for view in views[1:]), default=1.0)
        detail = least if least <= NEARLY else 1.0
        reduced = [] if detail == 1 else [f"close-ups are shown at {100 * detail:.0f} % of the image's resolution and more"]
        return LensAnswer(
            **said.fields(),
            layouts=(layout,),
            selections=(selection,),
            timings=self.clock.report(),
            notes=(*(f"{self.loaded.source}: {note}" for note in self.loaded.notes), *reduced),
            spacings=(self.loaded.spacing,),
            method=self.plan.method,
            views=tuple(views),
            calls=self.calls,
            image_tokens=self.image_tokens,
            stated=stated_boxes(said.text, self.whole, self.reader.family.boxes),
            detail=detail,
            all_prompt_tokens=self.reader.prompt_tokens - self.read_before,
        )

    def _looked(self, choice: Choice) -> tuple[SubImageLayout, tuple[SubImageScore, ...]]:
        """The cells as a layout, and which of them a close-up shows; without close-ups the image as a whole."""
        if not choice.blocks:
            return whole_layout(self.loaded.size, self.reader.encoded(self.plan.whole_size)), ()
        kept: set[int] = set()
        for block in choice.blocks:
            kept.update(self.grid.indices(block))
        layout = self.grid.layout(len(kept))
        scores = None if choice.scores is None else choice.scores.reshape(-1).tolist()
        return layout, describe_selection(layout, sorted(kept), scores)
