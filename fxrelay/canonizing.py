"""Canonize: apply a table of rewrites to a copy of a graph until none applies."""

from collections.abc import Sequence
from typing import Any

from torch import fx
from torch.fx import Proxy

from fxrelay.annotating import copied
from fxrelay.meta import PATH, REWRITES, SIZE
from fxrelay.passes import drop_dead_calls
from fxrelay.rewrites import REWRITES as TABLE
from fxrelay.rewrites import Rewrite
from fxrelay.roles import carries_signal, is_silent, is_size, word
from fxrelay.text import unique

Log = tuple[tuple[str, str], ...]


def canonize(graph: fx.GraphModule, rewrites: Sequence[Rewrite] = TABLE) -> fx.GraphModule:
    """Rewrite a graph to an equal one whose operators suit relevance rules.

    Parameters
    ----------
    graph : GraphModule
        From `fxrelay.trace`; it is not changed.
    rewrites : sequence of Rewrite
        The table; rows apply in order, to a fixpoint.

    Returns
    -------
    GraphModule
        A new graph; ``meta["rewrites"]`` logs (rewrite, path) in order.
    """
    out = copied(graph)
    log: list[tuple[str, str]] = []
    while step := _step(out.graph, rewrites):
        log.append(step)
        out.graph.lint()
    out = fx.GraphModule(out, out.graph, type(graph).__name__)
    out.meta |= graph.meta
    out.meta[REWRITES] = (*graph.meta.get(REWRITES, ()), *log)
    return out


def _step(graph: fx.Graph, rewrites: Sequence[Rewrite]) -> tuple[str, str] | None:
    for rewrite in rewrites:
        for node in graph.nodes:
            if node.op == "call_function" and _replace(graph, node, rewrite):
                return rewrite.name, str(node.meta.get(PATH, node.name))
    return None


def _replace(graph: fx.Graph, node: fx.Node, rewrite: Rewrite) -> bool:
    tracer = fx.proxy.GraphAppendingTracer(graph)
    before = node.prev

    def wrap(value: Any) -> Any:
        return Proxy(value, tracer) if isinstance(value, fx.Node) else value

    with graph.inserting_before(node):
        new = rewrite.apply(node, wrap)
    if new is None:
        return False
    name = _inherit(node, new.node)
    _locate(before, node, new.node)
    node.replace_all_uses_with(new.node)
    drop_dead_calls(graph)
    if name:
        new.node._rename(name)
    return True


def _inherit(old: fx.Node, new: fx.Node) -> str | None:
    """Let a new node bear the path of the linear operator that it replaces, else the old node's."""
    if PATH in new.meta:
        return None
    source = old.args[0]
    folded = isinstance(source, fx.Node) and source.target is new.target is not old.target
    heir = source if isinstance(source, fx.Node) and folded else old
    new.meta, new.stack_trace = dict(heir.meta), heir.stack_trace
    return heir.name


def _locate(before: fx.Node, old: fx.Node, new: fx.Node) -> None:
    """Give the signals on the way to a new node paths of their own below the old node's."""
    taken = {str(n.meta[PATH]) for n in old.graph.nodes if PATH in n.meta}
    node = before.next
    while node is not old:
        if is_size(node):
            node.meta[SIZE] = True
        elif PATH not in node.meta and not is_silent(node) and _has_signal(node):
            node.meta[PATH] = unique(f"{old.meta[PATH]}.{word(node)}", taken)
            node.stack_trace = old.stack_trace
            node._rename(str(node.meta[PATH]).replace(".", "_"))
        node = node.next


def _has_signal(node: fx.Node) -> bool:
    return any(map(carries_signal, node.all_input_nodes))
