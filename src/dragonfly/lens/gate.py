"""From which confidence the answer about the whole image is good enough: found on questions with known answers."""

from __future__ import annotations

from collections.abc import Sequence


def calibrate(confidences: Sequence[float], whole_right: Sequence[float], closer_right: Sequence[float]) -> float:
    """The threshold for `Lens(method="gate", threshold=...)` that answers most development questions right.

    Of thresholds that do equally well the lowest, which looks closer least often. Calibrate on other questions than those that
    are reported.

    Args:
        confidences: of the answers about the whole image alone, 0 to 1.
        whole_right: how right those answers are, 0 to 1.
        closer_right: how right the answers with close-ups are, of the same questions.

    Returns:
        One of the confidences, 0 (never look closer) or 1 (look closer unless the model is entirely sure).

    Raises:
        ValueError: for no questions, or lists of different lengths.
    """
    rows = list(zip(confidences, whole_right, closer_right, strict=False))
    if not rows or not len(confidences) == len(whole_right) == len(closer_right):
        raise ValueError(
            "a gate is calibrated on at least one question with a confidence and both answers' scores each; got "
            f"{len(confidences)} confidences, {len(whole_right)} and {len(closer_right)} scores"
        )

    def right(threshold: float) -> float:
        return sum(whole if sure >= threshold else closer for sure, whole, closer in rows)

    return max(sorted({0.0, *confidences, 1.0}), key=right)
