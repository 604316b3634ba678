"""How nano is made: what its stages learn and where they begin, as hooks of `training`.

`HOOKS` is handed to `Recipe.load`; training knows none of it.
"""

from dragonfly.training import Hooks

from .attention_choice import ATTENTION_CHOICE
from .page_questions import PAGE_QUESTIONS
from .patch_ocr import PATCH_OCR
from .scratch import SCRATCH
from .shared_prefix import SHARED_PREFIX

HOOKS = Hooks((PATCH_OCR, SHARED_PREFIX, PAGE_QUESTIONS, ATTENTION_CHOICE), {"scratch": SCRATCH})

__all__ = ["HOOKS"]
