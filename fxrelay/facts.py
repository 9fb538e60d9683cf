"""What is known of a graph before anything runs: signals, signs, where relevance can sit."""

from typing import Any

import torch
from torch import fx

from fxrelay.algebra import vanishes_at_zero
from fxrelay.meta import PATH, RULE
from fxrelay.operators import operator_of
from fxrelay.rules import Gradient, Passthrough
from fxrelay.terms import Rule


def carries_signal(node: Any) -> bool:
    """Whether the value is a tensor that depends on an input."""
    return isinstance(node, fx.Node) and PATH in node.meta


def signal_calls(graph: fx.Graph) -> list[fx.Node]:
    """Return the calls that relevance passes, in order of execution."""
    return [n for n in graph.nodes if n.op.startswith("call") and carries_signal(n)]


def picks_part(node: fx.Node) -> bool:
    """Whether the node picks an element of a tuple, such as the output of a pooling call."""
    source = node.args[0] if node.args else None
    if operator_of(node).name != "getitem" or not isinstance(source, fx.Node):
        return False
    return operator_of(source).name in ("max_pool", "split")


def nonnegative(graph: fx.Graph) -> set[fx.Node]:
    """Nodes whose value is known to be >= 0, whatever the input."""
    known: set[fx.Node] = set()
    for node in signal_calls(graph):
        if operator_of(node).nonnegative(node, known.__contains__):
            known.add(node)
    return known


def vanishing(graph: fx.Graph) -> set[fx.Node]:
    """Nodes at which relevance is 0 wherever their value is 0; the rules must be annotated."""
    known: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        users = [u for u in node.users if carries_signal(u) or u.op == "output"]
        if users and all(_gives_zero_nothing(u, known) for u in users):
            known.add(node)
    return known


def _gives_zero_nothing(user: fx.Node, known: set[fx.Node]) -> bool:
    rule = user.meta.get(RULE)
    if user.op == "output" or rule is None:
        return False
    if isinstance(rule, Rule):
        return vanishes_at_zero(rule)
    keeps = operator_of(user).keeps_zero and isinstance(rule, Gradient | Passthrough)
    return keeps and user in known


def only_positive(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that get relevance only where their value is > 0: those in front of a ReLU."""
    quiet = vanishing(graph)
    return {
        node
        for node in signal_calls(graph)
        if node.users
        and all(
            u.target is torch.relu and isinstance(u.meta.get(RULE), Passthrough) and u in quiet
            for u in node.users
        )
    }
