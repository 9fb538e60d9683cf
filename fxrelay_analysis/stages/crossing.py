"""Distances from new samples to old ones, and the edges that would join them to their graph."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis.stages.distances import PRECOMPUTED, prepared
from fxrelay_analysis.stages.metrics import METRICS, Options
from fxrelay_analysis.stages.preprocess import checked

Array = np.ndarray[Any, Any]
BLOCK: Final = 1 << 21  # distances that are held at once
ROUNDING: Final = 1e-9  # of distances that are computed in two ways
#: metrics that look at two samples only, and at no parameter
CROSS_METRICS: Final = (
    "euclidean", "sqeuclidean", "cosine", "pearson", "spearman", "hellinger", "jensenshannon",
    "wasserstein", "cityblock", "chebyshev", "canberra", "braycurtis", PRECOMPUTED,
)  # fmt: skip
METRIC_DOC: Final = "Distance of `distances`; precomputed: `new` are distances (sample, other)."


def crossed(
    old: xr.DataArray, new: xr.DataArray, metric: str, where: str
) -> Iterator[tuple[slice, Array]]:
    """Yield blocks of distances (m, n) from new samples to the n old ones, and which they are.

    Raises
    ------
    ValueError
        If dims or sizes of the two do not fit, or the metric depends on more than two samples.
    """
    if metric not in CROSS_METRICS:
        raise ValueError(
            f"{where}: needs a metric among {', '.join(CROSS_METRICS)}; got {metric}. Others "
            "depend on all samples or on parameters: pass distances and metric='precomputed'."
        )
    old, new = checked(old, where), checked(new, where)
    if metric == PRECOMPUTED:
        _need_same((new.shape[1:], new.dims[:1]), (old.shape[:1], (SAMPLE,)), where)
        yield slice(0, len(new)), new.values.astype(np.float64)
        return
    _need_same((new.shape[1:], new.dims), (old.shape[1:], old.dims), where)
    both = np.concatenate([old.values, new.values]).astype(np.float64)
    rows = prepared(xr.DataArray(both, dims=old.dims), metric, Options(), where)
    ours, theirs = rows[: len(old)], rows[len(old) :]
    step = max(1, BLOCK // len(old))
    for start in range(0, len(new), step):
        part = slice(start, min(start + step, len(new)))
        yield part, METRICS[metric].between(theirs[part], ours, Options())


def closest(away: Array, k: int) -> tuple[Array, Array]:
    """Return positions (m, k) and distances (m, k) of the k old samples nearest to each new one.

    Equal distances are ordered by position.
    """
    k = min(k, away.shape[1])
    index = np.argpartition(away, k - 1, axis=1)[:, :k]
    distance = np.take_along_axis(away, index, axis=1)
    order = np.lexsort((index, distance), axis=1)
    index, distance = (np.take_along_axis(part, order, axis=1) for part in (index, distance))
    for row in np.flatnonzero((away <= distance[:, -1:]).sum(axis=1) > k):  # ties with the last
        index[row] = np.argsort(away[row], kind="stable")[:k]
    return index, distance


def edges(away: Array, near: Array, mode: str, width: float, rank: int) -> Array:
    """Return the weights (m, n) that `affinity` would give to edges from new to old samples.

    An old sample at distance 0 is the new one itself, and no neighbour of it.

    Parameters
    ----------
    away : ndarray (m, n)
        Distances from new samples to old ones.
    near : ndarray (n, k)
        Distances of old samples to their own neighbours.
    mode, width, rank
        Mode, sigma and scale_rank of `affinity`.
    """
    own = away.copy()
    twin = np.argmin(own, axis=1)
    same = np.flatnonzero(own[np.arange(len(own)), twin] == 0)
    own[same, twin[same]] = np.inf
    index, distance = closest(own, near.shape[1])
    forward = np.zeros(own.shape, bool)
    np.put_along_axis(forward, index, np.isfinite(distance), axis=1)
    backward = own <= near[:, -1] * (1 + ROUNDING)
    scale = distance[:, min(rank, distance.shape[1]) - 1, None] * near[:, rank - 1]
    return MODES[mode](forward, backward, own, width, scale)


def _local(own: Array, scale: Array) -> Array:
    """Return exp(-d^2 / s_i s_j); 1 where the scale is 0."""
    square = np.divide(np.square(own), scale, out=np.zeros_like(own), where=scale > 0)
    weight: Array = np.exp(-square)
    return weight


def _need_same(got: object, wanted: object, where: str) -> None:
    if got != wanted:
        raise ValueError(
            f"{where}: needs new samples like the old ones, shape and dims {wanted}; got {got}. "
            "Preprocess both alike."
        )


#: mode of affinity -> weights from who is whose neighbour (m, n), distances, width, local scales
MODES: Final[dict[str, Callable[[Array, Array, Array, float, Array], Array]]] = {
    "mean": lambda forward, backward, *_: (forward.astype(float) + backward) / 2,
    "binary": lambda forward, backward, *_: (forward | backward).astype(float),
    "mutual": lambda forward, backward, *_: (forward & backward).astype(float),
    "weighted": lambda forward, backward, own, _, scale: np.where(
        forward | backward, _local(own, scale), 0
    ),
    "rbf": lambda forward, backward, own, width, _: np.where(
        forward | backward, np.exp(-np.square(own / width) / 2), 0
    ),
}
