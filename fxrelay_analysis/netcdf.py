"""Arrays in a netCDF4 file and back, bit by bit: xarray's own way costs ten times as much."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np

from fxrelay.files import write_atomically

Array = np.ndarray[Any, Any]
#: name -> (dimensions, values)
Variables = Mapping[str, tuple[tuple[str, ...], Array]]
#: netCDF crashes when two threads of a process use it
NETCDF: Final = threading.Lock()
META: Final = "fxrelay_store"


def write(path: Path, text: str, groups: Mapping[str, Variables]) -> Path:
    """Write `groups` (path of the group -> variables) and `text`, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written, a full disk for instance; nothing is left behind.
    """

    def fill(temporary: Path) -> None:
        with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
            file.set_fill_off()
            file.setncattr_string(META, text)
            for where, variables in groups.items():
                _fill(file if where == "/" else file.createGroup(where), variables)

    with NETCDF:
        return write_atomically(path, fill)


def read(path: Path) -> tuple[str, dict[str, dict[str, Array]]]:
    """Return what `write` wrote: the text, and group -> name -> values."""
    with NETCDF, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file.getncattr(META), {
            where: {name: np.asarray(variable[...]) for name, variable in group.variables.items()}
            for where, group in _groups("", file)
        }


def text(path: Path, name: str = META) -> str:
    """Return the text of a file, or another attribute of its root, alone.

    Raises
    ------
    OSError
        If it is no netCDF4 file.
    AttributeError
        If it has no such attribute.
    """
    with NETCDF, netCDF4.Dataset(path) as file:
        return str(file.getncattr(name))


def _fill(group: Any, variables: Variables) -> None:
    for name, (dims, values) in variables.items():
        for dim, size in zip(dims, values.shape, strict=True):
            if dim not in group.dimensions:
                group.createDimension(dim, size)
        kind = str if values.dtype.kind in "UOT" else values.dtype.newbyteorder("=")
        variable = group.createVariable(name, kind, dims)
        variable.set_auto_maskandscale(False)
        variable[...] = values.astype(object if kind is str else kind, copy=False)


def _groups(where: str, group: Any) -> Iterator[tuple[str, Any]]:
    yield where or "/", group
    for name, inner in group.groups.items():
        yield from _groups(f"{where}/{name}", inner)
