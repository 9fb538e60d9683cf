"""What is known of a graph before anything runs: signals, signs, where relevance can sit."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from fxrelay import kernels
from fxrelay.algebra import vanishes_at_zero
from fxrelay.meta import PATH, RANK, RULE
from fxrelay.operators import operator_of
from fxrelay.roles import carries_signal
from fxrelay.rules import Gradient, Passthrough
from fxrelay.terms import Rule


def signal_calls(graph: fx.Graph) -> list[fx.Node]:
    """Return the calls that relevance passes, in order of execution."""
    return [n for n in graph.nodes if n.op.startswith("call") and carries_signal(n)]


def picks_part(node: fx.Node) -> bool:
    """Whether the node picks an element of a tuple, such as the output of a pooling call."""
    source = node.args[0] if node.args else None
    if operator_of(node).name != "getitem" or not isinstance(source, fx.Node):
        return False
    return operator_of(source).name in ("max_pool", "split")


def shown_path(node: fx.Node) -> str:
    """Path of the node, or of the part of its tuple that the model uses."""
    parts = [user for user in node.users if picks_part(user)]
    return str((parts[0] if len(parts) == 1 else node).meta[PATH])


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


def rank(node: Any) -> int | None:
    """Return how many axes the value of a node has, None where the graph does not tell."""
    if not isinstance(node, fx.Node) or node.op == "placeholder":
        return node.meta.get(RANK) if isinstance(node, fx.Node) else None
    args: tuple[Any, ...] = node.args
    if node.target in SPATIAL:
        return len(args[SPATIAL[node.target]]) + 2
    if node.target is torch.flatten:
        return 2 if args[1:3] == (1, -1) else None
    if node.target is torch.reshape:
        return len(args[1]) if isinstance(args[1], list | tuple) else None
    if node.target in SAME_RANK or operator_of(node).name == "activation":
        return rank(args[0])
    return rank(args[0]) if picks_part(node) else None


#: calls on (batch, channel, space...), and which argument has one entry for each axis of space
SPATIAL: dict[Any, int] = {
    torch.convolution: 3, kernels.max_pool: 1, kernels.avg_pool: 1, kernels.adaptive_max_pool: 1,
    kernels.adaptive_avg_pool: 1,
}  # fmt: skip
#: calls whose output has the axes of their first argument
SAME_RANK: frozenset[Any] = frozenset({F.linear, F.batch_norm, kernels.pad, kernels.suppressed})
