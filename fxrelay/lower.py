"""Rewrite a captured graph so that each operator is spelled one way.

Nodes are typed on the way: a node is a signal (a tensor that depends on an input), a constant, or a
size (integers read from shapes), and only signals carry relevance.
"""

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from fxrelay.arguments import Arguments
from fxrelay.constants import Constants, reads_size
from fxrelay.errors import listed, located
from fxrelay.inputs import is_token
from fxrelay.meta import PATH, SIZE
from fxrelay.outputs import Pick, picked
from fxrelay.roles import computes_size, is_silent
from fxrelay.roles import word as _word
from fxrelay.shapes import shapes_in
from fxrelay.spellings import SHAPED, spelling_of
from fxrelay.text import unique

#: calls that check something and compute nothing
CHECKS = frozenset({
    "assert", "assert_async", "assert_is_none", "assert_scalar", "assert_tensor_metadata",
})  # fmt: skip
#: calls whose result may share the memory of their first argument
VIEWS = frozenset({
    "alias", "alpha_dropout", "chunk", "contiguous", "detach", "diagonal", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "expand", "expand_as", "feature_alpha_dropout", "feature_dropout",
    "flatten", "getitem", "movedim", "narrow", "permute", "reshape", "reshape_as",
    "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "to",
    "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view", "view_as",
})  # fmt: skip
#: attributes of the named tuples that torch returns, as places in the tuples that spellings return
NAMED_RESULTS = {"values": 0, "indices": 1}
IN_PLACE = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv})


class LoweringTracer(fx.proxy.GraphAppendingTracer):
    """Appends canonical calls to a graph; knows its signals, and the shapes of its constants."""

    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        super().__init__(graph)
        self.constants = Constants(root)
        self.signals: set[fx.Node] = set()

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Append a node; it is a signal if it computes with one."""
        node = super().create_node(*args, **kwargs)
        silent = reads_size(node) or is_silent(node)
        if not silent and any(n in self.signals for n in node.all_input_nodes):
            self.signals.add(node)
        return node

    def shape_of(self, node: fx.Node) -> tuple[int, ...]:
        """Shape of a constant tensor, such as a weight."""
        return tuple(self.constants.value(node).shape)


class Memory:
    """Which nodes of a captured graph may share the memory of one tensor.

    `same` names one tensor by several nodes, as in-place calls do; `storage` also has its views.
    """

    def __init__(self, graph: fx.Graph) -> None:
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        self.same: dict[fx.Node, list[fx.Node]] = {}
        self.storage: dict[fx.Node, list[fx.Node]] = {}
        for node in graph.nodes:
            source = node.args[0] if node.args else None
            known = isinstance(source, fx.Node) and not reads_size(node)
            in_place = known and _is_in_place(node)
            self._join(self.same, node, source if in_place else None)
            shared = in_place or (known and _views(node))
            self._join(self.storage, node, source if shared else None)

    def _join(self, groups: dict[fx.Node, list[fx.Node]], node: fx.Node, source: Any) -> None:
        group = [] if source is None else groups[source]
        group.append(node)
        groups[node] = group

    def written(self, node: fx.Node) -> list[fx.Node]:
        """Return the names of the tensor that `node` writes into."""
        return [n for n in self.same[node] if self.order[n] <= self.order[node]]

    def stale(self, node: fx.Node) -> list[fx.Node]:
        """Return the other tensors in the memory that `node` writes into that are used later."""
        names, now = self.same[node], self.order[node]
        others = [n for n in self.storage[node] if n not in names and self.order[n] < now]
        return [
            n for n in others if any(self.order[u] > now and not reads_size(u) for u in n.users)
        ]


class Lowering:
    """One pass over a captured graph."""

    def __init__(
        self, captured: fx.GraphModule, call: Arguments | None, explained: Collection[str]
    ) -> None:
        self.captured, self.call, self.explained = captured, call, explained
        self.shapes: dict[fx.Node, tuple[int, ...]] | None = None
        self.graph = fx.Graph(owning_module=captured)
        self.tracer = LoweringTracer(self.graph, captured)
        self.env: dict[fx.Node, Any] = {}
        self.signals = self.tracer.signals
        self.paths: set[str] = set()
        self.faults: list[str] = []
        self.final = _final_calls(captured.graph)
        self.memory = Memory(captured.graph)

    def run(self, output: Pick | None) -> fx.GraphModule:
        """Return the canonical graph module."""
        for node in self.captured.graph.nodes:
            if node.op == "output":
                continue
            self._step(node)
        if self.faults:
            raise ValueError(
                f"trace: {len(self.faults)} calls cannot be explained:\n{listed(self.faults)}\n"
                "Call model.eval(), or change these calls."
            )
        self._output(output)
        self.graph.eliminate_dead_code()
        module = fx.GraphModule(self.captured, self.graph, type(self.captured).__name__)
        module.graph.lint()
        return module

    def _step(self, node: fx.Node) -> None:
        before = next(iter(reversed(self.graph.nodes)), None)
        lookup: Any = self.env.__getitem__
        args, kwargs = fx.map_arg(node.args, lookup), fx.map_arg(node.kwargs, lookup)
        try:
            result = self._lower(node, args, kwargs)
        except (ValueError, TypeError) as error:
            self.faults.append(f"{located(node)}: {error}")
            result = args[0] if args else None
        self.env[node] = result
        created = self._created_after(before)
        self._mark(node, created)
        if _is_in_place(node) and self._is_tensor(args):
            self._write(node, result)

    def _write(self, node: fx.Node, result: Any) -> None:
        """Let every name of the tensor that `node` writes into mean its new value."""
        stale = self.memory.stale(node)
        if stale:
            self.faults.append(
                f"{located(node)}: writes in place, and {', '.join(map(located, stale))}, which "
                "shares its memory, is used later; write out of place, x = x + 1"
            )
        for name in self.memory.written(node):
            self.env[name] = result

    def _is_tensor(self, args: Any) -> bool:
        target = args[0] if args else None
        return isinstance(target, fx.Proxy) and not target.node.meta.get(SIZE)

    def _lower(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        if node.op == "placeholder":
            return self._copy(node, (), {}) if self._is_input(node) else self._fixed(node)
        if node.op not in ("call_function", "call_method"):
            return self._copy(node, args, kwargs)
        if _word(node) in CHECKS:
            return None
        carries = any(n in self.signals for n in _nodes(args, kwargs))
        if not carries and _is_in_place(node) and self._is_tensor(args):
            fresh = self.tracer.create_proxy("call_function", torch.clone, (args[0],), {})
            return self._copy(node, (fresh, *args[1:]), kwargs)
        if (
            args
            and isinstance(args[0], tuple | list)
            and node.target in (operator.getitem, getattr)
        ):
            return args[0][NAMED_RESULTS.get(args[1], args[1])]
        if carries and self._casts_tokens(node):
            return self.tracer.create_proxy(
                "call_function", torch.Tensor.to, (args[0], torch.int64), {}
            )
        if reads_size(node) or not carries or is_silent(node):
            return self._copy(node, args, kwargs)
        lower = spelling_of(_spelled(node))
        if lower is None:
            return self._copy(node, args, kwargs)
        args = args[:1] if node.target is getattr else args
        shape = {"shape": self._shape(node.args[0])} if node.target in SHAPED else {}
        return lower(*args, **kwargs, **shape)

    def _is_input(self, node: fx.Node) -> bool:
        """Whether a placeholder stays one: the example has it, or there is no default."""
        return not node.args if self.call is None else str(node.target) in self.call.tensors

    def _fixed(self, node: fx.Node) -> Any:
        default = node.args[0] if node.args else None
        return default if self.call is None else self.call.fixed.get(str(node.target), default)

    def _casts_tokens(self, node: fx.Node) -> bool:
        """Whether the node casts integers that an embedding looks up: to other integers."""
        to = [a for a in (*node.args, *node.kwargs.values()) if isinstance(a, torch.dtype)]
        whole = node.target in ("long", "int") or any(not t.is_floating_point for t in to)
        return whole and is_token(node.args[0], self.call)

    def _shape(self, node: Any) -> tuple[int, ...] | None:
        """Shape that the example gives a captured node; None without an example."""
        if self.shapes is None and self.call is not None:
            self.shapes = shapes_in(self.captured, {**self.call.fixed, **self.call.tensors})
        return None if self.shapes is None else self.shapes.get(node)

    def _copy(self, node: fx.Node, args: Any, kwargs: Any) -> fx.Proxy:
        if node.op == "call_module" and node.target == "_guards_fn":
            return args[0]
        return self.tracer.create_proxy(node.op, node.target, args, kwargs, name=node.name)

    def _created_after(self, before: fx.Node | None) -> list[fx.Node]:
        created: list[fx.Node] = []
        for node in reversed(self.graph.nodes):
            if node is before:
                break
            created.append(node)
        return created[::-1]

    def _mark(self, source: fx.Node, created: list[fx.Node]) -> None:
        for i, node in enumerate(created):
            node.stack_trace = source.stack_trace
            if node.op == "placeholder":
                if str(node.target) in self.explained:
                    self.signals.add(node)
                    node.meta[PATH] = node.name
            elif reads_size(node):
                node.meta[SIZE] = True
            elif node in self.signals:
                node.meta[PATH] = self._path(source, node, last=i == len(created) - 1)
            elif computes_size(node):
                node.meta[SIZE] = True

    def _path(self, source: fx.Node, node: fx.Node, last: bool) -> str:
        if node.op == "call_module":
            return unique(str(node.target), self.paths)
        scope, kind = module_of(source)
        own = _word(node)
        of_torch = kind is not None and kind.__module__.startswith("torch.")
        whole = last and of_torch and source in self.final
        path = scope if whole and scope else ".".join(filter(None, (scope, own)))
        path = source.meta.get(PATH, path) if last else path  # of a graph that was lowered before
        own_path = unique(path, self.paths)
        node._rename(own_path.replace(".", "_"))
        return own_path

    def _output(self, pick: Pick | None) -> None:
        lookup: Any = self.env.__getitem__
        value: Any = fx.map_arg(self.captured.graph.output_node().args[0], lookup)
        spec = getattr(getattr(self.captured.graph._codegen, "pytree_info", None), "out_spec", None)
        if spec is not None:
            value = pytree.tree_unflatten(list(value), spec)
        node = picked(value, pick).node
        if node not in self.signals:
            raise ValueError(
                f"trace: needs an output that depends on {', '.join(self.explained)}; got "
                f"{located(node)}, which does not. Choose another with output=... or explain=..."
            )
        self.graph.output(node)


def module_of(node: fx.Node) -> tuple[str, type | None]:
    """Return path and class of the innermost module whose forward made the node."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return "", None
    path, kind = list(stack.values())[-1]
    return str(path).removeprefix("L['self'].").removeprefix("L['self']"), (
        kind if isinstance(kind, type) else None
    )


def _final_calls(graph: fx.Graph) -> set[fx.Node]:
    """Return the last call that each run of a module makes: the one that bears its name."""
    calls = [n for n in graph.nodes if n.op.startswith("call")]
    keys = [list(n.meta.get("nn_module_stack") or ("",))[-1] for n in calls]
    following = [*keys[1:], None]
    return {n for n, key, after in zip(calls, keys, following, strict=True) if key != after}


def _views(node: fx.Node) -> bool:
    """Whether the result may be, or lie in, the memory of the first argument."""
    if node.target is getattr:
        return node.args[1] in ("T", "mT", "H", "mH", "data")
    return _word(node) in VIEWS


def _spelled(node: fx.Node) -> Any:
    """Return what a call is looked up by: an attribute such as ``x.T`` by its name."""
    return node.args[1] if node.target is getattr else node.target


def _is_in_place(node: fx.Node) -> bool:
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    if node.op != "call_function":
        return False
    overload = isinstance(node.target, torch._ops.OpOverload)
    name = node.target._opname if overload else getattr(node.target, "__name__", "")  # type: ignore[union-attr]
    named = name.endswith("_") and not name.endswith("__")
    return named or node.target in IN_PLACE or bool(node.kwargs.get("inplace"))


def _nodes(args: Any, kwargs: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_aggregate(
        (args, kwargs), lambda p: found.append(p.node) if isinstance(p, fx.Proxy) else None
    )
    return found
