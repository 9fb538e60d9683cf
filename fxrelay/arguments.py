"""What a model is called with: tensors by name, and values that stay fixed.

A call is given as one tensor, as a sequence (positional arguments) or as a mapping (keyword
arguments). Here it is bound to the parameters of forward, or to the inputs of a graph, and every
tensor gets a name: that of its parameter, followed by its path where it is nested, ``hx_0``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from fxrelay.meta import FIXED

#: what ``trace``, ``attribute`` and the samples of ``attribute_dataset`` take as x
Inputs = Tensor | np.ndarray | Sequence[Any] | Mapping[str, Any]


class Slot(str):
    """The place of a tensor in a call, by name."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Arguments:
    """One call of a model.

    Attributes
    ----------
    tensors : mapping of name to Tensor
        In the order of forward's parameters; empty where no example told.
    fixed : mapping of name to value
        Arguments that are no tensors.
    tree : (args, kwargs)
        The call, a `Slot` in the place of each tensor.
    """

    tensors: Mapping[str, Tensor]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    tree: tuple[Sequence[Any], Mapping[str, Any]] = ((), {})

    @property
    def names(self) -> list[str]:
        """Names of the tensors, in order."""
        return [str(leaf) for leaf in pytree.tree_leaves(self.tree) if isinstance(leaf, Slot)]

    def call(self, function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call `function` with `values` in the place of the tensors."""
        args, kwargs = pytree.tree_map(
            lambda leaf: values[leaf] if isinstance(leaf, Slot) else leaf, self.tree
        )
        return function(*args, **kwargs)

    def having(self, tensors: Mapping[str, Tensor]) -> "Arguments":
        """Return the same call with other tensors."""
        return replace(self, tensors=dict(tensors))


def arguments_of(model: nn.Module | ExportedProgram, x: "Inputs | Arguments") -> Arguments:
    """Bind `x` to the parameters of forward, or to the inputs of a graph.

    Raises
    ------
    ValueError
        If names or their number do not fit, or nothing in `x` is a tensor; lists the known names.
    """
    if isinstance(x, Arguments):
        return x
    args, kwargs = _call_of(x)
    if isinstance(model, ExportedProgram | fx.GraphModule):
        return _of_graph(model, args, kwargs)
    signature = inspect.signature(model.forward)
    bound = _bound(signature.bind, args, kwargs, signature)
    tensors: dict[str, Tensor] = {}
    fixed: dict[str, Any] = {}
    for name, value in list(_by_parameter(bound)):
        for path, leaf in _leaves(name, value):
            (tensors if isinstance(leaf, Tensor) else fixed)[path] = leaf
    _require_tensors(tensors, args, kwargs)
    names = iter([*tensors])
    tree = pytree.tree_map(
        lambda leaf: Slot(next(names)) if isinstance(leaf, Tensor) else leaf,
        (bound.args, bound.kwargs),
    )
    return Arguments(tensors, fixed, tree)


def required(model: nn.Module) -> Arguments:
    """Return the call of forward with every parameter that has no default; the others keep it."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    args, kwargs = [], {}
    for p in inspect.signature(model.forward).parameters.values():
        if p.default is not p.empty:
            continue
        if p.kind in plain:
            args.append(Slot(p.name))
        elif p.kind is p.KEYWORD_ONLY:
            kwargs[p.name] = Slot(p.name)
    return Arguments({}, {}, (args, kwargs))


def _call_of(x: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and keyword arguments; arrays become tensors."""
    if isinstance(x, Mapping):
        return (), {str(name): _as_tensors(value) for name, value in x.items()}
    if isinstance(x, list | tuple) and any(
        isinstance(leaf, Tensor | np.ndarray) for leaf in pytree.tree_leaves(x)
    ):
        return tuple(_as_tensors(value) for value in x), {}
    return (_as_tensors(np.asarray(x) if isinstance(x, list | tuple) else x),), {}


def _as_tensors(value: Any) -> Any:
    return pytree.tree_map(_as_tensor, value)


def _as_tensor(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    try:
        return torch.as_tensor(leaf)
    except TypeError as error:
        raise ValueError(
            f"inputs: needs arrays of numbers; got dtype {leaf.dtype}. Use .astype(...)."
        ) from error


def _bound(
    bind: Callable[..., inspect.BoundArguments],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    signature: inspect.Signature,
) -> inspect.BoundArguments:
    try:
        return bind(*args, **kwargs)
    except TypeError as error:
        known = ", ".join(map(_told_parameter, signature.parameters.values())) or "nothing"
        raise ValueError(
            f"inputs: needs arguments that the model takes, ({known}); got {_told(args, kwargs)}: "
            f"{error}. Pass one tensor, a sequence of positional arguments, or a mapping of names; "
            "stack samples into one tensor with torch.stack."
        ) from error


def _told_parameter(p: inspect.Parameter) -> str:
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
        return f"*{p.name}" if p.kind is p.VAR_POSITIONAL else f"**{p.name}"
    return p.name if p.default is p.empty else f"[{p.name}]"


def _told(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    named = [f"{n} positional" for n in [len(args)] if n] + ([", ".join(kwargs)] if kwargs else [])
    return " and ".join(named) or "none"


def _by_parameter(bound: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """Give each argument the name of its parameter, numbered for ``*xs``."""
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}_{i}", one) for i, one in enumerate(value))
        else:
            yield name, value


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Name the leaves of a nested argument by their path: ``hx_0``, ``hx_1``."""
    for path, leaf in pytree.tree_flatten_with_path(value)[0]:
        keys = [str(getattr(key, "idx", getattr(key, "key", key))) for key in path]
        yield "_".join([name, *keys]), leaf


def _require_tensors(tensors: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if not tensors:
        raise ValueError(
            f"inputs: needs at least one tensor or array; got {_told(args, kwargs)} without. "
            "For example torch.as_tensor(x)."
        )


def _of_graph(
    graph: ExportedProgram | fx.GraphModule, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Arguments:
    """Bind to the inputs of a graph; what was fixed when it was traced may be given again."""
    settled = {} if isinstance(graph, ExportedProgram) else dict(graph.meta.get(FIXED, {}))
    flat = {path: leaf for name, value in kwargs.items() for path, leaf in _leaves(name, value)}
    changed = {n: v for n, v in flat.items() if n in settled and not _same(v, settled[n])}
    if changed:
        faults = ", ".join(f"{n}={v!r} (was {settled[n]!r})" for n, v in changed.items())
        raise ValueError(
            f"inputs: needs the values that the graph was traced with; got {faults}. "
            "Trace the model again."
        )
    inputs = _inputs_of(graph)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in inputs])
    rest = {name: value for name, value in flat.items() if name not in settled}
    bound = _bound(signature.bind_partial, pytree.tree_leaves(list(args)), rest, signature)
    missing = [name for name, used in inputs.items() if used and name not in bound.arguments]
    if missing:
        raise ValueError(
            f"inputs: needs {', '.join(missing)} too; got {_told(args, kwargs)}. "
            "The graph has no default for them."
        )
    tensors = {n: v for n, v in bound.arguments.items() if isinstance(v, Tensor)}
    _require_tensors(tensors, args, kwargs)
    fixed = {n: v for n, v in bound.arguments.items() if n not in tensors}
    return Arguments(tensors, settled | fixed, ((), {n: Slot(n) for n in tensors} | fixed))


def _same(value: Any, settled: Any) -> bool:
    return value is settled or (type(value) is type(settled) and value == settled)


def _inputs_of(graph: ExportedProgram | fx.GraphModule) -> dict[str, bool]:
    """Name the inputs of a graph, and say which have to be given."""
    nodes = [n for n in graph.graph.nodes if n.op == "placeholder"]
    if isinstance(graph, ExportedProgram):
        specs = graph.graph_signature.input_specs
        given = zip(nodes, specs, strict=True)
        return {str(n.target): bool(n.users) for n, s in given if s.kind is InputKind.USER_INPUT}
    return {str(n.target): bool(n.users) and not n.args for n in nodes}
