"""The table of rewrites that canonize a graph. Each is exact and matches on data flow.

A rewrite looks at one node and either makes its change, on proxies, and returns the node that now
computes the value, or returns None. Weights are rewritten as calls on parameters, so what depends
on parameters stays visible and differentiable; `fxrelay.relay` folds it into constants.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import fx
from torch.fx import Proxy

from fxrelay.expansions import expand_attention
from fxrelay.folds import (
    fold_batch_norm_into_linear,
    fold_batch_norm_into_next_linear,
    fold_norm_affine_into_linear,
    fold_scale_into_linear,
    fold_shift_into_linear,
    lift_batch_norm_over_relu,
)
from fxrelay.roles import carries_signal


@dataclass(frozen=True)
class Rewrite:
    """A row: replace `node` by something equal that has simpler parts.

    Attributes
    ----------
    name : str
        Verb and object, as the log prints it.
    apply : callable
        ``(node, proxy) -> Proxy or None``; `proxy` wraps nodes for the calls that it makes.
    default : bool
        Whether `canonize` applies the row unless it is told otherwise. Lifting batch norm over ReLU
        is left out: epsilon gives the same, and z_plus leaves most relevance in its bias maps.
    """

    name: str
    apply: Callable[[fx.Node, Callable[[fx.Node], Proxy]], Proxy | None]
    default: bool = True


def drop_whole_slice(node: fx.Node, wrap: Any) -> Proxy | None:
    """Drop an index that takes everything: ``x[:]``, ``x[...]``."""
    if node.target is not operator.getitem or not carries_signal(node.args[0]):
        return None
    index = node.args[1]
    parts = index if isinstance(index, tuple) else (index,)
    whole = all(p is Ellipsis or p == slice(None) for p in parts)
    return wrap(node.args[0]) if whole else None


REWRITES: Final[tuple[Rewrite, ...]] = (
    Rewrite("fold_batch_norm_into_linear", fold_batch_norm_into_linear),
    Rewrite("lift_batch_norm_over_relu", lift_batch_norm_over_relu, default=False),
    Rewrite("fold_batch_norm_into_next_linear", fold_batch_norm_into_next_linear),
    Rewrite("fold_scale_into_linear", fold_scale_into_linear),
    Rewrite("fold_shift_into_linear", fold_shift_into_linear),
    Rewrite("fold_norm_affine_into_linear", fold_norm_affine_into_linear),
    Rewrite("drop_whole_slice", drop_whole_slice),
    Rewrite("expand_attention", expand_attention),
)
