"""Rows that belong together: those that share a patient, a document or an image, directly or through other rows."""

import numpy as np

from .hamming_search import Indices
from .hashing import Numbers
from .table import Table


def units(table: Table, *, groups: bool, images: bool) -> Numbers:
    """One number per row, equal for rows that share a group or an image (as asked), also through a third row.

    The number is the smallest key of what holds them together, so it is the same whatever else is in the table. A row with
    none of them stands alone, under its own key.
    """
    columns = [name for name, wanted in (("groups", groups), ("image_keys", images)) if wanted]
    owners, keys = (np.concatenate(each) for each in zip(*map(table.lists, columns), strict=True))
    own = table.numbers("key").astype(np.uint64)
    labels = own.copy()
    labels[owners] = np.iinfo(np.uint64).max
    if len(keys):
        np.minimum.at(labels, owners, keys.astype(np.uint64))
        _spread(labels, owners, keys)
    return labels


def _spread(labels: Numbers, owners: Indices, keys: Numbers) -> None:
    """The smallest label of everything connected, by turns from rows to keys and back until nothing changes."""
    _, members = np.unique(keys, return_inverse=True)
    while True:
        smallest = np.full(members.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(smallest, members, labels[owners])
        before = labels.copy()
        np.minimum.at(labels, owners, smallest[members])
        if np.array_equal(before, labels):
            return
