"""What a stage is: a pure function of labelled data with declared parameters and a version."""

import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from fxrelay import schema
from fxrelay_analysis.digesting import digest


class Stage(param.ParameterizedFunction):
    """A pure step of an analysis: ``stage(data, name=value, ...)`` on labelled data.

    A subclass declares its parameters (typed, bounded, with ``doc``), a `version`, and `compute`,
    a static method that takes the inputs and every parameter by name. Raise `version` when
    anything that `compute` calls gives other results.
    """

    version: ClassVar[int] = 1
    compute: ClassVar[Callable[..., Any]]

    def __call__(self, *inputs: Any, **parameters: Any) -> Any:
        """Check the parameters and run `compute`, on arrays in C order.

        The order of memory decides the order of sums, and so the last bit: a result must not
        depend on whether its inputs come from a file.
        """
        given = resolve(type(self), parameters)
        return type(self).compute(*map(_in_c_order, inputs), **given)

    @classmethod
    def code(cls) -> str:
        """Return the digest of what `compute` does, blind to comments, layout and docstring."""
        function = cls.compute
        around = [cell.cell_contents for cell in function.__closure__ or ()]
        defaults = [function.__defaults__, function.__kwdefaults__]
        return digest([_code(function.__code__, function.__doc__), defaults, around])


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


def signature(stage: type[Stage]) -> str:
    """Return the full name of a stage, module and class."""
    return f"{stage.__module__}.{stage.__qualname__}"


def resolve(stage: type[Stage], given: dict[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter of a stage, defaults included.

    Raises
    ------
    TypeError
        Names every parameter that the stage does not have.
    ValueError
        Names every parameter whose value has a wrong type or is out of bounds.
    """
    declared = {name: stage.param[name] for name in stage.param if name != "name"}
    unknown = sorted(given.keys() - declared.keys())
    if unknown:
        raise TypeError(
            f"{stage.__name__}: needs parameters among {', '.join(sorted(declared)) or 'none'}; "
            f"got {', '.join(unknown)}. Rename or drop them."
        )
    wrong = [text for name, value in given.items() if (text := _fault(declared[name], value))]
    if wrong:
        raise ValueError(
            f"{stage.__name__}: needs values as help(stages.{stage.__name__}) says; got:\n"
            + "\n".join(f"  - {text}" for text in wrong)
            + "\nChange what is named."
        )
    return {name: given.get(name, getattr(stage, name)) for name in sorted(declared)}


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
        plain = isinstance(data.data, np.ndarray) and not data.data.flags.c_contiguous
        return data.copy(data=np.ascontiguousarray(data.data)) if plain else data
    if isinstance(data, xr.Dataset):
        turned = {name: _in_c_order(data[name]) for name in data.data_vars}
        return data.assign({n: new for n, new in turned.items() if new.data is not data[n].data})
    return data


def _fault(parameter: param.Parameter, value: Any) -> str:
    try:
        parameter._validate(value)
    except (ValueError, TypeError) as error:
        return f"{parameter.name}={value!r}: {error}"
    return ""


def _code(code: types.CodeType, doc: str | None) -> list[Any]:
    inner = [
        _code(c, None) if isinstance(c, types.CodeType) else _constant(None if c == doc else c)
        for c in code.co_consts
    ]
    names = [list(code.co_names), list(code.co_varnames)]
    counts = [code.co_argcount, code.co_kwonlyargcount, code.co_flags]
    return [code.co_code, code.co_exceptiontable, *names, *counts, inner]


def _constant(value: object) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
