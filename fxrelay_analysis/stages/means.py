"""What the samples of a cluster look like on average: maps of relevance, inputs, anything."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, SAMPLE
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.sweeps import Sweep, matched, sweep_of
from fxrelay_analysis.store import NETCDF

Array = np.ndarray[Any, Any]
MEAN: Final = "mean_"
#: bytes of maps that are held at once
BLOCK: Final = 2**26


class mean_maps(Stage):
    """Average maps over the samples of each cluster, for every setting of the sweep at once.

    The maps are read once, block by block, so they may be larger than memory (dask arrays).
    """

    version: ClassVar[int] = 1
    magnitude = param.Boolean(False, doc="Average absolute values: where anything is, either sign.")

    @staticmethod
    def compute(maps: xr.DataArray, clustering: xr.DataArray, *, magnitude: bool) -> xr.DataArray:
        """Return `mean_<name of the maps>`, dims (..., cluster, channel, y, x) or as the maps have.

        NaN where there is no such cluster. Maps of samples that the clustering lacks are left out.

        Raises
        ------
        ValueError
            If the maps lack samples of the clustering, or one of those has a value that is not
            finite.
        """
        sweep = sweep_of(clustering, "mean_maps")
        rows = matched(maps, sweep, "mean_maps")
        member = sweep.labels[:, :, None] == sweep.clusters
        flat = member.reshape(len(member), -1).astype(np.float64)
        total, bad = np.zeros((flat.shape[1], int(np.prod(maps.shape[1:])))), list[int]()
        for start, block in _blocks(rows):
            values = (np.abs(block) if magnitude else block).reshape(len(block), -1)
            bad += (start + np.flatnonzero(~np.isfinite(values).all(axis=1))).tolist()
            if not bad:
                total += flat[start : start + len(block)].T @ values
        _need_finite(bad, len(member))
        with np.errstate(invalid="ignore"):
            mean = total / flat.sum(axis=0)[:, None]
        return _labelled(sweep, maps, mean)


def _need_finite(bad: list[int], n: int) -> None:
    if bad:
        raise ValueError(
            f"mean_maps: needs finite maps; got NaN or infinity in {len(bad)} of {n} samples, "
            f"first at position {bad[0]} of the clustering. Drop them with .isel({SAMPLE}=...)."
        )


def _blocks(maps: xr.DataArray) -> Iterator[tuple[int, Array]]:
    """Yield the position of each block, and its maps in memory."""
    step = max(1, BLOCK * len(maps) // max(1, maps.size * 8))
    for start in range(0, len(maps), step):
        part = maps.isel({SAMPLE: slice(start, start + step)})
        with NETCDF:
            yield start, part.compute(scheduler="synchronous").values


def _labelled(sweep: Sweep, maps: xr.DataArray, mean: Array) -> xr.DataArray:
    shape = (sweep.labels.shape[1], len(sweep.clusters), *maps.shape[1:])
    dims = [str(d) for d in maps.dims[1:]]
    coords: dict[Any, Any] = {CLUSTER: sweep.clusters}
    coords |= {n: c for n, c in maps.coords.items() if set(c.dims) <= set(dims) and c.dims}
    values = mean.reshape(shape).astype(np.result_type(maps.dtype, np.float32))
    out = sweep.array(values, (CLUSTER, *dims), coords, f"{MEAN}{maps.name or 'map'}")
    return out.assign_attrs(units=maps.attrs.get("units", "1"))
