"""Which samples stand for all categories where one is compared with the others."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
Rows = Array | slice
#: samples of the background, of all categories together
MOST: Final = 2000


def drawn(categories: Mapping[str, Rows], most: int = MOST) -> tuple[Array, Array]:
    """Return positions of at most `most` samples, ascending, and the category of each.

    There are as many of each category as of any other; one that has fewer gives all, and every
    one gives at least one, at equal steps. There is no seed, and every category is compared with
    the same samples: they are read and digested once.
    """
    found = {name: _positions(rows) for name, rows in categories.items()}
    sizes = np.array([len(rows) for rows in found.values()])
    counts = range(1, int(sizes.max()) + 1)
    share = max(1, bisect_right(counts, most, key=lambda s: int(np.minimum(sizes, s).sum())))
    picked = {name: _spread(rows, min(len(rows), share)) for name, rows in found.items()}
    names = np.repeat(list(picked), [len(rows) for rows in picked.values()])
    positions = np.concatenate(list(picked.values()))
    order = np.argsort(positions)
    return positions[order], names[order]


def _positions(rows: Rows) -> Array:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _spread(rows: Array, count: int) -> Array:
    picked: Array = rows[(np.arange(count) * len(rows)) // count]
    return picked
