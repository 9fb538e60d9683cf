"""What a stage is given: labelled data, with the variables that it needs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

Labelled = xr.Dataset | xr.DataArray | xr.DataTree
#: dimensions, None for one of any name
Dims = tuple[str | None, ...]
#: name of a variable -> its dimensions, or None for any
Variables = Mapping[str, Dims | None]


def need_labelled(where: str, inputs: Sequence[Any]) -> None:
    """Raise a TypeError that names the types of all inputs of a stage that are not labelled."""
    wrong = [type(i).__name__ for i in inputs if not isinstance(i, Labelled)]
    if wrong:
        raise TypeError(
            f"{where}: needs Datasets, DataArrays or DataTrees as inputs; got "
            f"{', '.join(wrong)}. Wrap arrays as xarray.DataArray, pass the rest by name."
        )


def need_variables(
    where: str, names: Sequence[str], needs: Mapping[str, Variables], inputs: Sequence[Any]
) -> None:
    """Check that inputs of a stage are Datasets with the variables that it needs.

    Parameters
    ----------
    where : str
        Name of the stage.
    names : sequence of str
        Names of its inputs.
    needs : mapping
        Name of an input -> the variables that it has to have.
    inputs : sequence

    Raises
    ------
    ValueError
        Names all variables that inputs lack or that have other dimensions.
    """
    given = {name: data for name, data in zip(names, inputs, strict=False) if name in needs}
    wrong = {name: list(_faults(data, needs[name])) for name, data in given.items()}
    for name in [name for name, faults in wrong.items() if faults]:
        needed = ", ".join(_shown(*item) for item in needs[name].items())
        raise ValueError(
            f"{where}: needs '{name}' with {needed}; got {', '.join(wrong[name])}. Pass the whole "
            "result of the stage that gives them."
        )


def _faults(data: Labelled, variables: Variables) -> Iterator[str]:
    if not isinstance(data, xr.Dataset):
        yield f"a {type(data).__name__}"
        return
    for name, dims in variables.items():
        if name not in data.variables:
            yield f"no {name}"
        elif dims is not None and not _alike(data[name].dims, dims):
            yield _shown(name, tuple(map(str, data[name].dims)))


def _alike(found: tuple[Any, ...], needed: Dims) -> bool:
    return len(found) == len(needed) and all(
        b in (a, None) for a, b in zip(found, needed, strict=True)
    )


def _shown(name: str, dims: Dims | None) -> str:
    return name if dims is None else f"{name} ({', '.join(dim or 'any' for dim in dims)})"
