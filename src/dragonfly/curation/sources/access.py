"""Where a data set is to be had, as a value: publisher, terms of access, size, and what the hub serves of it.

Facts are the publishers' own pages'; "not checked" stands where we could not look one up.
"""

from dataclasses import dataclass
from typing import Literal

NOT_CHECKED = "not checked"

Terms = Literal["open", "gated", "credentialed", "not checked"]
"""`open`: whoever asks gets it; `gated`: after terms were accepted or a form was filled in; `credentialed`: after approval."""


@dataclass(frozen=True)
class Access:
    """`hub` is the id of the data set on the Hugging Face hub, of which `patterns` are the files that the reader takes.

    `unpack` names archives among these and the folder that each becomes. `apply` is where access is asked for, `rest` what has
    to be fetched elsewhere.
    """

    publisher: str
    terms: Terms
    size: str = NOT_CHECKED
    hub: str | None = None
    patterns: tuple[str, ...] = ()
    unpack: tuple[tuple[str, str], ...] = ()
    apply: str = ""
    rest: str = ""

    @property
    def downloads(self) -> bool:
        """Whether the hub serves it to whoever asks."""
        return self.terms == "open" and self.hub is not None
