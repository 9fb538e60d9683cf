"""Clusterings from one tree of merges, and the tree itself as data."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from fxrelay.schema import CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.cluster import Clustering, Reals, checked_counts, solving, swept
from fxrelay_analysis.stages.distances import PRECOMPUTED
from fxrelay_analysis.stages.points import (
    METRIC_DOC,
    ROW_METRICS,
    Points,
    PointStage,
    apart,
    dataset,
    need_samples,
    points,
)

Array = np.ndarray[Any, Any]
AGGLOMERATIVE: Final = CLUSTERING + "agglomerative"
DENDROGRAM: Final = CLUSTERING + "dendrogram"
HEIGHT: Final = "height"
MERGE: Final = "merge"
LEAF: Final = "leaf"
#: variables of a tree, in the order of scipy's columns
TREE: Final[Variables] = dict.fromkeys(
    ("merge_left", "merge_right", "merge_height", "merge_size"), (MERGE,)
)
LINKAGES: Final = (
    "ward", "average", "complete", "single", "weighted", "centroid", "median",
)  # fmt: skip
EUCLIDEAN: Final = ("ward", "centroid", "median")  # linkages that are defined by means
LINKAGE_DOC: Final = (
    "How far two clusters are: increase of variance (ward), mean, greatest or least distance of "
    "their samples, or distance of their means (centroid, median). ward, centroid and median need "
    "Euclidean distances."
)


class dendrogram(PointStage):
    """Merge the two nearest clusters until one is left, and return the tree.

    Clusters 0..n-1 are the samples by position, n + i is what merge i made. Memory O(n^2).
    (Ward 1963; Lance and Williams 1967.)
    """

    version: ClassVar[int] = 1
    linkage = param.Selector(default="ward", objects=list(LINKAGES), doc=LINKAGE_DOC)
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)
    optimal = param.Boolean(
        False, doc="Order leaves so that neighbours are as near as may be (slow, O(n^2))."
    )

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        linkage: str,
        metric: str,
        optimal: bool,
        unit_rows: bool | None,
    ) -> xr.Dataset:
        """Return `merge_left`, `_right`, `_height`, `_size`, `_place` (merge), `leaf_order` (leaf).

        `leaf_order` holds positions of samples in the order of a drawing without crossings;
        `merge_place` is where in that order a merged cluster is drawn, midway between its two.

        Raises
        ------
        ValueError
            If there are fewer than 2 samples, linkage and metric do not fit, or a value is not
            finite.
        """
        from scipy.cluster.hierarchy import leaves_list, optimal_leaf_ordering

        given = points(embedding, "dendrogram", unit_rows)
        with solving():
            pairs = _apart(given, linkage, metric, "dendrogram")
            tree = _merged(pairs, linkage)
            order = leaves_list(optimal_leaf_ordering(tree, pairs) if optimal else tree)
        return dataset(
            {
                "merge_left": ((MERGE,), tree[:, 0].astype(np.int32)),
                "merge_right": ((MERGE,), tree[:, 1].astype(np.int32)),
                "merge_height": ((MERGE,), tree[:, 2]),
                "merge_size": ((MERGE,), tree[:, 3].astype(np.int32)),
                "merge_place": ((MERGE,), _places(tree, order)),
                "leaf_order": ((LEAF,), order.astype(np.int32)),
            },
            given.ids,
        )


class agglomerative(Clustering):
    """Merge the nearest clusters until k are left, for every k asked for, from one tree.

    Clusters are numbered by size, 0 the largest; `dendrogram` returns the tree. All
    k see the same points. Memory O(n^2).
    """

    version: ClassVar[int] = 1
    linkage = param.Selector(default="ward", objects=list(LINKAGES), doc=LINKAGE_DOC)
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: list[int],
        linkage: str,
        metric: str,
        unit_rows: bool | None,
    ) -> xr.DataArray:
        """Return `clustering_agglomerative`, dims (sample, n_clusters), int32.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters (or than 2), linkage and metric do not fit, or
            a value is not finite.
        """
        given = points(embedding, "agglomerative", unit_rows)
        counts = checked_counts(n_clusters, len(given.rows), "agglomerative", least=2)
        with solving():
            tree = _merged(_apart(given, linkage, metric, "agglomerative"), linkage)
            labels = [cut(tree, k) for k in counts]
        return swept(labels, given.ids, AGGLOMERATIVE, N_CLUSTERS, counts)


class cut_dendrogram(Stage):
    """Cut a dendrogram at heights: clusters are what was merged up to there.

    Clusters are numbered by size, 0 the largest.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {"tree": TREE}
    height = Reals(1.0, low=0, doc="Greatest heights of a merge: a number or several, > 0.")

    @staticmethod
    def compute(tree: xr.Dataset, *, height: list[float]) -> xr.DataArray:
        """Return `clustering_dendrogram`, dims (sample, height), int32.

        Merges are undone from the last one down to the first that is higher than `height`, so that
        clusters nest even where linkage centroid or median goes down again.

        Raises
        ------
        ValueError
            If the tree is not that of its samples, or a height is not finite.
        """
        merges = np.stack([tree[name].values for name in TREE], axis=1)
        n, rising = len(merges) + 1, np.maximum.accumulate(merges[:, 2])
        if tree.sizes.get(SAMPLE, n) != n or not np.isfinite(rising).all():
            raise ValueError(
                f"cut_dendrogram: needs one merge less than samples, at finite heights; got "
                f"{len(merges)} merges of {tree.sizes.get(SAMPLE, n)} samples, "
                f"{int((~np.isfinite(merges[:, 2])).sum())} heights that are not finite. Pass the "
                "whole result of stages.dendrogram."
            )
        done = np.searchsorted(rising, height, side="right")
        labels = [cut(merges, n - int(count)) for count in done]
        coords = {SAMPLE: tree[SAMPLE]} if SAMPLE in tree.coords else {}
        return swept(labels, coords, DENDROGRAM, HEIGHT, height)


def cut(tree: Array, k: int) -> Array:
    """Return labels (n,) of the k clusters before the last k - 1 merges of a tree (n - 1, 4)."""
    n = len(tree) + 1
    joined = tree[: n - k, :2].astype(np.int64).ravel()
    into = n + np.repeat(np.arange(n - k), 2)
    size = 2 * n - k
    edges = csr_array((np.ones(len(into), np.int8), (joined, into)), shape=(size, size))
    return connected_components(edges, directed=False)[1][:n]


def _apart(given: Points, linkage: str, metric: str, where: str) -> Array:
    """Return the distances between all pairs of points, condensed (n (n - 1) / 2,)."""
    from scipy.spatial.distance import squareform

    need_samples(given, 2, where, "Leave it out.")
    if linkage in EUCLIDEAN and metric not in ("euclidean", PRECOMPUTED):
        raise ValueError(
            f"{where}: needs metric='euclidean' (or 'precomputed') for linkage='{linkage}'; got "
            f"'{metric}'. Use linkage='average', or unit_rows=True in place of cosine."
        )
    return squareform(apart(given, metric, where), checks=False)


def _places(tree: Array, order: Array) -> Array:
    """Return the place (n - 1,) of each merge over leaves that are drawn at 0, 1, ..., n - 1."""
    n = len(order)
    place = np.empty(2 * n - 1)
    place[order] = np.arange(n)
    for new, (left, right) in enumerate(tree[:, :2].astype(np.int64), n):
        place[new] = (place[left] + place[right]) / 2
    return place[n:]


def _merged(pairs: Array, method: str) -> Array:
    """Return the tree (n - 1, 4) of merges of n samples from condensed distances."""
    from scipy.cluster.hierarchy import linkage

    tree: Array = linkage(pairs, method)
    return tree
