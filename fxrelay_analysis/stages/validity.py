"""What there is to say of a clustering: eigengap, sizes, and any score of its clusters.

Scores have the dimension of the clustering's sweep, those per cluster also `cluster`; NaN fills
the row where a clustering has fewer clusters than the largest of the sweep. Noise is left out.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import xarray as xr

from fxrelay.schema import CLUSTER, COMPONENT, EIGENVALUE, N_CLUSTERS
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
        """Return `eigengap`, dim component: the gap after k eigenvalues at k - 1, NaN last.

        Raises
        ------
        ValueError
            If there are no eigenvalues in one row, or one is not finite.
        """
        values = variable(spectrum, EIGENVALUE, "eigengap")
        if values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(
                f"eigengap: needs finite eigenvalues ('{COMPONENT}',); got dims {values.dims} with "
                f"{int((~np.isfinite(values)).sum())} other values. Pass the result of "
                "spectral_embedding, or its 'eigenvalue'."
            )
        steps = np.diff(values.values, append=np.nan)
        coords = {COMPONENT: np.arange(values.size)}
        return labelled(xr.DataArray(steps, coords, (COMPONENT,)), EIGENGAP)


class sizes(Stage):
    """Count the samples of each cluster."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(clustering: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return `cluster_size`, dims ([sweep], cluster), NaN where there is no such cluster."""
        return per_cluster(clustering, SIZE, lambda member, _: float(member.sum()), "sizes")


def per_cluster(
    clustering: xr.DataArray | xr.Dataset,
    name: str,
    score: Callable[[Array, Array], float],
    where: str = "",
) -> xr.DataArray:
    """Return ``score(member, labels)`` of every cluster as `name`, dims ([sweep], cluster).

    `where` is the stage, if it is called otherwise.
    """
    sweep = sweep_of(clustering, where or name)
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
