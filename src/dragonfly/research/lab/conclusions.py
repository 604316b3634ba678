"""What a study's numbers allow to be said, in words. A conclusion without its random baseline or an interval is refused.

Reads results (`results.collect`) only. Promises the same words for the same numbers.
"""

from __future__ import annotations

from typing import Any

ALPHA = 0.01


def conclude(result: dict[str, Any], conclusion: dict[str, str]) -> str:
    """One conclusion in one sentence, with the random baseline's score beside.

    Raises:
        ValueError: without a finished random baseline, without an interval, or without the conclusion's own test.
    """
    variant, over, measure = conclusion["variant"], conclusion["over"], conclusion["measure"]
    named = f"No conclusion on {variant} over {over} on {measure!r}"
    random = result["variants"].get(result["random"])
    if random is None:
        given = "names no random variant" if result["random"] is None else f"has no result of {result['random']!r} yet"
        raise ValueError(f"{named}: the study {given}, and a conclusion about choosing needs what chance gets")
    test = find_test(result, variant, over, measure)
    if test is None:
        raise ValueError(f"{named}: one of the two has no result yet")
    if test["low"] is None or random["scores"][measure]["low"] is None:
        raise ValueError(f"{named}: there is no interval, because one image leaves nothing to draw; ask about more images")
    if result["unfinished"] and any(
        line.partition(" seed ")[0] in (variant, over, result["random"]) for line in result["unfinished"]
    ):
        raise ValueError(f"{named}: seeds are missing ({', '.join(result['unfinished'])})")
    scores = [
        f"{name} {percent(result['variants'][name]['scores'][measure])}"
        for name in dict.fromkeys((variant, over, result["random"]))
    ]
    return f"{verdict(test)} On {measure!r}: {'; '.join(scores)}."


def verdict(test: dict[str, Any]) -> str:
    """`A scores 3.1 points above B (...): ...` with interval, p, and the sign over the seeds."""
    scale, unit = shown_times(test), "words" if test["unit"] == "words" else "points"
    numbers = f"95 % {scale * test['low']:+.1f} to {scale * test['high']:+.1f}, p {p_text(test['p'])}"
    side = "above" if test["value"] > 0 else "below" if test["value"] < 0 else "apart from"
    head = f"{test['variant']} scores {abs(scale * test['value']):.1f} {unit} {side} {test['over']} ({numbers})"
    seeds = f"seeds: {', '.join(f'{scale * value:+.1f}' for value in test['seeds'].values())}"
    if len(test["seeds"]) > 1 and not test["consistent"]:
        return f"{head}: not consistent, the sign differs between seeds ({seeds})."
    if test["p"] is None or test["p"] >= ALPHA:
        return f"{head}: not told apart from chance ({seeds})."
    if len(test["seeds"]) == 1:
        return f"{head}: exploratory, one seed."
    return f"{head}: the same sign in all {len(test['seeds'])} seeds ({seeds})."


def find_test(result: dict[str, Any], variant: str, over: str, measure: str) -> dict[str, Any] | None:
    wanted = (variant, over, measure)
    return next((test for test in result["tests"] if (test["variant"], test["over"], test["measure"]) == wanted), None)


def validity(result: dict[str, Any]) -> list[str]:
    """What may be concluded, and what may not: sentences for one paragraph."""
    tests = [test for test in result["tests"] if test["p"] is not None]
    firm = [test for test in tests if test["p"] < ALPHA and test["consistent"] and len(test["seeds"]) > 1]
    loose = [test for test in tests if test["p"] < ALPHA and not test["consistent"]]
    trained = "trained alike from one checkpoint" if result["trained"] else "of one checkpoint, none trained for its variant"
    said = [
        f"May be concluded: for these variants, {trained}, and images like these, {len(firm)} of {len(tests)} differences are "
        f"statistically significant (p below {ALPHA}, paired, images swapped) with one sign in two or more seeds."
    ]
    if loose:
        pairs = ", ".join(f"{test['variant']} and {test['over']} ({test['measure']})" for test in loose)
        said.append(f"Not consistent over seeds: {pairs}.")
    said.append(
        "May not be concluded: anything of other images, towers or language models; nor that variants which are not told apart "
        "are equal."
    )
    if lonely := [name for name, variant in result["variants"].items() if variant["exploratory"]]:
        said.append(f"One seed only, so exploratory: {', '.join(lonely)}; another training could turn their order.")
    if result["trained"]:
        said.append("All variants continue one checkpoint, which favours those that resemble its own encoder.")
    else:
        said.append("A change that the checkpoint was not trained with is judged by a model that never saw its like.")
    if len(tests) > 1:
        said.append(f"{len(tests)} tests were made and none is corrected for the others.")
    if result["unfinished"]:
        said.append(f"Not finished: {', '.join(result['unfinished'])}.")
    return said


def shown_times(one: dict[str, Any]) -> int:
    """What a score's or a difference's numbers are multiplied by to be read: 100 for percent, 1 where words were counted."""
    return 1 if one["unit"] == "words" else 100


def percent(score: dict[str, Any]) -> str:
    """`53.8 [47.1, 60.2]` in percent, or in words where words were counted."""
    scale = shown_times(score)
    value = f"{scale * score['value']:.1f}"
    return value if score["low"] is None else f"{value} [{scale * score['low']:.1f}, {scale * score['high']:.1f}]"


def p_text(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
