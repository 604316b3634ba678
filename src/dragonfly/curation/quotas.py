"""How many rows a mixture takes from each source: three pools (text, general, biomedical), filled by weight.

The whole numbers depend on the arguments alone and never exceed what a source has; shares hold to a row wherever the sources
suffice. Where they do not, a pool gives what it has and the sum falls short: no other pool makes up for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .options import Mixture


@dataclass(frozen=True)
class Supply:
    """One source: `rows` of which at most `wanted` are taken (None: all), its pool (`text`, `general`) and its weight there."""

    rows: int
    text: bool = False
    general: bool = True
    weight: float = 1.0
    wanted: int | None = None

    @property
    def limit(self) -> int:
        return self.rows if self.wanted is None else min(self.rows, self.wanted)

    @property
    def pool(self) -> str:
        return "text" if self.text else "general" if self.general else "biomedical"


def quotas(supplies: Sequence[Supply], mixture: Mixture) -> list[int]:
    """The rows to take from each supply, in order.

    A pool's rows are divided by weight: a source that has less than its part gives all, the others share the rest.
    """
    offered = {pool: sum(s.limit for s in supplies if s.pool == pool) for pool in ("text", "general", "biomedical")}
    targets = _with_total(offered, mixture, mixture.total) if mixture.total else _without_total(offered, mixture)
    taken = [0] * len(supplies)
    for pool, target in targets.items():
        members = [number for number, supply in enumerate(supplies) if supply.pool == pool]
        limits, weights = [supplies[m].limit for m in members], [supplies[m].weight for m in members]
        for member, count in zip(members, _dealt(min(target, offered[pool]), limits, weights), strict=True):
            taken[member] = count
    return taken


def _with_total(offered: dict[str, int], mixture: Mixture, total: int) -> dict[str, int]:
    """A share that is not given is the pool's own share of what is offered."""
    text_share = _share(offered["text"], sum(offered.values())) if mixture.text_share is None else mixture.text_share
    text = round(total * text_share)
    with_images = offered["general"] + offered["biomedical"]
    general_share = _share(offered["general"], with_images) if mixture.general_share is None else mixture.general_share
    general = round((total - text) * general_share)
    return {"text": text, "general": general, "biomedical": total - text - general}


def _without_total(offered: dict[str, int], mixture: Mixture) -> dict[str, int]:
    """As many rows as the given shares allow."""
    general, biomedical, text = offered["general"], offered["biomedical"], offered["text"]
    if (share := mixture.general_share) is not None:
        with_images = min(_divided(general, share), _divided(biomedical, 1 - share))
        general, biomedical = round(with_images * share), round(with_images * (1 - share))
    if (share := mixture.text_share) is not None:
        with_images = general + biomedical
        kept = _share(min(with_images, text * _divided(1 - share, share)), with_images)
        general, biomedical = round(general * kept), round(biomedical * kept)
        text = min(text, round((general + biomedical) * share / (1 - share)))
    return {"text": text, "general": general, "biomedical": biomedical}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _divided(number: float, by: float) -> float:
    return number / by if by else float("inf")


def _dealt(target: int, limits: Sequence[int], weights: Sequence[float]) -> list[int]:
    """`target` rows by weight, none above its limit; the odd rows go to the largest remainders, ties to the first."""
    taken, waiting, left = [0] * len(limits), set(range(len(limits))), target
    while waiting:
        unit = left / sum(weights[i] for i in waiting)
        full = {i for i in waiting if limits[i] <= weights[i] * unit}
        if not full:
            break
        for i in full:
            taken[i] = limits[i]
        left, waiting = left - sum(limits[i] for i in full), waiting - full
    if not waiting:
        return taken
    parts = {i: weights[i] * left / sum(weights[j] for j in waiting) for i in sorted(waiting)}
    for i, part in parts.items():
        taken[i] = int(part)
    odd = sorted(parts, key=lambda i: (int(parts[i]) - parts[i], i))
    for i in odd[: left - sum(int(part) for part in parts.values())]:
        taken[i] += 1
    return taken
