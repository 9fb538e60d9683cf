"""What the clusters of a category tell: separability, isolation, surplus, suspicion."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import N_CLUSTERS, SUSPICION
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.graph import matrix
from fxrelay_analysis.stages.spectral import DEGREE, SPECTRAL
from fxrelay_analysis.stages.validity import per_cluster

Array = np.ndarray[Any, Any]
SEPARABILITY: Final = "separability"
ISOLATION: Final = "isolation"
SURPLUS: Final = "surplus"
#: between over within variance of a cosine cut in the middle: 8 / pi^2 of its variance is between
CONTINUUM: Final = 8 / (np.pi**2 - 8)
#: share of the total variance that is added to the variance within, so that scores stay finite
SHRINKAGE: Final = 0.01


class fisher(Stage):
    r"""Measure how separable each cluster is from the rest of its category.

    Along a diffusion coordinate phi_j = D^-1/2 v_j (j >= 1), Fisher's ratio of the variance
    between cluster and rest to the variance within them is R^2 / (1 - R^2), with R the
    correlation of phi_j and membership; the best j counts. The unit is the ratio
    8 / (pi^2 - 8) = 4.28 of a continuum: relevance that varies evenly along one direction has
    phi_1 = cos(pi t), and its best cut reaches 1 whatever the number of samples. Groups with a
    gap between them reach more, up to 23 (within variance is shrunk by 1 % of the total).
    (Fisher 1936; Anders et al. 2022, section 3.2, rank classes by the same ratio.)
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(embedding: xr.Dataset, clustering: xr.DataArray) -> xr.DataArray:
        """Return `separability`, dims (n_clusters, cluster); NaN where a cluster has no rest."""
        phi = diffusion(embedding[SPECTRAL].values, embedding[DEGREE].values)
        return per_cluster(clustering, SEPARABILITY, lambda member, _: separability(phi, member))


class isolation(Stage):
    """Count the edges of each cluster for every one that leaves it: 1 / conductance.

    Conductance is cut(S, rest) / min(vol S, vol rest); a cluster without outgoing edges gets its
    volume. (von Luxburg 2007, section 5.)
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(graph: xr.Dataset, clustering: xr.DataArray) -> xr.DataArray:
        """Return `isolation`, dims (n_clusters, cluster)."""
        weights = matrix(graph)
        return per_cluster(clustering, ISOLATION, lambda member, _: _isolation(weights, member))


class surplus(Stage):
    """Find how much relevance a cluster has where the rest has least: max_f (mean_in - mean_out).

    Of the two sides of a cut, the greater surplus tells which one has something that the other
    lacks.
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(features: xr.DataArray, clustering: xr.DataArray) -> xr.DataArray:
        """Return `surplus`, dims (n_clusters, cluster); NaN where a cluster has no rest."""
        x = features.values

        def score(member: Array, _: Array) -> float:
            if member.all():
                return float("nan")
            return float((x[member].mean(axis=0) - x[~member].mean(axis=0)).max())

        return per_cluster(clustering, SURPLUS, score)


class suspicion(Stage):
    """Judge a category by its most separable cluster that is large enough to be a strategy.

    Suspicion is the greatest separability (see `fisher`) over all clusters of the sweep that hold
    at least `min_share` of the samples, and leave as many outside; small groups of outliers exist
    in clean data too, and stay visible in `separability`. A continuum has 1. From `threshold` on
    the category is flagged: 3 lies between clean categories of digits (up to 2) and those with a
    planted artefact (6 to 22). Both sides of a cut are equally separable: the one with the
    greater surplus is named.
    """

    version: ClassVar[int] = 1
    min_share = param.Number(
        0.08, bounds=(0, 0.5), doc="Least share of the samples on either side of a cluster."
    )
    threshold = param.Number(3.0, bounds=(0, None), doc="Suspicion from which on to flag.")

    @staticmethod
    def compute(
        scores: xr.DataArray,
        size: xr.DataArray,
        surplus: xr.DataArray,
        *,
        min_share: float,
        threshold: float,
    ) -> xr.Dataset:
        """Return `suspicion`, `flagged`, `chosen_n_clusters`, `suspicious_cluster` and its size."""
        count, n = size.values, float(np.nansum(size.values[0]))
        allowed = np.minimum(count, n - count) >= max(2.0, min_share * n)
        value = np.where(allowed, scores.values, 0.0)
        best, found = value.max(), bool(allowed.any())
        equal = np.argwhere(allowed & (value >= best * (1 - 1e-6))) if found else [(0, 0)]
        row, cluster = min(map(tuple, equal), key=lambda at: (at[0], -surplus.values[at]))
        ds = xr.Dataset(
            {
                SUSPICION: float(best),
                "flagged": bool(found and best >= threshold),
                "chosen_n_clusters": np.int32(size[N_CLUSTERS].values[row]),
                "suspicious_cluster": np.int32(cluster if found else -1),
                "suspicious_size": np.int32(count[row, cluster] if found else 0),
            },
            attrs={"min_share": min_share, "threshold": threshold},
        )
        return ds.assign({name: labelled(ds[name], str(name)) for name in ds.data_vars})


def diffusion(vectors: Array, degree: Array) -> Array:
    """Return the diffusion coordinates D^-1/2 v (n, q) of unit eigenvectors (n, q)."""
    return vectors / np.sqrt(np.where(degree > 0, degree, 1))[:, None]


def separability(phi: Array, member: Array) -> float:
    """Return Fisher's ratio for `member` (n,) along the best column of phi (n, q), in continua.

    NaN where everybody is a member.
    """
    share = member.mean()
    if share == 1:
        return float("nan")
    centred = phi - phi.mean(axis=0)
    total = np.square(centred).mean(axis=0)
    between = share / (1 - share) * np.square(centred[member].mean(axis=0))
    varies = total > 1e-12 * np.square(phi).mean(axis=0)
    r2 = np.divide(between, total, out=np.zeros_like(total), where=varies)
    return float((r2 / (1 - r2 + SHRINKAGE)).max() / CONTINUUM)


def _isolation(weights: csr_array, member: Array) -> float:
    inside = member.astype(np.float64)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    cut = float(inside @ (weights @ (1 - inside)))
    volume = min(float(degree @ inside), float(degree @ (1 - inside)))
    return volume / cut if cut > 0 else volume
