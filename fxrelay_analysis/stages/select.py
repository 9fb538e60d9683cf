"""A part of a result: some components, axes or settings of a sweep."""

from typing import Any, ClassVar

import param
import xarray as xr

from fxrelay.schema import COMPONENT, SAMPLE
from fxrelay_analysis.stage import Counts, Stage


class select(Stage):
    """Keep some positions along a dimension, for the stages that follow.

    Of a spectral embedding, ``positions=range(1, 8)`` leaves out the constant vector;
    ``dim="n_clusters"`` takes one clustering of a sweep. Variables without the dimension stay, and
    values are not looked at: NaN and infinite ones pass.
    """

    version: ClassVar[int] = 1
    dim = param.String(COMPONENT, doc="Dimension, any but sample: samples are selected before.")
    positions = Counts(
        range(8), low=0, doc="Positions that are kept, in this order: an integer or several."
    )

    @staticmethod
    def compute(
        data: xr.DataArray | xr.Dataset, *, dim: str, positions: list[int]
    ) -> xr.DataArray | xr.Dataset:
        """Return `data` at `positions`; the dimension stays, also of a single one.

        Raises
        ------
        ValueError
            If there is no such dimension, it is sample, or it has not as many positions.
        """
        size = data.sizes.get(dim, 0)
        if dim == SAMPLE or max(positions) >= size:
            raise ValueError(
                f"select: needs positions of a dimension, not '{SAMPLE}'; got "
                f"{max(positions)} of '{dim}', and {_sizes(data)}. Lower the positions or name "
                "another dimension."
            )
        return data.isel({dim: positions})


def _sizes(data: xr.DataArray | xr.Dataset) -> str:
    sizes: dict[Any, int] = dict(data.sizes)
    return ", ".join(f"{name}: {size}" for name, size in sizes.items()) or "no dimension"
