"""Stages of every kind for the tests of the Store."""

from typing import ClassVar

import numpy as np
import param
import xarray as xr

from fxrelay_analysis import stages


class counted(stages.Stage):
    """Add `by` and count the calls."""

    by = param.Number(1.0, doc="What is added.")
    calls: ClassVar[list[float]] = []

    @staticmethod
    def compute(data, *, by):
        counted.calls.append(by)
        return data + by


class mixed(stages.Stage):
    """Return a Dataset of every type that a result may have."""

    @staticmethod
    def compute(data):
        return xr.Dataset(
            {
                "bool": ("sample", [True, False, True]),
                "text": ("sample", np.array(["a", "bcd", ""])),
                "object": ("sample", np.array(["a", "b", "ü"], object)),
                "small": ("sample", np.array([1, 2, 3], np.int8)),
                "wide": ("sample", np.array([1, 2, 2**63], np.uint64)),
                "half": ("sample", np.array([1, np.nan, 3], np.float16)),
                "float": ("sample", np.array([-0.0, np.nan, np.inf], np.float32)),
                "date": ("sample", np.array(["2001-01-01", "NaT", "2002"], "M8[ns]")),
                "scalar": ((), np.int32(3)),
                "flag": ((), True),
                "empty": (("sample", "none"), np.zeros((3, 0))),
                "a_grid": (("sample", "y"), data.values, {"units": "days since 2000", "n": None}),
            },
            coords={"sample": data["sample"], "name": ("sample", np.array(["x", "y", "z"]))},
            attrs={"list": [1, 2.5, "x"], "deep": {"t": (True, None)}, "array": np.arange(3)},
        )


class tree(stages.Stage):
    """Return a DataTree."""

    @staticmethod
    def compute(data):
        first = data.to_dataset(name="v").assign_attrs(a=True)
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"r": 1}), "/g/h": first}, name="t")


class named(stages.Stage):
    """Return a DataArray with a name and attributes."""

    @staticmethod
    def compute(data):
        return (data > 1).rename("more").assign_attrs(units="1", flag=True)


class odd(stages.Stage):
    """Return what netCDF cannot keep."""

    @staticmethod
    def compute(data):
        return data * 1j
