"""What a question will cost, before anything runs: the calls, and how many visual tokens each may take.

The whole image and every close-up get about equal shares of the budget. Families whose views all take the same number of tokens
get as many close-ups as fit (up to `MOST`), the others `USUAL` close-ups, each as large as its share allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from dragonfly.lens.families import Options
from dragonfly.lens.grid import Grid, View
from dragonfly.lens.reader import Reader
from dragonfly.vision.layout import Size

USUAL, MOST = 3, 8  # close-ups
BRANCHES = 4  # close-ups that are compared at a step of a search


@dataclass(frozen=True)
class PlannedCall:
    """One call of the model.

    Args:
        purpose: `look` at the whole image, `compare` close-ups, or `answer`.
        whole: whether the whole image is shown.
        close_ups: how many close-ups are shown, at most.
        tokens: visual tokens of all of its views, at most.
    """

    purpose: str
    whole: bool
    close_ups: int
    tokens: int


@dataclass(frozen=True)
class Needs:
    """What a method does before it answers: looks at the whole image, then up to `compares` comparisons of `BRANCHES` close-ups.

    `answers` counts the answers: a gate may give two. `close_ups` whether there are any.
    """

    looks: int = 0
    compares: bool = False
    answers: int = 1
    close_ups: bool = True

    @property
    def least_calls(self) -> int:
        return self.looks + self.compares + self.answers


@dataclass(frozen=True)
class LensPlan:
    """The calls of one question, and the geometry that they share.

    Args:
        method: its name.
        image_size: (height, width) of the image.
        calls: in order; the last one answers. A method may need fewer.
        whole_size: (height, width) at which the whole image is shown.
        whole_options: the processor's options for it, where it is shown alone in the answer.
        grid: cells and the cells of a close-up; None where the whole image is shown at full resolution, and there is nothing
            to look closer at.
        close_up_tokens: of each close-up, at most.
    """

    method: str
    image_size: Size
    calls: tuple[PlannedCall, ...]
    whole_size: Size
    whole_options: Options
    grid: Grid | None
    close_up_tokens: int

    @property
    def tokens(self) -> int:
        """Visual tokens of all calls, at most."""
        return sum(call.tokens for call in self.calls)

    @property
    def close_ups(self) -> int:
        """Close-ups that the answer is given, at most."""
        return self.calls[-1].close_ups


def make_plan(reader: Reader, method: str, needs: Needs, size: Size, *, max_tokens: int, max_calls: int) -> LensPlan:
    """Divide the budget.

    Raises:
        ValueError: where a budget is too small for the method and the model; it says what is needed.
    """
    for name, value in (("max_tokens", max_tokens), ("max_calls", max_calls)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    if max_calls < needs.least_calls:
        raise ValueError(f"method '{method}' needs {needs.least_calls} calls and max_calls is {max_calls}; allow more")
    alone = _alone(reader, method, size, max_tokens)
    if not needs.close_ups or reader.detail(View((0, 0, size[1], size[0]), alone.whole_size)) == 1:
        return alone
    wholes, steps = needs.looks + needs.answers, (max_calls - needs.looks - needs.answers) * needs.compares
    while True:
        shares = _shares(reader, size, max_tokens, wholes, BRANCHES * steps)
        if shares is None and steps > 1:
            steps -= 1  # a shallower search is cheaper
            continue
        if shares is None:
            raise ValueError(_too_few(reader, method, size, wholes, BRANCHES * steps, max_tokens))
        whole, close_ups, tokens, side = shares
        grid = Grid.of(size, side)
        depth = max(1, ceil(max(log2(cells / window) for cells, window in zip(grid.cells, grid.window, strict=True))))
        if steps <= depth or not needs.compares:
            break
        steps = depth  # nothing is left to divide after so many
    taken = reader.tokens(whole)
    looks = [PlannedCall("look", True, 0, taken)] * needs.looks
    compares = [PlannedCall("compare", False, BRANCHES, BRANCHES * tokens)] * steps
    firsts = [PlannedCall("answer", True, 0, taken)] * (needs.answers - 1)
    last = PlannedCall("answer", True, close_ups, taken + close_ups * tokens)
    return LensPlan(method, size, (*looks, *compares, *firsts, last), whole, reader.family.close, grid, tokens)


def _alone(reader: Reader, method: str, size: Size, max_tokens: int) -> LensPlan:
    """One call with the whole image and all of the budget."""
    found = reader.whole(size, max_tokens)
    if found is None:
        least = min(reader.least(size, options) for options in reader.family.whole)
        raise ValueError(
            f"max_tokens {max_tokens} is too few for '{reader.name}': the smallest view of this image takes {least} tokens"
        )
    shown, options = found
    return LensPlan(method, size, (PlannedCall("answer", True, 0, reader.tokens(shown, options)),), shown, options, None, 0)


def _shares(reader: Reader, size: Size, max_tokens: int, wholes: int, compared: int) -> tuple[Size, int, int, int] | None:
    """(size of the whole view, close-ups, tokens of a close-up, its side in pixels), with the most close-ups that fit."""
    for close_ups in range(MOST if reader.side is not None else USUAL, 0, -1):
        share = max_tokens // (wholes + compared + close_ups)
        whole = reader.fit(size, max(share, reader.least(size)))
        assert whole is not None
        rest = (max_tokens - wholes * reader.tokens(whole)) // (compared + close_ups)
        side = reader.window(rest) if rest > 0 else None
        if side is not None:
            return whole, close_ups, reader.tokens((side, side)), side
    return None


def _too_few(reader: Reader, method: str, size: Size, wholes: int, compared: int, max_tokens: int) -> str:
    least = wholes * reader.least(size) + (compared + 1) * reader.least_close_up()
    return (
        f"max_tokens {max_tokens} is too few for method '{method}' of '{reader.name}' with this image: it takes at least {least} "
        f"tokens over {wholes} views of the whole and {compared + 1} close-ups"
    )
