"""What a sample has of each channel of a node: its relevance or activation, pooled over space."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, SAMPLE
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.store import NETCDF

Array = np.ndarray[Any, Any]
VECTOR: Final = "concept"
#: how space is pooled -> the reduction of an array over dimensions
POOLING: Final[dict[str, Callable[[xr.DataArray, list[Any]], xr.DataArray]]] = {
    "sum": lambda array, dims: array.sum(dims, skipna=False),
    "mean": lambda array, dims: array.mean(dims, skipna=False),
    "max": lambda array, dims: array.max(dims, skipna=False),
    "absolute": lambda array, dims: abs(array).sum(dims, skipna=False),
}
LAST_DOC: Final = "Channels are the last dimension, as in rows of features; else the second."


class concept_vectors(Stage):
    """Reduce what was recorded at a node to a vector of concepts: one number a channel.

    Relevance is summed over space (concept relevance: Achtibat et al. 2023), activations are
    rather averaged or their largest taken; `normalize` scales them. Dask arrays are reduced as
    they are read.
    """

    version: ClassVar[int] = 1
    pooling = param.Selector(
        default="sum",
        objects=list(POOLING),
        doc="Over pixels or tokens: sum, mean, max, or the sum of absolute values.",
    )
    last = param.Boolean(False, doc=LAST_DOC)

    @staticmethod
    def compute(recorded: xr.DataArray, *, pooling: str, last: bool) -> xr.DataArray:
        """Return `concept`, dims (sample, channel), in the unit of what was recorded.

        Raises
        ------
        ValueError
            If there are no samples or no channels, or values are not finite.
        """
        array = channelled(recorded, pooling, last, "concept_vectors")
        return labelled(array.drop_attrs(), VECTOR).assign_attrs(
            units=recorded.attrs.get("units", "1")
        )


def channelled(array: xr.DataArray, pooling: str, last: bool, where: str) -> xr.DataArray:
    """Return (sample, channel) in memory, pooled over all else.

    Raises
    ------
    ValueError
        If the dimensions do not fit, or values are not finite.
    """
    if not isinstance(array, xr.DataArray) or array.dims[:1] != (SAMPLE,) or array.ndim < 2:
        dims = getattr(array, "dims", type(array).__name__)
        raise ValueError(
            f"{where}: needs an array ('{SAMPLE}', channel, ...); got {dims}. Pass a variable such "
            "as ds['activation_at_layer4']; pick a target with .isel(target=0)."
        )
    own = array.dims[-1 if last else 1]
    others = [dim for dim in array.dims[1:] if dim != own]
    with NETCDF:
        pooled = (POOLING[pooling](array, others) if others else array).compute(
            scheduler="synchronous"
        )
    bare = pooled.reset_coords(drop=True)
    if own != CHANNEL:
        bare = bare.rename({own: CHANNEL})
    return checked(bare.assign_coords({CHANNEL: np.arange(bare.sizes[CHANNEL])}), where)
