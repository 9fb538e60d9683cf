"""A pipeline at work on one category, with memory for each step and for the whole."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple, TypeVar

import xarray as xr

from fxrelay.schema import CATEGORY, SAMPLE, SUSPICION, describe
from fxrelay_analysis.assembling import joined
from fxrelay_analysis.background import Rows, drawn
from fxrelay_analysis.digesting import digest
from fxrelay_analysis.pipeline import BACKGROUND, Pipeline, Step
from fxrelay_analysis.store import ATTEMPTS, Damaged, Held, Store
from fxrelay_analysis.threads import one_thread
from fxrelay_analysis.work import Work, available, loaded, variables

#: folder of the results of whole runs in a store
RUNS: Final = "pipeline"
#: a step that is quicker is no file of its own: the run has it, and other runs compute it again;
#: and bytes a second that a file takes to digest, write and read back
FILE_SECONDS: Final = 0.1
FILE_RATE: Final = 2e8
Tick = Callable[[], None]
T = TypeVar("T")


class StepFailed(RuntimeError):
    """A step of a pipeline raised; its cause is the error."""


class Result(NamedTuple):
    """The group of a category, and what failed other than by a clear ValueError."""

    group: xr.Dataset
    unexpected: tuple[str, ...] = ()


def run(pipeline: Pipeline, ds: xr.Dataset, store: Store | None = None) -> xr.Dataset:
    """Run a pipeline on all samples of a Dataset at once.

    Parameters
    ----------
    pipeline : Pipeline
    ds : Dataset
        With the variables that the pipeline takes.
    store : Store, optional
        Where the results of steps, and of the whole, are kept and looked up.

    Returns
    -------
    Dataset
        What the steps that are shown gave.

    Raises
    ------
    ValueError
        Names all variables that the Dataset lacks.
    StepFailed
        Names the step; its cause is what the stage raised.
    """
    store = store or Store(None)
    pipeline, _ = available(pipeline, ds, "run")
    work = Work(pipeline, held_whole(pipeline, ds, store))
    found = recall(work, store)
    if found is not None:
        return found
    settled(work.held)  # what fails there is told apart
    return compute(work, store, reporting=False).group


def explain(pipeline: Pipeline, ds: xr.Dataset, store: Store) -> str:
    """Return whether the store has the whole run, and if not, what differs from the nearest one.

    Parameters
    ----------
    pipeline, ds
        As of `run`.
    store : Store

    Returns
    -------
    str
        ``hit: ...`` or ``miss: ...`` with a line for each part that differs: variables of the
        Dataset, and parameters, inputs, version and code of each step.
    """
    pipeline, _ = available(pipeline, ds, "explain")
    work = Work(pipeline, held_whole(pipeline, ds, store))
    return store.tell("run", RUNS, work.key)


def held_whole(pipeline: Pipeline, ds: xr.Dataset, store: Store) -> dict[str, Held]:
    """Return what a pipeline takes of a Dataset that is one category."""
    held = {name: store.hold(value) for name, value in loaded(variables(pipeline, ds)).items()}
    return held | background(pipeline, ds, {"": slice(0, ds.sizes[SAMPLE])}, store)


def background(
    pipeline: Pipeline, ds: xr.Dataset, categories: Mapping[str, Rows], store: Store
) -> dict[str, Held]:
    """Return the results on samples of all categories that a pipeline takes, by its inputs' names.

    They are known by what they are made of, and computed when they are asked for.

    Parameters
    ----------
    pipeline : Pipeline
    ds : Dataset
    categories : mapping
        Name of a category -> positions of its samples; the results have it as the coordinate
        ``category`` (sample,).
    store : Store
    """
    if not pipeline.backgrounds:
        return {}
    steps = pipeline.only(*(name.removeprefix(BACKGROUND) for name in pipeline.backgrounds))
    rows, categories_of = drawn(categories)
    data = loaded(variables(steps, ds, rows))
    work = Work(steps, {name: store.hold(value) for name, value in data.items()})

    @cache
    def key() -> str:
        return digest([work.key, categories_of])

    @cache
    def results() -> Mapping[str, Held]:
        with one_thread():
            return _undamaged(lambda place: _results(work, place), store)

    def one(name: str) -> Held:
        known = {CATEGORY: (SAMPLE, categories_of)}
        step = name.removeprefix(BACKGROUND)
        return Held(
            lambda: digest([key(), step]), lambda: results()[step].value.assign_coords(known)
        )

    return {name: one(name) for name in pipeline.backgrounds}


def settled(held: Mapping[str, Held]) -> dict[str, Held]:
    """Return inputs of a pipeline with what it takes of the background computed.

    So it is not computed by each process anew.

    Raises
    ------
    StepFailed
        Names the step; its cause is what the stage raised.
    """
    try:
        return {
            name: Held(one.digest, one.value) if name.startswith(BACKGROUND) else one
            for name, one in held.items()
        }
    except StepFailed as error:
        raise StepFailed(f"background, {error}") from error.__cause__


def recall(work: Work, store: Store) -> xr.Dataset | None:
    """Return the result of a whole run where the store has it; no step is looked at."""
    if store.path is None:
        return None
    try:
        found = store.recall(RUNS, work.key)
        return None if found is None else found.value
    except Damaged:
        return None


def compute(
    work: Work,
    store: Store,
    *,
    reporting: bool = True,
    tick: Tick = lambda: None,
) -> Result:
    """Run the steps of a pipeline that the store does not have, on one thread.

    Results of steps are read only where a step that has to be computed, or the tree, needs them.

    Parameters
    ----------
    work : Work
    store : Store
    reporting : bool
        Note a step that fails in the attribute ``failed``, with its reason, and go on with those
        that do not need it; where no ``suspicion`` comes out, also in ``not_analysed``.
    tick : callable
        Called after each step.

    Raises
    ------
    StepFailed
        If a step fails and `reporting` is false.
    """
    with one_thread():
        done = _undamaged(lambda place: _steps(work, place, reporting, tick), store)
    if done.group.attrs.get("failed") or store.path is None:
        return done
    return Result(store.keep(RUNS, work.key, done.group).value)


def worth(seconds: float, n_bytes: int) -> bool:
    """Tell whether a step took so long that its result is kept beside that of the run."""
    return seconds > FILE_SECONDS + n_bytes / FILE_RATE


def _undamaged(work: Callable[[Store], T], store: Store) -> T:
    """Return `work(store)`, again where a file was damaged, in the end without a store."""
    for _ in range(ATTEMPTS):
        with suppress(Damaged):  # its file is gone now
            return work(store)
    return work(Store(None))


def _steps(work: Work, store: Store, reporting: bool, tick: Tick) -> Result:
    group, failed = _empty(work.held), dict[str, Exception]()

    def show(step: Step, done: Held) -> None:
        nonlocal group
        group = joined(group, step, done.value) if step.shown else group

    _results(work, store, show, failed if reporting else None, tick)
    return _noted(describe(group), failed)


def _results(
    work: Work,
    store: Store,
    each: Callable[[Step, Held], None] = lambda step, done: None,
    failed: dict[str, Exception] | None = None,
    tick: Tick = lambda: None,
) -> dict[str, Held]:
    """Return the inputs and the results of all steps that could run; those that fail by name.

    Raises
    ------
    StepFailed
        If a step fails and nobody collects what `failed`.
    """
    results = dict(work.held)
    for step in work.pipeline.order:
        if not set(step.inputs) - set(results):
            try:
                inputs = [results[name] for name in step.inputs]
                key = work.keys[step.name] if store.path else None
                done = store.result(step.stage, inputs, step.parameters, worth, key)
                each(step, done)
                results[step.name] = done
            except Damaged:
                raise
            except Exception as error:
                if failed is None:
                    raise StepFailed(f"step {step.name!r}: {_reason(error)}") from error
                failed[step.name] = error
        tick()
    return results


def _empty(held: Mapping[str, Held]) -> xr.Dataset:
    own = [item.value for name, item in held.items() if not name.startswith(BACKGROUND)]
    ids = [value[SAMPLE] for value in own if SAMPLE in value.coords]
    return xr.Dataset(coords={SAMPLE: ids[0].variable} if ids else {})


def _noted(group: xr.Dataset, failed: Mapping[str, Exception]) -> Result:
    lines = {name: f"{name}: {_reason(error)}" for name, error in failed.items()}
    odd = tuple(lines[n] for n, e in failed.items() if not isinstance(e, ValueError))
    if not lines:
        return Result(group)
    notes = {"failed": "\n".join(lines.values())}
    if SUSPICION not in group:
        notes["not_analysed"] = next(iter(lines.values()))
    return Result(group.assign_attrs(notes), odd)


def _reason(error: Exception) -> str:
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{kind}{error}"
