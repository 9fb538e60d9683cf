"""The metric of a category: how much each feature counts when samples are compared."""

from typing import ClassVar

import numpy as np
import param
import xarray as xr

from fxrelay.schema import FEATURE
from fxrelay_analysis.stage import Stage, variable
from fxrelay_analysis.stages.preprocess import checked


class equalize(Stage):
    r"""Divide every feature by its root mean square over the samples, to a power.

    f_ij / r_j^exponent with r_j = max(sqrt(mean_i f_ij^2), floor max_k r_k): a place that few
    samples find relevant counts as much as one that all do. With exponent 1, on square roots of
    relevance (`compress`), it is the chi-square metric of correspondence analysis, which finds
    rare strategies that features as they are do not (`benchmarks/artefacts.py`, "equalized only"
    and "relevance as it is only"). The floor keeps features that hardly anybody uses from deciding
    alone.
    (Benzecri 1973; Greenacre 2017, chapter 4.)
    """

    version: ClassVar[int] = 2
    exponent = param.Number(
        1.0, bounds=(0, 1), doc="0 leaves features as they are; 1 gives all the same weight."
    )
    floor = param.Number(
        0.01,
        bounds=(0, 1),
        inclusive_bounds=(False, True),
        doc="Least root mean square that counts, as a share of the largest.",
    )

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset, *, exponent: float, floor: float
    ) -> xr.DataArray:
        """Return the dims that came in, unit 1; features without relevance stay zero."""
        array = checked(variable(features, FEATURE, "equalize"), "equalize")
        size = np.sqrt(np.square(array.values, dtype=np.float64).mean(axis=0))
        size = np.maximum(size, floor * size.max())
        scale = np.where(size > 0, size, 1.0) ** exponent
        return array.copy(data=(array.values / scale).astype(array.dtype)).assign_attrs(units="1")
