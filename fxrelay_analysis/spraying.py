"""Spectral Relevance Analysis: every category on its own, then all of them ranked."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from fxrelay.execute import Executor, Serial
from fxrelay.schema import (
    CLASS,
    LABEL,
    RANKING,
    RELEVANCE,
    SAMPLE,
    TARGET,
    describe,
    validate,
)
from fxrelay_analysis import canonical, stages
from fxrelay_analysis.ranking import rank
from fxrelay_analysis.stage import Stage, resolve
from fxrelay_analysis.store import NETCDF, Store

Parameters = Mapping[str, Mapping[str, Any]]


class Step(NamedTuple):
    """One row of the pipeline: `stage` applied to earlier results; `shown` ones reach the tree."""

    name: str
    stage: type[Stage]
    inputs: tuple[str, ...]
    shown: bool = True


PIPELINE: Final = (
    Step("features", stages.preprocess, (RELEVANCE,), shown=False),
    Step("near", stages.neighbours, ("features",), shown=False),
    Step("graph", stages.affinity, ("near",), shown=False),
    Step("spectral", stages.spectral_embedding, ("graph",)),
    Step("tsne", stages.tsne, ("spectral",)),
    Step("kmeans", stages.kmeans, ("spectral",)),
    Step("eigengap", stages.eigengap, ("spectral",)),
    Step("size", stages.sizes, ("kmeans",)),
    Step("fisher", stages.fisher, ("spectral", "kmeans")),
    Step("isolation", stages.isolation, ("graph", "kmeans")),
    Step("silhouette", stages.silhouette, ("spectral", "kmeans")),
    Step("prototypes", stages.prototypes, ("spectral", "kmeans")),
    Step("surplus", stages.surplus, ("features", "kmeans")),
    Step("verdict", stages.suspicion, ("fisher", "size", "surplus")),
)


class Category(NamedTuple):
    """The samples of one category, perhaps not read yet."""

    name: str
    relevance: xr.DataArray


def spray(
    ds: xr.Dataset,
    *,
    store: Store | None = None,
    category: str = LABEL,
    parameters: Parameters | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> xr.DataTree:
    """Analyse each category of an attribution Dataset and rank them by suspicion.

    Parameters
    ----------
    ds : Dataset
        `relevance` (sample, ...) and the variable `category` (sample,). A lazy Dataset is read one
        category at a time.
    store : Store, optional
        Where results are kept and looked up; by default everything is computed.
    category : str
        Variable with the category of each sample, for instance ``label`` or ``prediction``.
        Integers are named by the coordinate ``class`` where the Dataset has one.
    parameters : mapping, optional
        Stage name -> its parameters, e.g. ``{"kmeans": {"n_clusters": range(2, 21)}}``.
    executor : Executor, optional
        Where categories run (`fxrelay.execute`); results do not depend on it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataTree
        A group per category with embeddings, clusterings and scores, and the group ``ranking``
        with dim ``category``, most suspicious first. Categories with too few samples are listed
        there with ``analysed`` false, last.

    Raises
    ------
    ValueError
        If the Dataset, the categories or the parameters are not usable; names all that is wrong.

    Notes
    -----
    Lapuschkin et al. 2019, Unmasking Clever Hans predictors; Anders et al. 2022, section 3.
    """
    given = _checked_parameters(parameters or {})
    found = _categories(ds, category)
    work = partial(_analyse, store=store or Store(None), parameters=given)
    results = (executor or Serial()).map(work, found)
    bar = tqdm(results, desc="spray", total=len(found), unit="category", disable=not progress)
    groups = dict(zip([item.name for item in found], bar, strict=True))
    note = {"category": category, "parameters": canonical.text(canonical.encode(given))}
    tree = {"/": xr.Dataset(attrs=note), f"/{RANKING}": rank(groups)}
    return xr.DataTree.from_dict(tree | {f"/{name}": group for name, group in groups.items()})


def _analyse(item: Category, *, store: Store, parameters: Parameters) -> xr.Dataset:
    relevance = _loaded(item.relevance)
    group = xr.Dataset(coords={SAMPLE: relevance[SAMPLE]}, attrs={"category": item.name})
    least = _least_samples(parameters)
    if len(relevance) < least:
        return group.assign_attrs(not_analysed=f"needs {least} samples; got {len(relevance)}")
    results: dict[str, Any] = {RELEVANCE: relevance}
    with threadpool_limits(1):
        for step in PIPELINE:
            inputs = [results[name] for name in step.inputs]
            given = parameters.get(step.stage.__name__, {})
            results[step.name] = store.cache(step.stage)(*inputs, **given)
    shown = [_as_dataset(results[step.name]) for step in PIPELINE if step.shown]
    merged = xr.merge([group, *shown], combine_attrs="drop_conflicts", join="exact")
    return describe(merged)


def _as_dataset(result: xr.Dataset | xr.DataArray) -> xr.Dataset:
    return result.to_dataset() if isinstance(result, xr.DataArray) else result


def _loaded(relevance: xr.DataArray) -> xr.DataArray:
    if relevance.chunks is None:
        return relevance
    with NETCDF:
        return relevance.compute(scheduler="synchronous")


def _least_samples(parameters: Parameters) -> int:
    near = resolve(stages.neighbours, dict(parameters.get("neighbours", {})))["n_neighbours"]
    most = resolve(stages.kmeans, dict(parameters.get("kmeans", {})))["n_clusters"]
    return max(int(near) + 1, int(np.max(most)), 4)


def _checked_parameters(parameters: Parameters) -> dict[str, dict[str, Any]]:
    known = {step.stage.__name__: step.stage for step in PIPELINE}
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(
            f"spray: needs parameters for stages among {', '.join(known)}; got "
            f"{', '.join(unknown)}. Rename or drop them."
        )
    for name, given in parameters.items():
        resolve(known[name], dict(given))
    return {name: dict(given) for name, given in parameters.items()}


def _categories(ds: xr.Dataset, category: str) -> list[Category]:
    validate(ds)
    if category not in ds or ds[category].dims != (SAMPLE,):
        found = ", ".join(str(n) for n in ds.variables if ds[n].dims == (SAMPLE,)) or "none"
        raise ValueError(
            f"spray: needs category={category!r} as a variable with dims ('{SAMPLE}',); got "
            f"variables {found}. Name one of them or add yours with ds.assign(...)."
        )
    if TARGET in ds[RELEVANCE].dims:
        raise ValueError(
            f"spray: needs one explained target per sample; got the dimension '{TARGET}'. "
            f"Pick one with ds.isel({TARGET}=0)."
        )
    values = ds[category].values
    kinds = _kinds(values, category)
    names = [_name(ds, kind) for kind in kinds]
    _check_names(names)
    relevance = ds[RELEVANCE].reset_coords(drop=True)
    rows: Iterator[Any] = (np.flatnonzero(values == kind) for kind in kinds)
    return [Category(n, relevance.isel({SAMPLE: r})) for n, r in zip(names, rows, strict=True)]


def _kinds(values: np.ndarray[Any, Any], category: str) -> np.ndarray[Any, Any]:
    missing = int((values != values).sum()) + sum(v is None for v in values.tolist())
    if missing:
        raise ValueError(
            f"spray: needs category={category!r} of every sample; got none (NaN or None) for "
            f"{missing} of {len(values)}. Drop them with ds.isel({SAMPLE}=...)."
        )
    try:
        return np.unique(values)
    except TypeError as error:
        raise ValueError(
            f"spray: needs category={category!r} with values of one type; got {error}. "
            "Convert with .astype(str)."
        ) from error


def _name(ds: xr.Dataset, kind: Any) -> str:
    if CLASS in ds.coords and np.asarray(kind).dtype.kind in "iu" and 0 <= kind < ds.sizes[CLASS]:
        return str(ds[CLASS].values[kind])
    return str(kind)


def _check_names(names: list[str]) -> None:
    wrong = [n for n in names if n == RANKING or names.count(n) > 1 or not _is_group_name(n)]
    if wrong:
        raise ValueError(
            f"spray: needs category names that differ, are not '{RANKING}', begin with a letter, "
            "digit or '_', do not end with a space, have no '/' and no control character, and take "
            f"256 bytes at most, because they become groups of a netCDF file; got "
            f"{sorted(set(wrong))}. Rename them with ds.assign_coords(class=...) or ds.assign(...)."
        )


def _is_group_name(name: str) -> bool:
    pattern = r"(?:[A-Za-z0-9_]|[^\x00-\x7f])[^/\x00-\x1f\x7f]*(?<! )"
    return len(name.encode()) <= 256 and re.fullmatch(pattern, name) is not None
