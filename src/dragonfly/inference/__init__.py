"""From an image and a question to an answer that says where the model looked."""

from dragonfly.inference.answer import Answer, SubImageScore
from dragonfly.inference.engine import Chat, Engine, Row
from dragonfly.inference.loading import load
from dragonfly.inference.options import Options
from dragonfly.inference.stream import Stream

__all__ = ["Answer", "Chat", "Engine", "Options", "Row", "Stream", "SubImageScore", "load"]
