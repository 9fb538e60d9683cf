"""The check of an attribution Dataset."""

from collections.abc import Callable
from typing import Final

import numpy as np
import xarray as xr

from fxrelay.schema.names import (
    AGAINST,
    CHANNEL,
    CLASS,
    CONDITION,
    FEATURE,
    INPUT,
    LABEL,
    LEADING,
    OUTPUT,
    PREDICTION,
    RELEVANCE,
    RELEVANCE_OF,
    SAMPLE,
    TARGET,
    TIME,
    TOKEN,
    VERSION,
    X,
    Y,
)


class SchemaError(ValueError):
    """A Dataset that does not follow the schema; the text lists every fault and its remedy."""


def relevances(ds: xr.Dataset) -> list[str]:
    """Return the variables with the relevance of an input, the first input's first."""
    others = sorted(str(n) for n in ds.data_vars if str(n).startswith(RELEVANCE_OF))
    return [RELEVANCE, *others] if RELEVANCE in ds.data_vars else others


def validate(ds: xr.Dataset, *, finite: bool = True) -> xr.Dataset:
    """Return `ds` unchanged if it follows the schema.

    Parameters
    ----------
    ds : Dataset
        An attribution Dataset, dims (sample, ...).
    finite : bool
        Whether to look at every value of the relevance; the only check that reads it.

    Raises
    ------
    SchemaError
        Names every fault at once and says how to mend each.
    """
    checks = [check for check in CHECKS if finite or check is not _finite]
    faults = [text for check in checks for text in check(ds)]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise SchemaError(
            f"validate: the Dataset does not follow schema version {VERSION}:\n{lines}"
        )
    return ds


def _has_relevance(ds: xr.Dataset) -> list[str]:
    if RELEVANCE in ds.data_vars:
        return []
    found = ", ".join(map(str, ds.data_vars)) or "none"
    return [f"needs the variable '{RELEVANCE}'; got {found}. Rename yours with ds.rename(...)."]


def _leads_with_sample(ds: xr.Dataset) -> list[str]:
    names = [n for n in (RELEVANCE, OUTPUT, PREDICTION, LABEL, TARGET, INPUT, AGAINST) if n in ds]
    names += [n for n in relevances(ds) if n != RELEVANCE]
    wrong = {n: ds[n].dims for n in names if ds[n].dims[:1] != (SAMPLE,)}
    return [
        f"'{name}' needs '{SAMPLE}' as its first dimension; got {dims}. "
        f"Use ds.rename(...) or ds.transpose('{SAMPLE}', ...)."
        for name, dims in wrong.items()
    ]


def _names_every_sample(ds: xr.Dataset) -> list[str]:
    if SAMPLE not in ds.dims:
        return []
    if SAMPLE not in ds.coords:
        return [
            f"needs sample ids as the coordinate '{SAMPLE}'; got none. "
            f"Use ds.assign_coords({SAMPLE}=range(ds.sizes['{SAMPLE}']))."
        ]
    ids = ds[SAMPLE].to_index()
    if ids.is_unique:
        return []
    twice = ids[ids.duplicated()].unique()[:3].tolist()
    return [
        f"'{SAMPLE}' ids need to be unique; got {twice} more than once. Use ds.drop_duplicates()."
    ]


def _known_dimensions(ds: xr.Dataset) -> list[str]:
    allowed = " or ".join(str(layout) for layout in LAYOUTS)
    return [
        f"'{name}' needs ('{SAMPLE}', ['{TARGET}'], ['{CONDITION}'], ...) with {allowed}; "
        f"got {dims}. Rename with ds.rename(...)."
        for name in relevances(ds)
        for dims in [tuple(str(d) for d in ds[name].dims if d not in LEADING)]
        if _plain(dims, name) not in LAYOUTS + ((),) * (name != RELEVANCE)
    ]


def _plain(dims: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Drop the input's name from its own dimensions: they differ in size from the first input's."""
    return tuple(d.removesuffix(f"_{name.removeprefix(RELEVANCE_OF)}") for d in dims)


def _numeric(ds: xr.Dataset) -> list[str]:
    kinds = {RELEVANCE: "f", OUTPUT: "f", PREDICTION: "iu", LABEL: "iu", TARGET: "iu"}
    kinds |= {AGAINST: "iu"} | dict.fromkeys(relevances(ds), "f")
    words = {"f": "floating point", "iu": "integer"}
    return [
        f"'{name}' needs to be {words[kind]}; got {ds[name].dtype}. Use .astype(...)."
        for name, kind in kinds.items()
        if name in ds and ds[name].dtype.kind not in kind
    ]


def _finite(ds: xr.Dataset) -> list[str]:
    return [fault for name in relevances(ds) for fault in _not_finite(name, ds[name])]


def _not_finite(name: str, relevance: xr.DataArray) -> list[str]:
    if relevance.chunks is not None:
        return []  # a lazy Dataset was checked when its shards were written
    if relevance.dtype.kind != "f" or relevance.dims[:1] != (SAMPLE,) or not relevance.size:
        return []
    bad = ~np.isfinite(relevance.values).reshape(relevance.sizes[SAMPLE], -1).all(axis=1)
    if not bad.any():
        return []
    return [
        f"'{name}' needs to be finite; got NaN or infinity in {int(bad.sum())} of {bad.size} "
        f"samples, first at position {int(np.argmax(bad))}. Drop them with ds.isel({SAMPLE}=...)."
    ]


def _labels_in_range(ds: xr.Dataset) -> list[str]:
    if OUTPUT not in ds or CLASS not in ds[OUTPUT].dims:
        return []
    n, out = ds.sizes[CLASS], []
    for name in (PREDICTION, LABEL, TARGET, AGAINST):
        if name in ds and ds[name].dtype.kind in "iu" and ds[name].size:
            low, high = int(ds[name].min()), int(ds[name].max())
            if low < 0 or high >= n:
                out.append(f"'{name}' needs values in 0..{n - 1}; got {low}..{high}. Mend the ids.")
    return out


#: what may follow (sample, [target]) in `relevance`
LAYOUTS: Final[tuple[tuple[str, ...], ...]] = (
    (CHANNEL, Y, X), (CHANNEL, TIME, Y, X), (CHANNEL, X), (TOKEN,), (TOKEN, FEATURE), (FEATURE,),
)  # fmt: skip

CHECKS: Final[tuple[Callable[[xr.Dataset], list[str]], ...]] = (
    _has_relevance, _leads_with_sample, _names_every_sample, _known_dimensions, _numeric,
    _finite, _labels_in_range,
)  # fmt: skip
