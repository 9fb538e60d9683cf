"""The operator table: for each canonical call, how relevance passes it.

A row says which words select it, which rule it takes when a composite gives none, its adjoint, for
linear operators how to run it with other weights, and what it does to the sign of its input.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx

from fxrelay import adjoints, kernels, linear
from fxrelay.meta import PATH, SIZE
from fxrelay.rules import AnyRule, gradient, norm, passthrough
from fxrelay.site import Adjoint, Linear, Site
from fxrelay.spellings import ACTIVATIONS

Sign = Callable[[fx.Node, Callable[[Any], bool]], bool]


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
    operands : callable
        Picks the arguments that carry relevance.
    nonnegative : callable
        Whether the output is known to be >= 0, given which arguments are.
    keeps_zero : bool
        Whether the adjoint gives no relevance to an input of 0 when the output's 0s have none.
    """

    name: str
    words: tuple[str, ...]
    targets: tuple[Callable[..., Any], ...]
    adjoint: Adjoint
    default: AnyRule | None = None
    linear: Callable[[Site], Linear] | None = None
    operands: Callable[[tuple[Any, ...]], tuple[Any, ...]] = lambda args: args[:1]
    nonnegative: Sign = lambda node, known: False
    keeps_zero: bool = False

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


#: activations whose output is never negative
NONNEGATIVE: Final = frozenset({
    torch.relu, F.relu6, torch.sigmoid, F.hardsigmoid, F.softplus,
})  # fmt: skip


def _activates_sign(node: fx.Node, known: Callable[[Any], bool]) -> bool:
    return node.target in NONNEGATIVE


def _both(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a for a in args[:2] if not (isinstance(a, fx.Node) and a.meta.get(SIZE)))


def _listed(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(args[0])


def _tensors(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg for arg in args if isinstance(arg, fx.Node))


OPERATORS: Final[tuple[Operator, ...]] = (
    Operator("conv", ("linear",), (torch.convolution,), adjoints.of_linear, None, linear.conv),
    Operator("dense", ("linear",), (F.linear,), adjoints.of_linear, None, linear.dense),
    Operator("batch_norm", ("norm",), (F.batch_norm,), adjoints.of_linear, None, linear.batch_norm),
    Operator("activation", ("relu",), (torch.relu,), adjoints.relu, passthrough(),
             nonnegative=_activates_sign, keeps_zero=True),
    Operator("activation", (), tuple(a for a in ACTIVATIONS if a is not torch.relu),
             adjoints.activation, passthrough(), nonnegative=_activates_sign),
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
    Operator("add", (), (torch.add,), adjoints.add, norm(), operands=_both,
             nonnegative=_all_keep_sign),
    Operator("add", ("sub",), (torch.sub,), adjoints.sub, norm(), operands=_both),
    Operator("scale", (), (torch.mul, torch.div), adjoints.scale, passthrough(),
             nonnegative=_scales_sign, keeps_zero=True),
    Operator("cat", ("index",), (torch.cat,), adjoints.cat, gradient(), operands=_listed,
             nonnegative=_all_keep_sign, keeps_zero=True),
    Operator("stack", ("index",), (torch.stack,), adjoints.stack, gradient(), operands=_listed,
             nonnegative=_all_keep_sign, keeps_zero=True),
    Operator("split", ("index",), (torch.chunk, torch.split), adjoints.split, gradient(),
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
    Operator("pad", ("index",), (kernels.pad,), adjoints.pad, gradient(),
             nonnegative=_pads_sign, keeps_zero=True),
)  # fmt: skip

BY_TARGET: Final[Mapping[Any, Operator]] = {t: row for row in OPERATORS for t in row.targets}

#: what a call without a row becomes: only a rule that is a function can pass it
UNKNOWN: Final = Operator("unknown", (), (), adjoints.unknown, operands=_tensors)


def operator_of(node: fx.Node) -> Operator:
    """Return the row for a canonical node, `UNKNOWN` where there is none."""
    row = BY_TARGET.get(node.target, UNKNOWN)
    if row.name == "scale" and _products_of_signals(node):
        return UNKNOWN
    return row


def _products_of_signals(node: fx.Node) -> bool:
    carried = [n for n in node.args[:2] if isinstance(n, fx.Node) and PATH in n.meta]
    return len(carried) > 1 or (node.target is torch.div and carried != [node.args[0]])
