"""The steps of a mix and their options, as pydantic models; what a step does is documented with the step.

`options` are exactly the step's own keyword arguments. Imports no step.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from dragonfly.config import Config

Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Radius = Annotated[int, Field(ge=0, le=11)]

TEST = "test:"
"""`test:NAME` among evaluation sets is the official test split of the data source NAME."""

_PAPER = {"step", "expected", "expected_text"}


class _Step(Config):
    """`expected`: the paper's number of rows with images after this step, None where it gives none."""

    expected: Count | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the step is called with: everything but its name and the paper's counts."""
        return {key: value for key, value in self.model_dump().items() if key not in _PAPER}


class Validate(_Step):
    """Keep what can be trained on: a sound conversation or one still to be made from a label or caption, images that open."""

    step: Literal["validate"]


class DedupeExact(_Step):
    """One row of each (images, instruction)."""

    step: Literal["dedupe_exact"]


class DedupeImages(_Step):
    """One image stands for all whose perceptual hashes differ in at most `radius` of 64 bits, with `mirrored` also mirrored.

    `across_sources`: only for images of other sources.
    `drop`: rows that ask the same of images that look alike, or all rows on an image that another one stands for.
    """

    step: Literal["dedupe_images"]
    radius: Radius = 6
    mirrored: bool = True
    across_sources: bool = False
    drop: Literal["same_instruction", "all"] = "same_instruction"


class DedupeText(_Step):
    """One row of each set on the same images whose words' Jaccard similarity is at least `threshold` (MinHash)."""

    step: Literal["dedupe_text"]
    threshold: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8


class QuestionsFromLabels(_Step):
    """Labels become questions and answers (`label_questions`)."""

    step: Literal["questions_from_labels"]


class InstructionsFromCaptions(_Step):
    """Captions become instructions and answers (`captions`)."""

    step: Literal["instructions_from_captions"]


class Cap(_Step):
    """At most `per_image` rows on an image, drawn by the mix's seed."""

    step: Literal["cap"]
    per_image: Count = 8


class Leak(_Step):
    """Take out rows that resemble the evaluation data `against` (by default the mix's `evaluation`).

    Each entry is a manifest, a data file, a folder of benchmarks, or `test:NAME`, the official test split of a data source.
    By image (`image_radius` as for dedupe_images), by group, and by question: `text` is the least Jaccard similarity
    of two questions, None looks at no words; rows with images are compared by words only under `text_with_images`.
    """

    step: Literal["leak"]
    against: tuple[str, ...] = ()
    image_radius: Radius = 10
    text: Annotated[float, Field(gt=0.0, le=1.0)] | None = 0.8
    text_with_images: bool = False


class Mixture(_Step):
    """Draw the rows that go out (`quotas.quotas` says how many from each source).

    `total`: all rows out; None keeps as many as the shares allow. `text_share`: rows without images, of all rows.
    `general_share`: rows from general sources, of the rows with images. None leaves a share as it comes.
    `expected_text`: the paper's rows without images.
    """

    step: Literal["mixture"]
    total: Count | None = None
    text_share: Share | None = None
    general_share: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    expected_text: Count | None = None


class Split(_Step):
    """Set `eval_share` of the rows apart, whole groups (patients, studies, documents) or whole images at a time."""

    step: Literal["split"]
    eval_share: Share = 0.0
    by: Literal["group", "image"] = "group"


Step = Annotated[
    Validate
    | DedupeExact
    | DedupeImages
    | DedupeText
    | QuestionsFromLabels
    | InstructionsFromCaptions
    | Cap
    | Leak
    | Mixture
    | Split,
    Field(discriminator="step"),
]
STEPS = tuple(get_args(kind.model_fields["step"].annotation)[0] for kind in get_args(get_args(Step)[0]))
"""Every step's name, in the order in which a mix usually has them."""
