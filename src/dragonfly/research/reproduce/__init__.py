"""The paper's tables, each from raw data to numbers: the commands in order, what they cost, and the result beside the paper's."""

from .beside import Beside, beside, write_beside
from .steps import TABLES, Request, Step, steps_of

__all__ = ["TABLES", "Beside", "Request", "Step", "beside", "steps_of", "write_beside"]
