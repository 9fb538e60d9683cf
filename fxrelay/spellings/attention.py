"""Spellings of attention: projections as dense layers, and what they attend with as one call.

`fxrelay.rewrites` expands that call, ``scaled_dot_product_attention``, to products and softmax.
"""

import operator
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from fxrelay import kernels
from fxrelay.spellings.arithmetic import mul, normalize
from fxrelay.spellings.calls import Spelling, call, method
from fxrelay.spellings.linear import linear


def _attend(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
    enable_gqa=False, **kwargs,
):  # fmt: skip
    """Dropout is left out: an active one would be an error of the module that holds it."""
    return call(
        F.scaled_dot_product_attention, query, key, value, attn_mask, 0.0, is_causal, scale,
        enable_gqa,
    )  # fmt: skip


def _part(tensor, i, axis=0):
    """Return third `i` of a parameter that holds those of query, key and value."""
    return None if tensor is None else call(torch.chunk, tensor, 3, axis)[i]


def _heads(x, n):
    """(length, batch, features) -> (batch, heads, length, features of a head)."""
    length, batch = method("size", x, 0), method("size", x, 1)
    shaped = call(torch.reshape, x, (length, batch, n, -1))
    return call(torch.permute, shaped, (1, 2, 0, 3))


def multi_head_attention(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k=None,
    bias_v=None, add_zero_attn=False, dropout_p=0.0, out_proj_weight=None, out_proj_bias=None,
    training=False, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None,
    static_k=None, static_v=None, average_attn_weights=True, is_causal=False,
):  # fmt: skip
    """``torch.nn.functional.multi_head_attention_forward``: inputs (length, batch, features)."""
    if training and dropout_p:
        raise ValueError("dropout is active (training=True), so two runs would differ")
    if static_k is not None or static_v is not None:
        raise ValueError("attention with static_k or static_v has no relevance rule")
    own = q_proj_weight, k_proj_weight, v_proj_weight
    weights = own if use_separate_proj_weight else [_part(in_proj_weight, i) for i in range(3)]
    inputs = query, key, value
    q, k, v = (
        linear(x, w, _part(in_proj_bias, i))
        for i, (x, w) in enumerate(zip(inputs, weights, strict=True))
    )
    k, v, masks = _appended(k, v, bias_k, bias_v, add_zero_attn, (attn_mask, key_padding_mask))
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    mask = None
    if any(m is not None for m in masks):
        mask = call(kernels.attention_mask, q, *masks, num_heads)
    out = _attend(q, k, v, mask)
    whole = call(torch.permute, out, (2, 0, 1, 3))
    joined = linear(call(torch.flatten, whole, 2, 3), out_proj_weight, out_proj_bias)
    if not need_weights:
        return joined, None
    weights = call(kernels.attention_weights, q, k, mask)
    return joined, call(torch.mean, weights, 1, False) if average_attn_weights else weights


def _appended(k, v, bias_k, bias_v, zero, masks):
    """Append the learnt and the zero position to keys and values, and let everyone see them."""
    for extra_k, extra_v in ((bias_k, bias_v), (zero or None, zero or None)):
        if extra_k is None:
            continue
        made = [
            call(kernels.zero_position, x) if extra is True
            else call(torch.Tensor.expand, extra, (-1, method("size", x, 1), -1))
            for extra, x in ((extra_k, k), (extra_v, v))
        ]  # fmt: skip
        k, v = (call(torch.cat, [x, m], 0) for x, m in zip((k, v), made, strict=True))
        masks = tuple(None if m is None else call(kernels.seen, m) for m in masks)
    return k, v, masks


def _window_attention(
    input, qkv_weight, proj_weight, relative_position_bias, window_size, num_heads, shift_size,
    attention_dropout=0.0, dropout=0.0, qkv_bias=None, proj_bias=None, logit_scale=None,
    training=True,
):  # fmt: skip
    """Torchvision's Swin attention in (shifted) windows; with `logit_scale` by cosines (v2)."""
    if training and (attention_dropout or dropout):
        raise ValueError("dropout is active (training=True), so two runs would differ")
    window, shift = window_size, shift_size
    x = call(kernels.to_windows, input, window, shift)
    if logit_scale is not None and qkv_bias is not None:
        qkv_bias = call(kernels.without_middle_third, qkv_bias)
    qkv = linear(x, qkv_weight, qkv_bias)
    sizes = method("size", x, 0), method("size", x, 1), 3, num_heads, -1
    split = call(torch.permute, call(torch.reshape, qkv, sizes), (2, 0, 3, 1, 4))
    q, k, v = (call(operator.getitem, split, i) for i in range(3))
    scale = None
    if logit_scale is not None:
        capped = call(torch.exp, call(torch.clamp, logit_scale, None, kernels.LOG_100))
        q, k, scale = mul(normalize(q, dim=-1), capped), normalize(k, dim=-1), 1.0
    mask = call(kernels.window_mask, input, relative_position_bias, window, shift)
    out = call(torch.transpose, _attend(q, k, v, mask, scale=scale), 1, 2)
    joined = linear(call(torch.flatten, out, 2, 3), proj_weight, proj_bias)
    return call(kernels.from_windows, joined, input, window, shift)


def _patch_merging(x):
    """Torchvision's Swin downsampling: pad to even sizes, then four interleaved parts."""
    even = call(kernels.pad_even, x)
    ends = ((0, 0), (1, 0), (0, 1), (1, 1))
    parts = [
        call(operator.getitem, even,
             (Ellipsis, slice(row, None, 2), slice(column, None, 2), slice(None)))
        for row, column in ends
    ]  # fmt: skip
    return call(torch.cat, parts, -1)


BY_NAME: Mapping[str, Spelling] = {
    "scaled_dot_product_attention": _attend,
    "multi_head_attention_forward": multi_head_attention,
    "torchvision.models.swin_transformer.shifted_window_attention": _window_attention,
    "torchvision.models.video.swin_transformer.shifted_window_attention_3d": _window_attention,
    "torchvision.models.swin_transformer._patch_merging_pad": _patch_merging,
}
