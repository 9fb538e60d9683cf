"""Trace a model into a canonical fx graph; the model is not touched.

``torch.fx.symbolic_trace`` goes through every module, torch's own included, so modules become the
functions that they call, with parameters as ``get_attr`` nodes. `fxrelay.spellings` then gives each
operator its canonical call. Where symbolic tracing fails, ``torch.export`` takes over.
"""

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partialmethod
from typing import Any, TypeGuard

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from fxrelay.errors import TraceFailed, listed
from fxrelay.forwards import forward_of
from fxrelay.lower import Lowering
from fxrelay.meta import RANK

Model = nn.Module | fx.GraphModule | ExportedProgram


def trace(
    model: Model,
    example: torch.Tensor | Sequence[torch.Tensor] | None = None,
    *,
    output: str | int | None = None,
    leaf: Sequence[type[nn.Module]] = (),
) -> fx.GraphModule:
    """Trace `model` into a canonical graph.

    Parameters
    ----------
    model : nn.Module, GraphModule or ExportedProgram
        In eval mode. Parameters are shared with the graph, not copied.
    example : Tensor (batch, ...) or sequence of them, optional
        Inputs that allow the ``torch.export`` fallback, and tell how many axes inputs have.
    output : str or int, optional
        Which entry of a dict or tuple output to explain.
    leaf : sequence of module classes
        Modules to keep whole; each needs a rule that is a function.

    Returns
    -------
    GraphModule
        Every node carries ``meta["path"]``, the qualified name that selectors match.

    Raises
    ------
    ValueError
        If a submodule is in train mode, or an operator is used in a way that cannot be explained.
    TraceFailed
        If neither symbolic tracing nor ``torch.export`` captures the model.
    """
    if isinstance(model, ExportedProgram):
        model = model.module(check_guards=False)
    else:
        require_eval(model)
    with _unchanged_buffers(model):
        captured = model if _is_captured(model) else _capture(model, example, leaf)
    graph = Lowering(captured, example).run(output)
    examples = (example,) if isinstance(example, torch.Tensor) else example or ()
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node, value in zip(inputs, examples, strict=False):
        node.meta[RANK] = value.dim()
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


def require_eval(model: nn.Module) -> None:
    """Raise where any submodule is in train mode; containers of eval modules do not matter."""
    if isinstance(model, fx.GraphModule):
        return
    training = [
        f"`{name or 'the model'}` ({type(m).__name__})"
        for name, m in model.named_modules()
        if m.training
    ]
    if training:
        raise ValueError(
            f"trace: needs the model in eval mode; got {len(training)} modules in train mode:\n"
            f"{listed(training, 5)}\nCall model.eval() first."
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

    def __init__(self, leaf: Sequence[type[nn.Module]] = ()) -> None:
        super().__init__()
        self.leaf = tuple(leaf)
        self.record_stack_traces = True

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


def _capture(model: nn.Module, example: Any, leaf: Sequence[type[nn.Module]]) -> fx.GraphModule:
    model = nn.Sequential(model) if forward_of(model) else model
    try:
        tracer = ThroughTracer(leaf)
        graph = tracer.trace(model, concrete_args=_defaults(model))
        return fx.GraphModule(model, graph, type(model).__name__)
    except Exception as error:
        if example is None:
            raise TraceFailed(
                f"trace: needs a model that torch.fx can follow; got {type(model).__name__}, "
                f"which stops it: {error}\nPass example inputs, trace(model, example), so that "
                "torch.export can be tried; or keep the module whole with leaf=[...]."
            ) from error
        return _export(model, example, error)


def _defaults(model: nn.Module) -> dict[str, Any]:
    """Return the arguments of forward that have a plain default: they keep it."""
    parameters = inspect.signature(type(model).forward).parameters.values()
    plain = (bool, int, float, str, type(None))
    return {p.name: p.default for p in parameters if isinstance(p.default, plain)}


def _export(model: nn.Module, example: Any, first: Exception) -> fx.GraphModule:
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    batch = tuple({0: torch.export.Dim.AUTO} for _ in inputs)
    try:
        exported = torch.export.export(model, inputs, dynamic_shapes=batch)
        return exported.module(check_guards=False)
    except Exception as error:
        raise TraceFailed(
            f"trace: neither torch.fx nor torch.export can follow {type(model).__name__}.\n"
            f"torch.fx: {first}\ntorch.export: {error}\n"
            "Take the control flow that depends on values out of forward()."
        ) from error
