"""Samples that stand for a cluster."""

from typing import Any, ClassVar, Final

import numpy as np
import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis.stages.points import PointStage, points
from fxrelay_analysis.stages.sweeps import NOISE, need_same_samples, sweep_of

Array = np.ndarray[Any, Any]
PROTOTYPE: Final = "prototype"
#: kind of dtype -> what stands for no sample id; -1 where there is no row
NOBODY: Final[dict[str, Any]] = {
    "U": "", "O": "", "S": b"", "M": np.datetime64("NaT"), "m": np.timedelta64("NaT"),
}  # fmt: skip


class prototypes(PointStage):
    """Name the sample nearest to the mean of each cluster (the medoid for squared distance).

    Of a spectral embedding the first k components count for a clustering into k.
    """

    version: ClassVar[int] = 2

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset, clustering: xr.DataArray, *, unit_rows: bool | None
    ) -> xr.DataArray:
        """Return `prototype`, dims (..., cluster), sample ids.

        Where there is no cluster, and for noise: -1, '', NaT, or the largest value of unsigned ids.

        Raises
        ------
        ValueError
            If the samples are not those of the clustering, or a value is not finite.
        """
        sweep = sweep_of(clustering, "prototypes")
        given = points(embedding, "prototypes", unit_rows)
        need_same_samples(embedding, clustering, "prototypes")
        ids = given.ids.get(SAMPLE, sweep.sample).values
        out = np.full((sweep.labels.shape[1], len(sweep.clusters)), nobody(ids.dtype), ids.dtype)
        for column, labels in enumerate(sweep.labels.T):
            x = given.first(sweep.counts[column])
            for cluster in np.unique(labels[labels != NOISE]):
                place = cluster - sweep.clusters[0]
                out[column, place] = ids[nearest_to_mean(x, np.flatnonzero(labels == cluster))]
        return sweep.per_cluster(out, PROTOTYPE)


def nearest_to_mean(x: Array, rows: Array) -> int:
    """Return which of the rows of x (n, d) is nearest to their mean."""
    away = np.square(x[rows] - x[rows].mean(axis=0)).sum(axis=1)
    return int(rows[np.argmin(away)])


def nobody(dtype: np.dtype[Any]) -> Any:
    """Return what stands for no sample among ids of a type."""
    return np.iinfo(dtype).max if dtype.kind == "u" else NOBODY.get(dtype.kind, -1)
