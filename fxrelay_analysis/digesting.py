"""The content digest of labelled arrays: exact, stable across processes, without a copy.

What is hashed is one canonical text (names, dimensions, attributes, dtypes, shapes), its length
before it, then the bytes of every array in the order in which the text lists them. The text fixes
the number of bytes that follow, so no two contents give the same stream.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from xxhash import xxh3_128

from fxrelay_analysis import canonical
from fxrelay_analysis.canonical import Json
from fxrelay_analysis.netcdf import NETCDF

BLOCK = 1 << 24  # bytes that are copied at once from an array that is not contiguous


class Content(NamedTuple):
    """The text of an object and the arrays that the text lists, in its order."""

    text: str
    arrays: list[Any]


def digest(obj: object) -> str:
    """Return the digest of the exact content of labelled data, 32 hexadecimal digits (xxh3-128).

    Equal digests mean equal content, in this process and in any other, on any machine: it is what
    to compare, to name files by, or to key a memo with.

    ======================================  ====================================================
    counts                                  does not count
    ======================================  ====================================================
    values, to the bit: ``-0.0`` is not     how they lie in memory: C or Fortran order, strides,
    ``0.0``, a NaN is not one with          read-only or not, numpy or dask, chunks
    another payload
    dtype, with its order of bytes          `encoding`: how a file kept it
    names and order of dimensions           order of variables, coordinates and attributes
    names of variables, coordinates and
    of a DataArray; which are coordinates   the object: copies and pickles are the same content
    attributes, nested ones too, with
    their types: ``1``, ``1.0``, ``True``
    and ``"1"`` differ
    which coordinates have an index
    ======================================  ====================================================

    Parameters
    ----------
    obj : Dataset, DataArray, DataTree, ndarray or plain value
        Arrays are of numpy or dask, of any type but structured ones and long doubles; those of
        objects hold plain values. Plain values are None, bool, int, float, str, bytes, tuples,
        lists, dicts, ranges, slices, members of enums, numpy scalars, dates of cftime and what
        consists of these. Lazy (dask) arrays are read chunk by chunk, others in place.

    Returns
    -------
    str
        It guards against accidents, not against forgers: xxh3 is no cryptographic hash.

    Raises
    ------
    TypeError
        If anything in it has a type without an exact byte form (extension arrays of pandas,
        complex attributes, functions): nothing is guessed. Names the type and the variable.
    ValueError
        If the size of a dask array is not known.

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.DataArray([1.0, 2.0], {"x": [0, 1]}, ["x"])
    >>> digest(a) == digest(a.copy(deep=True)) == digest(a.chunk())
    True
    >>> digest(a) == digest(a.astype("float32")), digest(a) == digest(a.assign_attrs(units="m"))
    (False, False)
    """
    text, arrays = content(obj)
    encoded = text.encode("ascii")
    hasher = xxh3_128(len(encoded).to_bytes(8, "little"))
    hasher.update(encoded)
    for array in arrays:
        for block in _blocks(array):
            hasher.update(block.data)
    return hasher.hexdigest()


def content(obj: object) -> Content:
    """Return the canonical text of an object and its arrays, without reading them."""
    arrays: list[Any] = []
    return Content(canonical.text(_structure(obj, arrays)), arrays)


def _structure(obj: object, arrays: list[Any]) -> Json:
    if isinstance(obj, xr.DataTree):
        nodes = datasets(obj)
        parts = [[path, _dataset(nodes[path], arrays)] for path in sorted(nodes)]
        return {"DataTree": [canonical.encode(obj.name), parts]}
    if isinstance(obj, xr.Dataset):
        return {"Dataset": _dataset(obj, arrays)}
    if isinstance(obj, xr.DataArray):
        variable = _variable(obj.variable, arrays)
        coords = _variables(obj.coords.variables, arrays)
        return {"DataArray": [canonical.encode(obj.name), variable, coords, *_odd_indexes(obj)]}
    if type(obj) is np.ndarray:
        return {"ndarray": _data(obj, arrays)}
    return canonical.encode(obj)


def datasets(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the Dataset of every node by its path from `tree`, which is "/".

    What a part of a larger tree inherits belongs to its content: it comes with the first node.
    """
    return {
        "/" if node is tree else f"/{path}": node.to_dataset(inherit=node is tree)
        for path, node in tree.subtree_with_keys
    }


def _dataset(ds: xr.Dataset, arrays: list[Any]) -> Json:
    data = {name: ds.variables[name] for name in ds.data_vars}
    coords = {name: ds.variables[name] for name in ds.coords}
    named = [_variables(part, arrays) for part in (data, coords)]
    return [canonical.encode(ds.attrs), *named, *_odd_indexes(ds)]


def unindexed(obj: xr.Dataset | xr.DataArray) -> list[Any]:
    """Return the dimensions with a coordinate of their name that no index makes searchable."""
    return [dim for dim in obj.dims if dim in obj.coords and dim not in obj.xindexes]


def _odd_indexes(obj: xr.Dataset | xr.DataArray) -> Json:
    """Tell which indexes are not those that xarray makes of every such coordinate by itself."""
    plain = {n for n, index in obj.xindexes.items()
             if n in obj.dims and type(index) is xr.indexes.PandasIndex}  # fmt: skip
    odd = [[n, type(index).__name__] for n, index in obj.xindexes.items() if n not in plain]
    odd += [[name, None] for name in unindexed(obj)]
    return [sorted(map(canonical.encode, odd), key=canonical.text)] if odd else []


def _variables(variables: Any, arrays: list[Any]) -> Json:
    names = sorted((canonical.encode(name) for name in variables), key=canonical.text)
    named = {canonical.text(canonical.encode(name)): v for name, v in variables.items()}
    out = []
    for name in names:
        try:
            out.append([name, _variable(named[canonical.text(name)], arrays)])
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{error} It is in the variable {canonical.decode(name)!r}."
            ) from error
    return out


def _variable(variable: xr.Variable, arrays: list[Any]) -> Json:
    dims, attrs = canonical.encode(list(variable.dims)), canonical.encode(variable.attrs)
    return [dims, attrs, _data(variable.data, arrays)]


def _data(array: Any, arrays: list[Any]) -> Json:
    if not hasattr(array, "chunks") and type(array) is not np.ndarray:
        raise TypeError(
            f"digest: needs numpy or dask arrays; got {type(array).__module__}."
            f"{type(array).__qualname__}. Convert with .to_numpy()."
        )
    if not all(isinstance(n, int | np.integer) for n in array.shape):  # NaN of dask
        raise ValueError(
            f"digest: needs arrays of known size; got dask's of shape {array.shape}. Use "
            ".compute_chunk_sizes() or .compute()."
        )
    if array.dtype.kind in "OTV" or array.dtype.char in canonical.PADDED:
        return canonical.encode(_loaded(array))
    arrays.append(array)
    return [array.dtype.str, list(map(int, array.shape))]


def _blocks(array: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the bytes of an array in C order, in place where it is contiguous."""
    if getattr(array, "flags", None) is not None and array.flags.c_contiguous:
        yield _bytes(array)
    elif array.ndim == 0:
        yield _bytes(_loaded(array))
    else:
        rows = max(1, BLOCK * len(array) // max(1, array.nbytes))
        steps = array.chunks[0] if hasattr(array, "chunks") else [rows] * -(-len(array) // rows)
        start = 0
        for step in steps:
            yield _bytes(np.ascontiguousarray(_loaded(array[start : start + step])))
            start += step


def _loaded(array: Any) -> np.ndarray[Any, Any]:
    """Return an array in memory, of dask's what it gives on this thread alone."""
    if not hasattr(array, "chunks"):
        return np.asarray(array)
    with NETCDF:
        return np.asarray(array.compute(scheduler="synchronous"))


def _bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.reshape(-1).view(np.uint8)
