"""Clusterings of an embedding, as one sweep with a dimension for the number of clusters."""

import warnings
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from threadpoolctl import threadpool_limits

from fxrelay.schema import CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.stage import Counts, Stage, labelled, variable
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.vectors import unit

Array = np.ndarray[Any, Any]
KMEANS: Final = CLUSTERING + "kmeans"


class kmeans(Stage):
    """Cluster by k-means for every number of clusters asked for.

    Clusters are numbered by size, 0 the largest. In spectral clustering (`leading`, `unit_rows`)
    k clusters are sought in the first k components, with rows of unit length (Ng, Jordan and
    Weiss 2001, step 4).
    """

    version: ClassVar[int] = 1
    n_clusters = Counts(range(2, 9), low=1, doc="Numbers of clusters: an integer or several.")
    n_starts = param.Integer(8, bounds=(1, None), doc="Random starts; the best result is kept.")
    leading = param.Boolean(True, doc="Seek k clusters in the first k components only.")
    unit_rows = param.Boolean(True, doc="Scale every row to unit length first.")
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the starts.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: Any,
        n_starts: int,
        leading: bool,
        unit_rows: bool,
        seed: int,
    ) -> xr.DataArray:
        """Return `clustering_kmeans`, dims (sample, n_clusters), int32.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters, or a value is not finite.
        """
        array = checked(variable(embedding, SPECTRAL, "kmeans"), "kmeans")
        counts = np.atleast_1d(np.asarray(n_clusters, np.int64))
        if counts.max() > len(array):
            raise ValueError(
                f"kmeans: needs at least as many samples as clusters, {counts.max()}; got "
                f"{len(array)}. Lower n_clusters."
            )
        x = array.values.astype(np.float64)
        parts = [x[:, :k] if leading else x for k in counts]
        rows = [unit(part) if unit_rows else part for part in parts]
        labels = [_labels(x, int(k), n_starts, seed) for x, k in zip(rows, counts, strict=True)]
        coords = {N_CLUSTERS: counts} | ({SAMPLE: array[SAMPLE]} if SAMPLE in array.coords else {})
        dims = (SAMPLE, N_CLUSTERS)
        return labelled(xr.DataArray(np.stack(labels, axis=1), coords, dims), KMEANS)


def by_size(labels: Array) -> Array:
    """Return labels (n,) renumbered by size, 0 the largest; equal sizes by first appearance."""
    names, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(names), np.int32)
    rank[np.lexsort((first, -sizes))] = np.arange(len(names))
    return rank[inverse]


def _labels(x: Array, k: int, n_starts: int, seed: int) -> Array:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
        return by_size(KMeans(k, n_init=n_starts, random_state=seed).fit_predict(x))
