"""The operator table: for each canonical call, how relevance passes it.

A row says which words select it, which rule it takes when a composite gives none, its adjoint, for
linear operators how to run it with other weights, and what it does to the sign of its input.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx

from fxrelay import adjoints, kernels, linear
from fxrelay.meta import SIZE
from fxrelay.passing import (
    Homogeneous,
    Numerator,
    OwnGate,
    detached,
    signal_takes_all,
)
from fxrelay.roles import carries_signal, is_normalizer, own_gate
from fxrelay.rules import AnyRule, epsilon, gradient, norm, passthrough
from fxrelay.site import Adjoint, Linear, Site
from fxrelay.spellings.elementwise import ELEMENTWISE

Sign = Callable[[fx.Node, Callable[[Any], bool]], bool]


def _first(node: fx.Node) -> list[fx.Node]:
    return [a for a in node.args[:1] if isinstance(a, fx.Node)]


@dataclass(frozen=True)
class Operator:
    """A row of the table.

    Attributes
    ----------
    name : str
        The operator's name in reports.
    words : tuple of str
        What ``ops(...)`` selects it by, beside its name.
    targets : tuple of callable
        Its canonical calls.
    adjoint : callable
        Writes the vector-Jacobian product.
    default : rule or None
        The rule of a node that no row of the composite gives one; None: it needs one.
    linear : callable or None
        Gives the operator as a linear map, for rules that are data.
    when : callable
        For which calls of the targets the row holds; the first row that does is the node's.
    operands : callable
        Picks the arguments that relevance goes to: signals, and constants that are sinks.
    nonnegative : callable
        Whether the output is known to be >= 0, given which arguments are.
    keeps_zero : bool
        Whether the adjoint gives no relevance to an input of 0 when the output's 0s have none.
    elementwise : bool
        Of products: whether no sum follows, so that nothing needs to be divided.
    mixed : bool
        Of linear operators: whether contributions have signs that its weight does not show, so
        that only rules on whole contributions, such as epsilon, apply.
    """

    name: str
    words: tuple[str, ...]
    targets: tuple[Callable[..., Any], ...]
    adjoint: Adjoint
    default: AnyRule | None = None
    linear: Callable[[Site], Linear] | None = None
    when: Callable[[fx.Node], bool] = lambda node: True
    operands: Callable[[fx.Node], Sequence[fx.Node]] = _first
    nonnegative: Sign = lambda node, known: False
    keeps_zero: bool = False
    elementwise: bool = False
    mixed: bool = False

    def selected_by(self, word: str) -> bool:
        """Whether ``ops(word)`` means this operator."""
        return word == self.name or word in self.words


def _keeps_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    return known(node.args[0])


def _all_keep_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    first = node.args[0]
    return all(known(arg) for arg in (first if isinstance(first, list | tuple) else node.args))


def _pads_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    mode, value = node.args[2], node.args[3]
    return known(node.args[0]) and (mode != "constant" or _at_least_zero(value))


def _scales_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    return all(known(arg) or _at_least_zero(arg) for arg in node.args)


def _at_least_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0


#: elementwise functions whose output is never negative
NONNEGATIVE: Final = frozenset({
    torch.relu, F.relu6, torch.sigmoid, F.hardsigmoid, F.softplus, torch.softmax, torch.exp,
    torch.sqrt, torch.rsqrt, torch.square, torch.abs,
})  # fmt: skip


def _activates_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    return node.target in NONNEGATIVE


def _chooses_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    return all(known(arg) or _at_least_zero(arg) for arg in node.args[1:])


def _both(node: fx.Node) -> list[fx.Node]:
    return [a for a in node.args[:2] if isinstance(a, fx.Node) and not a.meta.get(SIZE)]


def _chosen(node: fx.Node) -> list[fx.Node]:
    return [a for a in node.args[1:] if isinstance(a, fx.Node)]


def _signals(node: fx.Node) -> list[fx.Node]:
    return [a for a in node.args if isinstance(a, fx.Node) and carries_signal(a)]


def _listed(node: fx.Node) -> Sequence[fx.Node]:
    return node.args[0]  # type: ignore[return-value]


def _tensors(node: fx.Node) -> list[fx.Node]:
    return [arg for arg in node.args if isinstance(arg, fx.Node)]


def _one_signal(node: fx.Node) -> bool:
    return len(_signals(node)) == 1


def _alone(node: fx.Node) -> bool:
    return len(node.args) == 2


def _signal_and_constant(node: fx.Node) -> bool:
    return _one_signal(node) and len(_tensors(node)) == 2


def _product_with_normalizer(node: fx.Node) -> bool:
    return sum(map(is_normalizer, _signals(node))) == 1


def _signed_interpolation(node: fx.Node) -> bool:
    return node.args[3] == "bicubic"


#: canonical calls that only move elements and whose transpose is torch's own
MAPS: Final = (
    torch.tile, torch.repeat_interleave, torch.index_select, torch.gather, torch.roll, torch.flip,
    torch.movedim, torch.diagonal, F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle, F.unfold,
    kernels.windows, kernels.from_windows, kernels.max_unpool,
)  # fmt: skip

OPERATORS: Final[tuple[Operator, ...]] = (
    Operator("conv", ("linear",), (torch.convolution,), adjoints.of_linear, None, linear.conv),
    Operator("dense", ("linear",), (F.linear,), adjoints.of_linear, None, linear.dense),
    Operator("dense", ("linear",), (torch.matmul,), adjoints.of_linear, None, linear.matmul,
             when=_one_signal, operands=_signals),
    Operator("dense", ("linear",), (torch.einsum,), adjoints.of_linear, None, linear.einsum,
             when=_signal_and_constant, operands=_signals),
    Operator("bilinear", (), (torch.matmul,), adjoints.matmul, signal_takes_all(),
             operands=_signals, nonnegative=_all_keep_sign),
    Operator("sum", ("reduce",), (torch.einsum,), adjoints.of_linear, norm(), linear.einsum,
             when=_alone, operands=_signals),
    Operator("bilinear", (), (torch.einsum,), adjoints.einsum, signal_takes_all(),
             operands=_signals),
    Operator("attention", (), (F.scaled_dot_product_attention,), adjoints.pulled,
             operands=_signals),
    Operator("batch_norm", ("norm",), (F.batch_norm,), adjoints.of_linear, None, linear.batch_norm),
    Operator("layer_norm", ("norm",), (F.layer_norm,), adjoints.pulled, epsilon(),
             linear.layer_norm, mixed=True),
    Operator("group_norm", ("norm",), (F.group_norm,), adjoints.pulled, epsilon(),
             linear.group_norm, mixed=True),
    Operator("instance_norm", ("norm",), (kernels.instance_norm,), adjoints.pulled, epsilon(),
             linear.instance_norm, mixed=True),
    Operator("suppress", (), (kernels.suppressed,), adjoints.of_linear, epsilon(), linear.suppress,
             mixed=True),
    Operator("rms_norm", ("norm",), (F.rms_norm,), adjoints.pulled, epsilon(), linear.rms_norm),
    Operator("softmax", (), (torch.softmax,), adjoints.pulled, passthrough(),
             nonnegative=_activates_sign),
    Operator("log_softmax", (), (torch.log_softmax,), adjoints.pulled, passthrough()),
    Operator("activation", ("relu",), (torch.relu,), adjoints.relu, passthrough(),
             nonnegative=_activates_sign, keeps_zero=True),
    Operator("activation", (),
             tuple(e for e in ELEMENTWISE if e not in (
                 torch.relu, torch.softmax, torch.log_softmax)),
             adjoints.pulled, passthrough(), operands=_signals, nonnegative=_activates_sign),
    Operator("threshold", ("activation",), (kernels.threshold_affine,), adjoints.threshold,
             gradient()),
    Operator("max_pool", ("pool",), (kernels.max_pool,), adjoints.max_pool, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("max_pool", ("pool",), (kernels.adaptive_max_pool,), adjoints.adaptive_max_pool,
             gradient(), nonnegative=_keeps_sign, keeps_zero=True),
    Operator("avg_pool", ("pool",), (kernels.avg_pool,), adjoints.of_linear, norm(),
             linear.avg_pool, nonnegative=_keeps_sign),
    Operator("avg_pool", ("pool",), (kernels.adaptive_avg_pool,), adjoints.of_linear, norm(),
             linear.adaptive_avg_pool, nonnegative=_keeps_sign),
    Operator("mean", ("reduce",), (torch.mean,), adjoints.of_linear, norm(), linear.mean,
             nonnegative=_keeps_sign),
    Operator("sum", ("reduce",), (torch.sum,), adjoints.of_linear, norm(), linear.total,
             nonnegative=_keeps_sign),
    Operator("sum", ("reduce",), (torch.cumsum, F.fold), adjoints.of_linear, norm(), linear.pulled,
             nonnegative=_keeps_sign),
    Operator("interpolate", (), (kernels.interpolate,), adjoints.of_linear, norm(), linear.pulled,
             when=_signed_interpolation, mixed=True),
    Operator("interpolate", (), (kernels.interpolate,), adjoints.of_linear, norm(), linear.pulled,
             nonnegative=_keeps_sign),
    Operator("winner", (), (kernels.largest, kernels.smallest, kernels.top_values, torch.amax,
             torch.amin, torch.logsumexp), adjoints.pulled, gradient()),
    Operator("winner", (), (torch.maximum, torch.minimum), adjoints.winner, gradient(),
             operands=_both, nonnegative=_all_keep_sign),
    Operator("measure", (), (kernels.vector_norm, kernels.deviation), adjoints.pulled,
             Homogeneous(1), nonnegative=lambda node, known: True),
    Operator("measure", (), (kernels.variance,), adjoints.pulled, Homogeneous(2),
             nonnegative=lambda node, known: True),
    Operator("add", (), (torch.add,), adjoints.add, norm(), operands=_both,
             nonnegative=_all_keep_sign),
    Operator("add", ("sub",), (torch.sub,), adjoints.sub, norm(), operands=_both),
    Operator("scale", (), (torch.mul, torch.div), adjoints.scale, passthrough(), when=_one_signal,
             operands=_signals, nonnegative=_scales_sign, keeps_zero=True),
    Operator("normalize", (), (torch.mul,), adjoints.product, detached(),
             when=_product_with_normalizer, operands=_signals, elementwise=True),
    Operator("normalize", (), (torch.div,), adjoints.quotient, Numerator(), operands=_signals,
             elementwise=True),
    Operator("activation", (), (torch.mul,), adjoints.product, OwnGate(),
             when=lambda node: own_gate(node) is not None, operands=_signals, elementwise=True),
    Operator("gate", ("product",), (torch.mul,), adjoints.product, signal_takes_all(),
             operands=_signals, nonnegative=_all_keep_sign, elementwise=True),
    Operator("where", (), (torch.where,), adjoints.choose, gradient(), operands=_chosen,
             nonnegative=_chooses_sign),
    Operator("embedding", (), (F.embedding,), adjoints.per_token, gradient()),
    Operator("cat", ("index",), (torch.cat,), adjoints.cat, gradient(), operands=_listed,
             nonnegative=_all_keep_sign, keeps_zero=True),
    Operator("stack", ("index",), (torch.stack,), adjoints.stack, gradient(), operands=_listed,
             nonnegative=_all_keep_sign, keeps_zero=True),
    Operator("split", ("index",), (torch.chunk, torch.split, torch.tensor_split), adjoints.split,
             gradient(), nonnegative=_keeps_sign, keeps_zero=True),
    Operator("split", ("index",), (torch.unbind,), adjoints.unbind, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("split", ("index",), (kernels.steps,), adjoints.unbind, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("getitem", ("index",), (operator.getitem,), adjoints.getitem, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("reshape", ("index",), (
        torch.reshape, torch.flatten, torch.unflatten, torch.squeeze, torch.unsqueeze,
    ), adjoints.reshape, gradient(), nonnegative=_keeps_sign, keeps_zero=True),
    Operator("permute", ("index",), (torch.permute,), adjoints.permute, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("permute", ("index",), (torch.transpose,), adjoints.transpose, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("expand", ("index",), (torch.Tensor.expand,), adjoints.expand, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("move", ("index",), MAPS, adjoints.pulled, gradient(), nonnegative=_keeps_sign,
             keeps_zero=True),
    Operator("move", ("index",), (torch.slice_scatter, torch.select_scatter), adjoints.pulled,
             gradient(), operands=_both, nonnegative=_all_keep_sign, keeps_zero=True),
    Operator("pad", ("index",), (kernels.pad,), adjoints.pad, gradient(),
             nonnegative=_pads_sign, keeps_zero=True),
    Operator("pad", ("index",), (kernels.pad_even,), adjoints.pad_even, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("windows", ("index",), (kernels.to_windows,), adjoints.to_windows, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
    Operator("cast", ("index",), (torch.Tensor.to,), adjoints.cast, gradient(),
             nonnegative=_keeps_sign, keeps_zero=True),
)  # fmt: skip


def _by_target() -> dict[Any, list[Operator]]:
    rows: dict[Any, list[Operator]] = {}
    for row in OPERATORS:
        for target in row.targets:
            rows.setdefault(target, []).append(row)
    return rows


BY_TARGET: Final[Mapping[Any, list[Operator]]] = _by_target()

#: what a call without a row becomes: only a rule that is a function can pass it
UNKNOWN: Final = Operator("unknown", (), (), adjoints.unknown, operands=_tensors)


def operator_of(node: fx.Node) -> Operator:
    """Return the row for a canonical node, `UNKNOWN` where there is none."""
    rows = BY_TARGET.get(node.target, ())
    return next((row for row in rows if row.when(node)), UNKNOWN)
