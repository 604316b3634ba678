"""Which high sub-images are kept: the policy, what it looks at, and how many.

Plain data, part of an `EncoderSpec`. What a policy scores is `scoring`'s matter, the choice by scores `selection`'s.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from dragonfly.config import nearest
from dragonfly.vision.spec_part import SpecPart

Policy = str  # a name of `NEEDS`
Scope = Literal["region", "image"]
Order = Literal["place", "score"]
Context = Literal["none", "row", "patches"]
HALF_TURNS = 4  # of the cosines that tell how far down and how far right a sub-image lies
PLACE = 2 * (1 + HALF_TURNS)  # numbers that say it
WIDTH = 256  # of the layers between a question and what it looks for among patches
HEADS = 4  # how many things a question looks for at once among patches
Need = Literal["layout", "pixels", "evidence", "tokens", "question"]

NEEDS: dict[Policy, Need] = {
    "all": "layout",
    "uniform": "layout",
    "random": "pixels",
    "residual": "pixels",
    "oracle": "evidence",
    "similarity": "tokens",
    "centred": "tokens",
    "detail": "tokens",
    "question": "question",
}
"""What a policy looks at; `scoring.add_policy` adds one. Tokens are there after the tower; `question` needs them and words."""
LATE: tuple[Need, ...] = ("tokens", "question")  # what is there only after the vision tower has run
POOLED_REMAINDERS = (0, 1, 4, 9)  # squares: a pooled remainder is a small image


def patch_query_size(hidden: int) -> int:
    """Numbers of what a question looks for among patches of `hidden` numbers: `HEADS` vectors, two weights of each, a place."""
    return HEADS * (hidden + 2) + PLACE


class SelectionSpec(SpecPart):
    """Which high sub-images are kept; policy `all` keeps every one and ignores the rest.

    Args:
        policy: what makes a sub-image worth keeping.
        scope: whether `keep` counts per region or of the whole image.
        keep: the number kept.
        seed: of `random` alone.
        min_per_region: the least number kept of each region where the scope is the image.
        diversity: 0 to 1, how much likeness to what is kept already counts against a sub-image; 0 not at all.
        empty: a high sub-image whose grey levels deviate by up to so much (of 255) from their mean shows nothing, and is kept
            only where there are too few others; 0 looks for none. Of policies that run before the tower.
        pooled_remainder: tokens that stand for the sub-images that are not kept: 0 (they are dropped), 1, 4 or 9, of each
            region or of the image as the scope says.
        order: how the language model meets those that are kept, where others are not: by their `place` on the image, or by their
            `score`, the best last and so next to the question. Of policies that run after the tower.
        context: what policy `question` sees of a sub-image: its embedding alone (`none`); besides it the mean of its `row` and
            its place on the image, so that a value is found by the key beside it, and a heading at the top; or each of its
            `patches`, with the best of its row and its place, so that a word is found among many others.
    """

    policy: Policy = "all"
    scope: Scope = "region"
    keep: int = 0
    seed: int = 0
    min_per_region: int = 0
    diversity: float = 0.0
    pooled_remainder: int = 0
    empty: float = 0.0
    order: Order = "place"
    context: Context = "none"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.policy not in NEEDS:
            raise ValueError(f"selection.policy {nearest(self.policy, NEEDS)}")
        if self.policy != "all" and self.keep < 1:
            raise ValueError(f"selection.keep must be at least 1 for policy '{self.policy}', got {self.keep}")
        if self.min_per_region < 0 or not 0 <= self.diversity <= 1 or self.pooled_remainder not in POOLED_REMAINDERS:
            raise ValueError(
                "selection.min_per_region must be at least 0, selection.diversity 0 to 1 and selection.pooled_remainder one of "
                f"{', '.join(map(str, POOLED_REMAINDERS))}; "
                f"got {self.min_per_region}, {self.diversity} and {self.pooled_remainder}"
            )
        late = ", ".join(name for name in NEEDS if NEEDS[name] in LATE)
        if not 0 <= self.empty < 128 or (self.empty and not self.early):
            early = ", ".join(name for name in NEEDS if name != "all" and NEEDS[name] not in LATE)
            raise ValueError(
                "selection.empty must be 0 to 127 grey levels, of a policy that runs before the vision tower; "
                f"got {self.empty} for policy '{self.policy}'; use 0, or one of {early}"
            )
        if self.policy != "all" and self.min_per_region and self.scope == "region":
            raise ValueError(
                f"selection.min_per_region {self.min_per_region} belongs to selection.scope 'image'; under 'region' each region "
                f"keeps selection.keep {self.keep}"
            )
        if self.early and (self.diversity or self.pooled_remainder):
            name, value = ("diversity", self.diversity) if self.diversity else ("pooled_remainder", self.pooled_remainder)
            raise ValueError(
                f"selection.{name} {value} needs the tokens of all sub-images, and policy '{self.policy}' drops some before the "
                f"vision tower; use {name}=0, or one of {late}"
            )
        if self.order != "place" and (self.policy == "all" or self.early):
            said = f"selection.order '{self.order}' is for policies that run after the vision tower, and '{self.policy}' does not"
            raise ValueError(f"{said}; use order=place, or one of {late}")
        if self.context != "none" and self.policy != "question":
            raise ValueError(
                f"selection.context '{self.context}' belongs to policy 'question', got '{self.policy}'; use context=none"
            )
        return self

    def with_changes(self, **changes: Any) -> Self:
        """As every part's; another policy gives up what is not its own: the order of scores it lacks, a question's context."""
        policy = changes.get("policy", self.policy)
        order = {} if NEEDS.get(policy) in LATE else {"order": "place"}
        context = {} if policy == "question" else {"context": "none"}
        return super().with_changes(**(order | context if "policy" in changes else {}) | changes)

    def seen_size(self, hidden: int) -> int:
        """How many numbers policy `question` makes of a question: `scoring.question_scores`, or `scoring.patch_scores`."""
        if self.context == "patches":
            return patch_query_size(hidden)
        return hidden if self.context == "none" else 2 * hidden + PLACE

    def query_parameters(self, hidden: int) -> int:
        """Parameters of what policy `question` learns (`models.query_projection`)."""
        seen = self.seen_size(hidden)
        return seen * hidden if self.context != "patches" else WIDTH * (hidden + 1 + WIDTH + 1) + seen * (WIDTH + 1)

    @property
    def early(self) -> bool:
        """Whether the image processor decides, so that what is dropped is never encoded."""
        return self.policy != "all" and NEEDS[self.policy] not in LATE
