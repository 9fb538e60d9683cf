"""Nearest neighbours and the graph that they make, in memory O(samples x neighbours).

A graph travels as a Dataset: an edge list with both directions of every edge.
"""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import FEATURE, SAMPLE
from fxrelay_analysis.stage import Stage, variable
from fxrelay_analysis.stages.preprocess import checked

Array = np.ndarray[Any, Any]
NEIGHBOUR: Final = "neighbour"
DISTANCE: Final = "distance"
EDGE: Final = "edge"
SOURCE: Final = "edge_source"
TARGET: Final = "edge_target"
WEIGHT: Final = "edge_weight"
BLOCK: Final = 1 << 23  # distances that are held at once


class neighbours(Stage):
    """Find the exact Euclidean nearest neighbours of every sample, itself excluded.

    Candidates come from blocks of a float32 matrix product and are ranked again in float64. Rows
    where rounding could have hidden a neighbour are computed in float64 from the start. Equal
    distances are ordered by position.
    """

    version: ClassVar[int] = 1
    n_neighbours = param.Integer(10, bounds=(1, None), doc="Neighbours of each sample.")

    @staticmethod
    def compute(features: xr.DataArray | xr.Dataset, *, n_neighbours: int) -> xr.Dataset:
        """Return `neighbour` (positions) and `distance`, dims (sample, rank), nearest first.

        Raises
        ------
        ValueError
            If there are no more samples than neighbours, or a value is not finite.
        """
        array = checked(variable(features, FEATURE, "neighbours"), "neighbours")
        x = array.values.reshape(len(array), -1)
        if len(x) <= n_neighbours:
            raise ValueError(
                f"neighbours: needs more samples than n_neighbours={n_neighbours}; got {len(x)}. "
                "Lower n_neighbours or add samples."
            )
        index, distance = nearest(x, n_neighbours)
        ids = {SAMPLE: array[SAMPLE]} if SAMPLE in array.coords else {}
        dims = (SAMPLE, "rank")
        note = {"long_name": "position of the neighbour", "units": "1"}
        far = {"long_name": "Euclidean distance to the neighbour", "units": "1"}
        return xr.Dataset(
            {NEIGHBOUR: (dims, index, note), DISTANCE: (dims, distance, far)}, coords=ids
        )


class affinity(Stage):
    """Turn nearest neighbours into a symmetric weighted graph without self-loops.

    With A the 0/1 matrix of neighbours: ``mean`` (A + A^T)/2, ``binary`` max(A, A^T), ``mutual``
    min(A, A^T), and ``weighted`` max(A, A^T) exp(-d_ij^2 / (s_i s_j)) with s_i the distance to the
    last neighbour (self-tuning scale, Zelnik-Manor and Perona 2004, eq. 2).
    """

    version: ClassVar[int] = 1
    mode = param.Selector(
        default="mean",
        objects=["mean", "binary", "mutual", "weighted"],
        doc="How the two directions of an edge combine.",
    )

    @staticmethod
    def compute(near: xr.Dataset, *, mode: str) -> xr.Dataset:
        """Return the edge list, dim edge, and the sample ids."""
        index, distance = near[NEIGHBOUR].values, near[DISTANCE].values
        matrix = WEIGHTS[mode](index, distance).tocoo()
        text = {"long_name": "position of a sample", "units": "1"}
        row, column = matrix.coords
        return xr.Dataset(
            {
                SOURCE: (EDGE, row.astype(np.int32), text),
                TARGET: (EDGE, column.astype(np.int32), text),
                WEIGHT: (EDGE, matrix.data, {"long_name": "affinity", "units": "1"}),
            },
            coords={SAMPLE: near[SAMPLE]},
        )


def matrix(graph: xr.Dataset) -> csr_array:
    """Return the sparse symmetric matrix (n, n) of a graph."""
    n = graph.sizes[SAMPLE]
    where = (graph[SOURCE].values, graph[TARGET].values)
    return csr_array((graph[WEIGHT].values, where), shape=(n, n))


def nearest(x: Array, k: int) -> tuple[Array, Array]:
    """Return positions (n, k) int32 and distances (n, k) float64 of the k nearest rows of x."""
    x = x - x.mean(axis=0, dtype=np.float64)  # centred: the products cancel less
    power = int(np.frexp(np.abs(x).max())[1])
    x = np.ldexp(x, -power)  # exact, and no square leaves the range of float32
    low = x.astype(np.float32)
    norms = np.square(low).sum(axis=1)
    rows = max(1, BLOCK // max(len(x), min(2 * k, len(x) - 1) * x.shape[1]))
    parts = [
        _nearest(x, low, norms, np.arange(start, min(start + rows, len(x))), k)
        for start in range(0, len(x), rows)
    ]
    index, distance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return index.astype(np.int32), np.ldexp(distance, power)


def _nearest(x: Array, low: Array, norms: Array, rows: Array, k: int) -> tuple[Array, Array]:
    m = min(2 * k, len(x) - 1)
    rough = norms[rows, None] + norms - 2 * (low[rows] @ low.T)
    rough[np.arange(len(rows)), rows] = np.inf
    candidates = np.argpartition(rough, m - 1, axis=1)[:, :m]
    last = np.take_along_axis(rough, candidates, axis=1).max(axis=1)
    index, square = _ranked(x, rows, candidates, k)
    error = np.finfo(np.float32).eps * (x.shape[1] + 8) * (norms[rows] + norms.max())
    unsure = np.flatnonzero(square[:, -1] > last - error) if m < len(x) - 1 else ()
    for at in unsure:
        others = np.delete(np.arange(len(x)), rows[at])[None]
        index[at], square[at] = (part[0] for part in _ranked(x, rows[at : at + 1], others, k))
    return index, np.sqrt(square)


def _ranked(x: Array, rows: Array, candidates: Array, k: int) -> tuple[Array, Array]:
    square = np.square(x[rows][:, None] - x[candidates]).sum(axis=2)
    order = np.lexsort((candidates, square), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(square, order, 1)


def _directed(index: Array, weight: Array) -> csr_array:
    n, k = index.shape
    return csr_array((weight.ravel(), (np.repeat(np.arange(n), k), index.ravel())), shape=(n, n))


def _ones(index: Array) -> csr_array:
    return _directed(index, np.ones(index.shape))


def _weighted(index: Array, distance: Array) -> csr_array:
    scale = distance[:, -1]
    product = scale[:, None] * scale[index]
    square = np.divide(np.square(distance), product, out=np.zeros_like(distance), where=product > 0)
    directed = _directed(index, np.exp(-square))
    return directed.maximum(directed.T)


#: mode -> symmetric matrix (n, n) from neighbours (n, k) and distances (n, k)
WEIGHTS: Final = {
    "mean": lambda index, _: (_ones(index) + _ones(index).T) / 2,
    "binary": lambda index, _: _ones(index).maximum(_ones(index).T),
    "mutual": lambda index, _: _ones(index).minimum(_ones(index).T),
    "weighted": _weighted,
}
