"""Scores as pure functions of texts; no model, no files. Caption metrics run pycocoevalcap and Java."""

from .captions import CaptionScores, caption_scores
from .captions import require as require_captions
from .choices import (
    LETTERS,
    ai2d_letter,
    mmmu_choice,
    mmmu_letter,
    mmmu_letter_lmms,
    science_qa_letter,
    science_qa_letter_lmms,
    vlmevalkit_letter,
)
from .mmmu_open import mmmu_open
from .pope import pope_answer, pope_answer_lmms, pope_outcome
from .short import (
    closed_accuracy,
    closed_accuracy_llava_med,
    exact_match,
    is_yes_no,
    keyword_share,
    named_choices,
    open_recall,
    relaxed_accuracy,
    token_f1,
    vqa_accuracy,
    yes_or_no,
)
from .text import normalize_slake, normalize_vqa, words

__all__ = [
    "LETTERS",
    "CaptionScores",
    "ai2d_letter",
    "caption_scores",
    "closed_accuracy",
    "closed_accuracy_llava_med",
    "exact_match",
    "is_yes_no",
    "keyword_share",
    "mmmu_choice",
    "mmmu_letter",
    "mmmu_letter_lmms",
    "mmmu_open",
    "named_choices",
    "normalize_slake",
    "normalize_vqa",
    "open_recall",
    "pope_answer",
    "pope_answer_lmms",
    "pope_outcome",
    "relaxed_accuracy",
    "require_captions",
    "science_qa_letter",
    "science_qa_letter_lmms",
    "token_f1",
    "vlmevalkit_letter",
    "vqa_accuracy",
    "words",
    "yes_or_no",
]
