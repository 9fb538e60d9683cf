"""Data and a fresh Store for the tests of memoization."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import Store
from tests.fxrelay_analysis.toys import counted


@pytest.fixture
def data() -> xr.DataArray:
    values = np.arange(6.0).reshape(3, 2)
    return xr.DataArray(values, {"sample": [7, 8, 9]}, ("sample", "y"), "v")


@pytest.fixture
def store(tmp_path) -> Store:
    counted.calls.clear()
    return Store(tmp_path)
