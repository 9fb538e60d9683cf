"""Loss-free parts of a result: plain arrays, and one canonical text with all the rest.

netCDF has no booleans, float16, dates or fixed-width text, and xarray's own round trip turns some
attributes into others. So arrays are kept in a type that netCDF keeps bit by bit, and names,
order, dtypes and attributes travel beside them in the text.
"""

import json
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fxrelay_analysis import canonical
from fxrelay_analysis.canonical import Json
from fxrelay_analysis.digesting import datasets, unindexed
from fxrelay_analysis.inputs import Labelled
from fxrelay_analysis.netcdf import Variables

Array = np.ndarray[Any, Any]
#: dtype kinds that netCDF keeps bit by bit when they are written as integers of the same width
AS_INTEGER: Final = "bMm"
#: raised when the parts, or what is made of them, change
FORMAT: Final = 1
VALUES: Final = "__fxrelay_array__"  # the variable that holds a DataArray's own values


class Packed(NamedTuple):
    """A result as text, and the arrays of every group by name."""

    text: str
    groups: dict[str, Variables]


def pack(result: Labelled, facts: dict[str, Json]) -> Packed:
    """Return the parts of `result`, with `facts` beside it in the text."""
    nodes = _nodes(result)
    name = None if isinstance(result, xr.Dataset) else canonical.encode(result.name)
    meta = facts | {
        "format": FORMAT,
        "kind": type(result).__name__,
        "name": name,
        "nodes": {path: _describe(ds) for path, ds in nodes.items()},
    }
    return Packed(canonical.text(meta), {path: _plain(ds) for path, ds in nodes.items()})


def facts(text: str) -> dict[str, Json]:
    """Return what stands in the text of a result."""
    return dict(json.loads(text))


def unpack(meta: dict[str, Json], groups: dict[str, dict[str, Array]]) -> Labelled:
    """Return the result whose text says `meta`; its arrays are read-only.

    Raises
    ------
    ValueError
        If it was packed by another version.
    """
    if meta["format"] != FORMAT:
        raise ValueError(f"unpack: needs format {FORMAT}; got {meta['format']}.")
    nodes = {path: _restore(groups[path], described) for path, described in meta["nodes"].items()}
    if meta["kind"] == "DataTree":
        return xr.DataTree.from_dict(nodes, name=canonical.decode(meta["name"]))
    if meta["kind"] == "DataArray":
        return nodes["/"][VALUES].rename(canonical.decode(meta["name"]))
    return nodes["/"]


def _nodes(result: Labelled) -> dict[str, xr.Dataset]:
    if isinstance(result, xr.DataTree):
        return datasets(result)
    if isinstance(result, xr.Dataset):
        return {"/": result}
    return {"/": result.to_dataset(name=VALUES)}


def _describe(ds: xr.Dataset) -> Json:
    variables = [
        [str(name), list(map(str, v.dims)), list(map(int, v.shape)), v.dtype.str,
         canonical.encode(v.attrs)]
        for name, v in ds.variables.items()
    ]  # fmt: skip
    return {
        "attrs": canonical.encode(ds.attrs),
        "coords": list(map(str, ds.coords)),
        "unindexed": list(map(str, unindexed(ds))),
        "variables": variables,
    }


def _plain(ds: xr.Dataset) -> Variables:
    return {
        str(name): _as_kept(tuple(map(str, v.dims)), v.to_numpy())
        for name, v in ds.variables.items()
    }


def _as_kept(dims: tuple[str, ...], array: Array) -> tuple[tuple[str, ...], Array]:
    if array.dtype.kind in AS_INTEGER or array.dtype == np.float16:
        return dims, np.ascontiguousarray(array).view(f"u{array.itemsize}").reshape(array.shape)
    if array.dtype.kind == "S":
        width = array.itemsize
        split = np.ascontiguousarray(array).reshape(-1).view("u1").reshape(*array.shape, width)
        return (*dims, f"bytes_{width}"), split
    return dims, array


def _restore(arrays: dict[str, Array], described: Json) -> xr.Dataset:
    data = {
        name: xr.Variable(dims, _as_was(arrays[name], shape, dtype), canonical.decode(attrs))
        for name, dims, shape, dtype, attrs in described["variables"]
    }
    coords = {name: data.pop(name) for name in described["coords"]}
    ds = xr.Dataset(data, coords, canonical.decode(described["attrs"]))
    return ds.drop_indexes(described["unindexed"]) if described["unindexed"] else ds


def _as_was(array: Array, shape: list[int], dtype: str) -> Array:
    kind = np.dtype(dtype)
    if kind.kind in AS_INTEGER + "S" or kind == np.float16:
        array = np.ascontiguousarray(array).reshape(-1).view(kind)
    return frozen(np.asarray(array, kind).reshape(shape))


def frozen(array: Array) -> Array:
    """Return a copy in C order that nobody can unlock: its memory is a bytes object.

    The owner of an array can set its flag ``writeable`` back, write, and lock it again; objects
    and empty arrays have no bytes to keep, and are only locked.
    """
    if array.dtype.kind in "OT" or array.nbytes == 0:
        out = np.array(array, order="C")
        out.flags.writeable = False
        return out.view()
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
