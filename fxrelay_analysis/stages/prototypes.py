"""Samples that stand for a cluster."""

from typing import Any, ClassVar, Final

import numpy as np
import xarray as xr

from fxrelay.schema import N_CLUSTERS, SAMPLE
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.validity import cluster_table
from fxrelay_analysis.stages.vectors import unit

PROTOTYPE: Final = "prototype"
#: kind of dtype -> what stands for no sample id; -1 where there is no row
NOBODY: Final[dict[str, Any]] = {
    "U": "", "O": "", "S": b"", "M": np.datetime64("NaT"), "m": np.timedelta64("NaT"),
}  # fmt: skip


class prototypes(Stage):
    """Name the sample nearest to the mean of each cluster (the medoid for squared distance)."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(embedding: xr.Dataset, clustering: xr.DataArray) -> xr.DataArray:
        """Return `prototype`, dims (n_clusters, cluster), sample ids.

        Where there is no cluster: -1, '', NaT, or the largest value of unsigned ids.
        """
        x, ids = embedding[SPECTRAL].values, embedding[SAMPLE].values
        k = clustering[N_CLUSTERS].values
        out = np.full((len(k), int(k.max())), nobody(ids.dtype), ids.dtype)
        for row, labels in enumerate(clustering.values.T):
            part = unit(x[:, : k[row]])
            for cluster in range(int(labels.max()) + 1):
                member = np.flatnonzero(labels == cluster)
                away = np.square(part[member] - part[member].mean(axis=0)).sum(axis=1)
                out[row, cluster] = ids[member[np.argmin(away)]]
        return cluster_table(out, k, PROTOTYPE)


def nobody(dtype: np.dtype[Any]) -> Any:
    """Return what stands for no sample among ids of a type."""
    return np.iinfo(dtype).max if dtype.kind == "u" else NOBODY.get(dtype.kind, -1)
