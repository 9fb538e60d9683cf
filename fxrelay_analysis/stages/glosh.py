"""How far out of its cluster a sample is, by the tree of a clustering by density."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def glosh(left: Array, right: Array, height: Array, least: int) -> Array:
    """Return GLOSH, 1 - min_y e(y) / e(x) over the last cluster of x, in [0, 1], (n,).

    e(x) is the least height at which x is in a cluster, which has `least` samples or more. 0: x
    leaves last; towards 1: it leaves when others are still close together. (Campello et al. 2015,
    section 6.)

    Parameters
    ----------
    left, right, height : arrays (n - 1,)
        Merges by ascending height: nodes 0..n-1 are samples, n + i is what merge i made.
    least : int
        Least samples of a cluster, 2 or more, n at most.
    """
    n = len(height) + 1
    size, lowest = np.ones(2 * n - 1, np.int64), np.full(2 * n - 1, np.inf)
    for node, (a, b, at) in enumerate(zip(left, right, height, strict=True), n):
        size[node] = size[a] + size[b]
        loses = size[node] >= least > min(size[a], size[b])  # samples, as one goes down
        lowest[node] = min(lowest[a], lowest[b], at if loses else np.inf)
    left_at, last = np.zeros(2 * n - 1), np.arange(2 * n - 1)
    for node in range(2 * n - 2, n - 1, -1):
        at, inside = height[node - n], size[node] >= least
        for child in (left[node - n], right[node - n]):
            out = inside and size[child] < least
            left_at[child] = at if out else left_at[node]
            tied = child >= n and height[child - n] == at
            last[child] = last[node] if out or not inside or tied else child
    within, own = lowest[last[:n]], left_at[:n]
    ratio = np.divide(within, own, out=np.ones(n), where=own > 0)
    return 1 - ratio
