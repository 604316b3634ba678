"""What an audit says of a run: `audit.json` in the run's folder, which `dragonfly audit ... --out RUN` writes.

A score about scans says nothing of where an answer came from, so a medical task that was not audited says so.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .tables import Table, bare, percent

NAME = "audit.json"
SAME = ("data", "prompt", "max_new_tokens", "columns", "image_root", "lens", "max_tokens", "max_calls")
"""Settings that an evaluation and its audit must share, besides the model, for the answers to be the same."""


def read_audit(folder: Path) -> dict[str, Any] | None:
    """The audit in a run's folder; None without one. ValueError where the file is something else."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _ = found["model"], found["settings"], found["tasks"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no audit ({error!r}); remove it, or run `dragonfly audit` again") from None
    return found


def differing(run: Mapping[str, Any], model: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """In what an audit of `model` with `settings` differs from the settings of a run: then it is not about its answers."""
    recorded = run["model"]
    keys = ("fingerprint",) if {"fingerprint"} <= set(model) & set(recorded) else ("name",)
    found = ["model"] if any(model.get(key) != recorded.get(key) for key in keys) else []
    return [*found, *(key for key in SAME if settings.get(key) != run.get(key))]


def audit_line(run: Mapping[str, Any], scores: Mapping[str, Any], audit: dict[str, Any] | None, folder: Path, name: str) -> str:
    """What is said of one task behind its verdict: what the audit found, that a medical task has none, or nothing.

    `run` are the run's settings, `scores` all its tasks'.
    """
    different = differing(run, audit["model"], audit["settings"]) if audit else []
    if audit and name in audit["tasks"] and not different:
        return conclusion(audit["tasks"][name])
    if not scores[name].get("medical"):
        return ""
    why = f" ({folder / NAME} is of another {' and '.join(different)})" if different else ""
    medical = [task for task, one in scores.items() if one.get("medical")]
    words = ["dragonfly", "audit", str(run["model"].get("name", "MODEL")), "--tasks", ",".join(medical)]
    for key in ("data", "prompt", "max_new_tokens", "image_root", "lens", "max_tokens", "max_calls"):
        option = "--method" if key == "lens" else f"--{key.replace('_', '-')}"
        words += [option, str(run[key])] if run.get(key) is not None else []
    if run.get("columns"):
        words += ["--columns", ",".join(f"{part}={column}" for part, column in run["columns"].items())]
    return f"Not audited{why}: run {shlex.join([*words, '--out', str(folder)])}"


def conclusion(task: Mapping[str, Any]) -> str:
    """The sentences of one task of an audit: of what the model looked at, else of the annotated evidence."""
    evidence = task["evidence"]
    found = evidence.get("looked") or evidence.get("annotated")
    if found is None:
        return "The audit found no evidence to remove: the model states no place that it looked at, and the data annotate none."
    return f"{found['sentence']} {found['verdict_sentence']}"


def sentences(task: Mapping[str, Any]) -> list[str]:
    """What is said of one task after its audit: of each kind of evidence, and of answers that change by themselves."""
    told = [f"{one['sentence']} {one['verdict_sentence']}" for one in task["evidence"].values()] or [conclusion(task)]
    itself = task["controls"]["repeated"]["changed"]
    if itself["value"] > 0:
        told.append(f"Asked again with nothing removed, {percent(itself)} % change: no smaller rate says anything.")
    return told


TITLES = {
    "repeated": "asked again as it is",
    "blind": "no image",
    "shuffled_image": "another question's image",
    "deleted": "removed",
    "random_deleted": "removed elsewhere, same area",
    "only": "all else removed",
    "random_only": "all else removed elsewhere, same area",
    "swapped": "replaced by another question's",
}


def condition_rows(task: Mapping[str, Any]) -> Table:
    """Every condition with the rate of change and the task's score under it, in percent with 95 % intervals."""
    metric = task["metric"]
    rows = [["evidence", "what is done", f"{task['unit']} changed", *([metric] if metric else []), "n"]]
    if metric:
        rows.append(["", "nothing", "", percent(task["score"]), str(task["asked"])])
    parts = [("", task["controls"]), *((kind, one["controls"]) for kind, one in task["evidence"].items())]
    for kind, controls in parts:
        for name, found in controls.items():
            score = [percent(found["score"])] if metric else []
            rows.append([kind, TITLES[name], percent(found["changed"]), *score, str(found["changed"]["n"])])
    return rows


def curve_rows(task: Mapping[str, Any]) -> Table:
    """Deletion and insertion by what the model ranks first, and by random places; none without curves."""
    curves = task["evidence"].get("looked", {}).get("curves")
    if not curves:
        return []
    shares = curves["deletion"]["shares"]
    rows = [["curve", "order", *(f"{100 * share:.0f} %" for share in shares), "area"]]
    for name, curve in curves.items():
        for order in ("looked", "random"):
            rows.append([name, order, *map(bare, curve[order]), percent(curve["area"][order])])
    return rows
