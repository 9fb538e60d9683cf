"""Exact nearest neighbours of arrays: Euclidean by matrix products, or any distance by blocks."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
TILE: Final = (256, 1024)  # least and most samples that are compared with as many at once
BLOCK: Final = 1 << 21  # distances, or features, that are held at once
CACHED: Final = 1 << 18  # features of candidates that are compared at once
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
    space = _Space(x)
    found = _Candidates(space, min(k + EXTRA, len(x) - 1), rows)
    rows = np.arange(len(x)) if rows is None else rows
    index, distance = np.empty((len(rows), k), np.int32), np.empty((len(rows), k))
    for part in _slices(len(rows), max(1, BLOCK // max(x.shape))):
        here, square = ranked(x, rows[part], found.who[part], k, space.power)
        if found.who.shape[1] < len(x) - 1:
            space.mend(rows[part], found.bound[part].max(axis=1), here, square)
        index[part], distance[part] = here, np.ldexp(np.sqrt(square), space.power)
    return index, distance


def nearest_by(
    distances: Callable[[Array], Array], n: int, k: int, rows: Array | None = None
) -> tuple[Array, Array]:
    """Return the k nearest as `nearest` does, from ``distances(rows)`` (len(rows), n)."""
    rows = np.arange(n) if rows is None else rows
    index, distance = np.empty((len(rows), k), np.int32), np.empty((len(rows), k))
    for part in _slices(len(rows), max(1, BLOCK // n)):
        found = np.array(distances(rows[part]), np.float64)
        found[np.arange(len(found)), rows[part]] = np.inf
        index[part] = np.argsort(found, axis=1, kind="stable")[:, :k]
        distance[part] = np.take_along_axis(found, index[part], axis=1)
    return index, distance


def ranked(x: Array, rows: Array, candidates: Array, k: int, power: int) -> tuple[Array, Array]:
    """Return the k nearest of the candidates (m, c) and squared distances times 4^-power."""
    square = np.empty(candidates.shape)
    few, all_of = max(1, CACHED // x.shape[1]), candidates.shape[1]
    for part, some in product(_slices(len(rows), max(1, few // all_of)), _slices(all_of, few)):
        apart = x[candidates[part, some]].astype(np.float64, copy=False)
        apart -= x[rows[part]][:, None]
        if power:
            np.ldexp(apart, -power, out=apart)
        square[part, some] = np.vecdot(apart, apart)
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
        for part in _slices(len(x), 256):
            self.low[part] = np.ldexp(x[part] - middle, -self.power)
            norms[part] = np.square(self.low[part], dtype=np.float64).sum(axis=1)
        kept = 1 - np.finfo(np.float32).eps / 2 * (x.shape[1] + 8)
        self.norms = (kept * norms).astype(np.float32)

    def products(self, rows: Any, others: Any) -> Array:
        """Return -2 a.b of two sets of samples."""
        out: Array = self.low[rows] @ self.low[others].T
        out *= -2
        return out

    def mend(self, rows: Array, beyond: Array, index: Array, square: Array) -> None:
        """Rank whoever may be nearer than the neighbours found: all whose bound is.

        `beyond` (m,) is the greatest bound of a candidate; nobody else has a lesser one.
        """
        here = self.norms[rows].astype(np.float64)
        for at in np.flatnonzero(square[:, -1] > beyond + here):
            bound = self.products(rows[at : at + 1], slice(None))[0] + self.norms
            bound[rows[at]] = np.inf
            others = np.flatnonzero(bound + here[at] <= square[at, -1])[None]
            found = ranked(self.x, rows[at : at + 1], others, index.shape[1], self.power)
            index[at], square[at] = found[0][0], found[1][0]


class _Candidates:
    """The `m` samples with the least bounds for each of some rows, tile by tile.

    `who` (rows, m) are their positions, `bound` their bounds less the row's own norm. For all rows,
    a tile of products serves the rows and, turned, the columns: half of the work.
    """

    def __init__(self, space: _Space, m: int, rows: Array | None) -> None:
        n = len(space.x)
        count = n if rows is None else len(rows)
        tile = min(max(TILE[0], n // 10), TILE[1])  # ten tiles a side waste 5 % on the diagonal
        self.bound = np.full((count, m), np.inf, np.float32)
        self.who = np.zeros((count, m), np.int32)
        for part in _slices(count, tile):
            for other in _slices(n, tile):
                if rows is not None:
                    bound = space.products(rows[part], other) + space.norms[other]
                    bound[rows[part][:, None] == np.arange(n)[other]] = np.inf
                    self._take(part, bound, other.start)
                elif other.start >= part.start:
                    self._both(space, part, other)

    def _both(self, space: _Space, part: slice, other: slice) -> None:
        products = space.products(part, other)
        if part == other:
            np.fill_diagonal(products, np.inf)
        else:
            self._take(other, products.T + space.norms[part], part.start)
        products += space.norms[other]
        self._take(part, products, other.start)

    def _take(self, part: slice, bound: Array, start: int) -> None:
        """Keep the least of the candidates at hand and of those with the bounds (rows, c)."""
        m = self.who.shape[1]
        least = _least(bound, m)
        values = np.concatenate([self.bound[part], np.take_along_axis(bound, least, 1)], axis=1)
        who = np.concatenate([self.who[part], least.astype(np.int32) + np.int32(start)], axis=1)
        best = _least(values, m)
        self.bound[part] = np.take_along_axis(values, best, 1)
        self.who[part] = np.take_along_axis(who, best, 1)


def _least(values: Array, m: int) -> Array:
    """Return where the m least values of each row are, or all where there are no more."""
    if values.shape[1] <= m:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    least: Array = np.argpartition(values, m - 1, axis=1)[:, :m]
    return least


def _slices(n: int, step: int) -> Iterator[slice]:
    yield from (slice(start, min(start + step, n)) for start in range(0, n, step))
