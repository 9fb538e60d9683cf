"""Arrays in a netCDF4 file and back, bit by bit: xarray's own way costs ten times as much."""

import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
from xxhash import xxh3_128

from fxrelay.files import write_atomically
from fxrelay_analysis import canonical
from fxrelay_analysis.recent import Recent

Array = np.ndarray[Any, Any]
#: name -> (dimensions, values)
Variables = Mapping[str, tuple[tuple[str, ...], Array]]
#: netCDF crashes when two threads of a process use it
NETCDF: Final = threading.Lock()
PLAIN: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{,99}")
META: Final = "fxrelay_store"
CHECKSUM: Final = "fxrelay_checksum"
#: text, and group -> name -> values
Content = tuple[str, dict[str, dict[str, Array]]]
RECENT: Final[Recent[Content]] = Recent(max_bytes=1 << 26, max_file=1 << 22)


def write(path: Path, text: str, groups: Mapping[str, Variables], *, flush: bool = True) -> Path:
    """Write `groups` (path of the group -> variables) and `text`, whole or not at all.

    Without `flush` it does not wait for the disk: what a loss of power leaves is told by the
    checksum.

    Raises
    ------
    OSError
        If the file cannot be written, a full disk for instance; nothing is left behind.
    """
    plain = {
        where: {name: (dims, _native(values)) for name, (dims, values) in variables.items()}
        for where, variables in groups.items()
    }
    sum_of = {w: {n: values for n, (_, values) in part.items()} for w, part in plain.items()}

    def fill(temporary: Path) -> None:
        with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
            file.set_fill_off()
            file.setncattr_string(META, text)
            file.setncattr_string(CHECKSUM, _checksum(text, sum_of))
            made = [
                pair
                for where, variables in plain.items()
                for pair in _declare(file if where == "/" else file.createGroup(where), variables)
            ]
            for variable, values in made:  # all at once: a variable made after values costs more
                variable[...] = values

    with NETCDF:
        return write_atomically(path, fill, flush=flush)


def read(path: Path) -> Content:
    """Return what `write` wrote: the text, and group -> name -> values; do not change them.

    Raises
    ------
    ValueError
        If it is not what was written, to the bit.
    """
    return RECENT.get(path, _read_file)


def _read_file(path: Path) -> Content:
    with NETCDF, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        text, checksum = file.getncattr(META), file.getncattr(CHECKSUM)
        groups = {
            where: {name: _read(variable) for name, variable in group.variables.items()}
            for where, group in _groups("", file)
        }
    if _checksum(text, groups) != checksum:
        raise ValueError(f"{str(path)!r} is damaged.")
    return text, groups


def lasting(groups: Mapping[str, Variables]) -> bool:
    """Tell whether netCDF surely keeps these: numbers in one group, under names that it allows."""
    return groups.keys() == {"/"} and all(
        values.dtype.kind in "iuf" and values.size and all(map(PLAIN.fullmatch, (name, *dims)))
        for name, (dims, values) in groups["/"].items()
    )


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


def _declare(group: Any, variables: Variables) -> Iterator[tuple[Any, Array]]:
    """Make the variables of a group, and yield each with its values."""
    for name, (dims, values) in variables.items():
        for dim, size in zip(dims, values.shape, strict=True):
            if dim not in group.dimensions:
                group.createDimension(dim, size)
        kind = str if values.dtype == object else values.dtype
        variable = group.createVariable(name, kind, dims)
        variable.set_auto_maskandscale(False)
        yield variable, values


def _native(values: Array) -> Array:
    """Return text as objects and numbers in the machine's order of bytes, in C order."""
    kind = np.dtype(object) if values.dtype.kind in "UOT" else values.dtype.newbyteorder("=")
    return np.require(values, kind, "C")


def _read(variable: Any) -> Array:
    return np.asarray(variable[...], object if variable.dtype is str else None)


def _checksum(text: str, groups: Mapping[str, Mapping[str, Array]]) -> str:
    hasher = xxh3_128(text.encode())
    for where, variables in sorted(groups.items()):  # a file has them in another order
        for name, values in variables.items():
            head = [where, name, values.dtype.str, list(values.shape)]
            hasher.update(canonical.text(head).encode())
            if values.dtype == object:
                hasher.update(canonical.text(canonical.encode(values.ravel().tolist())).encode())
            else:
                hasher.update(values.reshape(-1).view(np.uint8).data)
    return str(hasher.hexdigest())


def _groups(where: str, group: Any) -> Iterator[tuple[str, Any]]:
    yield where or "/", group
    for name, inner in group.groups.items():
        yield from _groups(f"{where}/{name}", inner)
