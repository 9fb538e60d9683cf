"""How well the clusters of a clustering keep apart: silhouette and ratios of spread."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import N_CLUSTERS
from fxrelay_analysis.stages.cluster import LEADING, solving
from fxrelay_analysis.stages.points import Points, PointStage, points
from fxrelay_analysis.stages.sweeps import NOISE, Sweep, clustering_of, need_same_samples, sweep_of
from fxrelay_analysis.stages.validity import cluster_array, width

Array = np.ndarray[Any, Any]
SILHOUETTE: Final = "silhouette"
MEAN_SILHOUETTE: Final = "mean_silhouette"
CALINSKI_HARABASZ: Final = "calinski_harabasz"
DAVIES_BOULDIN: Final = "davies_bouldin"
CLUSTER_DAVIES_BOULDIN: Final = "cluster_davies_bouldin"
#: score(x (n, d), labels (n,) 0..k-1, no noise) -> one number, and one for each cluster
Score = Callable[[Array, Array], tuple[float, Array]]


class Validity(PointStage):
    """A score of a clustering from the points that it was made of."""

    leading = param.Boolean(
        None,
        allow_None=True,
        doc="Of a spectral embedding, score k clusters by the first k components only. None: as "
        "the clustering did, by its attribute `leading`. Other k are then scored in other spaces.",
    )


class silhouette(Validity):
    """Compare how far samples are from their own cluster and from the next: (b - a) / max(a, b).

    a is the mean distance to the sample's own cluster, b the least mean distance to another one.
    In [-1, 1]; on at most `max_samples` samples drawn by `seed`. (Rousseeuw 1987.)
    """

    version: ClassVar[int] = 2
    max_samples = param.Integer(4000, bounds=(10, None), doc="Samples that are compared.")
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the draw.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        clustering: xr.DataArray | xr.Dataset,
        *,
        max_samples: int,
        seed: int,
        leading: bool | None,
        unit_rows: bool | None,
    ) -> xr.Dataset:
        """Return `silhouette` ([sweep], cluster) and `mean_silhouette` ([sweep]).

        NaN where there is a single cluster, or as many as samples.
        """
        from sklearn.metrics import silhouette_samples

        def score(x: Array, labels: Array) -> tuple[float, Array]:
            rows, out = _drawn(len(x), max_samples, seed), np.full(labels.max() + 1, np.nan)
            inside = labels[rows]
            if not 2 <= len(np.unique(inside)) < len(rows):
                return np.nan, out
            values = silhouette_samples(x[rows], inside)
            for cluster in np.unique(inside):
                out[cluster] = values[inside == cluster].mean()
            return float(values.mean()), out

        given = points(embedding, "silhouette", unit_rows)
        names = (MEAN_SILHOUETTE, SILHOUETTE)
        return scored("silhouette", given, clustering, names, score, leading)


class calinski_harabasz(Validity):
    """Compare the spread of the clusters' means with that within: tr B / (k-1) over tr W / (n-k).

    The greater the better. (Calinski and Harabasz 1974, eq. 3.)
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        clustering: xr.DataArray | xr.Dataset,
        *,
        leading: bool | None,
        unit_rows: bool | None,
    ) -> xr.DataArray:
        """Return `calinski_harabasz` ([sweep]); NaN for one cluster, infinite without spread."""
        given = points(embedding, "calinski_harabasz", unit_rows)

        def score(x: Array, labels: Array) -> tuple[float, Array]:
            n, k = len(labels), labels.max() + 1
            if not 2 <= k < n:
                return np.nan, np.empty(0)
            means = _means(x, labels)
            within = np.square(x - means[labels]).sum() / (n - k)
            between = np.square(means[labels] - x.mean(axis=0)).sum() / (k - 1)
            return float(between / within) if within > 0 else np.inf, np.empty(0)

        names = (CALINSKI_HARABASZ, "")
        return scored(names[0], given, clustering, names, score, leading)[CALINSKI_HARABASZ]


class davies_bouldin(Validity):
    """Compare each cluster with the one it is least apart from: max_j (s_i + s_j) / |m_i - m_j|.

    s_i is the mean distance of the samples of cluster i to its mean m_i. The mean over clusters is
    the index, the less the better. (Davies and Bouldin 1979, eq. 3-5.)
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        clustering: xr.DataArray | xr.Dataset,
        *,
        leading: bool | None,
        unit_rows: bool | None,
    ) -> xr.Dataset:
        """Return `davies_bouldin` ([sweep]), `cluster_davies_bouldin` ([sweep], cluster).

        NaN for one cluster, infinite where means coincide.
        """
        given = points(embedding, "davies_bouldin", unit_rows)

        def score(x: Array, labels: Array) -> tuple[float, Array]:
            k = labels.max() + 1
            if k < 2:
                return np.nan, np.full(k, np.nan)
            means = _means(x, labels)
            away = np.linalg.norm(x - means[labels], axis=1)
            spread = np.bincount(labels, away) / np.bincount(labels)
            apart = np.linalg.norm(means[:, None] - means, axis=2)
            both = spread[:, None] + spread
            ratio = np.divide(both, apart, out=np.full((k, k), np.inf), where=apart > 0)
            ratio[(apart == 0) & (both == 0) | np.eye(k, dtype=bool)] = 0
            return float(ratio.max(axis=1).mean()), ratio.max(axis=1)

        names = (DAVIES_BOULDIN, CLUSTER_DAVIES_BOULDIN)
        return scored(names[0], given, clustering, names, score, leading)


def scored(
    where: str,
    given: Points,
    clustering: xr.DataArray | xr.Dataset,
    names: tuple[str, str],
    score: Score,
    leading: bool | None,
) -> xr.Dataset:
    """Return `score` of every setting of a sweep as two variables; no second one without a name.

    Raises
    ------
    ValueError
        If points and clustering are not of the same samples in one order.
    """
    found = clustering_of(clustering, where)
    sweep = sweep_of(found, where)
    need_same_samples(given.labelled(), found, where)
    whole = np.full(sweep.labels.shape[1], np.nan)
    each = np.full((len(whole), width(sweep)), np.nan)
    with solving():
        for row, x in enumerate(_clustered(given, found, sweep, leading)):
            inside = sweep.labels[:, row] != NOISE
            clusters, labels = np.unique(sweep.labels[inside, row], return_inverse=True)
            if len(clusters):
                whole[row], values = score(x[inside], labels)
                each[row, clusters[: len(values)]] = values
    ds = sweep.array(whole, (), {}, names[0]).to_dataset()
    if not names[1]:
        return ds
    return ds.assign({names[1]: cluster_array(sweep, each, names[1])})


def _clustered(
    given: Points, found: xr.DataArray, sweep: Sweep, leading: bool | None
) -> Iterator[Array]:
    """Yield the points (n, d) that each setting of a sweep was to cluster."""
    first = found.attrs.get(LEADING, False) if leading is None else leading
    counts = sweep.labels.max(axis=0) + 1
    if list(sweep.shape) == [N_CLUSTERS] and N_CLUSTERS in sweep.coords:
        counts = sweep.coords[N_CLUSTERS].values
    return (given.first(int(k)) if first else given.scaled() for k in counts)


def _means(x: Array, labels: Array) -> Array:
    """Return the mean (k, d) of the rows of each cluster 0..k-1."""
    n, sizes = len(labels), np.bincount(labels)
    member = csr_array((np.ones(n), (labels, np.arange(n))), shape=(len(sizes), n))
    means: Array = member @ x / sizes[:, None]
    return means


def _drawn(n: int, most: int, seed: int) -> Array:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
