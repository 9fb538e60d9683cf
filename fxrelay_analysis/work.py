"""What a pipeline is run on: the variables that it takes of a Dataset, and the key of that run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis.assembling import joined
from fxrelay_analysis.coding import code_digest
from fxrelay_analysis.netcdf import NETCDF
from fxrelay_analysis.pipeline import Pipeline, listed
from fxrelay_analysis.shelf import Key
from fxrelay_analysis.store import Held, stage_key


@dataclass(frozen=True)
class Work:
    """A pipeline and what it takes of one category.

    Parameters
    ----------
    pipeline : Pipeline
    held : mapping
        The variables that it takes, and results on the background, by the names of its inputs.
    """

    pipeline: Pipeline
    held: Mapping[str, Held]

    @cached_property
    def keys(self) -> dict[str, Key]:
        """The key of each step, but for the content of its inputs."""
        return {s.name: stage_key(s.stage, (), s.parameters) for s in self.pipeline.order}

    @cached_property
    def key(self) -> Key:
        """The key of the whole run: every step with its key, and the content of what it takes."""
        steps = [
            [step.name, list(step.inputs), step.shown, step.suffix, self.keys[step.name]]
            for step in self.pipeline.order
        ]
        taken = (*self.pipeline.variables, *self.pipeline.backgrounds)
        inputs = [[name, self.held[name].digest] for name in taken]
        return {"steps": steps, "inputs": inputs, "code": code_digest(joined)}


def available(pipeline: Pipeline, ds: xr.Dataset, where: str) -> tuple[Pipeline, tuple[str, ...]]:
    """Return the pipeline without optional steps that lack a variable, and their names.

    Raises
    ------
    ValueError
        Names every step that is not optional and lacks a variable.
    """
    known = {*pipeline.by_name, *map(str, ds.variables), *pipeline.backgrounds}
    lacking = {step.name: [n for n in step.inputs if n not in known] for step in pipeline.steps}
    left_out = pipeline.after(n for n, gone in lacking.items() if gone and _optional(pipeline, n))
    faults = [
        f"step {name!r}: no step and no variable named {', '.join(gone)}"
        for name, gone in lacking.items()
        if gone and name not in left_out
    ]
    if faults:
        raise ValueError(
            f"{where}: needs variables among {', '.join(map(str, ds.variables))}; got:\n"
            + listed(faults)
        )
    return pipeline.without(left_out) if left_out else pipeline, tuple(sorted(left_out))


def variables(pipeline: Pipeline, ds: xr.Dataset, rows: Any = None) -> dict[str, xr.DataArray]:
    """Return the variables that a pipeline takes, at `rows` of the samples."""
    named = {name: ds[name].reset_coords(drop=True) for name in pipeline.variables}
    if rows is None:
        return named
    return {n: v.isel({SAMPLE: rows}) if SAMPLE in v.dims else v for n, v in named.items()}


def loaded(data: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return variables in memory, read by this thread alone."""
    with NETCDF:
        return {
            name: value if value.chunks is None else value.compute(scheduler="synchronous")
            for name, value in data.items()
        }


def _optional(pipeline: Pipeline, name: str) -> bool:
    return pipeline.by_name[name].optional
