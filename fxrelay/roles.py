"""What a value is to relevance: signal, silent, gate, or normaliser; read off the graph alone."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx

from fxrelay import kernels
from fxrelay.constants import reads_size
from fxrelay.meta import PATH, SIZE
from fxrelay.spellings.elementwise import ELEMENTWISE

#: calls on a signal whose result has no relevance to give: it has no gradient, or only its shape
SILENT: Final = frozenset({
    "detach", "detach_", "argmax", "argmin", "argsort", "sign", "signbit", "eq", "ne", "lt", "le",
    "gt", "ge", "equal", "isnan", "isinf", "isfinite", "isclose", "logical_not", "logical_and",
    "logical_or", "logical_xor", "not", "and", "or", "xor", "invert", "any", "all", "nonzero",
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros",
    "new_ones", "new_full", "new_empty", "new_tensor", "is_floating_point", "is_complex",
    "get_device", "bool", "int", "long", "short", "byte", "discrete", "top_places", "places",
    "causal_mask", "bias_map", "triangle", "zero_position", "added_mask", "window_mask",
    "attention_mask", "floordiv", "mod", "remainder", "floor_divide", "bucketize", "searchsorted",
    "one_hot", "bitwise_and", "bitwise_or", "bitwise_not", "sym_size", "sym_numel", "sym_stride",
    "stride", "storage_offset", "item", "tolist",
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
    torch.repeat_interleave, torch.chunk, torch.split, torch.tensor_split, torch.unbind,
    torch.index_select, torch.gather, torch.roll, torch.flip, torch.movedim, torch.Tensor.to,
    kernels.from_windows, kernels.to_windows,
})  # fmt: skip
Range = tuple[float, float]

#: elementwise functions whose values are bounded, and by what
RANGES: Final[Mapping[Any, Range]] = {
    torch.sigmoid: (0.0, 1.0), F.hardsigmoid: (0.0, 1.0), torch.softmax: (0.0, 1.0),
    F.relu6: (0.0, 6.0), torch.tanh: (-1.0, 1.0), torch.erf: (-1.0, 1.0),
}  # fmt: skip
#: a factor between 0 and this says how much passes: sigmoid, or 1 + tanh as in GELU by hand
MOST_OF_A_GATE: Final = 2.0
#: functions whose value divides when it multiplies
INVERSES: Final[frozenset[Any]] = frozenset({torch.rsqrt, torch.reciprocal})


def value_range(node: Any) -> Range | None:
    """Bounds of a value, None where the graph tells none."""
    if isinstance(node, int | float):
        return float(node), float(node)
    if not carries_signal(node):
        return None
    if node.target in MOVES:
        return value_range(node.args[0])
    combine = COMBINED.get(node.target)
    if combine is None:
        return RANGES.get(node.target)
    left, right = (value_range(arg) for arg in node.args[:2])
    return None if left is None or right is None else combine(left, right)


def _product(left: Range, right: Range) -> Range:
    corners = [a * b for a in left for b in right]
    return min(corners), max(corners)


def _quotient(left: Range, right: Range) -> Range | None:
    return None if right[0] <= 0 <= right[1] else _product(left, (1 / right[1], 1 / right[0]))


COMBINED: Final[Mapping[Any, Callable[[Range, Range], Range | None]]] = {
    torch.add: lambda left, right: (left[0] + right[0], left[1] + right[1]),
    torch.sub: lambda left, right: (left[0] - right[1], left[1] - right[0]),
    torch.mul: _product,
    torch.div: _quotient,
}


def is_gate(node: Any) -> bool:
    """Whether the value says how much of another signal passes: between 0 and at most 2."""
    known = value_range(node) if carries_signal(node) else None
    return known is not None and known[0] >= 0 and known[1] <= MOST_OF_A_GATE


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


def own_gate(node: fx.Node) -> int | None:
    """Place of the factor of x g(x) that is the gate, None for products of different signals.

    GELU and SiLU by hand: g is made of elementwise functions of x alone.
    """
    factors = node.args[:2]
    for i, gate in enumerate(factors):
        signal = _unscaled(factors[1 - i])
        if gate is not signal and _made_of(gate, signal):
            return i
    return None


def _unscaled(node: Any) -> Any:
    while node.target in (torch.mul, torch.div) and not _two_signals(node):
        node = next(a for a in node.args if carries_signal(a))
    return node


def _made_of(node: Any, signal: Any) -> bool:
    if node is signal:
        return True
    if node.target not in COMBINED and node.target not in ELEMENTWISE:
        return False
    return all(_made_of(a, signal) for a in node.args if isinstance(a, fx.Node))
