"""How alike two clusterings of the same samples are, and which clusters belong together."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, SAMPLE
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.sweeps import NOISE, Sweep, sweep_of

Array = np.ndarray[Any, Any]
RAND: Final = "adjusted_rand_index"
NORMALIZED: Final = "normalized_mutual_information"
ADJUSTED: Final = "adjusted_mutual_information"
MATCH: Final = "match"
OVERLAP: Final = "overlap"
#: what the dimensions of the second clustering's sweep get at their end
OTHER: Final = "_other"


class compare(Stage):
    r"""Compare two clusterings, setting by setting, on the samples that both have.

    Agreement is the adjusted Rand index (Hubert and Arabie 1985, 1 for equal partitions, 0 by
    chance), and the mutual information normalised by the mean entropy and adjusted for chance
    (Vinh, Epps and Bailey 2010). Clusters are matched one to one so that the sum of their
    overlaps is greatest (Hungarian method); the overlap of clusters A and B is
    :math:`|A \cap B| / |A \cup B|`. A cluster that is left over, and noise,
    has match -1 and overlap 0.
    """

    version: ClassVar[int] = 1
    noise = param.Selector(
        default="cluster",
        objects=["cluster", "drop"],
        doc="Samples without a cluster (-1): one more cluster, or dropped where either has them.",
    )

    @staticmethod
    def compute(first: xr.DataArray, second: xr.DataArray, *, noise: str) -> xr.Dataset:
        """Return the three indices (sweep, sweep_other), `match` and `overlap` (..., cluster).

        The second clustering's sweep dimensions end in "_other". The attributes ``n_common`` and
        ``n_samples`` say how many samples were compared of how many. NaN where none is left.

        Raises
        ------
        ValueError
            If the two share no samples, or are not clusterings.
        """
        one, two = sweep_of(first, "compare"), sweep_of(second, "compare")
        here, there = _common(one, two)
        left, right = one.labels[here], two.labels[there]
        pairs = [[_compared(a, b, noise, one.clusters) for b in right.T] for a in left.T]
        out = xr.Dataset(
            attrs={"n_common": len(left), "n_samples": [len(one.labels), len(two.labels)]}
        )
        for i, name in enumerate((RAND, NORMALIZED, ADJUSTED, MATCH, OVERLAP)):
            values = np.array([[pair[i] for pair in row] for row in pairs])
            out[name] = _labelled(one, two, values, name)
        return out


def _common(first: Sweep, second: Sweep) -> tuple[Array, Array]:
    """Return where the samples that both have stand in each, in the order of the first."""
    ids, others = (s.sample.to_index() for s in (first, second))
    twice = [s for s in (ids, others) if not s.is_unique]
    places = others.get_indexer(ids) if not twice else np.empty(0, int)
    if not (places >= 0).any():
        got = f"{len(ids)} and {len(others)} samples" + (", ids not unique" if twice else "")
        raise ValueError(
            f"compare: needs two clusterings that share samples; got {got} with no id in common. "
            f"Give both the same '{SAMPLE}' coordinate."
        )
    return np.flatnonzero(places >= 0), places[places >= 0]


def _compared(a: Array, b: Array, noise: str, clusters: Array) -> tuple[Any, ...]:
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        normalized_mutual_info_score,
    )

    match, overlap = np.full(len(clusters), NOISE), np.zeros(len(clusters))
    kept = np.full(len(a), True) if noise == "cluster" else (a != NOISE) & (b != NOISE)
    a, b = a[kept], b[kept]
    if not len(a):
        return (*[np.nan] * 3, match, overlap)
    scores = (adjusted_rand_score, normalized_mutual_info_score, adjusted_mutual_info_score)
    for left, right, shared in _matched(a, b):
        at = left - clusters[0]
        match[at], overlap[at] = (right, shared) if shared else (NOISE, 0.0)
    return (*[score(a, b) for score in scores], match, overlap)


def _matched(a: Array, b: Array) -> list[tuple[int, int, float]]:
    """Return pairs of clusters, one to one, and their overlap; 0 where one of them is noise."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    both = contingency_matrix(a, b).astype(float)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    shared = both / union
    shared[np.unique(a) == NOISE] = 0
    shared[:, np.unique(b) == NOISE] = 0
    rows, columns = linear_sum_assignment(-shared)
    names = np.unique(a)[rows], np.unique(b)[columns]
    return list(zip(*(n.tolist() for n in names), shared[rows, columns].tolist(), strict=True))


def _labelled(first: Sweep, second: Sweep, values: Array, name: str) -> xr.DataArray:
    """Return `values` (columns, columns of the second, [cluster]) as a labelled table."""
    other = {f"{d}{OTHER}": size for d, size in second.shape.items()}
    coords = dict(first.coords) | {
        f"{n}{OTHER}": ([f"{d}{OTHER}" for d in c.dims], c.values) for n, c in second.coords.items()
    }
    dims = (*first.shape, *other)
    if values.ndim == 3:
        dims, coords = (*dims, CLUSTER), coords | {CLUSTER: first.clusters}
    shape = (*first.shape.values(), *other.values(), *values.shape[2:])
    return labelled(xr.DataArray(values.reshape(shape), coords, dims), name)
