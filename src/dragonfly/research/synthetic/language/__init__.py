"""How people ask: a grammar of questions whose held-out splits share no template with training."""

from .grammar import FORMS, Spoken, say

__all__ = ["FORMS", "Spoken", "say"]
