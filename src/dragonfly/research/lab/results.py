"""From the finished jobs of a study to its result: scores, costs, tests, conclusions. The whole content of result.json.

Promises that everything but the header and `timing` depends on the predictions alone, so that a study run again gives the
same numbers. Knows no page and no plot.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dragonfly.evaluation import TASKS, find_task
from dragonfly.evaluation.metrics import Reply, mean
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.scoring import read_records
from dragonfly.evaluation.statistics import Columns, interval
from dragonfly.files import result_header

from .conclusions import conclude, validity
from .costs import image_sizes, per_question
from .encoders import difference
from .significance import compare
from .study import Measure, agrees
from .trials import JOB, StudyRun, hashes_of_tests, records

Seeds = dict[int, list[dict[str, Any]]]


def collect(plan: StudyRun) -> dict[str, Any]:
    """The result over the jobs that are finished; `unfinished` names the others."""
    study = plan.study
    done = {variant: [seed for seed in study.seeds_of(variant) if plan.finished(variant, seed)] for variant in study.variants}
    answers = {variant: {seed: records(plan, variant, seed) for seed in seeds} for variant, seeds in done.items() if seeds}
    sizes = image_sizes(plan.questions())
    variants = {variant: _variant(plan, variant, seeds, sizes) for variant, seeds in answers.items()}
    result: dict[str, Any] = {
        "kind": "study",
        **result_header(),
        "name": study.name,
        "question": study.question,
        "paper": study.paper,
        "checkpoint": {"name": study.checkpoint, "sha256": plan.fingerprint},
        "trained": study.recipe is not None,
        "same": study.same,
        "test": {"sets": hashes_of_tests(study), "images": len(sizes)},
        "reference": study.reference,
        "random": study.random,
        "variants": variants,
        "unfinished": [f"{variant} seed {seed}" for variant, seed in study.jobs() if seed not in done[variant]],
        "tests": _tests(plan, answers),
        "timing": {variant: _timing(plan, variant, list(seeds)) for variant, seeds in answers.items()},
    }
    result["conclusions"] = [_concluded(result, conclusion.model_dump()) for conclusion in study.conclusions]
    result["validity"] = validity(result)
    return result


def _concluded(result: dict[str, Any], conclusion: dict[str, str]) -> dict[str, Any]:
    """A conclusion with its sentence, or with the reason why there is none."""
    try:
        return {**conclusion, "text": conclude(result, conclusion), "refused": None}
    except ValueError as refusal:
        return {**conclusion, "text": None, "refused": str(refusal)}


def _variant(plan: StudyRun, variant: str, seeds: Seeds, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    study, spec = plan.study, plan.specs[variant]
    trained = [_job(plan, variant, seed)["training"] for seed in seeds]
    steps = next((one["steps"] for one in trained if one), None)
    return {
        "encoder": difference(spec, plan.config.spec),
        "seeds": list(seeds),
        "exploratory": len(study.seeds_of(variant)) < 2,
        "steps": steps,
        "cost": per_question(plan.config, spec, sizes, study.text_tokens),
        "scores": {name: _score(measure, seeds) for name, measure in study.measures.items()},
    }


def _score(measure: Measure, seeds: Seeds) -> dict[str, Any]:
    """Mean over questions and seeds with its interval (images drawn, in all seeds at once), and each seed's own mean."""
    tables = [columns_of(measure, answers) for answers in seeds.values()]
    groups = [record["group"] for answers in seeds.values() for record in answers]
    every = np.concatenate(tables)
    found = interval(every, groups, mean)
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    each = [round(float(mean(table.sum(axis=0))), 6) for table in tables]
    spread = round(float(np.std(each, ddof=1)), 6) if len(each) > 1 else None
    value, n = round(float(mean(every.sum(axis=0))), 6), int((tables[0][:, 1] > 0).sum())
    return {"value": value, "low": low, "high": high, "unit": unit(measure), "n": n, "seeds": each, "spread": spread}


def unit(measure: Measure) -> str:
    return "words" if measure.metric == "words" else "share"


def columns_of(measure: Measure, answers: list[dict[str, Any]]) -> Columns:
    """(n, 2) points and weights of one seed's answers; questions outside `where` weigh nothing. ValueError if all do."""
    table = np.zeros((len(answers), 2))
    tasks = [record["task"] for record in answers]
    for task in dict.fromkeys(tasks):
        rows = [index for index, name in enumerate(tasks) if name == task]
        table[rows] = _points(measure.metric, task, *read_records([answers[index] for index in rows]))
    inside = [
        agrees({**record["meta"], "answer": record["answers"][0], "task": record["task"]}, measure.where) for record in answers
    ]
    table *= np.array(inside, dtype=np.float64)[:, None]
    if not table[:, -1].any():
        known = sorted({key for record in answers for key in record["meta"]})
        raise ValueError(
            f"no question agrees with where={measure.where} and metric {measure.metric!r}; meta keys here: "
            f"{', '.join(known) or 'none'}, answer, task"
        )
    return table


def metrics_of(test: str) -> dict[str, Any]:
    """The metrics of a test set that are means over questions, by name."""
    task = find_task(test if test in TASKS else "manifest:x")
    probe = [Question("x", "?", ("yes",), options=("yes", "no"))]
    return {one.name: one for one in task.metrics if one.whole is None and one.columns(probe, ["yes"]).shape[1] == 2}


def _points(metric: str, test: str, questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
    """A metric of one test set; weight 0 where the set does not have it."""
    if metric == "words":
        return np.array([(len((reply or "").split()), 1.0) for reply in replies], dtype=np.float64)
    known = metrics_of(test)
    return known[metric].columns(questions, replies) if metric in known else np.zeros((len(replies), 2))


def _tests(plan: StudyRun, answers: dict[str, Seeds]) -> list[dict[str, Any]]:
    """Every variant against the reference and against random on every measure, and the conclusions pairs; shared seeds alone."""
    study = plan.study
    against = dict.fromkeys(name for name in (study.reference, study.random) if name in answers)
    pairs = [
        (variant, other, measure) for variant in answers for other in against for measure in study.measures if variant != other
    ]
    conclusions = [(conclusion.variant, conclusion.over, conclusion.measure) for conclusion in study.conclusions]
    pairs += [pair for pair in conclusions if pair not in pairs and pair[0] in answers and pair[1] in answers]
    found: list[dict[str, Any]] = []
    for variant, other, measure in pairs:
        shared = [seed for seed in answers[variant] if seed in answers[other]]
        if not shared:
            continue
        sides = [[columns_of(study.measures[measure], answers[name][seed]) for seed in shared] for name in (variant, other)]
        result = compare(sides[0], sides[1], [record["group"] for record in answers[variant][shared[0]]])
        values = {**asdict(result), "seeds": dict(zip(map(str, shared), result.seeds, strict=True))}
        about = {"variant": variant, "over": other, "measure": measure, "unit": unit(study.measures[measure])}
        found.append({**about, **values, "consistent": result.consistent})
    return found


def _timing(plan: StudyRun, variant: str, seeds: list[int]) -> dict[str, Any]:
    jobs = [_job(plan, variant, seed) for seed in seeds]
    asked = [max(one["ms_per_question"] for one in job["costs"].values()) for job in jobs]
    trained = [job["training"]["seconds"] for job in jobs if job["training"]]
    return {"ms_per_question": round(min(asked), 2), "training_seconds": round(sum(trained), 1) if trained else None}


def _job(plan: StudyRun, variant: str, seed: int) -> dict[str, Any]:
    return json.loads((plan.folder(variant, seed) / JOB).read_text(encoding="utf-8"))
