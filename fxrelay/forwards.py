"""Modules of torch whose forward asks a proxy for its rank: what they compute in eval mode."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Forward = Callable[..., Any]


def _batch_norm(m: nn.modules.batchnorm._BatchNorm) -> Forward:
    def forward(input: Any) -> Any:
        batch_statistics = m.running_mean is None
        return F.batch_norm(
            input, m.running_mean, m.running_var, m.weight, m.bias, batch_statistics, 0.0, m.eps
        )

    return forward


def _instance_norm(m: Any) -> Forward:
    def forward(input: Any) -> Any:
        own = not m.track_running_stats
        return F.instance_norm(
            input, m.running_mean, m.running_var, m.weight, m.bias, own, 0.0, m.eps
        )

    return forward


def _conv_transpose(m: Any) -> Forward:
    apply = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[len(m.stride)]

    def forward(input: Any) -> Any:
        options = m.stride, m.padding, m.output_padding, m.groups, m.dilation
        return apply(input, m.weight, m.bias, *options)

    return forward


def _circular_pad(m: Any) -> Forward:
    return lambda input: F.pad(input, m.padding, "circular")


def _multi_head_attention(m: nn.MultiheadAttention) -> Forward:
    def forward(
        query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> Any:  # fmt: skip
        inputs = query, key, value
        if m.batch_first:
            inputs = tuple(x.transpose(0, 1) for x in inputs)
        out = F.multi_head_attention_forward(
            *inputs, m.embed_dim, m.num_heads, m.in_proj_weight, m.in_proj_bias, m.bias_k,
            m.bias_v, m.add_zero_attn, 0.0, m.out_proj.weight, m.out_proj.bias, training=False,
            key_padding_mask=key_padding_mask, need_weights=need_weights, attn_mask=attn_mask,
            use_separate_proj_weight=not m._qkv_same_embed_dim, q_proj_weight=m.q_proj_weight,
            k_proj_weight=m.k_proj_weight, v_proj_weight=m.v_proj_weight,
            average_attn_weights=average_attn_weights,
        )  # fmt: skip
        return out[0].transpose(0, 1) if m.batch_first else out[0], out[1]

    return forward


def _encoder_layer(m: Any) -> Forward:
    def forward(
        src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        def attend(x: Any) -> Any:
            return m._sa_block(x, src_mask, src_key_padding_mask, is_causal=is_causal)

        if m.norm_first:
            x = src + attend(m.norm1(src))
            return x + m._ff_block(m.norm2(x))
        x = m.norm1(src + attend(src))
        return m.norm2(x + m._ff_block(x))

    return forward


def _encoder(m: nn.TransformerEncoder) -> Forward:
    def forward(
        src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: Any = None
    ) -> Any:
        for layer in m.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
        return src if m.norm is None else m.norm(src)

    return forward


def _recurrent(m: nn.RNNBase) -> Forward:
    target = getattr(torch, m.mode.lower())
    states = 2 if m.mode == "LSTM" else 1

    def forward(input: Any, hx: Any = None) -> Any:
        if hx is None:
            widths = [m.proj_size or m.hidden_size, m.hidden_size][:states]
            n = m.num_layers * (2 if m.bidirectional else 1)
            batch = input.size(0 if m.batch_first else 1)
            zeros = [input.new_zeros((n, batch, width)) for width in widths]
            hx = zeros if states == 2 else zeros[0]
        options = m.bias, m.num_layers, 0.0, False, m.bidirectional, m.batch_first
        args = input, hx, list(m._flat_weights), *options
        out = input.tracer.create_proxy("call_function", target, args, {})
        return out[0], (out[1], out[2]) if states == 2 else out[1]

    return forward


def _recurrent_cell(m: Any) -> Forward:
    named = "lstm" if isinstance(m, nn.LSTMCell) else "gru"
    named = f"rnn_{m.nonlinearity}" if isinstance(m, nn.RNNCell) else named
    apply = getattr(torch, f"{named}_cell")

    def forward(input: Any, hx: Any = None) -> Any:
        if hx is None:
            zeros = input.new_zeros((input.size(0), m.hidden_size))
            hx = (zeros, zeros) if named == "lstm" else zeros
        out = apply(input, hx, m.weight_ih, m.weight_hh, m.bias_ih, m.bias_hh)
        return (out[0], out[1]) if named == "lstm" else out

    return forward


#: kind of module -> what makes its forward
FORWARDS: Mapping[type[nn.Module], Callable[[Any], Forward]] = {
    nn.modules.batchnorm._BatchNorm: _batch_norm,
    nn.modules.instancenorm._InstanceNorm: _instance_norm,
    nn.modules.conv._ConvTransposeNd: _conv_transpose,
    nn.modules.padding._CircularPadNd: _circular_pad,
    nn.MultiheadAttention: _multi_head_attention,
    nn.TransformerEncoderLayer: _encoder_layer,
    nn.TransformerEncoder: _encoder,
    nn.RNNBase: _recurrent,
    nn.RNNCellBase: _recurrent_cell,
}


def forward_of(m: nn.Module) -> Forward | None:
    """Return what a module of torch computes in eval mode, None where its own forward will do."""
    own = str(type(m).forward.__module__).startswith("torch.")  # a graph's has none
    make = next((f for kind, f in FORWARDS.items() if isinstance(m, kind)), None)
    return make(m) if make and own else None
