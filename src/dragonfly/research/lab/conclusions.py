"""A study's conclusions in words, from its result alone (`results.collect`); the same numbers give the same words.

A conclusion without its random baseline or without an interval is refused.
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
        raise ValueError(f"{named}: the study {given}, and a conclusion about selection needs the random baseline")
    test = find_test(result, variant, over, measure)
    if test is None:
        raise ValueError(f"{named}: one of the two has no result yet")
    if test["low"] is None or random["scores"][measure]["low"] is None:
        raise ValueError(f"{named}: there is no interval, because a bootstrap over images needs two or more; add test images")
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
    """`A scores 3.1 points above B (95 % ..., p ...): ...`, with the differences by seed."""
    scale, unit = display_scale(test), "words" if test["unit"] == "words" else "points"
    numbers = f"95 % {scale * test['low']:+.1f} to {scale * test['high']:+.1f}, p {p_text(test['p'])}"
    side = "above" if test["value"] > 0 else "below" if test["value"] < 0 else "apart from"
    head = f"{test['variant']} scores {abs(scale * test['value']):.1f} {unit} {side} {test['over']} ({numbers})"
    seeds = f"seeds: {', '.join(f'{scale * value:+.1f}' for value in test['seeds'].values())}"
    if len(test["seeds"]) > 1 and not test["consistent"]:
        return f"{head}: not consistent, the sign differs between seeds ({seeds})."
    if test["p"] is None or test["p"] >= ALPHA:
        return f"{head}: not statistically significant ({seeds})."
    if len(test["seeds"]) == 1:
        return f"{head}: exploratory, one seed."
    return f"{head}: the same sign in all {len(test['seeds'])} seeds ({seeds})."


def find_test(result: dict[str, Any], variant: str, over: str, measure: str) -> dict[str, Any] | None:
    wanted = (variant, over, measure)
    return next((test for test in result["tests"] if (test["variant"], test["over"], test["measure"]) == wanted), None)


def validity(result: dict[str, Any]) -> list[str]:
    """What may and may not be concluded from a result, as sentences."""
    tests = [test for test in result["tests"] if test["p"] is not None]
    firm = [test for test in tests if test["p"] < ALPHA and test["consistent"] and len(test["seeds"]) > 1]
    loose = [test for test in tests if test["p"] < ALPHA and not test["consistent"]]
    trained = "trained alike from one checkpoint" if result["trained"] else "of one checkpoint, none trained for its variant"
    sentences = [
        f"May be concluded: for these variants, {trained}, on images like these, {len(firm)} of {len(tests)} differences are "
        f"statistically significant (p below {ALPHA} in a paired permutation test over images) with one sign in two or more "
        "seeds."
    ]
    if loose:
        pairs = ", ".join(f"{test['variant']} and {test['over']} ({test['measure']})" for test in loose)
        sentences.append(f"Significant, but of different signs in different seeds: {pairs}.")
    sentences.append(
        "May not be concluded: anything about other images, towers or language models; nor that variants without a significant "
        "difference are equal."
    )
    if single := [name for name, variant in result["variants"].items() if variant["exploratory"]]:
        sentences.append(f"Exploratory, with one seed each: {', '.join(single)}; another seed could reverse their order.")
    if result["trained"]:
        sentences.append("All variants continue one checkpoint, which favours those that resemble its own encoder.")
    else:
        sentences.append("The checkpoint was not trained with the changes that it is evaluated under.")
    if len(tests) > 1:
        sentences.append(f"The p-values of {len(tests)} tests are not corrected for multiple testing.")
    if result["unfinished"]:
        sentences.append(f"Not finished: {', '.join(result['unfinished'])}.")
    return sentences


def display_scale(score: dict[str, Any]) -> int:
    """The factor by which a score or difference is shown: 100 (percent), or 1 where the unit is words."""
    return 1 if score["unit"] == "words" else 100


def percent(score: dict[str, Any]) -> str:
    """`53.8 [47.1, 60.2]`: a score with its 95 % interval in percent, or in words where that is the unit."""
    scale = display_scale(score)
    value = f"{scale * score['value']:.1f}"
    return value if score["low"] is None else f"{value} [{scale * score['low']:.1f}, {scale * score['high']:.1f}]"


def p_text(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
