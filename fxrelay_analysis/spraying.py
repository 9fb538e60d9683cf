"""Spectral Relevance Analysis: every category on its own, then all of them ranked."""

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

from fxrelay.execute import Executor, Serial, executor
from fxrelay.schema import CLASS, LABEL, LEADING, RANKING, RELEVANCE, SAMPLE, VERSIONS, validate
from fxrelay.text import versions
from fxrelay_analysis import running
from fxrelay_analysis.background import Rows
from fxrelay_analysis.pipeline import Parameters, Pipeline
from fxrelay_analysis.presets import PIPELINES
from fxrelay_analysis.progress import Progress
from fxrelay_analysis.ranking import rank
from fxrelay_analysis.recipe import Recipe
from fxrelay_analysis.store import Held, Store
from fxrelay_analysis.work import Work, available, loaded, variables


@dataclass(frozen=True)
class Category:
    """The samples of one category, perhaps not read yet, and their digests where known."""

    name: str
    data: Mapping[str, xr.DataArray]
    digests: Mapping[str, str] | None = None


#: what computes
PACKAGES: Final = ("fxrelay", "numpy", "scipy", "scikit-learn", "xarray")
#: by category: its group where the store has it, or else the digests of its data where known
Found = Mapping[str, xr.Dataset | Mapping[str, str] | None]


def spray(
    ds: xr.Dataset,
    *,
    store: Store | None = None,
    category: str = LABEL,
    pipeline: Pipeline | str = "spray",
    parameters: Parameters | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    errors: Literal["report", "raise"] = "report",
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
    pipeline : Pipeline or str
        What to do with each category, or the name of a preset (`fxrelay_analysis.presets`). The
        default looks at a category in two metrics: as it is, and with every place alike (variables
        and steps with the suffix ``_equalized``), and compares its clusters with other categories.
    parameters : mapping, optional
        Step name -> its parameters, e.g. ``{"kmeans": {"n_clusters": range(2, 21)}}``.
    seed : int, optional
        Seed of every step that has one and is not given its own.
    executor : Executor, optional
        Where categories run (`fxrelay.execute`); results do not depend on it.
    errors : "report" or "raise"
        What to do where a step fails: note it in the group and go on, or stop.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataTree
        A group per category with what the steps gave, and the group ``ranking`` with dim
        ``category``, most suspicious first. Where a step fails, with too few samples for
        instance, the group keeps all that did not need it, and its attribute ``failed`` has a
        line with the reason; groups without ``suspicion`` have it in ``not_analysed`` and come
        last in the ranking. Attributes of the root: `category`, `recipe` (what was done, as the
        text of a `fxrelay_analysis.recipe.Recipe`), `versions`, and `left_out`, the optional steps
        whose variables are missing.

    Raises
    ------
    ValueError
        If the Dataset, the categories, the pipeline or the parameters are not usable; names all
        that is wrong.
    StepFailed
        If a step fails and `errors` is "raise".

    Warns
    -----
    UserWarning
        Where a step fails by another error than the ValueError that stages promise.

    Notes
    -----
    Lapuschkin et al. 2019, Unmasking Clever Hans predictors; Anders et al. 2022, section 3.
    """
    recipe = Recipe(category=category, pipeline=pipeline, parameters=parameters or {}, seed=seed)
    if errors not in ("report", "raise"):
        raise ValueError(f"spray: needs errors='report' or 'raise'; got {errors!r}.")
    validate(ds, finite=False)
    chosen, left_out = available(_chosen(pipeline, parameters, seed), ds, "spray")
    store = store or Store(None)
    rows = _categories(ds, category)
    others = running.background(chosen, ds, rows, store)
    found = _looked_up(rows, chosen, store, ds, others)
    if not _complete(found):
        others = _settled(others)
    todo = (
        Category(name, variables(chosen, ds, rows[name]), part)
        for name, part in found.items()
        if not isinstance(part, xr.Dataset)
    )
    bar = Progress(len(found), len(chosen.steps), progress)
    work = partial(_analyse, pipeline=chosen, store=store, others=others, errors=errors, bar=bar)
    groups = _groups(found, (executor or Serial()).map(work, todo), bar)
    notes = {"category": category, "recipe": recipe.text, "left_out": "\n".join(left_out),
             VERSIONS: versions(*PACKAGES)}  # fmt: skip
    root = xr.Dataset(attrs={name: note for name, note in notes.items() if note})
    nodes = {"/": root, f"/{RANKING}": rank(groups)}
    return xr.DataTree.from_dict(nodes | {f"/{name}": group for name, group in groups.items()})


def follow(recipe: Recipe, ds: xr.Dataset, *, progress: bool = True) -> xr.DataTree:
    """Run a recipe on a Dataset: `spray`, with the store and the executor that the recipe names.

    Parameters
    ----------
    recipe : Recipe
    ds : Dataset
        What the recipe calls `data`; who calls opens it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataTree
        As of `spray`; its attribute `recipe` is the text of `recipe`.
    """
    with executor(recipe.workers, recipe.scheduler) as place:
        tree = spray(
            ds, store=Store(recipe.store), category=recipe.category, pipeline=recipe.pipeline,
            parameters=recipe.parameters, seed=recipe.seed, executor=place, progress=progress,
        )  # fmt: skip
    tree.attrs["recipe"] = recipe.text
    return tree


def failures(tree: xr.DataTree) -> str:
    """Return a line for each category in which a step failed, with the reasons."""
    noted = {name: group.attrs.get("failed", "") for name, group in tree.children.items()}
    lines = [f"{name}: {line}" for name, text in noted.items() for line in text.splitlines()]
    return "\n".join(lines)


def _chosen(pipeline: Pipeline | str, parameters: Parameters | None, seed: int | None) -> Pipeline:
    if isinstance(pipeline, str):
        if pipeline not in PIPELINES:
            raise ValueError(
                f"spray: needs a Pipeline or the name of one, {', '.join(PIPELINES)}; got "
                f"{pipeline!r}."
            )
        pipeline = PIPELINES[pipeline]
    return pipeline.given(parameters or {}, seed) if parameters or seed is not None else pipeline


def _complete(found: Found) -> bool:
    return all(isinstance(part, xr.Dataset) for part in found.values())


def _settled(others: Mapping[str, Held]) -> dict[str, Held]:
    """Return what categories are compared with, computed."""
    try:
        return running.settled(others)
    except running.StepFailed as error:
        raise ValueError(f"spray: {error}") from error.__cause__


def _looked_up(
    rows: Mapping[str, Rows],
    pipeline: Pipeline,
    store: Store,
    ds: xr.Dataset,
    others: Mapping[str, Held],
) -> Found:
    """Return the groups that the store has; no category is in memory twice but the one at hand.

    What is in memory is looked up here, so that only work travels; lazy data where it is read.
    """
    unknown: dict[str, None] = dict.fromkeys(rows)
    if store.path is None or any(ds[name].chunks is not None for name in pipeline.variables):
        validate(ds)
        return unknown
    found: dict[str, xr.Dataset | Mapping[str, str] | None] = {}
    for name, at in rows.items():
        data = variables(pipeline, ds, at)
        held = {key: store.hold(value) for key, value in data.items()}
        group = running.recall(Work(pipeline, {**held, **others}), store)
        found[name] = {n: one.digest for n, one in held.items()} if group is None else group
    if not _complete(found):
        validate(ds)  # what was found was finite when it was computed
    return found


def _groups(
    found: Found, results: Iterator[running.Result], bar: Progress
) -> dict[str, xr.Dataset]:
    groups = {}
    for name, part in found.items():
        result = running.Result(part) if isinstance(part, xr.Dataset) else next(results)
        for line in result.unexpected:
            warnings.warn(
                f"spray: category {name!r}: {line}. The group tells what it lacks; "
                "errors='raise' shows where it happened.",
                stacklevel=3,
            )
        groups[name] = result.group.assign_attrs(category=name)
        bar.category(name)
    bar.close()
    return groups


def _analyse(
    item: Category,
    *,
    pipeline: Pipeline,
    store: Store,
    others: Mapping[str, Held],
    errors: str,
    bar: Progress,
) -> running.Result:
    data = loaded(item.data)
    known, held = item.digests, dict(others)
    for name, value in data.items():
        held[name] = store.hold(value) if known is None else Held(known[name], value)
    work = Work(pipeline, held)
    group = running.recall(work, store) if known is None else None
    if group is not None:
        return running.Result(group)
    try:
        return running.compute(work, store, reporting=errors == "report", tick=bar.step)
    except running.StepFailed as error:
        raise running.StepFailed(f"spray: category {item.name!r}: {error}") from error.__cause__


def _categories(ds: xr.Dataset, category: str) -> dict[str, Rows]:
    """Return the positions of the samples of each category."""
    if category not in ds or ds[category].dims != (SAMPLE,):
        found = ", ".join(str(n) for n in ds.variables if ds[n].dims == (SAMPLE,)) or "none"
        raise ValueError(
            f"spray: needs category={category!r} as a variable with dims ('{SAMPLE}',); got "
            f"variables {found}. Name one of them or add yours with ds.assign(...)."
        )
    if not ds.sizes[SAMPLE]:
        raise ValueError("spray: needs samples; got none. Look at how they were selected.")
    several = [dim for dim in LEADING if dim != SAMPLE and dim in ds[RELEVANCE].dims]
    if several:
        raise ValueError(
            f"spray: needs one explained {' and '.join(several)} per sample; got the dimension "
            + " and ".join(f"'{dim}'" for dim in several)
            + f". Pick one with ds.isel({', '.join(f'{dim}=0' for dim in several)})."
        )
    values = ds[category].values
    kinds = _kinds(values, category)
    names = [_name(ds, kind) for kind in kinds]
    _check_names(names)
    return {n: _rows(values == kind) for n, kind in zip(names, kinds, strict=True)}


def _rows(member: np.ndarray[Any, Any]) -> Rows:
    """Return positions; a slice, which copies nothing, where they are one block."""
    rows = np.flatnonzero(member)
    block = len(rows) == rows[-1] - rows[0] + 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if block else rows


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
