"""A whole analysis as a small text: what is analysed, how, and where results are kept.

Recipes are TOML: its reader is in the standard library, values have types (no word turns into
false), and errors have a line. Its author wrote tomli-w, the writer, which needs nothing else.
"""

import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tomli_w

from fxrelay.files import write_atomically
from fxrelay.schema import LABEL
from fxrelay_analysis import netcdf
from fxrelay_analysis.pipeline import Parameters, Pipeline, Step, listed
from fxrelay_analysis.places import line_of
from fxrelay_analysis.recipe_keys import MARK, PLAIN, VERSION, faults, pipeline_of, values
from fxrelay_analysis.stages import STAGES
from fxrelay_analysis.tables import from_toml, to_toml

#: attribute of an analysis that holds its recipe
RECIPE: Final = "recipe"


@dataclass(frozen=True)
class Recipe:
    """What an analysis is made of; `text` is all of it.

    A text may name stages of other packages, ``package.module:class``, which reading it imports:
    read recipes, and files of analyses as recipes, only from those whose code you would run.

    Parameters
    ----------
    data : str or path, optional
        Folder of relevance, relative to the current directory.
    category : str
        Variable with the category of each sample.
    pipeline : str or Pipeline
        Name of a preset, or the steps.
    parameters : mapping
        Step name -> its parameters.
    seed : int, optional
        Seed of every step that has one and is not given its own.
    store : str or path, optional
        Folder of memoized results.
    workers : int
        Processes that analyse categories.
    scheduler : str, optional
        Address of a dask scheduler on whose workers they run instead.
    """

    data: str | None = None
    category: str = LABEL
    pipeline: str | Pipeline = "spray"
    parameters: Parameters = field(default_factory=dict)
    seed: int | None = None
    store: str | None = None
    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        for name in ("data", "store"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(value))
        given = {name: dict(values) for name, values in self.parameters.items()}
        object.__setattr__(self, "parameters", given)

    @classmethod
    def read(cls, path: str | Path) -> "Recipe":
        """Read a recipe from a TOML file, or from the file of an analysis that was made by one.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it holds no recipe; names the line and key of everything that is wrong.
        """
        with open(path, "rb") as file:
            start = file.read(4)
        if start[1:] != b"HDF":
            return cls.parse(Path(path).read_text("utf-8"), str(path))
        try:
            return cls.parse(netcdf.text(Path(path), RECIPE), f"{path}: {RECIPE}")
        except (AttributeError, OSError) as error:
            raise ValueError(
                f"Recipe: needs the file of an analysis with the attribute {RECIPE!r}; got "
                f"{str(path)!r} ({error})."
            ) from error

    @classmethod
    def parse(cls, text: str, where: str = "recipe") -> "Recipe":
        """Return the recipe that a text holds.

        Raises
        ------
        ValueError
            Names the line and key of everything that is wrong.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"Recipe: needs TOML; got in {where}: {error}.") from error
        if found := list(faults(data)):
            lines = [f"line {line_of(text, at)}: {'.'.join(map(str, at))}: {f}" for at, f in found]
            raise ValueError(
                f"Recipe: needs version {VERSION} of a recipe; got in {where}:\n" + listed(lines)
            )
        return cls(**_fields(data))

    def change(self, **others: Any) -> "Recipe":
        """Return the recipe with other fields; parameters are added, None changes nothing."""
        given = {name: value for name, value in others.items() if value is not None}
        more = given.pop("parameters", {})
        merged = {
            name: {**self.parameters.get(name, {}), **more.get(name, {})}
            for name in {**self.parameters, **more}
        }
        return replace(self, **given, parameters=merged)

    @cached_property
    def text(self) -> str:
        """The recipe as TOML; `parse` gives back an equal recipe.

        Raises
        ------
        TypeError
            If a parameter has no exact text.
        """
        plain = {name: getattr(self, name) for name in PLAIN}
        data: dict[str, Any] = {MARK: VERSION} | {k: v for k, v in plain.items() if v is not None}
        if isinstance(self.pipeline, str):
            data["pipeline"] = self.pipeline
        else:
            data["steps"] = [_step_data(step) for step in self.pipeline.steps]
        if self.parameters:
            data["parameters"] = to_toml(self.parameters)
        return tomli_w.dumps(data)

    def write(self, path: str | Path) -> Path:
        """Write the text to a file, whole or not at all."""
        return write_atomically(path, lambda temporary: temporary.write_text(self.text, "utf-8"))


def parameters(assignments: Iterable[str]) -> Parameters:
    """Return the parameters that texts ``step.parameter=value`` give, values as in TOML.

    Raises
    ------
    ValueError
        Names every text that is no such assignment.
    """
    out: dict[str, dict[str, Any]] = {}
    wrong = []
    for text in assignments:
        try:
            ((step, values),) = tomllib.loads(text).items()
            out.setdefault(step, {}).update(from_toml(values))
        except (ValueError, AttributeError, TypeError):
            wrong.append(text)
    if wrong:
        raise ValueError(
            "Recipe: needs STEP.PARAMETER=VALUE with a value as in TOML, kmeans.n_clusters=[2, 3] "
            f"for instance; got {', '.join(map(repr, wrong))}."
        )
    return out


def _step_data(step: Step) -> dict[str, Any]:
    known = STAGES.get(step.stage.__name__) is step.stage
    stage = step.stage.__name__ if known else f"{step.stage.__module__}:{step.stage.__qualname__}"
    data = {"name": step.name, "stage": stage, "inputs": list(step.inputs)}
    defaults = {"shown": True, "optional": False, "suffix": ""}
    data |= {n: getattr(step, n) for n, usual in defaults.items() if getattr(step, n) != usual}
    return data | ({"parameters": to_toml(step.parameters)} if step.parameters else {})


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    pipeline = pipeline_of(data)
    given = data.get("parameters", {})
    return {
        **{name: data[name] for name in PLAIN if name in data},
        "pipeline": pipeline if "steps" in data else data.get("pipeline", "spray"),
        "parameters": {n: values(pipeline.by_name[n].stage, v) for n, v in given.items()},
    }
