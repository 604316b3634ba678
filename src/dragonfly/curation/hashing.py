"""64-bit numbers that stand for content: the same on every machine, in every process, for any order of rows.

Among ten million different rows the chance that any two share a number is below one in a hundred thousand.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Indices = NDArray[np.int64]

SHINGLE_WORDS = 3  # words that stand together in one shingle

_SPACE = re.compile(r"\s+")


def number(*parts: str) -> int:
    """64 bits of the parts in order (BLAKE2b); ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


def normalised(text: str) -> str:
    """The text in NFKC, lower case, with single spaces."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().lower()


def draws(keys: Any, seed: int, purpose: str) -> Numbers:
    """One random number per key, drawn from (seed, purpose, key): splitmix64 (Steele, Lea and Flood, 2014)."""
    start = np.uint64(number(str(seed), purpose))
    with np.errstate(over="ignore"):
        mixed = np.asarray(keys, dtype=np.uint64) + start
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def joined(keys: Iterable[int]) -> int:
    """One number for several keys in order: 0 for none, the key itself for one."""
    listed = list(keys)
    if len(listed) < 2:
        return listed[0] if listed else 0
    return number(*(f"{key:x}" for key in listed))


def shingles(text: str) -> frozenset[str]:
    """Runs of `SHINGLE_WORDS` words of a normalised text; a shorter text is one run."""
    words = text.split()
    count = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(count)) if words else frozenset()


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared shingles over all shingles; 1 for two empty sets."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0
