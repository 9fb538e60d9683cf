"""Nearest neighbours of arrays: exact by matrix products or by blocks, or approximate."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK: Final = 1 << 21  # distances that are held at once
EXTRA: Final = 5  # candidates beside the k nearest


def nearest(x: Array, k: int, rows: Array | None = None) -> tuple[Array, Array]:
    """Return positions (m, k) int32 and Euclidean distances (m, k) float64 of the k nearest rows.

    Candidates come from float32 products and are ranked again in float64; where rounding could
    have hidden a neighbour, whoever could be one is a candidate. Equal distances are ordered by
    position.

    Parameters
    ----------
    x : ndarray (n, d)
        Samples, n > k.
    rows : ndarray (m,), optional
        Positions of the samples whose neighbours are wanted; by default all.
    """
    rows = np.arange(len(x)) if rows is None else rows
    space = _Space(x)
    step = max(1, BLOCK // max(len(x), (k + EXTRA) * x.shape[1]))
    index = np.empty((len(rows), k), np.int32)
    distance = np.empty((len(rows), k))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        index[part], distance[part] = space.nearest(rows[part], k)
    return index, distance


def nearest_by(
    distances: Callable[[Array], Array], n: int, k: int, rows: Array | None = None
) -> tuple[Array, Array]:
    """Return the k nearest as `nearest` does, from ``distances(rows)`` (len(rows), n)."""
    rows = np.arange(n) if rows is None else rows
    step = max(1, BLOCK // n)
    index = np.empty((len(rows), k), np.int32)
    distance = np.empty((len(rows), k))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        found = np.array(distances(rows[part]), np.float64)
        found[np.arange(len(found)), rows[part]] = np.inf
        index[part] = np.argsort(found, axis=1, kind="stable")[:, :k]
        distance[part] = np.take_along_axis(found, index[part], axis=1)
    return index, distance


def ranked(x: Array, rows: Array, candidates: Array, k: int, power: int) -> tuple[Array, Array]:
    """Return the k nearest of the candidates (m, c) and squared distances times 4^-power."""
    square = np.empty(candidates.shape)
    step = max(1, BLOCK // (len(rows) * x.shape[1]))
    for start in range(0, candidates.shape[1], step):
        part = slice(start, start + step)
        apart = x[candidates[:, part]].astype(np.float64, copy=False)
        apart -= x[rows][:, None]
        if power:
            np.ldexp(apart, -power, out=apart)
        np.einsum("ijk,ijk->ij", apart, apart, out=square[:, part])
    order = np.lexsort((candidates, square), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(square, order, 1)


def scale_of(x: Array) -> int:
    """Return p so that x 2^-p has magnitudes below 1: no square over- or underflows."""
    return int(np.frexp(max(float(x.max()), -float(x.min())))[1])


class _Space:
    """Samples, and beside them centred float32 ones whose products bound distances from below.

    With u the unit roundoff of float32, a product of d terms and the rounding of its factors err by
    at most u (d + 8) (|a|^2 + |b|^2) in |a|^2 + |b|^2 - 2 a.b (Higham 2002, section 3.1), so
    shrinking the squared norms by that much gives a bound that no distance is below.
    """

    def __init__(self, x: Array) -> None:
        self.x, self.power = x, scale_of(x)
        self.low = np.empty(x.shape, np.float32)
        norms = np.empty(len(x))
        middle = x.mean(axis=0, dtype=np.float64)  # centred: the products cancel less
        for start in range(0, len(x), 256):
            part = slice(start, start + 256)
            self.low[part] = np.ldexp(x[part] - middle, -self.power)
            norms[part] = np.square(self.low[part], dtype=np.float64).sum(axis=1)
        kept = 1 - np.finfo(np.float32).eps / 2 * (x.shape[1] + 8)
        self.norms = (kept * norms).astype(np.float32)

    def nearest(self, rows: Array, k: int) -> tuple[Array, Array]:
        n = len(self.x)
        m = min(k + EXTRA, n - 1)
        least = self.low[rows] @ self.low.T
        least *= -2
        least += self.norms
        least[np.arange(len(rows)), rows] = np.inf
        candidates = np.argpartition(least, m - 1, axis=1)[:, :m]
        index, square = ranked(self.x, rows, candidates, k, self.power)
        if m < n - 1:
            self._mend(rows, least, candidates, index, square)
        return index, np.ldexp(np.sqrt(square), self.power)

    def _mend(
        self, rows: Array, least: Array, candidates: Array, index: Array, square: Array
    ) -> None:
        """Rank whoever may be nearer than the neighbours found: all whose bound is."""
        here = self.norms[rows].astype(np.float64)
        beyond = np.take_along_axis(least, candidates, axis=1).max(axis=1) + here
        for at in np.flatnonzero(square[:, -1] > beyond):
            others = np.flatnonzero(least[at] + here[at] <= square[at, -1])[None]
            found = ranked(self.x, rows[at : at + 1], others, index.shape[1], self.power)
            index[at], square[at] = found[0][0], found[1][0]
