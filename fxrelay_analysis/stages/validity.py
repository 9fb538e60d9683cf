"""How good a clustering is: eigengap, sizes, silhouette.

Scores per cluster have dims (n_clusters, cluster); where a clustering has fewer clusters
than the largest of the sweep, NaN fills the row.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, COMPONENT, EIGENVALUE, N_CLUSTERS
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.vectors import unit

Array = np.ndarray[Any, Any]
EIGENGAP: Final = "eigengap"
SIZE: Final = "cluster_size"
SILHOUETTE: Final = "silhouette"


class eigengap(Stage):
    """Measure the steps between eigenvalues: a large one after k of them suggests k clusters."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(spectrum: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return `eigengap`, dim component: the gap after k eigenvalues at k - 1, NaN last."""
        values = variable(spectrum, EIGENVALUE, "eigengap")
        steps = np.diff(values.values, append=np.nan)
        coords = {COMPONENT: np.arange(values.size)}
        return labelled(xr.DataArray(steps, coords, (COMPONENT,)), EIGENGAP)


class sizes(Stage):
    """Count the samples of each cluster."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(clustering: xr.DataArray) -> xr.DataArray:
        """Return `cluster_size`, dims (n_clusters, cluster), NaN where there is no such cluster."""
        return per_cluster(clustering, SIZE, lambda member, _: float(member.sum()))


class silhouette(Stage):
    """Mean silhouette of each cluster, on at most `max_samples` samples drawn by `seed`.

    (Rousseeuw 1987.) In [-1, 1]; NaN where a clustering has a single cluster.
    """

    version: ClassVar[int] = 1
    max_samples = param.Integer(4000, bounds=(10, None), doc="Samples that are compared.")
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the draw.")

    @staticmethod
    def compute(
        embedding: xr.Dataset, clustering: xr.DataArray, *, max_samples: int, seed: int
    ) -> xr.DataArray:
        """Return `silhouette`, dims (n_clusters, cluster)."""
        from sklearn.metrics import silhouette_samples

        x = embedding[SPECTRAL].values
        rows = np.arange(len(x))
        if len(x) > max_samples:
            rows = np.sort(np.random.default_rng(seed).choice(len(x), max_samples, replace=False))

        def score(member: Array, labels: Array) -> float:
            k, key, inside = labels.max() + 1, labels.tobytes(), member[rows]
            if not 2 <= len(np.unique(labels[rows])) < len(rows) or not inside.any():
                return float("nan")
            if key not in cached:
                cached[key] = silhouette_samples(unit(x[rows, :k]), labels[rows])
            return float(cached[key][inside].mean())

        cached: dict[bytes, Array] = {}
        return per_cluster(clustering, SILHOUETTE, score)


def per_cluster(
    clustering: xr.DataArray, name: str, score: Callable[[Array, Array], float]
) -> xr.DataArray:
    """Return ``score(member, labels)`` of every cluster, dims (n_clusters, cluster)."""
    k = clustering[N_CLUSTERS].values
    out = np.full((len(k), int(k.max())), np.nan)
    for row, labels in enumerate(clustering.values.T):
        for cluster in range(int(labels.max()) + 1):
            out[row, cluster] = score(labels == cluster, labels)
    return cluster_table(out, k, name)


def cluster_table(values: Array, k: Array, name: str) -> xr.DataArray:
    """Return `values` (len(k), most clusters) as a labelled table."""
    coords = {N_CLUSTERS: k, CLUSTER: np.arange(values.shape[1])}
    return labelled(xr.DataArray(values, coords, (N_CLUSTERS, CLUSTER)), name)
