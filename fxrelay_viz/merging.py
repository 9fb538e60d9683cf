"""A tree of merges: cut into any number of clusters, and its top as a dendrogram."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay_viz.reading import Lazy, read

#: how the clustering by cutting the tree is called
MERGE_TREE: Final = "merge_tree"
#: a tree is cut into so many clusters at most
MOST_CUT: Final = 30
PARTS: Final = ("left", "right", "height", "place")


@dataclass(frozen=True, eq=False)
class Merges:
    """Which two clusters were merged, and how far apart they were.

    Clusters 0..n-1 are the samples, n + i is what merge i made.

    Attributes
    ----------
    left, right : int arrays, shape (n - 1,)
        The merged clusters.
    height : float array, shape (n - 1,)
        Their distance.
    place : float array, shape (n - 1,)
        Where the merged cluster is drawn over leaves at 0, 1, ..., n - 1.
    order : int array, shape (n,)
        The sample that each leaf is.
    """

    left: np.ndarray
    right: np.ndarray
    height: np.ndarray
    place: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, group: xr.Dataset, n: int) -> "Merges | None":
        """Return the merges of an analysis of n samples, as `stages.dendrogram` writes them."""
        names = [*(f"merge_{part}" for part in PARTS), "leaf_order"]
        if n < 3 or any(name not in group for name in names):
            return None
        found = cls(*(read(group[name]).values for name in names))
        return found if len(found.left) == n - 1 and len(found.order) == n else None

    @property
    def most(self) -> int:
        """The largest number of clusters that it is cut into."""
        return min(MOST_CUT, len(self.order))

    def clusterings(self) -> Mapping[int, np.ndarray]:
        """Return the cluster of every sample, 0 the largest, for 2 and more clusters."""
        return Lazy({k: partial(self.cut, k) for k in range(2, self.most + 1)})

    def cut(self, k: int) -> np.ndarray:
        """Return the cluster of every sample, int array of shape (n,), before the last merges."""
        from fxrelay_analysis.stages.cluster import by_size  # scikit-learn is not needed at once
        from fxrelay_analysis.stages.hierarchy import cut

        out: np.ndarray = by_size(cut(np.stack([self.left, self.right], axis=1), k))
        return out

    @cached_property
    def rising(self) -> np.ndarray:
        """Heights that never fall again, as linkages by means may; shape (n - 1,)."""
        return np.maximum.accumulate(self.height)

    def band(self, k: int) -> tuple[float, float]:
        """Return the heights between which a cut gives k clusters, as shares of the highest."""
        n, top = len(self.order), float(self.rising[-1]) or 1.0
        low = float(self.rising[n - k - 1]) if k < n else 0.0
        return low / top, float(self.rising[n - k]) / top

    def joints(self) -> list["Joint"]:
        """Return the last merges, the highest first; what lies below is left out."""
        n, top = len(self.order), float(self.rising[-1]) or 1.0
        place = np.empty(2 * n - 1)
        place[self.order], place[n:] = np.arange(n), self.place
        level = np.concatenate([np.zeros(n), self.rising]) / top
        first = n - self.most  # merges before this one are left out
        out = []
        for i in range(n - 2, first - 1, -1):
            ends = tuple(
                End(place[c] / (n - 1), level[c] if c >= n + first else 0.0, self._leaves[c])
                for c in (int(self.left[i]), int(self.right[i]))
            )
            out.append(Joint(n - 1 - i, float(level[n + i]), ends))
        return out

    @cached_property
    def _leaves(self) -> np.ndarray:
        """A sample of every cluster, shape (2 n - 1,)."""
        n = len(self.order)
        out = np.arange(2 * n - 1)
        for i, left in enumerate(self.left.tolist()):
            out[n + i] = out[left]
        return out


@dataclass(frozen=True)
class End:
    """One of two merged clusters: where it is drawn, across and up in 0..1, and a sample of it."""

    x: float
    y: float
    sample: Any


@dataclass(frozen=True)
class Joint:
    """A merge of the dendrogram.

    Attributes
    ----------
    apart : int
        Cut into more clusters than this, and it is undone.
    y : float, 0 to 1
        Its height.
    ends : (End, End)
    """

    apart: int
    y: float
    ends: tuple[End, ...]
