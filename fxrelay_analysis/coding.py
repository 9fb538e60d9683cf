"""What a function does, as a digest: its code and all of its own package that it reaches.

Comments, layout and docstrings do not count. Constants, tables and helpers of the same package do,
in whatever they are nested, and so do the versions of the libraries that the code names: a changed
helper is another function. Arrays and lists of plain values that are changed in place are seen by
the next process.
"""

import dis
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from importlib import metadata
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from fxrelay_analysis import canonical
from fxrelay_analysis.digesting import digest

#: packages whose code is followed, beside the function's own
FOLLOWED: Final = ("fxrelay", "fxrelay_analysis")
#: name that is imported -> name of its distribution, where they differ
DISTRIBUTIONS: Final = {"sklearn": "scikit-learn", "skimage": "scikit-image", "umap": "umap-learn"}
#: modules whose ufuncs, which do not tell where they come from, are found there
UFUNCS: Final = ("numpy", "scipy.special")
Function = types.FunctionType
Table = dict[Any, Any] | list[Any]
#: code, defaults, defaults of keywords, contents of the closure
State = tuple[types.CodeType, Any, Any, list[Any]]
MISSING: Final = object()
#: module of the classes that run stages: no result depends on how
RUNNER: Final = "fxrelay_analysis.stage"


class Watched(NamedTuple):
    """A digest, and what to look at to know that it still holds."""

    digest: str
    functions: list[tuple[Function, State]]
    names: list[tuple[Mapping[str, Any], str, Any]]  # namespace, name, value
    tables: list[tuple[Table, list[Any]]]  # and their items

    def holds(self) -> bool:
        """Tell whether nothing was changed since: plain loops, for every look-up comes here."""
        for function, (code, defaults, options, cells) in self.functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not options
                or (cells and not _alike(_cells(function), cells))
            ):
                return False
        for space, name, value in self.names:
            if space.get(name, MISSING) is not value:
                return False
        return all(_alike(_items(table), then) for table, then in self.tables)


_KNOWN: "WeakKeyDictionary[Callable[..., Any], Watched]" = WeakKeyDictionary()


def code_digest(function: Callable[..., Any]) -> str:
    """Return the digest of what a function does, looked at anew when anything changed."""
    if not isinstance(function, Function):
        raise TypeError(
            f"compute: needs a plain Python function; got {type(function).__qualname__}. Wrap it "
            "in a function, so that its code can be told apart."
        )
    known = _KNOWN.get(function)
    if known is None or not known.holds():
        known = _KNOWN[function] = _look(function)
    return known.digest


class _Reader:
    """Follows names from a function to all that it reaches, each once."""

    def __init__(self, package: str) -> None:
        self.packages = {package, *FOLLOWED}
        self.parts: list[Any] = []
        self.libraries: set[str] = set()
        self.seen: dict[int, Any] = {}
        self.functions: list[tuple[Function, State]] = []
        self.names: list[tuple[Mapping[str, Any], str, Any]] = []
        self.tables: list[tuple[Table, list[Any]]] = []

    def function(self, function: Function) -> None:
        code = function.__code__
        self.functions.append((function, _state(function)))
        self.parts.append(_code(code, function.__doc__))
        for cell in function.__closure__ or ():
            self.value("closure", cell.cell_contents)
        self.value("defaults", (function.__defaults__, function.__kwdefaults__))
        self.libraries |= set(_imported(code))
        names = _named(code)
        for name in names:
            if name in function.__globals__:
                value = function.__globals__[name]
                self.names.append((function.__globals__, name, value))
                self.module(value, names) if _is_module(value) else self.value(name, value)

    def module(self, module: types.ModuleType, names: tuple[str, ...]) -> None:
        top = module.__name__.partition(".")[0]
        if top not in self.packages:
            self.libraries.add(top)
            return
        for name in names:
            if name in vars(module):
                self.names.append((vars(module), name, vars(module)[name]))
                self.value(name, vars(module)[name])

    def value(self, name: str, value: Any) -> None:
        if not isinstance(value, Function):
            value = getattr(value, "__wrapped__", value)  # what functools.lru_cache holds
        if id(value) in self.seen:
            return
        if not isinstance(value, dict) and (text := _plain(value)) is not None:
            self.parts.append([name, text])
            return
        self.seen[id(value)] = value
        if isinstance(value, dict | list | tuple):
            self.table(name, value)
        elif isinstance(value, partial):
            self.table(name, (value.func, value.args, value.keywords))
        elif not self.own(value):
            self.libraries.add(_top(value))
            told = getattr(value, "__name__", type(value).__qualname__)
            self.parts.append([name, getattr(value, "__qualname__", told)])
        elif isinstance(value, Function):
            self.function(value)
        else:
            self.kind(value if isinstance(value, type) else type(value))

    def table(self, name: str, table: Table | tuple[Any, ...]) -> None:
        """Follow the items of a table, and watch them where they can be changed in place."""
        if not isinstance(table, tuple):
            self.tables.append((table, _items(table)))
        self.parts.append([name, len(table)])
        for key, item in table.items() if isinstance(table, dict) else enumerate(table):
            self.value(f"{name}[{key!r}]", item)

    def kind(self, kind: type) -> None:
        if kind.__module__ == RUNNER:
            return
        for base in kind.__mro__[1:]:
            self.value(base.__qualname__, base)
        for name, member in sorted(vars(kind).items()):
            plain = _inner(member)
            if isinstance(plain, Function) or not name.startswith("__"):
                self.names.append((vars(kind), name, member))
                self.value(name, plain)

    def own(self, value: Any) -> bool:
        return _top(value) in self.packages


def _look(function: Function) -> Watched:
    reader = _Reader(function.__module__.partition(".")[0])
    reader.seen[id(function)] = function
    reader.function(function)
    versions = {name: v for name in reader.libraries if (v := _version(name))}
    return Watched(digest([reader.parts, versions]), reader.functions, reader.names, reader.tables)


def _state(function: Function) -> State:
    return (
        function.__code__, function.__defaults__, function.__kwdefaults__, _cells(function)
    )  # fmt: skip


def _cells(function: Function) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]


def _items(table: Table) -> list[Any]:
    if isinstance(table, list):
        return list(table)
    return [item for pair in table.items() for item in pair]


def _top(value: Any) -> str:
    """Return the package that a function, a class or the class of an object comes from."""
    if isinstance(value, np.ufunc):
        return next(filter(partial(_has, value), UFUNCS), "numpy").partition(".")[0]
    return (getattr(value, "__module__", None) or type(value).__module__).partition(".")[0]


def _has(ufunc: np.ufunc, module: str) -> bool:
    return module in sys.modules and vars(sys.modules[module]).get(ufunc.__name__) is ufunc


def _inner(member: Any) -> Any:
    """Return what stands behind a member of a class: a function, a default, or what it is."""
    for name in ("__func__", "fget", "func", "default"):  # methods, properties, parameters
        if hasattr(type(member), name):
            return getattr(member, name)
    return member


def _alike(now: list[Any], then: list[Any]) -> bool:
    return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))


def _plain(value: Any) -> str | None:
    try:
        return canonical.text(canonical.encode(value))
    except (TypeError, ValueError, RecursionError):
        return _constant(value) if isinstance(value, set | frozenset) else None


def _is_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType)


@lru_cache(maxsize=4096)
def _named(code: types.CodeType) -> tuple[str, ...]:
    """Return all names that a code and the codes inside it use, sorted."""
    inner = [name for c in code.co_consts if isinstance(c, types.CodeType) for name in _named(c)]
    return tuple(sorted({*code.co_names, *inner}))


def _imported(code: types.CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            yield str(step.argval).partition(".")[0]
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _imported(inner)


@lru_cache(maxsize=256)
def _version(name: str) -> str:
    if name in sys.stdlib_module_names:
        return ".".join(map(str, sys.version_info[:2]))
    try:
        return metadata.version(DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
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
    return repr(sorted(map(repr, value))) if isinstance(value, set | frozenset) else repr(value)
