"""Trace a model into a canonical fx graph; the model is not touched.

``torch.fx.symbolic_trace`` goes through every module, torch's own included, so modules become the
functions that they call, with parameters as ``get_attr`` nodes. `fxrelay.spellings` then gives each
operator its canonical call. Where symbolic tracing fails, ``torch.export`` takes over.
"""

import copy
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partialmethod
from types import FunctionType
from typing import Any, TypeGuard

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from fxrelay.arguments import Arguments, Inputs, arguments_of, required
from fxrelay.errors import TraceFailed, raised_at
from fxrelay.forwards import forward_of
from fxrelay.inputs import explained, require_fitting
from fxrelay.lower import Lowering
from fxrelay.meta import FIXED, RANK
from fxrelay.outputs import Pick, plain
from fxrelay.preconditions import require_traceable
from fxrelay.quiet import quiet
from fxrelay.roles import carries_signal

Model = nn.Module | fx.GraphModule | ExportedProgram
#: what tracing keeps whole
Leaves = Sequence[type[nn.Module] | Callable[..., Any]]


def trace(
    model: Model,
    example: Inputs | Arguments | None = None,
    *,
    output: Pick | None = None,
    explain: Sequence[str] | None = None,
    leaf: Leaves = (),
) -> fx.GraphModule:
    """Trace `model` into a canonical graph.

    Parameters
    ----------
    model : nn.Module, GraphModule or ExportedProgram
        In eval mode. Parameters are shared with the graph, not copied.
    example : Tensor (batch, ...), sequence or mapping of them, optional
        Inputs, as positional or keyword arguments of forward; arguments left out keep their
        default, and those that are no tensors are fixed. They become the graph's inputs, tell how
        many axes these have, and allow the ``torch.export`` fallback. Without an example, inputs
        are the parameters of forward that have no default.
    output : str, int or path, optional
        Which tensor of a nested output to explain: a key, a position, or a path such as
        ``"aux.0"``. Default the only one, or the entry "logits" or "out" of a dict.
    explain : sequence of str, optional
        Names of the inputs that get relevance; the others are constants. Default every floating
        point input, and integers that an embedding looks up; every input without an example.
    leaf : sequence of module classes and of functions
        Modules, and functions given to ``torch.fx.wrap``, to keep whole; each needs a rule that is
        a function.

    Returns
    -------
    GraphModule
        Every node carries ``meta["path"]``, the qualified name that selectors match.

    Raises
    ------
    ValueError
        If the model is in train mode, quantized, scripted, without values or of mixed types; if
        inputs do not fit forward; or if an operator is used in a way that cannot be explained.
    TraceFailed
        If neither symbolic tracing nor ``torch.export`` captures the model.
    """
    require_traceable(model)
    if isinstance(model, ExportedProgram):
        model = model.module(check_guards=False)
    call = None if example is None else arguments_of(model, example)
    known = {} if call is None else call.tensors

    def lowered(captured: fx.GraphModule) -> fx.GraphModule:
        return Lowering(captured, call, explained(captured.graph, known, explain)).run(output)

    try:
        with _unchanged_buffers(model):
            captured = model if _is_captured(model) else _capture(model, call, leaf)
        graph = lowered(captured)
    except (TraceFailed, RuntimeError):
        if call is not None:
            require_fitting(model, call)
        raise
    if call is not None and captured is not model and _has_opaque_calls(graph, leaf):
        with suppress(TraceFailed):
            graph = lowered(_export(model, call, TraceFailed("torch.fx.wrap hides functions")))
    for node in graph.graph.nodes:
        if str(node.target) in known and node.op == "placeholder":
            node.meta[RANK] = known[str(node.target)].dim()
    graph.meta[FIXED] = {} if call is None else dict(call.fixed)
    return graph


@contextmanager
def _unchanged_buffers(model: nn.Module) -> Iterator[None]:
    """Put back buffers that forward itself writes; such a model has no one answer to explain."""
    before = {name: (b, b._version, b.clone()) for name, b in model.named_buffers()}
    yield
    changed = [name for name, (buffer, version, _) in before.items() if buffer._version != version]
    for name in changed:
        before[name][0].copy_(before[name][2])
    if changed:
        raise ValueError(
            f"trace: needs a model that leaves its buffers alone in eval mode; got writes to "
            f"{', '.join(changed)}. They were put back; take the writes out of forward()."
        )


def _is_captured(model: nn.Module) -> TypeGuard[fx.GraphModule]:
    """Whether the model is a graph of functions already; modules in a graph are to be entered."""
    return isinstance(model, fx.GraphModule) and not any(
        n.op == "call_module" and n.target != "_guards_fn" for n in model.graph.nodes
    )


class InPlaceProxy(fx.Proxy):
    """Keeps ``x += y`` what it is; torch.fx would make ``x = x + y`` of it."""

    def _written(self, write: Callable[..., Any], other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", write, (self, other), {})

    __iadd__ = partialmethod(_written, operator.iadd)
    __isub__ = partialmethod(_written, operator.isub)
    __imul__ = partialmethod(_written, operator.imul)
    __itruediv__ = partialmethod(_written, operator.itruediv)


class ThroughTracer(fx.Tracer):
    """A tracer that enters every module but the leaves, and records where in the source it is."""

    def __init__(self, call: Arguments, leaf: Leaves = ()) -> None:
        super().__init__()
        self.call = call
        self.leaf = tuple(kind for kind in leaf if isinstance(kind, type))
        self.record_stack_traces = True

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: object = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Make an input of every tensor of the call; other arguments keep their values."""
        values = {n: self.create_proxy("placeholder", n, (), {}) for n in self.call.names}
        forward = forward_of(self.root) or self.root.forward
        return lambda *_: plain(self.call.call(forward, values)), []

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node in a proxy that records augmented assignments."""
        return InPlaceProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep only the caller's leaves whole."""
        return isinstance(m, self.leaf)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Enter `m`, past torch's own checks that ask a proxy for its rank."""
        return super().call_module(m, forward_of(m) or forward, args, kwargs)


def _capture(model: nn.Module, call: Arguments | None, leaf: Leaves) -> fx.GraphModule:
    try:
        graph = ThroughTracer(call or required(model), leaf).trace(model)
        return fx.GraphModule(model, graph, type(model).__name__)
    except Exception as error:
        if call is None:
            raise TraceFailed(
                f"trace: needs a model that torch.fx can follow; got {type(model).__name__}, "
                f"which stops it{raised_at(error)}: {_first_line(error)}\nPass example inputs, "
                "trace(model, example), so that torch.export can be tried; or keep the module "
                "whole with leaf=[...]."
            ) from error
        return _export(model, call, error)


def _has_opaque_calls(graph: fx.GraphModule, leaf: Leaves) -> bool:
    """Whether a signal passes a function that torch.fx was told not to enter and no row knows."""
    return any(
        isinstance(n.target, FunctionType)
        and carries_signal(n)
        and n.target not in leaf
        and not str(n.target.__module__).startswith(("torch.", "fxrelay."))
        for n in graph.graph.nodes
        if n.op == "call_function"
    )


def _export(model: nn.Module, call: Arguments, first: Exception) -> fx.GraphModule:
    """Export a shallow copy of the model that takes the call's tensors alone, in order."""
    taking = copy.copy(model)
    taking.forward = lambda *tensors: plain(
        call.call(model.forward, dict(zip(call.names, tensors, strict=True)))
    )
    single = all(x.dim() and len(x) == 1 for x in call.tensors.values())
    tensors = tuple(  # a copy: one tensor twice would merge; and two samples: one would be fixed
        torch.cat([x, x]) if single else x.clone() for x in call.tensors.values()
    )
    batch = tuple({0: torch.export.Dim.AUTO} if x.dim() else None for x in tensors)
    try:
        with quiet():
            exported = torch.export.export(taking, tensors, dynamic_shapes={"tensors": batch})
            graph = exported.run_decompositions({}).module(check_guards=False)
    except Exception as error:
        raise TraceFailed(
            f"trace: neither torch.fx nor torch.export can follow {type(model).__name__}.\n"
            f"torch.fx stops{raised_at(first)}: {_first_line(first)}\n"
            f"torch.export stops{raised_at(error)}: {_first_line(error)}\n"
            "Take the control flow that depends on values out of forward(), or write it with "
            "torch.where."
        ) from error
    inputs = [n for n in graph.graph.nodes if n.op == "placeholder"]
    for node, name in zip(inputs, call.names, strict=True):
        node.target = name
        node._rename(name)
    return graph


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
