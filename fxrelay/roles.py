"""What a value is to relevance: signal, silent, gate, or normaliser; read off the graph alone."""

import operator
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx

from fxrelay import kernels
from fxrelay.constants import reads_size
from fxrelay.meta import PATH, SIZE

#: calls on a signal whose result has no relevance to give: it has no gradient, or only its shape
SILENT: Final = frozenset({
    "detach", "detach_", "argmax", "argmin", "argsort", "sign", "signbit", "eq", "ne", "lt", "le",
    "gt", "ge", "equal", "isnan", "isinf", "isfinite", "isclose", "logical_not", "logical_and",
    "logical_or", "logical_xor", "not", "and", "or", "xor", "invert", "any", "all", "nonzero",
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros",
    "new_ones", "new_full", "new_empty", "new_tensor", "is_floating_point", "is_complex",
    "get_device", "bool", "int", "long", "short", "byte", "discrete", "top_places", "places",
    "causal_mask", "zero_position", "added_mask", "window_mask", "attention_mask", "floordiv",
    "mod", "remainder", "floor_divide", "bucketize", "searchsorted", "one_hot", "bitwise_and",
    "bitwise_or", "bitwise_not", "sym_size", "sym_numel", "sym_stride", "stride",
    "storage_offset", "item", "tolist",
})  # fmt: skip
#: attributes of a signal that are no signal
SILENT_ATTRIBUTES: Final = frozenset({
    "dtype", "device", "layout", "requires_grad", "is_cuda", "is_nested", "is_sparse", "names",
})  # fmt: skip


def word(node: fx.Node) -> str:
    """Name of what a node calls, without namespace, overload and underscores around it."""
    target = node.target
    return str(target if isinstance(target, str) else target.__name__).strip("_").split(".")[0]


def computes_size(node: fx.Node) -> bool:
    """Whether the node is arithmetic on sizes."""
    module = getattr(node.target, "__module__", None)
    inputs = node.all_input_nodes
    known = bool(inputs) and all(n.meta.get(SIZE) for n in inputs)
    return node.op == "call_function" and known and module in ("_operator", "math", "builtins")


def is_size(node: fx.Node) -> bool:
    """Whether the node reads or computes a size."""
    return reads_size(node) or computes_size(node)


def is_silent(node: fx.Node) -> bool:
    """Whether the result carries no relevance though it is computed from a signal."""
    if node.target is getattr:
        return node.args[1] in SILENT_ATTRIBUTES
    return node.op.startswith("call") and node.op != "call_module" and word(node) in SILENT


def carries_signal(node: Any) -> bool:
    """Whether the value is a tensor that depends on an explained input."""
    return isinstance(node, fx.Node) and PATH in node.meta


#: canonical calls that only move elements of their first argument, or cast it
MOVES: Final[frozenset[Any]] = frozenset({
    operator.getitem, torch.reshape, torch.flatten, torch.unflatten, torch.squeeze,
    torch.unsqueeze, torch.permute, torch.transpose, torch.Tensor.expand, torch.tile,
    torch.repeat_interleave, torch.chunk, torch.split, torch.unbind, torch.index_select,
    torch.gather, torch.roll, torch.flip, torch.movedim, torch.Tensor.to, kernels.from_windows,
    kernels.to_windows,
})  # fmt: skip
#: elementwise functions with values in [0, bound]
BOUNDED: Final[Mapping[Any, float]] = {
    torch.sigmoid: 1.0, F.hardsigmoid: 1.0, torch.softmax: 1.0, F.relu6: 6.0,
}  # fmt: skip
#: functions whose value divides when it multiplies
INVERSES: Final[frozenset[Any]] = frozenset({torch.rsqrt, torch.reciprocal})
#: functions of a whole vector that measure its size or spread
MEASURES: Final[frozenset[Any]] = frozenset({
    kernels.vector_norm, kernels.variance, kernels.deviation, torch.sqrt,
})  # fmt: skip


def bound(node: Any) -> float | None:
    """Upper bound of a value that is known to be >= 0, None where the graph does not tell."""
    if isinstance(node, int | float):
        return float(node) if node >= 0 else None
    if not carries_signal(node):
        return None
    if node.target in BOUNDED:
        return BOUNDED[node.target]
    if node.target in MOVES:
        return bound(node.args[0])
    if node.target in (torch.mul, torch.div):
        return _scaled_bound(node)
    if node.target is torch.sub and node.args[0] == 1:
        taken = bound(node.args[1])
        return 1.0 if taken is not None and taken <= 1 else None
    return None


def _scaled_bound(node: fx.Node) -> float | None:
    left, right = (bound(arg) for arg in node.args[:2])
    if left is None or right is None:
        return None
    if node.target is torch.mul:
        return left * right
    return left / right if isinstance(node.args[1], int | float) and right else None


def is_gate(node: Any) -> bool:
    """Whether the value is in [0, 1]: it says how much of another signal passes."""
    upper = bound(node) if carries_signal(node) else None
    return upper is not None and upper <= 1


def is_normalizer(node: Any) -> bool:
    """Whether the value is one over a size or spread, such as ``rsqrt(variance + eps)``."""
    if not carries_signal(node):
        return False
    if node.target in MOVES or (node.target in (torch.mul, torch.div) and not _two_signals(node)):
        return is_normalizer(next(a for a in node.args if carries_signal(a)))
    if node.target is torch.pow:
        return isinstance(node.args[1], int | float) and node.args[1] < 0
    return node.target in INVERSES


def _two_signals(node: fx.Node) -> bool:
    return all(map(carries_signal, node.args[:2]))
