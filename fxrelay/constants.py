"""Values of nodes that depend on no input: parameters, buffers and what is computed from them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn

from fxrelay.meta import PATH

#: call targets whose result is a size, not a tensor
SIZE_METHODS = frozenset({"size", "dim", "ndimension", "numel", "__len__"})
SIZE_ATTRIBUTES = frozenset({"shape", "ndim"})
SIZE_CALLS = frozenset({torch.ops.aten.sym_size.int, torch.ops.aten.sym_numel.default})


def attribute(root: nn.Module, target: str) -> Any:
    """Return ``root.layer1.0.conv1.weight`` for the dotted `target`."""
    value: Any = root
    for part in target.split("."):
        value = getattr(value, part)
    return value


def place(root: nn.Module, target: str, value: Any) -> None:
    """Set ``root.layer1.0.conv1.weight`` for the dotted `target`; modules on the way are made."""
    *path, leaf = target.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    if isinstance(value, nn.Module):
        root.add_module(leaf, value)
    elif isinstance(value, nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value)


def first_parameter(node: fx.Node) -> str:
    """Return the parameter or buffer that a constant is made of, else the node's own name."""
    return _parameter(node) or node.name


def _parameter(node: fx.Node) -> str | None:
    if node.op == "get_attr":
        return str(node.target)
    if PATH in node.meta or reads_size(node):
        return None
    return next(filter(None, map(_parameter, node.all_input_nodes)), None)


def reads_size(node: fx.Node) -> bool:
    """Whether the node asks a tensor for its shape."""
    if node.op == "call_method":
        return node.target in SIZE_METHODS
    if node.target in SIZE_CALLS:
        return True
    return node.op == "call_function" and node.target is getattr and node.args[1] in SIZE_ATTRIBUTES


class Constants:
    """Which nodes of a graph are constant, and their values, computed when asked for.

    Parameters
    ----------
    root : nn.Module
        Holds what ``get_attr`` nodes refer to.
    detach : bool
        Compute without recording gradients.
    given : mapping of node to value
        Values of inputs, where these are known.
    """

    def __init__(
        self,
        root: nn.Module,
        *,
        detach: bool = True,
        given: Mapping[fx.Node, Any] = MappingProxyType({}),
    ) -> None:
        self.root, self.detach = root, detach
        self._constant: dict[fx.Node, bool] = {}
        self._values: dict[fx.Node, Any] = dict(given)

    def __contains__(self, node: fx.Node) -> bool:
        if node not in self._constant:
            self._constant[node] = self._decide(node)
        return self._constant[node]

    def _decide(self, node: fx.Node) -> bool:
        if node.op == "get_attr":
            return True
        pure = node.op in ("call_function", "call_method") and not node.is_impure()
        return pure and all(n in self for n in node.all_input_nodes)

    def value(self, node: fx.Node) -> Any:
        """Value of a constant node."""
        if node not in self._values:
            with torch.set_grad_enabled(not self.detach):
                self._values[node] = self._compute(node)
        return self._values[node]

    def forget(self, node: fx.Node) -> None:
        """Free the value of a node that nobody will ask for again."""
        self._values.pop(node, None)

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return attribute(self.root, str(node.target))
        args = fx.map_arg(node.args, self.value)
        kwargs: Mapping[str, Any] = fx.map_arg(node.kwargs, self.value)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]
