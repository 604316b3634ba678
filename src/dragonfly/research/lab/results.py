"""The content of a study's result.json: scores, costs, tests and conclusions of its finished jobs.

All but the header and `timing` follow from the predictions, so a study that is run again gives the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dragonfly.evaluation.metrics import mean
from dragonfly.evaluation.statistics import Columns, Value, interval, paired_p
from dragonfly.files import result_header

from .conclusions import conclude, validity
from .measures import beside, columns_of, mean_of, unit
from .study import Measure
from .trials import JOB, StudyRun, hashes_of_tests, records
from .variants import difference, image_sizes, per_question

PERMUTATIONS = 10_000
Seeds = dict[int, list[dict[str, Any]]]
"""The predictions of a variant, by seed."""


def collect(setup: StudyRun) -> dict[str, Any]:
    """The result of the finished jobs; `unfinished` names the others."""
    study = setup.study
    done = {variant: [seed for seed in study.seeds_of(variant) if setup.finished(variant, seed)] for variant in study.variants}
    predictions = {variant: {seed: records(setup, variant, seed) for seed in seeds} for variant, seeds in done.items() if seeds}
    sizes = image_sizes(setup.questions())
    variants = {variant: _variant(setup, variant, seeds, sizes) for variant, seeds in predictions.items()}
    result: dict[str, Any] = {
        "kind": "study",
        **result_header(),
        "name": study.name,
        "question": study.question,
        "paper": study.paper,
        "checkpoint": {"name": study.checkpoint, "sha256": setup.fingerprint},
        "trained": study.recipe is not None,
        "same": study.same,
        "test": {"sets": hashes_of_tests(study), "images": len(sizes)},
        "reference": study.reference,
        "random": study.random,
        "variants": variants,
        "unfinished": [f"{variant} seed {seed}" for variant, seed in study.jobs() if seed not in done[variant]],
        "tests": _tests(setup, predictions),
        "timing": {variant: _timing(setup, variant, list(seeds)) for variant, seeds in predictions.items()},
    }
    result["conclusions"] = [_concluded(result, conclusion.model_dump()) for conclusion in study.conclusions]
    result["validity"] = validity(result)
    return result


def _concluded(result: dict[str, Any], conclusion: dict[str, str]) -> dict[str, Any]:
    """A conclusion with its sentence, or with the reason why none can be drawn."""
    try:
        return {**conclusion, "text": conclude(result, conclusion), "refused": None}
    except ValueError as refusal:
        return {**conclusion, "text": None, "refused": str(refusal)}


def _variant(setup: StudyRun, variant: str, seeds: Seeds, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    study, spec = setup.study, setup.specs[variant]
    trained = [_job(setup, variant, seed)["training"] for seed in seeds]
    steps = next((one["steps"] for one in trained if one), None)
    return {
        "encoder": difference(spec, setup.config.spec),
        "seeds": list(seeds),
        "exploratory": len(study.seeds_of(variant)) < 2,
        "steps": steps,
        "after": study.variants[variant].after,
        "share": study.variants[variant].share,
        "own_data": study.variants[variant].data is not None,
        "training_flops": _training_flops(setup, variant, list(seeds)),
        "cost": per_question(setup.config, spec, sizes, study.text_tokens),
        "scores": {name: _score(measure, seeds) for name, measure in study.measures.items()},
    }


def _training_flops(setup: StudyRun, variant: str, seeds: Sequence[int]) -> float | None:
    """FLOPs as training counted them, of a variant and all that it is after; the mean over seeds."""
    jobs = [_job(setup, name, seed)["training"] for name in setup.study.leading_to(variant) for seed in seeds]
    counted = [job["flops"] for job in jobs if job and job.get("flops") is not None]
    return sum(counted) / len(seeds) if len(counted) == len(jobs) else None


def _score(measure: Measure, seeds: Seeds) -> dict[str, Any]:
    """The mean over seeds, its 95 % interval (bootstrap over images, all seeds of an image together), each seed's score and the
    standard deviation of those (`spread`).
    """
    found = [columns_of(measure, predictions) for predictions in seeds.values()]
    tables, value = [table for table, _ in found], found[0][1]
    groups = [record["group"] for record in next(iter(seeds.values()))]
    every, over_seeds = beside(tables), mean_of(value, len(tables))
    low, high = _rounded(interval(every, groups, over_seeds))
    by_seed = [round(float(value(table.sum(axis=0))), 6) for table in tables]
    spread = round(float(np.std(by_seed, ddof=1)), 6) if len(by_seed) > 1 else None
    score, n = round(float(over_seeds(every.sum(axis=0))), 6), int((tables[0][:, -1] > 0).sum())
    return {"value": score, "low": low, "high": high, "unit": unit(measure), "n": n, "seeds": by_seed, "spread": spread}


def _rounded(ends: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if ends is None else (round(ends[0], 6), round(ends[1], 6))


def _tests(setup: StudyRun, predictions: dict[str, Seeds]) -> list[dict[str, Any]]:
    """Every variant against `reference` and `random` on every measure, and the pairs of the conclusions; over shared seeds."""
    study = setup.study
    against = dict.fromkeys(name for name in (study.reference, study.random) if name in predictions)
    pairs = [
        (variant, other, measure)
        for variant in predictions
        for other in against
        for measure in study.measures
        if variant != other
    ]
    conclusions = [(conclusion.variant, conclusion.over, conclusion.measure) for conclusion in study.conclusions]
    pairs += [pair for pair in conclusions if pair not in pairs and pair[0] in predictions and pair[1] in predictions]
    tests: list[dict[str, Any]] = []
    for variant, other, measure in pairs:
        shared = [seed for seed in predictions[variant] if seed in predictions[other]]
        if not shared:
            continue
        both = [[columns_of(study.measures[measure], predictions[name][seed]) for seed in shared] for name in (variant, other)]
        sides, value = [[table for table, _ in side] for side in both], both[0][0][1]
        test = compare(sides[0], sides[1], [record["group"] for record in predictions[variant][shared[0]]], value)
        values = {**asdict(test), "seeds": dict(zip(map(str, shared), test.seeds, strict=True))}
        about = {"variant": variant, "over": other, "measure": measure, "unit": unit(study.measures[measure])}
        tests.append({**about, **values, "consistent": test.consistent})
    return tests


def _timing(setup: StudyRun, variant: str, seeds: list[int]) -> dict[str, Any]:
    jobs = [_job(setup, variant, seed) for seed in seeds]
    asked = [max(one["ms_per_question"] for one in job["costs"].values()) for job in jobs]
    trained = [job["training"]["seconds"] for job in jobs if job["training"]]
    return {"ms_per_question": round(min(asked), 2), "training_seconds": round(sum(trained), 1) if trained else None}


def _job(setup: StudyRun, variant: str, seed: int) -> dict[str, Any]:
    return json.loads((setup.folder(variant, seed) / JOB).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Difference:
    """The difference of two variants' scores over the same questions and seeds.

    Args:
        value: the first variant's score less the second's, the mean over seeds.
        low, high: 95 % interval of `value`; None for fewer than two images.
        p: of a two-sided paired permutation test; None for fewer than two images.
        seeds: the difference in each seed.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: tuple[float, ...]

    @property
    def consistent(self) -> bool:
        """Whether the difference has the same sign in every seed; a seed without difference has no sign."""
        return all(one * self.value > 0 for one in self.seeds)


def compare(ours: Sequence[Columns], theirs: Sequence[Columns], groups: Sequence[str], value: Value = mean) -> Difference:
    """Compare two variants on the same questions under the same seeds.

    A pair is one question under one seed. An image, with all its questions in all seeds, is the unit that the bootstrap draws
    and the permutation test swaps: an image that is hard in one seed is hard in all, so seeds are no further sample of images.

    Args:
        ours, theirs: for each seed (questions, k) columns, the weight last and the questions in one order.
        groups: the image of each question.
        value: the score of the columns' sums.

    Raises:
        ValueError: where the numbers of seeds or questions differ.
    """
    if len(ours) != len(theirs) or not ours or any(len(one) != len(groups) for one in (*ours, *theirs)):
        raise ValueError(
            f"a comparison is paired: {len(ours)} and {len(theirs)} seeds of {len(groups)} questions each are needed"
        )
    sides, score = (beside(ours), beside(theirs)), mean_of(value, len(ours))
    both, half = np.concatenate(sides, axis=1), sides[0].shape[1]

    def difference(sums: Columns) -> Columns:
        return score(sums[..., :half]) - score(sums[..., half:])

    low, high = _rounded(interval(both, groups, difference))
    p = paired_p(*sides, groups, score, resamples=PERMUTATIONS)
    seeds = tuple(
        round(float(value(one.sum(axis=0)) - value(other.sum(axis=0))), 6) for one, other in zip(ours, theirs, strict=True)
    )
    return Difference(round(float(difference(both.sum(axis=0))), 6), low, high, None if p is None else round(p, 6), seeds)
