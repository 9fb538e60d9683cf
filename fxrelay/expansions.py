"""Expand what torch fuses: attention to products, softmax and a product."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.roles import carries_signal


def expand_attention(node: fx.Node, wrap: Any) -> Proxy | None:
    """``softmax(scale q kᵀ + mask) v``: scores, a mask that silences them, weights, their sum."""
    if node.target is not F.scaled_dot_product_attention:
        return None
    q, k, v, mask, _, causal, scale, grouped = map(wrap, node.args)

    def call(target: Any, *args: Any) -> Any:
        return q.tracer.create_proxy("call_function", target, args, {})

    if grouped:
        k, v = (call(torch.repeat_interleave, t, q.size(-3) // t.size(-3), -3) for t in (k, v))
    factor = q.size(-1) ** -0.5 if scale is None else scale
    scores = call(torch.matmul, q, call(torch.transpose, k, -2, -1))
    if not isinstance(factor, int | float) or factor != 1:
        scores = call(torch.mul, scores, factor)
    if causal:
        hidden = call(kernels.causal_mask, scores)
        scores = call(torch.where, hidden, float("-inf"), scores)
    if mask is not None:
        scores = _masked(scores, mask, call)
    return call(torch.matmul, call(torch.softmax, scores, -1), v)


def _masked(scores: Any, mask: Any, call: Any) -> Any:
    """Keep scores where a mask of truth values is True; other masks are added."""
    if carries_signal(mask.node):
        return call(torch.add, scores, mask)
    return call(torch.add, scores, call(kernels.added_mask, mask, scores))
