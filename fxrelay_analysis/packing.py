"""Loss-free netCDF4 form of a result: what xarray's own round trip would change is kept as text.

netCDF has no booleans, float16, dates or fixed-width text, and xarray turns some attributes into
others. So arrays are written in a type that netCDF keeps bit by bit, and names, order, dtypes and
attributes travel beside them as one canonical text in the root attribute `META`.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay_analysis import canonical
from fxrelay_analysis.canonical import Json
from fxrelay_analysis.digesting import datasets, unindexed

META: Final = "fxrelay_store"
#: dtype kinds that netCDF keeps bit by bit when they are written as integers of the same width
AS_INTEGER: Final = "bMm"
Labelled = xr.Dataset | xr.DataArray | xr.DataTree
ARRAY: Final = "__fxrelay_array__"  # the variable that holds a DataArray's own values


def pack(result: Labelled, facts: dict[str, Json]) -> xr.Dataset | xr.DataTree:
    """Return what to write for `result`, with `facts` beside it in `META`."""
    nodes = _nodes(result)
    name = None if isinstance(result, xr.Dataset) else canonical.encode(result.name)
    meta = facts | {
        "kind": type(result).__name__,
        "name": name,
        "nodes": {path: _describe(ds) for path, ds in nodes.items()},
    }
    plain = {path: _plain(ds) for path, ds in nodes.items()}
    out = xr.DataTree.from_dict(plain) if isinstance(result, xr.DataTree) else plain["/"]
    out.attrs = {META: canonical.text(meta)}
    return out


def facts(path: Path) -> dict[str, Json]:
    """Return what was written beside a result, without reading its arrays."""
    with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as raw:
        return dict(json.loads(raw.attrs[META]))


def unpack(path: Path) -> tuple[Labelled, dict[str, Json]]:
    """Read a file that `pack` made: the result and the facts beside it."""
    meta = facts(path)
    if meta["kind"] == "DataTree":
        with xr.open_datatree(path, engine="netcdf4", decode_cf=False) as tree:
            nodes = {
                node.path: _restore(node.to_dataset(inherit=False), meta["nodes"][node.path])
                for node in tree.subtree
            }
        return xr.DataTree.from_dict(nodes, name=canonical.decode(meta["name"])), meta
    with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as raw:
        ds = _restore(raw, meta["nodes"]["/"])
    if meta["kind"] == "DataArray":
        return ds[ARRAY].rename(canonical.decode(meta["name"])), meta
    return ds, meta


def _nodes(result: Labelled) -> dict[str, xr.Dataset]:
    if isinstance(result, xr.DataTree):
        return datasets(result)
    if isinstance(result, xr.Dataset):
        return {"/": result}
    return {"/": result.to_dataset(name=ARRAY)}


def _describe(ds: xr.Dataset) -> Json:
    variables = [
        [str(name), list(map(str, v.dims)), v.dtype.str, canonical.encode(v.attrs)]
        for name, v in ds.variables.items()
    ]
    return {
        "attrs": canonical.encode(ds.attrs),
        "coords": list(map(str, ds.coords)),
        "unindexed": list(map(str, unindexed(ds))),
        "variables": variables,
    }


def _plain(ds: xr.Dataset) -> xr.Dataset:
    bare = {name: (v.dims, _as_kept(v.to_numpy())) for name, v in ds.variables.items()}
    out = xr.Dataset(bare)
    for name, variable in out.variables.items():
        if variable.dtype.kind == "f":
            out[name].encoding["_FillValue"] = None
    return out


def _as_kept(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind in AS_INTEGER or array.dtype == np.float16:
        return np.ascontiguousarray(array).view(f"u{array.itemsize}").reshape(array.shape)
    return array


def _restore(raw: xr.Dataset, described: Json) -> xr.Dataset:
    data = {
        name: xr.Variable(dims, _as_was(raw.variables[name].to_numpy(), dtype), canonical.decode(a))
        for name, dims, dtype, a in described["variables"]
    }
    coords = {name: data.pop(name) for name in described["coords"]}
    ds = xr.Dataset(data, coords, canonical.decode(described["attrs"]))
    return ds.drop_indexes(described["unindexed"])


def _as_was(array: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    kind = np.dtype(dtype)
    if kind.kind in AS_INTEGER or kind == np.float16:
        array = np.ascontiguousarray(array).view(kind).reshape(array.shape)
    return frozen(np.asarray(array, kind))


def frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a copy in C order that nobody can unlock: its memory is a bytes object.

    The owner of an array can set its flag ``writeable`` back, write, and lock it again; objects
    and empty arrays have no bytes to keep, and are only locked.
    """
    if array.dtype.kind in "OT" or array.nbytes == 0:
        out = np.array(array, order="C")
        out.flags.writeable = False
        return out.view()
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
