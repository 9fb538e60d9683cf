"""Which point lies next to the pointer: a k-d tree over two axes of an embedding."""

import threading
from functools import cached_property

import numpy as np
from scipy.spatial import KDTree


class Nearby:
    """Points of a plot and their spatial index, built on first use and shared by all sessions.

    Parameters
    ----------
    points : float array, shape (n, 2)
        Points that are not finite are never near.
    """

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self.points.setflags(write=False)
        self._lock = threading.Lock()

    @cached_property
    def _finite(self) -> np.ndarray:
        return np.flatnonzero(np.isfinite(self.points).all(axis=1))

    @cached_property
    def _size(self) -> np.ndarray:
        points = self.points[self._finite]
        spread = np.ptp(points, axis=0) if len(points) else np.ones(2)
        return np.where(spread > 0, spread, 1.0).astype(np.float64)

    @cached_property
    def _tree(self) -> KDTree:
        points = self.points[self._finite] / self._size
        return KDTree(points, balanced_tree=False, compact_nodes=False)

    def nearest(
        self,
        at: tuple[float, float],
        spans: tuple[float, float],
        reach: float = 0.02,
        among: np.ndarray | None = None,
    ) -> int | None:
        """Return the position of the point next to `at`, measured on the screen.

        Parameters
        ----------
        at : (float, float)
            Where the pointer is, in units of the axes.
        spans : (float, float)
            Width and height of what the plot shows, in the same units.
        reach : float, > 0
            The largest distance, as a share of the plot.
        among : bool array, shape (n,), optional
            Points that count; by default all.

        Returns
        -------
        int or None
            None when no point is within reach, or nothing is finite.
        """
        scale = np.abs(np.asarray(spans, dtype=float))
        place = np.asarray(at, dtype=float)
        usable = np.isfinite(scale).all() and (scale > 0).all() and np.isfinite(place).all()
        if not usable or not len(self._finite):
            return None
        with self._lock:  # built by the first thread that asks
            tree = self._tree
        ratio = self._size / scale  # from units of the tree to shares of the plot
        within = reach / ratio.min()
        first, guess = tree.query(place / self._size, distance_upper_bound=within)
        if not np.isfinite(first):
            return None
        near = np.array([guess])
        if among is not None:
            near = np.array(tree.query_ball_point(place / self._size, within))
            near = near[among[self._finite[near]]]
        elif not np.isclose(ratio[0], ratio[1], rtol=1e-3):  # the plot stretches one axis
            near = np.array(
                tree.query_ball_point(place / self._size, first * max(ratio) / min(ratio))
            )
        if not len(near):
            return None
        found = self._finite[near]
        distance = np.linalg.norm((self.points[found] - place) / scale, axis=1)
        best = int(np.argmin(distance))
        return int(found[best]) if distance[best] <= reach else None
