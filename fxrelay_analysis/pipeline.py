"""An analysis as data: named steps, each a stage applied to variables and to earlier results."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import product
from types import MappingProxyType
from typing import Any, Final

from fxrelay.text import aligned
from fxrelay_analysis.stage import Reference, Stage, resolve

Parameters = Mapping[str, Mapping[str, Any]]
#: before the name of a step: its result on samples of all categories
BACKGROUND: Final = "background/"


@dataclass(frozen=True)
class Step:
    """One step of a pipeline: `stage` applied to `inputs`.

    Parameters
    ----------
    name : str
        What other steps, parameters and reports call it.
    stage : type of Stage
        What it computes.
    inputs : tuple of str
        Names of other steps, or of variables and coordinates of the Dataset. Those with the
        dimension ``sample`` come as the rows of the category, others whole. ``background/<step>``
        is what a step gives for a few samples of every category (`fxrelay_analysis.background`).
    parameters : mapping, optional
        Parameters of the stage that differ from its defaults.
    shown : bool
        Whether its result reaches the tree.
    optional : bool
        Leave it out, with all that needs it, where the Dataset lacks one of its variables.
    suffix : str
        What is appended, after ``_``, to the names of the variables that it gives; needed where
        two steps that are shown have one stage.
    """

    name: str
    stage: type[Stage]
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shown: bool = True
    optional: bool = False
    suffix: str = ""

    def __post_init__(self) -> None:
        given = (self.inputs,) if isinstance(self.inputs, str) else self.inputs
        object.__setattr__(self, "inputs", tuple(given))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    def __reduce__(self) -> tuple[type["Step"], tuple[Any, ...]]:
        return Step, (self.name, self.stage, self.inputs, dict(self.parameters), self.shown,
                      self.optional, self.suffix)  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """Steps that make up an analysis, in any order; print it to see what it does.

    Parameters
    ----------
    steps : tuple of Step

    Raises
    ------
    ValueError
        Names everything that is wrong: names that are given twice, cycles, stages that are none,
        wrong numbers of inputs, unknown parameters and values out of bounds, backgrounds that no
        step gives.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        faults = [text for check in CHECKS for text in check(self)]
        if faults:
            raise ValueError("Pipeline: needs steps that fit together; got:\n" + listed(faults))

    @cached_property
    def by_name(self) -> dict[str, Step]:
        """Steps by name."""
        return {step.name: step for step in self.steps}

    @cached_property
    def order(self) -> tuple[Step, ...]:
        """Steps as declared, except that each comes after those that it needs."""
        left, placed = list(self.steps), []
        while left:
            waiting = {step.name for step in left}
            placed.append(next(step for step in left if not waiting & step_names(step.inputs)))
            left.remove(placed[-1])
        return tuple(placed)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables of a Dataset that the steps take."""
        taken = [name for step in self.steps for name in step.inputs if name not in self.by_name]
        return tuple(dict.fromkeys(n for n in taken if not n.startswith(BACKGROUND)))

    @cached_property
    def backgrounds(self) -> tuple[str, ...]:
        """Inputs that are results on the background."""
        taken = [name for step in self.steps for name in step.inputs]
        return tuple(dict.fromkeys(n for n in taken if n.startswith(BACKGROUND)))

    def given(self, parameters: Parameters, seed: int | None = None) -> "Pipeline":
        """Return the pipeline with other parameters.

        Parameters
        ----------
        parameters : mapping
            Name of a step -> its parameters.
        seed : int, optional
            Of every step that has a parameter ``seed`` and is not given one.

        Raises
        ------
        ValueError
            Names all unknown steps, unknown parameters and values out of bounds.
        """
        unknown = sorted(set(parameters) - set(self.by_name))
        if unknown:
            raise ValueError(
                f"spray: needs parameters for steps among {', '.join(self.by_name)}; got "
                f"{', '.join(unknown)}. Rename or drop them."
            )

        def settled(step: Step) -> Step:
            seeded = {"seed": seed} if seed is not None and "seed" in step.stage.param else {}
            return replace(
                step,
                parameters=seeded | dict(step.parameters) | dict(parameters.get(step.name, {})),
            )

        return Pipeline(tuple(map(settled, self.steps)))

    def extend(self, *steps: Step) -> "Pipeline":
        """Return the pipeline with more steps; one with a known name takes the other's place."""
        return Pipeline(tuple((self.by_name | {step.name: step for step in steps}).values()))

    def only(self, *names: str) -> "Pipeline":
        """Return the steps `names` and all that they need.

        Raises
        ------
        ValueError
            Names the steps that there are not.
        """
        _known(self, names, "only")
        wanted = _needed(self, names)
        return Pipeline(tuple(step for step in self.steps if step.name in wanted))

    def without(self, names: Iterable[str]) -> "Pipeline":
        """Return the pipeline less the steps `names` and all that need them."""
        gone = self.after(names)
        return Pipeline(tuple(step for step in self.steps if step.name not in gone))

    def after(self, names: Iterable[str]) -> set[str]:
        """Return `names` and the names of all steps that need one of them."""
        found = set(names)
        for step in self.order:
            found |= {step.name} if found & step_names(step.inputs) else set()
        return found

    def sweep(self, name: str, **values: Iterable[Any]) -> "Pipeline":
        """Return the pipeline with a branch for each combination of values of a step's parameters.

        The step, and all that need it, get a copy per combination, with the suffix
        ``<parameter>_<value>``; everything before is shared. The original stays.

        Parameters
        ----------
        name : str
            The step.
        **values : iterables
            Parameter -> its values, e.g. ``sweep("neighbours", n_neighbours=(5, 20))``.

        Raises
        ------
        ValueError
            If there is no such step, or a value is out of bounds.
        """
        _known(self, [name], "sweep")
        again = [step for step in self.order if step.name in self.after([name])]
        copies: list[Step] = []
        for combination in product(*values.values()):
            chosen = dict(zip(values, combination, strict=True))
            ending = "_".join(f"{key}_{value}" for key, value in chosen.items())
            renamed = {step.name: f"{step.name}_{ending}" for step in again}
            copies += [
                replace(
                    step,
                    name=renamed[step.name],
                    inputs=tuple(_renamed(name, renamed) for name in step.inputs),
                    parameters=dict(step.parameters)
                    | _references(step, renamed)
                    | (chosen if step.name == name else {}),
                    suffix="_".join(filter(None, (step.suffix, ending))),
                )
                for step in again
            ]
        return self.extend(*copies)

    def __str__(self) -> str:
        head = ("step", "stage", "inputs", "parameters", "in the tree")
        rows = [
            (step.name, step.stage.__name__, ", ".join(step.inputs),
             ", ".join(f"{k}={v!r}" for k, v in step.parameters.items()), _shown(step))
            for step in self.order
        ]  # fmt: skip
        return aligned([head, *rows])


def step_names(inputs: Iterable[str]) -> set[str]:
    """Return inputs as names of steps (or variables), wherever the step is to be run."""
    return {name.removeprefix(BACKGROUND) for name in inputs}


def listed(faults: Iterable[str]) -> str:
    """Return faults as lines of one message, and what to do."""
    return "\n".join(f"  - {text}" for text in faults) + "\nChange what is named."


def _renamed(name: str, names: Mapping[str, str]) -> str:
    bare = name.removeprefix(BACKGROUND)
    return name.removesuffix(bare) + names.get(bare, bare)


def _references(step: Step, names: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that refer to a step which has another name in a branch."""
    given = resolve(step.stage, dict(step.parameters))
    refers = {k: v for k, v in given.items() if isinstance(step.stage.param[k], Reference)}
    return {key: names[value] for key, value in refers.items() if value in names}


def _shown(step: Step) -> str:
    words = ["yes" if step.shown else "no", "optional" if step.optional else ""]
    return ", ".join(filter(None, [*words, step.suffix and f"_{step.suffix}"]))


def _known(pipeline: Pipeline, names: Iterable[str], where: str) -> None:
    unknown = [name for name in names if name not in pipeline.by_name]
    if unknown:
        raise ValueError(
            f"Pipeline.{where}: needs steps among {', '.join(pipeline.by_name)}; got "
            f"{', '.join(unknown)}. Rename them."
        )


def _names(pipeline: Pipeline) -> Iterator[str]:
    names = [step.name for step in pipeline.steps]
    if not names:
        yield "no steps"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{names.count(name)} steps named {name!r}; names must differ"


def _stages(pipeline: Pipeline) -> Iterator[str]:
    for step in pipeline.steps:
        if not (isinstance(step.stage, type) and issubclass(step.stage, Stage)):
            yield f"step {step.name!r}: {step.stage!r} is no stage (a subclass of stages.Stage)"
            continue
        least, most = _arity(step.stage)
        if not least <= len(step.inputs) <= most:
            wanted = str(least) if least == most else f"{least} or more"
            yield f"step {step.name!r}: {step.stage.__name__} takes {wanted} inputs, not " + str(
                len(step.inputs)
            )
        try:
            resolve(step.stage, dict(step.parameters))
        except (TypeError, ValueError) as error:
            yield f"step {step.name!r}: {error}"


def _arity(stage: type[Stage]) -> tuple[int, float]:
    kinds = inspect.signature(stage.compute).parameters.values()
    positional = [p for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken = [p for p in positional if p.name not in stage.param]
    least = sum(p.default is p.empty for p in taken)
    return least, float("inf") if any(p.kind is p.VAR_POSITIONAL for p in kinds) else len(taken)


def _twice(pipeline: Pipeline) -> Iterator[str]:
    shown: dict[Any, list[str]] = {}
    for step in pipeline.steps:
        if step.shown:
            shown.setdefault((id(step.stage), step.suffix), []).append(step.name)
    for names in shown.values():
        if len(set(names)) > 1:
            yield (
                f"steps {', '.join(names)} have one stage and so show the same variables; give "
                "each a suffix of its own"
            )


def _cycles(pipeline: Pipeline) -> Iterator[str]:
    needs = {s.name: step_names(s.inputs) & set(pipeline.by_name) for s in pipeline.steps}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        yield f"steps that wait for each other: {' -> '.join(reversed(error.args[1]))}"


def _backgrounds(pipeline: Pipeline) -> Iterator[str]:
    for name in pipeline.backgrounds:
        step = name.removeprefix(BACKGROUND)
        if step not in pipeline.by_name:
            yield f"input {name!r}: no step named {step!r}"
        elif any(n.startswith(BACKGROUND) for s in _needed(pipeline, [step]).values()
                 for n in s.inputs):  # fmt: skip
            yield f"input {name!r}: step {step!r} needs a background itself"


def _needed(pipeline: Pipeline, names: Iterable[str]) -> dict[str, Step]:
    """Return the steps `names` and all that they need."""
    found, left = dict[str, Step](), list(names)
    while left:
        step = pipeline.by_name.get(left.pop())
        if step and step.name not in found:
            found[step.name] = step
            left += step_names(step.inputs)
    return found


#: what is looked for when a pipeline is made
CHECKS: Final = (_names, _stages, _twice, _cycles, _backgrounds)
