"""Spellings of linear operators, and of products of two signals that look like them."""

import operator
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from fxrelay import kernels
from fxrelay.spellings.calls import Spelling, call, is_signal, many, require_constant


def conv(n: int) -> Spelling:
    """Convolution over `n` axes."""

    def spelled(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        require_constant(weight, bias)
        stride, dilation = many(stride, n), many(dilation, n)
        if padding == "same":
            return _conv_same(n, input, weight, bias, stride, dilation, groups)
        padding = 0 if padding == "valid" else padding
        options = stride, many(padding, n), dilation, False, [0] * n, groups
        return call(torch.convolution, input, weight, bias, *options)

    return spelled


def _conv_same(n, input, weight, bias, stride, dilation, groups):
    """Pad evenly; where "same" pads one more at the end, pad both and drop the first outputs."""
    kernel = weight.tracer.shape_of(weight.node)[-n:]
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    padding = [t - t // 2 for t in total]
    out = call(torch.convolution, input, weight, bias, stride, padding, dilation, False, [0] * n,
               groups)  # fmt: skip
    odd = [t % 2 for t in total]
    cut = (slice(None), slice(None), *(slice(o, None) for o in odd))
    return call(operator.getitem, out, cut) if any(odd) else out


def conv_transpose(n: int) -> Spelling:
    """Transposed convolution over `n` axes."""

    def spelled(
        input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
    ):
        require_constant(weight, bias)
        options = (
            many(stride, n), many(padding, n), many(dilation, n), True,
            many(output_padding, n), groups,
        )  # fmt: skip
        return call(torch.convolution, input, weight, bias, *options)

    return spelled


def _convolution(input, weight, bias, *options, **named):
    require_constant(weight, bias)
    return call(torch.convolution, input, weight, bias, *options, *named.values())


def linear(input, weight, bias=None):
    """Matrix product over the last axis; a weight that depends on the input makes it a product."""
    if is_signal(weight):
        product = matmul(input, call(torch.transpose, weight, -2, -1))
        return product if bias is None else call(torch.add, product, bias)
    require_constant(bias)
    return call(F.linear, input, weight, bias)


def matmul(input, other):
    """Matrix product; with a constant matrix on the right it is a dense layer."""
    constant = not is_signal(other) and other.node in other.tracer.constants
    if constant and len(other.tracer.shape_of(other.node)) == 2:
        return call(F.linear, input, call(torch.transpose, other, 0, 1), None)
    return call(torch.matmul, input, other)


def _addmm(input, mat1, mat2, *, beta=1, alpha=1):
    product = matmul(mat1, mat2)
    if beta == alpha == 1 and product.node.target is F.linear and not is_signal(input):
        x, weight, _ = product.node.args
        return call(F.linear, *(type(product)(a, product.tracer) for a in (x, weight)), input)
    product = product if alpha == 1 else call(torch.mul, product, alpha)
    return call(torch.add, input if beta == 1 else call(torch.mul, input, beta), product)


def _einsum(equation, *operands):
    only = operands[0] if len(operands) == 1 else operands
    whole = list(only) if isinstance(only, list | tuple) else [only]
    return call(torch.einsum, equation.replace(" ", ""), *whole)


def _bilinear(input1, input2, weight, bias=None):
    require_constant(weight, bias)
    out = call(torch.einsum, "...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else call(torch.add, out, bias)


def batch_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, training=False,
    momentum=0.1, eps=1e-5,
):  # fmt: skip
    """Batch norm in eval mode."""
    if training or running_mean is None or running_var is None:
        raise ValueError(
            "batch norm uses the statistics of the batch (training=True or "
            "track_running_stats=False), so samples would explain each other"
        )
    return call(F.batch_norm, input, running_mean, running_var, weight, bias, False, 0.0, eps)


def aten_batch_norm(input, weight, bias, mean, var, training, momentum, eps, cudnn):
    """Batch norm with aten's order of arguments."""
    return batch_norm(input, mean, var, weight, bias, training, momentum, eps)


def _interpolate(
    input, size=None, scale_factor=None, mode="nearest", align_corners=None,
    recompute_scale_factor=None, antialias=False,
):  # fmt: skip
    options = size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
    return call(kernels.interpolate, input, *options)


def _upsample(mode: str) -> Spelling:
    """Interpolation with aten's arguments: (size, [align_corners], scale factors)."""

    def spelled(input, output_size=None, *rest, scale_factors=None):
        align = rest[0] if mode in ("linear", "bilinear", "bicubic", "trilinear") and rest else None
        scale = scale_factors
        last = rest[-1] if rest else None
        scale = list(last) if scale is None and isinstance(last, list | tuple) else scale
        size = None if scale is not None else output_size
        return _interpolate(input, size, scale, mode, align)

    return spelled


def _cumsum(input, dim, *, dtype=None):
    return call(torch.cumsum, input, dim)


BY_NAME: Mapping[str, Spelling] = {
    **{f"conv{n}d": conv(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": conv_transpose(n) for n in (1, 2, 3)},
    "convolution": _convolution, "linear": linear, "batch_norm": batch_norm,
    "matmul": matmul, "bmm": matmul, "mm": matmul, "__matmul__": matmul, "mv": matmul,
    "addmm": _addmm, "baddbmm": _addmm, "addbmm": _addmm, "einsum": _einsum,
    "bilinear": _bilinear, "interpolate": _interpolate, "upsample": _interpolate,
    "cumsum": _cumsum,
    "upsample_nearest1d": _upsample("nearest"), "upsample_nearest2d": _upsample("nearest"),
    "upsample_nearest3d": _upsample("nearest"), "upsample_linear1d": _upsample("linear"),
    "upsample_bilinear2d": _upsample("bilinear"), "upsample_bicubic2d": _upsample("bicubic"),
    "upsample_trilinear3d": _upsample("trilinear"),
}  # fmt: skip
