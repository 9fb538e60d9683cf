"""The table of rewrites that canonize a graph. Each is exact and matches on data flow.

A rewrite looks at one node and either makes its change, on proxies, and returns the node that now
computes the value, or returns None. Weights are rewritten as calls on parameters, so what depends
on parameters stays visible and differentiable; `fxrelay.relay` folds it into constants.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.expansions import expand_attention
from fxrelay.facts import carries_signal, rank


@dataclass(frozen=True)
class Rewrite:
    """A row: replace `node` by something equal that has simpler parts.

    Attributes
    ----------
    name : str
        Verb and object, as the log prints it.
    apply : callable
        ``(node, proxy) -> Proxy or None``; `proxy` wraps nodes for the calls that it makes.
    """

    name: str
    apply: Callable[[fx.Node, Callable[[fx.Node], Proxy]], Proxy | None]


def _call(like: Proxy, target: Callable[..., Any], *args: Any) -> Any:
    return like.tracer.create_proxy("call_function", target, args, {})


def _sole_user(node: fx.Node) -> bool:
    return len(node.users) == 1


def _batch_norm_scale(args: list[Any], wrap: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Scale and shift of batch norm in eval mode: ``scale * x + shift``."""
    mean, var, weight, bias, _, _, eps = args
    scale = _call(wrap(var), torch.rsqrt, wrap(var) + eps)
    scale = scale if weight is None else wrap(weight) * scale
    shift = -wrap(mean) * scale
    return scale, shift if bias is None else wrap(bias) + shift


def fold_batch_norm_into_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Linear then batch norm: W ← sW on the output axis, b ← s(b − m) + β."""
    source = node.args[0]
    if node.target is not F.batch_norm or not isinstance(source, fx.Node):
        return None
    if source.target not in (torch.convolution, F.linear) or not _sole_user(source):
        return None
    arguments: list[Any] = list(source.args)
    x, weight, bias, *options = arguments
    if not options and rank(source) != 2:
        return None  # the channels of (batch, channel, feature) are no features
    scale, shift = _batch_norm_scale(list(node.args[1:]), wrap)
    weight = _scaled_outputs(wrap(weight), scale, options)
    bias = shift if bias is None else wrap(bias) * scale + shift
    return _call(scale, source.target, wrap(x), weight, bias, *options)


def _scaled_outputs(weight: Any, scale: Proxy, options: list[Any]) -> Any:
    if not options:
        return weight * _call(scale, torch.unsqueeze, scale, 1)
    axes = [1] * len(options[0])
    if not options[3]:
        return weight * _call(scale, torch.reshape, scale, [-1, 1, *axes])
    return _call(scale, kernels.scale_transposed, weight, scale, options[5])


def fold_batch_norm_into_next_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Batch norm then linear without padding: W ← Ws on the input axis, b ← b + Σ W t."""
    source = node.args[0] if node.args else None
    if node.target not in (torch.convolution, F.linear) or not isinstance(source, fx.Node):
        return None
    if source.target is not F.batch_norm or not _sole_user(source):
        return None
    options: list[Any] = list(node.args[3:])
    if not options and rank(source) != 2:
        return None  # the channels of (batch, channel, feature) are no features
    if options and (any(options[1]) or options[3] or options[5] != 1):
        return None  # padding puts 0 where the batch norm's shift belongs
    scale, shift = _batch_norm_scale(list(source.args[1:]), wrap)
    weight, bias = wrap(node.args[1]), wrap(node.args[2])
    axes = [1] * (len(options[0]) if options else 0)
    by_input = [1, -1, *axes]
    moved = weight * _call(scale, torch.reshape, shift, by_input)
    moved = _call(scale, torch.sum, moved, list(range(1, 2 + len(axes))))
    weight = weight * _call(scale, torch.reshape, scale, by_input)
    bias = moved if bias is None else bias + moved
    return _call(scale, node.target, wrap(source.args[0]), weight, bias, *options)


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
    Rewrite("fold_batch_norm_into_next_linear", fold_batch_norm_into_next_linear),
    Rewrite("drop_whole_slice", drop_whole_slice),
    Rewrite("expand_attention", expand_attention),
)
