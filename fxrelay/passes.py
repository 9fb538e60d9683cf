"""Passes over a finished program: fold constants, merge equal calls, drop dead code."""

import copy
import operator
from collections.abc import Collection
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx, nn

from fxrelay.constants import Constants, attribute, place


def fold_constants(module: fx.GraphModule) -> fx.GraphModule:
    """Replace what depends on no input by its value, computed now: a snapshot."""
    constants = Constants(module)
    snapshot = nn.Module()
    shared = {_storage(t) for t in (*module.parameters(), *module.buffers())}
    for node in module.graph.nodes:
        if node.op == "call_module":
            target = str(node.target)
            place(snapshot, target, copy.deepcopy(attribute(module, target)))
    for node, value in _values(module.graph, constants).items():
        if isinstance(value, torch.Tensor):
            own = value.clone() if _storage(value) in shared else value
            with module.graph.inserting_before(node):
                value = module.graph.create_node("get_attr", _kept(snapshot, node, own))
        _replace(node, value, [user for user in node.users if user not in constants])
    drop_dead_calls(module.graph)
    return fx.GraphModule(snapshot, module.graph, "Relay")


def _values(graph: fx.Graph, constants: Constants) -> dict[fx.Node, Any]:
    """Values of the constants that others read; what only led to them is freed on the way."""
    found: dict[fx.Node, Any] = {}
    waiting: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node not in constants:
            continue
        waiting[node] = sum(user in constants for user in node.users)
        value = constants.value(node)
        if waiting[node] < len(node.users):
            found[node] = value
        for source in node.all_input_nodes:
            waiting[source] -= 1
            if not waiting[source]:
                constants.forget(source)
    return found


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _replace(node: fx.Node, value: Any, users: list[fx.Node]) -> None:
    def swapped(n: fx.Node) -> Any:
        return value if n is node else n

    for user in users:
        user.args = fx.map_arg(user.args, swapped)
        user.kwargs = fx.map_arg(user.kwargs, swapped)


def _kept(snapshot: nn.Module, node: fx.Node, value: torch.Tensor) -> str:
    name = node.name
    while hasattr(snapshot, name):
        name += "_"
    snapshot.register_buffer(name, value.detach())
    return name


#: calls so cheap that their values are computed twice rather than kept for the relevance half
CHEAP: Final = frozenset({
    F.gelu, F.silu, F.elu, torch.selu, F.mish, F.softplus, F.hardswish, F.relu6, F.leaky_relu,
    torch.sigmoid, torch.tanh, F.layer_norm,
})  # fmt: skip


def recompute_cheap_calls(graph: fx.Graph, forward: Collection[fx.Node]) -> None:
    """Call again what is cheap, where its input lives on anyway: its value is freed in between.

    `forward` has the nodes of the forward half; the others come after them.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node in reversed(graph.nodes):
        late = sorted((u for u in node.users if u not in forward), key=order.__getitem__)
        if node.target not in CHEAP or node not in forward or not late or late[-1].op == "output":
            continue
        lives = (max(map(order.__getitem__, x.users)) for x in node.all_input_nodes if _varies(x))
        if all(last >= order[late[0]] for last in lives):
            with graph.inserting_before(late[0]):
                again = graph.node_copy(node)
            order[again] = order[late[0]]
            node.replace_all_uses_with(again, lambda user: user in late)  # noqa: B023


def _varies(node: fx.Node) -> bool:
    return node.op not in ("get_attr", "placeholder")


def divide_shared_first(graph: fx.Graph, given: Collection[fx.Node]) -> None:
    """Write ``(x * v) / d`` as ``(x / d) * v`` where x and d are the same for all seeds and masks.

    It is the step from a layer to the one below, through a ReLU. Many targets then share the
    quotient, and what is done for each of them takes one pass over memory instead of two.

    Parameters
    ----------
    given : nodes
        The program's inputs that targets and conditions differ in.
    """
    varying = set(given)
    for node in graph.nodes:
        if not varying.isdisjoint(node.all_input_nodes):
            varying.add(node)
            _divide_shared_first(node, varying)


def _divide_shared_first(node: fx.Node, varying: set[fx.Node]) -> None:
    product, divisor = node.args if node.target is operator.truediv else (None, None)
    if not isinstance(product, fx.Node) or product.target is not operator.mul:
        return
    shared = [x for x in product.args if isinstance(x, fx.Node) and x not in varying]
    if len(shared) != 1 or divisor in varying or len(product.users) > 1:
        return
    (value,) = (x for x in product.args if x is not shared[0])
    with node.graph.inserting_before(node):
        quotient = node.graph.call_function(operator.truediv, (shared[0], divisor))
    node.target, node.args = operator.mul, (quotient, value)
    node.graph.erase_node(product)


def drop_dead_calls(graph: fx.Graph) -> None:
    """Erase what nobody uses; everything in a program is pure."""
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)


def merge_equal_calls(graph: fx.Graph) -> None:
    """Let equal calls with equal arguments share one result."""
    seen: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op not in ("call_function", "get_attr"):
            continue
        key = (node.op, node.target, _frozen(node.args), _frozen(node.kwargs))
        first = seen.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(_frozen, value))
    if isinstance(value, slice):
        return ("slice", _frozen(value.start), _frozen(value.stop), _frozen(value.step))
    if isinstance(value, bool | int | float):
        return (type(value).__name__, repr(value))
    return value
