"""The keys of a recipe: what each needs to be, and all that is wrong with those that were given."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import param

from fxrelay_analysis.pipeline import Pipeline, Step
from fxrelay_analysis.presets import PIPELINES
from fxrelay_analysis.stage import Stage, fault, parameters_of
from fxrelay_analysis.stages import STAGES
from fxrelay_analysis.tables import from_toml

VERSION: Final = 1
MARK: Final = "fxrelay_recipe"


class Plain(NamedTuple):
    """A key with a plain value: its type, the least value, and that in words."""

    kind: type[Any]
    least: int | None
    words: str


#: keys of a recipe that have plain values
PLAIN: Final[Mapping[str, Plain]] = {
    "data": Plain(str, None, "a path"),
    "category": Plain(str, None, "the name of a variable"),
    "seed": Plain(int, 0, "an integer >= 0"),
    "store": Plain(str, None, "the path of a folder"),
    "workers": Plain(int, 1, "an integer >= 1"),
    "scheduler": Plain(str, None, "the address of a dask scheduler"),
}
KEYS: Final = (MARK, "pipeline", "steps", "parameters", *PLAIN)
#: keys of a step -> type
STEP: Final = {"name": str, "stage": str, "inputs": list, "shown": bool, "optional": bool,
               "suffix": str, "parameters": dict}  # fmt: skip
Data = dict[str, Any]
#: path to a key, and what is wrong there
Fault = tuple[tuple[str | int, ...], str]


def pipeline_of(data: Data) -> Pipeline:
    """Return the pipeline of a recipe, without its parameters.

    Raises
    ------
    ValueError
        If its steps do not fit together.
    """
    if "steps" not in data:
        return PIPELINES[data.get("pipeline", "spray")]
    return Pipeline(tuple(map(_step, data["steps"])))


def values(stage: type[Stage], given: Data) -> Data:
    """Return parameters as their stage wants them: TOML has no tuples, a list may stand for one.

    Raises
    ------
    ValueError
        If a value stands for nothing.
    """
    declared, out = parameters_of(stage), {}
    for name, data in given.items():
        value = from_toml(data)
        pair = isinstance(declared.get(name), param.Tuple) and isinstance(value, list)
        out[name] = tuple(value) if pair else value
    return out


def faults(data: Data) -> Iterator[Fault]:
    """Yield the key and the fault of everything that is wrong with a recipe."""
    if data.get(MARK) != VERSION:
        yield (MARK,), f"needs {VERSION}; got {data.get(MARK)!r}"
    for key in sorted(data.keys() - set(KEYS)):
        yield (key,), f"needs a key among {', '.join(KEYS)}"
    for key, plain in PLAIN.items():
        if key in data and not _fits(data[key], plain):
            yield (key,), f"needs {plain.words}; got {data[key]!r}"
    name = data.get("pipeline", "spray")
    wrong = list(_of_steps(data)) if "steps" in data else []
    if "pipeline" in data and "steps" in data:
        wrong.append((("pipeline",), "needs either pipeline or steps; got both"))
    elif not isinstance(name, str) or name not in PIPELINES:
        wrong.append((("pipeline",), f"needs one of {', '.join(PIPELINES)}; got {name!r}"))
    yield from wrong or _of_parameters(data)


def _fits(value: Any, plain: Plain) -> bool:
    if type(value) is not plain.kind:
        return False
    return plain.least is None or bool(value >= plain.least)


def _of_steps(data: Data) -> Iterator[Fault]:
    steps = data["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        yield ("steps",), "needs a table for each step, [[steps]]"
        return
    found = [(("steps", i, *at), text) for i, step in enumerate(steps) for at, text in _of(step)]
    yield from found
    try:
        found or pipeline_of(data)
    except ValueError as error:
        yield ("steps",), str(error)


def _of(step: Data) -> Iterator[Fault]:
    for key in sorted(step.keys() - STEP.keys()):
        yield (key,), f"needs a key among {', '.join(STEP)}"
    for key in sorted({"name", "stage", "inputs"} - step.keys()):
        yield (), f"needs {key}"
    for key, kind in STEP.items():
        if key in step and type(step[key]) is not kind:
            yield (key,), f"needs {kind.__name__}; got {step[key]!r}"
    if isinstance(step.get("stage"), str):
        try:
            stage = _stage(step["stage"])
        except ValueError as error:
            yield ("stage",), str(error)
        else:
            yield from _of_values(stage, step.get("parameters", {}), ("parameters",))


def _of_parameters(data: Data) -> Iterator[Fault]:
    steps, given = pipeline_of(data).by_name, data.get("parameters", {})
    if not isinstance(given, dict) or not all(isinstance(v, dict) for v in given.values()):
        yield ("parameters",), "needs a table for each step, [parameters.<step>]"
        return
    for name, chosen in given.items():
        if name in steps:
            yield from _of_values(steps[name].stage, chosen, ("parameters", name))
        else:
            yield ("parameters", name), f"needs a step among {', '.join(steps)}"


def _of_values(stage: type[Stage], given: Any, at: tuple[str, ...]) -> Iterator[Fault]:
    declared = parameters_of(stage)
    for name in given if isinstance(given, dict) else ():
        if name not in declared:
            yield (*at, name), f"needs a parameter among {', '.join(declared) or 'none'}"
            continue
        try:
            text = fault(declared[name], values(stage, {name: given[name]})[name])
        except ValueError as error:
            text = str(error)
        if text:
            yield (*at, name), text


def _step(data: Data) -> Step:
    stage = _stage(data["stage"])
    return Step(**{**data, "stage": stage, "parameters": values(stage, data.get("parameters", {}))})


def _stage(name: str) -> type[Stage]:
    """Return the stage of that name, or of ``package.module:class``."""
    if name in STAGES:
        return STAGES[name]
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"needs a stage of fxrelay, or package.module:class; got {name!r}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise ValueError(f"needs a stage; got {name!r}, which is none")
    return found
