"""Results of the steps of a pipeline, put together as one group of the tree."""

from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis import canonical
from fxrelay_analysis.pipeline import Step

SEQUENCES: Final = (np.ndarray, np.generic, list, tuple)


def joined(group: xr.Dataset, step: Step, result: xr.Dataset | xr.DataArray) -> xr.Dataset:
    """Return `group` with the variables that a step gave.

    Variables get the suffix of the step. A dimension or coordinate of the same name as one that is
    there, but with other values, gets the suffix (or the name) of the step. Attributes that no
    netCDF file keeps become numbers (booleans) or their canonical text.

    Raises
    ------
    ValueError
        If it gives a variable that another step gave, or has other samples.
    """
    part = _writable(result if isinstance(result, xr.Dataset) else result.to_dataset())
    if step.suffix:
        part = part.rename({name: f"{name}_{step.suffix}" for name in part.data_vars})
    ending = step.suffix or step.name
    if others := _others(group, part):
        part = part.rename({name: f"{name}_{ending}" for name in others})
    taken = [str(n) for n in [*part.data_vars, *_others(group, part)] if n in group.variables]
    if taken:
        raise ValueError(
            f"needs names of its own for what it gives; got {', '.join(taken)}, which earlier "
            "steps gave. Give the step a suffix."
        )
    return xr.merge([group, part], combine_attrs="drop_conflicts", join="exact")


def _others(group: xr.Dataset, part: xr.Dataset) -> list[Any]:
    """Return the dimensions and coordinates of `part` that differ from those of `group`."""
    dims = [
        d for d in part.dims if d != SAMPLE and group.sizes.get(d, part.sizes[d]) != part.sizes[d]
    ]
    coords = [c for c in part.coords if c in group.coords and not _equal(group[c], part[c])]
    return list(dict.fromkeys([*dims, *(c for c in coords if c != SAMPLE)]))


def _equal(a: xr.DataArray, b: xr.DataArray) -> bool:
    return a.dims == b.dims and np.array_equal(a.values, b.values)


def _writable(part: xr.Dataset) -> xr.Dataset:
    out = part.copy().assign_attrs({n: _attribute(v) for n, v in part.attrs.items()})
    for variable in out.variables.values():
        variable.attrs = {name: _attribute(value) for name, value in variable.attrs.items()}
    return out


def _attribute(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, SEQUENCES) and _numbers_or_text(value):
        return value
    return canonical.text(canonical.encode(value))


def _numbers_or_text(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        return False
    return array.ndim <= 1 and array.dtype.kind in "iufU"
