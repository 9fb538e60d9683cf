"""Nearest neighbours and the graph that they make, in memory O(samples x neighbours).

A graph travels as a Dataset: an edge list with both directions of every edge.
"""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import FEATURE, SAMPLE, describe
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage, variable
from fxrelay_analysis.stages.approximate import approximate, recall
from fxrelay_analysis.stages.distances import (
    DISTANCE,
    PRECOMPUTED,
    Measured,
    prepared,
    square_matrix,
)
from fxrelay_analysis.stages.metrics import METRICS, SQUARED, Options
from fxrelay_analysis.stages.nearest import nearest, nearest_by
from fxrelay_analysis.stages.preprocess import checked, ids

Array = np.ndarray[Any, Any]
NEIGHBOUR: Final = "neighbour"
RANK: Final = "rank"
EDGE: Final = "edge"
SOURCE: Final = "edge_source"
TARGET: Final = "edge_target"
WEIGHT: Final = "edge_weight"
METHODS: Final = ("auto", "exact", "approximate")
#: variables of a result of `neighbours`
NEAR: Final[Variables] = {NEIGHBOUR: (SAMPLE, RANK), DISTANCE: (SAMPLE, RANK)}
#: variables of a graph
GRAPH: Final[Variables] = {SOURCE: (EDGE,), TARGET: (EDGE,), WEIGHT: (EDGE,), SAMPLE: (SAMPLE,)}


class neighbours(Measured):
    """Find the nearest neighbours of every sample, itself excluded; `Measured` lists metrics.

    Exact search takes candidates from blocks of a float32 matrix product and ranks them in float64
    (metrics that are no Euclidean distance of anything are computed in blocks); rounding hides
    nobody. Equal distances are ordered by position, so duplicates are neighbours like any other.
    Approximate search is nearest-neighbour descent; its recall is measured on a random probe
    against exact search and kept in the attribute ``recall`` (1 where search is exact).
    """

    version: ClassVar[int] = 2
    metric = param.Selector(
        default="euclidean",
        objects=[*METRICS, PRECOMPUTED],
        doc="Name of the distance, or precomputed: the input is a matrix of distances.",
    )
    n_neighbours = param.Integer(10, bounds=(1, None), doc="Neighbours of each sample.")
    method = param.Selector(
        default="auto", objects=list(METHODS), doc="auto: exact up to `max_exact` samples."
    )
    max_exact = param.Integer(50_000, bounds=(1, None), doc="Samples up to which auto is exact.")
    n_probe = param.Integer(500, bounds=(1, None), doc="Samples on which recall is measured.")
    min_recall = param.Number(0.9, bounds=(0, 1), doc="Recall below which to warn.")
    seed = param.Integer(0, bounds=(0, None), doc="Seed of approximate search and its probe.")

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        metric: str,
        p: float,
        ridge: float,
        threshold: float,
        n_directions: int,
        window: float,
        n_neighbours: int,
        method: str,
        max_exact: int,
        n_probe: int,
        min_recall: float,
        seed: int,
    ) -> xr.Dataset:
        """Return `neighbour` (positions) and `distance`, dims (sample, rank), nearest first.

        Raises
        ------
        ValueError
            If there are no more samples than neighbours, a value is not finite, the metric and the
            dims do not fit, or a metric that has no approximate search should have one.
        ImportError
            If search is approximate and pynndescent is not installed.
        """
        array = checked(variable(features, FEATURE, "neighbours"), "neighbours")
        _check_count(len(array), n_neighbours)
        options = Options(p, ridge, threshold, n_directions, window)
        attrs: dict[str, Any] = {"metric": metric}
        attrs["method"] = _settled(method, metric, len(array), max_exact)
        if attrs["method"] == "exact":
            index, distance = _exact(array, metric, options, n_neighbours)
            attrs["recall"] = 1.0
        else:
            rows = prepared(array, metric, options, "neighbours")
            index, distance = approximate(rows, n_neighbours, seed)
            attrs |= {"recall": recall(rows, distance, n_probe, seed), "n_probe": n_probe}
            distance = _finished(metric, distance)
            _warn_of(attrs["recall"], min_recall, n_probe)
        found = {NEIGHBOUR: ((SAMPLE, RANK), index), DISTANCE: ((SAMPLE, RANK), distance)}
        return describe(xr.Dataset(found, ids(array), attrs))


class affinity(Stage):
    """Turn nearest neighbours into a symmetric weighted graph without self-loops.

    With A the 0/1 matrix of neighbours: ``mean`` (A + A^T)/2, ``binary`` max(A, A^T), ``mutual``
    min(A, A^T), ``weighted`` max(A, A^T) exp(-d_ij^2 / (s_i s_j)) with s_i the distance to the
    neighbour `scale_rank` (self-tuning scale, Zelnik-Manor and Perona 2004, eq. 2), and ``rbf``
    max(A, A^T) exp(-d_ij^2 / (2 sigma^2)). With all other samples as neighbours, that is the dense
    radial basis function. Edges whose weight is too small for float64 are left out.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Mapping[str, Variables]] = {"near": NEAR}
    mode = param.Selector(
        default="mean",
        objects=["mean", "binary", "mutual", "weighted", "rbf"],
        doc="How the two directions of an edge combine, and what weighs an edge.",
    )
    sigma = param.Number(
        None,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        allow_None=True,
        doc="Width of `rbf`; by default the median distance to the last neighbour.",
    )
    scale_rank = param.Integer(
        None,
        bounds=(1, None),
        allow_None=True,
        doc="Which neighbour's distance is the scale of `weighted`; by default the last's.",
    )

    @staticmethod
    def compute(
        near: xr.Dataset, *, mode: str, sigma: float | None, scale_rank: int | None
    ) -> xr.Dataset:
        """Return the edge list, dim edge, and the sample ids.

        Attributes: `mode`, and what it used of `sigma` and `scale_rank`.

        Raises
        ------
        ValueError
            If there are fewer neighbours than `scale_rank`, they are of other samples, or a
            distance is not finite.
        """
        index, distance = near_of(near, "affinity")
        width, rank = scales(distance, sigma, scale_rank, "affinity")
        weights = WEIGHTS[mode](index, distance, width, rank)
        weights.eliminate_zeros()
        found = weights.tocoo()
        source, target = (c.astype(np.int32) for c in found.coords)
        edges = xr.Dataset(
            {SOURCE: (EDGE, source), TARGET: (EDGE, target), WEIGHT: (EDGE, found.data)},
            ids(near[NEIGHBOUR]) or {SAMPLE: np.arange(len(index))},
            {"mode": mode, **_scale(mode, width, rank)},
        )
        return describe(edges)


def matrix(graph: xr.Dataset, where: str = "graph") -> csr_array:
    """Return the sparse symmetric matrix (n, n) of a graph.

    Raises
    ------
    ValueError
        If edges join what is no sample, or a weight is negative or not finite.
    """
    n, ends, weights = graph.sizes[SAMPLE], _ends(graph), graph[WEIGHT].values
    outside = int(((ends < 0) | (ends >= n)).any(axis=0).sum())
    odd = int((~np.isfinite(weights) | (weights < 0)).sum())
    if n == 0 or outside or odd:
        raise ValueError(
            f"{where}: needs a graph of samples with finite weights >= 0; got {n} samples, "
            f"{outside} edges that end elsewhere and {odd} other weights. Select samples first, "
            "then make their graph."
        )
    return csr_array((weights, tuple(ends)), shape=(n, n))


def scales(
    distance: Array, sigma: float | None, scale_rank: int | None, where: str
) -> tuple[float, int]:
    """Return the width of `rbf` and the rank of the scale of `weighted`, defaults settled.

    The width is the median distance (n, k) to the last neighbour, 1 where that is zero.

    Raises
    ------
    ValueError
        If there are fewer neighbours than `scale_rank`.
    """
    count = distance.shape[1]
    if scale_rank is not None and scale_rank > count:
        raise ValueError(
            f"{where}: needs scale_rank <= the number of neighbours, {count}; got {scale_rank}. "
            "Lower it or ask neighbours for more."
        )
    typical = float(np.median(distance[:, -1])) or 1.0
    return typical if sigma is None else sigma, count if scale_rank is None else scale_rank


def _scale(mode: str, width: float, rank: int) -> dict[str, Any]:
    used: dict[str, dict[str, Any]] = {
        "rbf": {"sigma": float(width)}, "weighted": {"scale_rank": int(rank)}
    }  # fmt: skip
    return used.get(mode, {})


def _check_count(n: int, k: int) -> None:
    if n <= k:
        raise ValueError(
            f"neighbours: needs more samples than n_neighbours={k}; got {n}. Lower n_neighbours or "
            "add samples."
        )


def _ends(graph: xr.Dataset) -> Array:
    return np.stack([graph[SOURCE].values, graph[TARGET].values])


def near_of(near: xr.Dataset, where: str) -> tuple[Array, Array]:
    """Return positions (n, k) of neighbours and distances (n, k) to them.

    Raises
    ------
    ValueError
        If neighbours are not among the n samples (scipy would crash), or distances not finite.
    """
    index, distance = near[NEIGHBOUR].values, near[DISTANCE].values
    outside = int(((index < 0) | (index >= len(index))).sum())
    odd = int((~np.isfinite(distance)).sum())
    if not index.size or outside or odd:
        raise ValueError(
            f"{where}: needs neighbours among its samples at finite distances; got {len(index)} "
            f"samples, {outside} neighbours that are none of them and {odd} other distances. "
            "Select samples first, then find their neighbours."
        )
    return index, distance


def _settled(method: str, metric: str, n: int, max_exact: int) -> str:
    fast = metric != PRECOMPUTED and METRICS[metric].compare == SQUARED
    if method == "auto":
        method = "exact" if n <= max_exact or metric == PRECOMPUTED else "approximate"
    if method == "approximate" and not fast:
        quick = ", ".join(name for name, row in METRICS.items() if row.compare == SQUARED)
        raise ValueError(
            f"neighbours: needs a metric among {quick} for approximate search; got {metric!r} and "
            f"{n} samples. Use method='exact' or another metric."
        )
    return method


def _exact(array: xr.DataArray, metric: str, options: Options, k: int) -> tuple[Array, Array]:
    if metric == PRECOMPUTED:
        values = square_matrix(array, "neighbours")
        return nearest_by(lambda rows: values[rows], len(values), k)
    x, row = prepared(array, metric, options, "neighbours"), METRICS[metric]
    if row.compare == SQUARED:
        index, distance = nearest(x, k)
        return index, _finished(metric, distance)
    return nearest_by(lambda rows: row.between(x[rows], x, options), len(x), k)


def _finished(metric: str, distance: Array) -> Array:
    """Return what Euclidean distances of prepared rows mean for the metric."""
    return distance if metric == "euclidean" else METRICS[metric].finish(np.square(distance))


def _warn_of(share: float, least: float, n_probe: int) -> None:
    if share < least:
        warnings.warn(
            f"neighbours: needs recall of at least min_recall={least:g}; got {share:.3f} on "
            f"{n_probe} random samples. Use method='exact', or accept it with a lower min_recall.",
            stacklevel=5,
        )


def _directed(index: Array, weight: Array) -> csr_array:
    n, k = index.shape
    starts = np.arange(0, n * k + 1, k, dtype=np.int32 if n * k < 2**31 else np.int64)
    out = csr_array((weight.ravel(), index.ravel().astype(starts.dtype), starts), shape=(n, n))
    out.sort_indices()
    return out


def _either(index: Array, weight: Array) -> csr_array:
    directed = _directed(index, weight)
    return directed.maximum(directed.T.tocsr())


def _mean(index: Array) -> csr_array:
    directed = _directed(index, np.full(index.shape, 0.5))
    return directed + directed.T.tocsr()


def _mutual(index: Array) -> csr_array:
    directed = _directed(index, np.ones(index.shape))
    return directed.minimum(directed.T.tocsr())


def _local(index: Array, distance: Array, rank: int) -> Array:
    scale = distance[:, rank - 1]
    product = scale[:, None] * scale[index]
    square = np.divide(np.square(distance), product, out=np.zeros_like(distance), where=product > 0)
    weight: Array = np.exp(-square)
    return weight


#: mode -> symmetric matrix (n, n) from neighbours (n, k), distances (n, k), width and rank of scale
WEIGHTS: Final = {
    "mean": lambda index, *_: _mean(index),
    "binary": lambda index, *_: _either(index, np.ones(index.shape)),
    "mutual": lambda index, *_: _mutual(index),
    "weighted": lambda index, distance, _, rank: _either(index, _local(index, distance, rank)),
    "rbf": lambda index, distance, width, _: _either(
        index, np.exp(-np.square(distance / width) / 2)
    ),
}
