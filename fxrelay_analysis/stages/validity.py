"""What there is to say of a clustering: eigengap, sizes, and any score of its clusters.

Scores have the dimension of the clustering's sweep, those per cluster also `cluster`; NaN fills
the row where a clustering has fewer clusters than the largest of the sweep. Noise is left out.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import xarray as xr

from fxrelay.schema import CLUSTER, CLUSTERING, COMPONENT, EIGENVALUE, N_CLUSTERS
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.sweeps import Sweep, sweep_of

Array = np.ndarray[Any, Any]
EIGENGAP: Final = "eigengap"
SIZE: Final = "cluster_size"


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
    def compute(clustering: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return `cluster_size`, dims ([sweep], cluster), NaN where there is no such cluster."""
        return per_cluster(clustering, SIZE, lambda member, _: float(member.sum()))


def clustering_of(data: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    """Return a clustering, or the only one of a Dataset.

    Raises
    ------
    ValueError
        If a Dataset has none or several.
    """
    if not isinstance(data, xr.Dataset):
        return data
    named = [name for name in data.data_vars if str(name).startswith(CLUSTERING)]
    if len(named) != 1:
        raise ValueError(
            f"{where}: needs a clustering, or a Dataset with one variable '{CLUSTERING}...'; got "
            f"{', '.join(map(str, named)) or 'none'}. Pass the variable itself."
        )
    return data[named[0]]


def per_cluster(
    clustering: xr.DataArray | xr.Dataset, name: str, score: Callable[[Array, Array], float]
) -> xr.DataArray:
    """Return ``score(member, labels)`` of every cluster, dims ([sweep], cluster)."""
    sweep = sweep_of(clustering_of(clustering, name), name)
    out = np.full((sweep.labels.shape[1], width(sweep)), np.nan)
    for row, labels in enumerate(sweep.labels.T):
        for cluster in range(int(labels.max()) + 1):
            out[row, cluster] = score(labels == cluster, labels)
    return cluster_array(sweep, out, name)


def cluster_array(sweep: Sweep, values: Array, name: str) -> xr.DataArray:
    """Return values (columns, clusters) of a sweep as `name`, dims ([sweep], cluster)."""
    return sweep.array(values, (CLUSTER,), {CLUSTER: np.arange(values.shape[1])}, name)


def width(sweep: Sweep) -> int:
    """Return the number of clusters that a table over a sweep has room for."""
    most = int(sweep.labels.max()) + 1
    return max(most, int(sweep.coords[N_CLUSTERS].max())) if N_CLUSTERS in sweep.coords else most
