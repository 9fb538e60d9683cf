"""One sample to be drawn, and how it is found in a Dataset: layouts, targets, inputs and words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.reading import read

#: a variable of the tokens' texts, beside a coordinate of the dimension
TEXTS: Final = ("token_text", "text", "tokens")
VOCABULARY: Final = "vocabulary"


@dataclass(frozen=True, eq=False)
class Picture:
    """One sample to be drawn.

    Attributes
    ----------
    relevance : DataArray
        dims as in `schema.LAYOUTS`, or (y, x) where a layer has no channels.
    input : DataArray or None
        What the relevance is of; of a recorded layer the model input.
    words : array of str or None
        Texts of the tokens, or names of the features or channels, where the Dataset has them.
    """

    relevance: xr.DataArray
    input: xr.DataArray | None = None
    words: np.ndarray | None = None


def input_of(variable: str) -> str:
    """Return the variable of the input that a variable of relevance is of."""
    if variable.startswith(schema.RELEVANCE_OF):
        return schema.INPUT_OF + variable.removeprefix(schema.RELEVANCE_OF)
    return schema.INPUT


def layout(values: xr.DataArray) -> tuple[str, ...] | None:
    """Return the layout of a variable of relevance; None where it cannot be drawn.

    Dimensions of another input or of a recorded node carry its name; it is left out.
    """
    plain = plain_of(str(values.name))
    dims = tuple(plain(str(d)) for d in values.dims if d not in schema.LEADING)
    return dims if dims in schema.LAYOUTS else None


def one_target(relevance: xr.DataArray, target: int) -> xr.DataArray:
    """Return the relevance of one of ``targets``: a target under a condition; the last beyond."""
    n, m = (relevance.sizes.get(dim, 1) for dim in (schema.TARGET, schema.CONDITION))
    number, condition = divmod(min(target, n * m - 1), m)
    place = {schema.TARGET: number, schema.CONDITION: condition}
    return relevance.isel({dim: k for dim, k in place.items() if dim in relevance.dims})


def words_of(ds: xr.Dataset, variable: str) -> xr.DataArray | None:
    """Return the texts of tokens, features or channels that a variable has, or None.

    They are the variable ``token_text`` (or ``text``, ``tokens``), inputs that are texts
    themselves, ids into the coordinate ``vocabulary``, or the coordinate of the dimension.
    """
    dims = [d for d in ds[variable].dims if d not in schema.LEADING]
    source = ds.get(input_of(variable))
    for name in TEXTS:
        if name in ds.variables and ds[name].dims[-1:] == (dims[0],):
            return ds[name]
    if source is not None and source.ndim == 2 and source.dims[1:] == (dims[0],):
        if source.dtype.kind in "OUST":
            return source
        if VOCABULARY in ds.variables and source.dtype.kind in "iu":
            return _looked_up(source, read(ds[VOCABULARY]).values)
    return ds[dims[0]] if dims[0] in ds.coords and ds[dims[0]].dtype.kind in "OUST" else None


def _looked_up(ids: xr.DataArray, vocabulary: np.ndarray) -> xr.DataArray:
    return ids.assign_attrs(vocabulary=vocabulary)


def words_at(words: xr.DataArray, n: int) -> np.ndarray:
    """Return the texts of the n-th sample, ids looked up in the vocabulary."""
    values = words.isel({schema.SAMPLE: n}).values if schema.SAMPLE in words.dims else words.values
    table = words.attrs.get("vocabulary")
    if table is None:
        return values.astype(str)
    known = (values >= 0) & (values < len(table))
    return np.where(known, table[np.where(known, values, 0)].astype(str), "?")


def plain_of(variable: str) -> Callable[[str], str]:
    """Return what takes the name of an input or a node from its dimensions."""
    own = [variable.removeprefix(p) for p in (schema.RELEVANCE_OF, schema.INPUT_OF)]
    suffixes = tuple(f"_{name}" for name in (variable, *own))
    return lambda dim: next((dim.removesuffix(s) for s in suffixes if dim.endswith(s)), dim)


def one_by_one(block: xr.DataArray, plain: Callable[[str], str]) -> list[xr.DataArray]:
    """Return the samples of a block, with plain names of dimensions and nothing else."""
    dims = [plain(str(d)) for d in block.dims if d != schema.SAMPLE]
    return [xr.DataArray(one, dims=dims) for one in block.transpose(schema.SAMPLE, ...).values]
