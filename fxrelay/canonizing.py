"""Canonize: apply a table of rewrites to a copy of a graph until none applies."""

from collections.abc import Sequence
from typing import Any

from torch import fx
from torch.fx import Proxy

from fxrelay.annotating import copied
from fxrelay.meta import PATH, REWRITES, SIZE
from fxrelay.operators import operator_of
from fxrelay.passes import drop_dead_calls
from fxrelay.rewrites import REWRITES as TABLE
from fxrelay.rewrites import Rewrite
from fxrelay.roles import carries_signal, is_silent, is_size, word
from fxrelay.text import unique

Log = tuple[tuple[str, str], ...]


#: what `canonize` applies unless it is told otherwise
DEFAULT = tuple(row for row in TABLE if row.default)


def canonize(graph: fx.GraphModule, rewrites: Sequence[Rewrite] = DEFAULT) -> fx.GraphModule:
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
    dying = _dying(node)
    name = _inherit(node, new.node, dying)
    _locate(before, node, dying)
    node.replace_all_uses_with(new.node)
    drop_dead_calls(graph)
    if name:
        new.node._rename(name)
    return True


def _dying(node: fx.Node) -> list[fx.Node]:
    """Return the node, and the signals before it that nobody else uses."""
    alone = [n for n in node.all_input_nodes if carries_signal(n) and len(n.users) == 1]
    return [node, *(n for n in alone if n.op != "placeholder"), *(
        m for n in alone for m in n.all_input_nodes if carries_signal(m) and len(m.users) == 1
    )]  # fmt: skip


def _heir(node: fx.Node, dying: list[fx.Node]) -> fx.Node | None:
    """Return the linear operator that the node replaces."""
    same = (n for n in dying if n.target is node.target and n.op == "call_function")
    return next((n for n in same if operator_of(n).selected_by("linear")), None)


def _inherit(old: fx.Node, new: fx.Node, dying: list[fx.Node]) -> str | None:
    """Let a new node bear the path of the linear operator that it replaces, else the old node's."""
    if PATH in new.meta:
        return None
    heir = _heir(new, dying) or old
    new.meta, new.stack_trace = dict(heir.meta), heir.stack_trace
    return heir.name


def _locate(before: fx.Node, old: fx.Node, dying: list[fx.Node]) -> None:
    """Give the signals on the way to a new node paths: an heir's, or below the old node's."""
    taken = {str(n.meta[PATH]) for n in old.graph.nodes if PATH in n.meta}
    node = before.next
    while node is not old:
        if is_size(node):
            node.meta[SIZE] = True
        elif PATH not in node.meta and not is_silent(node) and _has_signal(node):
            heir = _heir(node, dying)
            free = unique(f"{old.meta[PATH]}.{word(node)}", taken)
            node.meta[PATH] = free if heir is None else heir.meta[PATH]
            node.stack_trace = old.stack_trace if heir is None else heir.stack_trace
            node._rename(str(node.meta[PATH]).replace(".", "_"))
        node = node.next


def _has_signal(node: fx.Node) -> bool:
    return any(map(carries_signal, node.all_input_nodes))
