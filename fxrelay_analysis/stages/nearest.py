"""Exact nearest neighbours of arrays: Euclidean by matrix products, or any distance by blocks."""

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any, Final

import numpy as np

from fxrelay.execute import Serial, Threads
from fxrelay_analysis.threads import one_thread, pieces

Array = np.ndarray[Any, Any]
TILE: Final = 1000  # samples that are compared with as many at once; powers of 2 turn slowly
PART: Final = 64  # samples whose features are worked on at once, and stay in the cache
BLOCK: Final = 1 << 21  # distances, or features, that are held at once
CACHED: Final = 1 << 17  # features of candidates that are compared at once
EXTRA: Final = 5  # candidates beside the k nearest
LOST: Final = 1e-3  # share of two squared norms below which products lose digits of a distance
SAFE: Final = 48  # powers of 2 that float32 can square and sum
SAFE_WIDE: Final = 250  # powers of 2 that float64 can
FAR: Final = 0.9  # share of the squared norms that a centre has, above which products lose digits


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
    with one_thread(), pieces(worth=len(x) > TILE) as place:
        space = _Space(x)
        found = _Candidates(space, min(k + EXTRA, len(x) - 1), rows, place)
        which = np.arange(len(x)) if rows is None else rows

        def ranked(part: slice) -> tuple[Array, Array]:
            index, square = space.ranked(which[part], found.who[part], 2 * found.half[part], k)
            if found.who.shape[1] < len(x) - 1:
                space.mend(which[part], 2 * found.limit[part], index, square)
            return index, np.ldexp(np.sqrt(square), space.squares.power)

        parts = list(_slices(len(which), max(1, BLOCK // max(x.shape))))
        index, distance = np.empty((len(which), k), np.int32), np.empty((len(which), k))
        for part, both in zip(parts, place.map(ranked, parts), strict=True):
            index[part], distance[part] = both
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


class Squares:
    """Squared distances of rows of x (n, d), float64, times 4^-power.

    The power is 0 unless squares of the values could over- or underflow float32.

    They are |a|^2 + |b|^2 - 2 a.b, and |a - b|^2, which takes twice as long, where less than the
    share `LOST` of the norms is left: at most d / `LOST` roundings of float64 are between them.
    """

    def __init__(self, x: Array) -> None:
        power = scale_of(x)
        self.power = power if abs(power) > SAFE else 0
        self.odd = power if abs(power) > SAFE_WIDE else 0
        self.x = np.ldexp(x, -self.odd) if self.odd else x
        self.norms = np.concatenate(
            [np.vecdot(part, part) for part in map(self._rows, _slices(len(x), PART))]
        )

    def of(self, rows: Array, others: Array) -> Array:
        """Return them (m, c) of rows (m,) to others (m, c)."""
        square = np.empty(others.shape)
        few, all_of = max(1, CACHED // self.x.shape[1]), others.shape[1]
        for part, some in product(_slices(len(rows), max(1, few // all_of)), _slices(all_of, few)):
            here = self._rows(rows[part])[:, None]
            np.vecdot(self._rows(others[part, some]), here, out=square[part, some])
        square *= -2
        square += (norms := self.norms[others] + self.norms[rows, None])
        row, column = np.nonzero(square < LOST * norms)
        for part in _slices(len(row), few):
            at = row[part], column[part]
            apart = self._rows(others[at]) - self._rows(rows[row[part]])
            square[at] = np.vecdot(apart, apart)
        unit = 2 * (self.odd - self.power)
        return np.ldexp(square, unit, out=square) if unit else square

    def _rows(self, which: Any) -> Array:
        return self.x[which].astype(np.float64, copy=False)


def least(who: Array, square: Array, k: int) -> tuple[Array, Array]:
    """Return the k of who (m, c) with the least squares, and these; equal ones by position."""
    order = np.lexsort((who, square), axis=1)[:, :k]
    return np.take_along_axis(who, order, 1), np.take_along_axis(square, order, 1)


def scale_of(x: Array) -> int:
    """Return p so that x 2^-p has magnitudes below 1: no square over- or underflows."""
    return int(np.frexp(max(float(x.max()), -float(x.min())))[1])


class _Space:
    """Samples, and float32 ones whose products bound half their squared distances from below.

    With u the unit roundoff of float32, a product of d terms, the rounding of its factors and the
    sums err by at most u (d + 16) (|a|^2 + |b|^2) in |a|^2 + |b|^2 - 2 a.b (Higham 2002, section
    3.1), and by the least number of float32 for each term that is about as small: shrinking the
    squared norms by that much gives a bound that is below every distance. Any centre will do, and
    none where the samples lie around 0.
    """

    def __init__(self, x: Array) -> None:
        self.squares = Squares(x)
        self.low, norms = self.squares.x, self.squares.norms
        step = 1 + len(x) // 256
        middle = self.low[::step].mean(axis=0, dtype=np.float64)
        far = middle @ middle > FAR * norms[::step].mean()
        if far or self.squares.power or x.dtype != np.float32:
            unit = 2.0 ** (self.squares.odd - self.squares.power)
            self.low, norms = _centred(self.low, middle, unit)
        kind, terms = np.finfo(np.float32), x.shape[1] + 16
        self.slack, self.lost = terms * kind.eps / 2, terms * float(kind.smallest_subnormal)
        self.norms = ((1 - self.slack) / 2 * norms - self.lost).astype(np.float32)

    def bounds(self, rows: Any, others: Any, memory: Array | None = None) -> Array:
        """Return bounds of half the squared distances of two sets, in `memory` if given."""
        a, b = self.low[rows], self.low[others]
        out = None if memory is None else memory[: len(a) * len(b)].reshape(len(a), len(b))
        found: Array = np.matmul(a, b.T, out=out)
        np.subtract(self.norms[others], found, out=found)
        found += self.norms[rows, None]
        return found

    def ranked(self, rows: Array, who: Array, bound: Array, k: int) -> tuple[Array, Array]:
        """Return the k nearest of candidates who (m, c) and their squared distances.

        A candidate whose bound exceeds what k others are at most away is not looked at.
        """
        order = np.argsort(bound, axis=1)
        who, bound = np.take_along_axis(who, order, 1), np.take_along_axis(bound, order, 1)
        norms = 2 / (1 - self.slack) * (self.norms.astype(np.float64) + self.lost)
        most = bound + 2.01 * self.slack * (norms[who] + norms[rows, None]) + 8 * self.lost
        last = np.partition(most, k - 1, axis=1)[:, k - 1 : k]
        square = np.full(who.shape, np.inf)
        square[:, :k] = self.squares.of(rows, who[:, :k])
        row, column = np.nonzero(bound[:, k:] <= last)
        others = who[row, k + column, None]
        square[row, k + column] = self.squares.of(rows[row], others)[:, 0]
        return least(who, square, k)

    def mend(self, rows: Array, limit: Array, index: Array, square: Array) -> None:
        """Rank whoever may be nearer than the neighbours found: all whose bound is.

        `limit` (m,) is the greatest bound of a candidate; nobody else has a lesser one.
        """
        for at in np.flatnonzero(square[:, -1] > limit):
            bound = 2 * self.bounds(rows[at : at + 1], slice(None))[0]
            bound[rows[at]] = np.inf
            others = np.flatnonzero(bound <= square[at, -1])[None]
            all_of = self.squares.of(rows[at : at + 1], others)
            index[at], square[at] = least(others, all_of, index.shape[1])


def _centred(x: Array, middle: Array, unit: float) -> tuple[Array, Array]:
    """Return unit (x (n, d) - middle (d,)) in float32, and squared norms (n,) float64."""
    low, norms = np.empty(x.shape, np.float32), np.empty(len(x))
    for part in _slices(len(x), PART):
        centred = (x[part] - middle) * unit
        norms[part] = np.vecdot(centred, centred)
        low[part] = centred
    return low, norms


class _Candidates:
    """The `m` samples with the least bounds for each of some rows, tile by tile.

    `who` (rows, m) are their positions, `half` their bounds, and `limit` (rows,) the greatest of
    these. Of the first tile of each row only what is below a rough bar is taken, of the others only
    what is below the limit. For all rows, a tile serves its rows and its columns: half of the work.
    """

    def __init__(self, space: _Space, m: int, rows: Array | None, place: Serial | Threads) -> None:
        n = len(space.low)
        count = n if rows is None else len(rows)
        self.who = np.zeros((count, m), np.int32)
        self.half = np.full((count, m), np.inf, np.float32)
        self.limit = np.full(count, np.inf, np.float32)
        # a tile's memory is free when so many later ones are asked for as `place` has workers
        memory = [
            np.empty(min(count, TILE) * min(n, TILE), np.float32) for _ in range(place.workers)
        ]

        def bounds(item: tuple[int, tuple[slice, slice]]) -> Array:
            at, (part, other) = item
            own = np.arange(part.start, part.stop) if rows is None else rows[part]
            here = part if rows is None else own
            bound = space.bounds(here, other, memory[at % len(memory)])
            row = np.flatnonzero((own >= other.start) & (own < other.stop))
            bound[row, own[row] - other.start] = np.inf
            return bound

        tiles = list(_slices(n, TILE))
        if rows is None:
            pairs = [*zip(tiles, tiles, strict=True), *combinations(tiles, 2)]
        else:
            pairs = list(product(_slices(count, TILE), tiles))
        for (part, other), bound in zip(pairs, place.map(bounds, enumerate(pairs)), strict=True):
            if part == other if rows is None else other.start == 0:
                self.limit[part] = _bar(bound, m)
            self._below(part, bound, other.start)
            if rows is None and part != other:
                self._below(other, bound.T, part.start)

    def _below(self, part: slice, bound: Array, start: int) -> None:
        """Take what is below the limits among the bounds (rows, c)."""
        row, column = _where(bound < self.limit[part, None])
        if not len(row):
            return
        rows, first, count = np.unique(row, return_index=True, return_counts=True)
        at = np.repeat(np.arange(len(rows)), count)
        place = np.arange(len(row)) - np.repeat(first, count) + (m := self.who.shape[1])
        values = np.full((len(rows), m + count.max()), np.inf, np.float32)
        who = np.zeros(values.shape, np.int32)
        rows += part.start
        values[:, :m], who[:, :m] = self.half[rows], self.who[rows]
        values[at, place], who[at, place] = bound[row, column], column + start
        best = _least(values, m)
        self.half[rows] = np.take_along_axis(values, best, 1)
        self.who[rows] = np.take_along_axis(who, best, 1)
        self.limit[rows] = self.half[rows].max(axis=1)


def _where(mask: Array) -> tuple[Array, Array]:
    """Return rows, ascending, and columns where a mask is true, in whichever order it lies."""
    if mask.flags.c_contiguous:
        row, column = np.divmod(np.flatnonzero(mask), mask.shape[1])
        return row, column
    column, row = _where(mask.T)
    order = np.argsort(row.astype(np.min_scalar_type(len(mask))), kind="stable")  # short: quicker
    return row[order], column[order]


def _bar(values: Array, m: int) -> Array:
    """Return what at least m values of each row are below, or all, and few others (rows,).

    It is what the least of m among 4 m groups do not exceed.
    """
    if values.shape[1] < m:
        return np.full(len(values), np.inf, values.dtype)
    if (each := values.shape[1] // (4 * m)) > 1:
        grouped = values[:, : 4 * m * each].reshape(len(values), each, 4 * m)
        values = grouped.min(axis=1)
    return np.nextafter(np.partition(values, m - 1, axis=1)[:, m - 1], np.float32(np.inf))


def _least(values: Array, m: int) -> Array:
    """Return where the m least values of each row are, or all where there are no more."""
    if values.shape[1] <= m:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    last = np.partition(values, m - 1, axis=1)[:, m - 1 : m]
    column = _where(values <= last)[1]
    if len(column) > m * len(values):  # equal ones
        return np.argpartition(values, m - 1, axis=1)[:, :m]
    return column.reshape(-1, m)


def _slices(n: int, step: int) -> Iterator[slice]:
    yield from (slice(start, min(start + step, n)) for start in range(0, n, step))
