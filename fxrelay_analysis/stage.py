"""What a stage is: a pure function of labelled data with declared parameters and a version."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from fxrelay import schema
from fxrelay_analysis.coding import code_digest
from fxrelay_analysis.inputs import Variables, need_labelled, need_variables


class Stage(param.ParameterizedFunction):
    """A pure step of an analysis: ``stage(data, name=value, ...)`` on labelled data.

    A subclass declares its parameters (typed, bounded, with ``doc``), a `version`, and `compute`,
    a static method that takes the inputs and every parameter by name. Raise `version` when
    what another package does for `compute` gives other results. `needs` names the variables, and
    their dimensions, that inputs which are results of other stages have to have.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {}
    compute: ClassVar[Callable[..., Any]]

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Check inputs and parameters and run `compute`, on arrays in C order.

        The order of memory decides the order of sums, and so the last bit: a result must not
        depend on whether its inputs come from a file.
        """
        stage = type(self)
        need_labelled(stage.__name__, inputs)
        given = resolve(stage, parameters)
        need_variables(stage.__name__, stage.compute.__code__.co_varnames, stage.needs, inputs)
        return stage.compute(*map(_in_c_order, inputs), **given)

    @classmethod
    def code(cls) -> str:
        """Return the digest of what `compute` does, with all that it reaches in its package.

        Comments, layout and docstrings do not count; versions of the libraries it names do.
        """
        return code_digest(cls.compute)


class Counts(param.Parameter):
    """An integer, or several (a range, list or tuple): the values of a sweep, each >= `low`."""

    __slots__ = ("low",)

    def __init__(self, default: Any = 2, *, low: int = 1, **options: Any) -> None:
        super().__init__(default, **options)
        self.low = low

    def _validate(self, val: Any) -> None:
        values = [val] if isinstance(val, int) else val
        fine = isinstance(values, (range, list, tuple)) and len(values) > 0
        if not fine or any(type(v) is not int or v < self.low for v in values):
            raise ValueError(
                f"{self.name!r} must be an integer >= {self.low} or a range, list or tuple of "
                f"such, not {val!r}."
            )

    @staticmethod
    def settle(value: Any) -> list[int]:
        """Return the one form of a sweep's values: a list."""
        return [value] if isinstance(value, int) else list(value)


class Reference(param.String):
    """What the tree calls the result of another step; in a branch, the result of its copy."""


def signature(stage: type[Stage]) -> str:
    """Return the full name of a stage, module and class."""
    return f"{stage.__module__}.{stage.__qualname__}"


def resolve(stage: type[Stage], given: dict[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter of a stage, defaults included, sweeps as lists.

    Raises
    ------
    TypeError
        Names every parameter that the stage does not have.
    ValueError
        Names every parameter whose value has a wrong type or is out of bounds.
    """
    declared = parameters_of(stage)
    unknown = sorted(given.keys() - declared.keys())
    if unknown:
        raise TypeError(
            f"{stage.__name__}: needs parameters among {', '.join(declared) or 'none'}; got "
            f"{', '.join(unknown)}. Rename or drop them."
        )
    wrong = [text for name, value in given.items() if (text := fault(declared[name], value))]
    if wrong:
        raise ValueError(
            f"{stage.__name__}: needs values as help(stages.{stage.__name__}) says; got:\n"
            + "\n".join(f"  - {text}" for text in wrong)
            + "\nChange what is named."
        )
    values = {name: given.get(name, getattr(stage, name)) for name in declared}
    return {
        name: declared[name].settle(value) if isinstance(declared[name], Counts) else value
        for name, value in values.items()
    }


def parameters_of(stage: type[Stage]) -> dict[str, param.Parameter]:
    """Return the declared parameters of a stage by name, sorted."""
    return {name: stage.param[name] for name in sorted(stage.param) if name != "name"}


def variable(data: xr.Dataset | xr.DataArray, name: str, where: str) -> xr.DataArray:
    """Return the variable `name` of a Dataset, or a DataArray as it is.

    Raises
    ------
    ValueError
        If the Dataset has no such variable.
    """
    if isinstance(data, xr.DataArray):
        return data
    if name not in data:
        found = ", ".join(map(str, data.data_vars)) or "none"
        raise ValueError(
            f"{where}: needs a DataArray or a Dataset with {name!r}; got {found}. "
            "Pass the variable itself."
        )
    return data[name]


def labelled(array: xr.DataArray, name: str) -> xr.DataArray:
    """Return `array` with its name and the long name and unit that the schema gives it."""
    return schema.describe(array.to_dataset(name=name))[name]


def _in_c_order(data: Any) -> Any:
    if isinstance(data, xr.DataArray):
        return data.copy(data=np.ascontiguousarray(data.data)) if _turned(data) else data
    if isinstance(data, xr.Dataset):
        turned = [name for name in data.data_vars if _turned(data.variables[name])]
        return data.assign({name: _in_c_order(data[name]) for name in turned}) if turned else data
    return data


def _turned(data: xr.DataArray | xr.Variable) -> bool:
    return isinstance(data.data, np.ndarray) and not data.data.flags.c_contiguous


def fault(parameter: param.Parameter, value: Any) -> str:
    """Return what is wrong with a value of a parameter; nothing is the empty text."""
    try:
        parameter._validate(value)
    except (ValueError, TypeError) as error:
        return f"{parameter.name}={value!r}: {error}"
    return ""
