"""Which samples stand for all categories where one is compared with the others."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
Rows = Array | slice
#: samples of the background, of all categories together
MOST: Final = 2000


def drawn(categories: Sequence[Rows], most: int = MOST) -> Array:
    """Return positions of at most `most` samples, as many of each category as of any other.

    A category that has fewer gives all; every one gives at least one, at equal steps. There is no
    seed, and every category is compared with the same samples: they are read and digested once.
    """
    found = [np.arange(r.start, r.stop) if isinstance(r, slice) else r for r in categories]
    sizes = np.array([len(rows) for rows in found])
    counts = range(1, int(sizes.max()) + 1)
    share = max(1, bisect_right(counts, most, key=lambda s: int(np.minimum(sizes, s).sum())))
    return np.sort(np.concatenate([_spread(rows, min(len(rows), share)) for rows in found]))


def _spread(rows: Array, count: int) -> Array:
    picked: Array = rows[(np.arange(count) * len(rows)) // count]
    return picked
