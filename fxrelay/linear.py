"""Linear operators as maps that can run with other inputs and weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import forms, kernels
from fxrelay.site import Linear, Site


def conv(site: Site) -> Linear:
    """Convolution over 1 to 3 axes, transposed ones included."""
    weight, bias, *options = site.args[1:]
    axes = len(options[0])
    shape = site.program.shape_of(weight)
    transposed, groups = options[3], options[5]
    taps = math.prod(shape[1:])
    if transposed:
        taps = math.prod(shape[2:]) * shape[0] // groups // math.prod(options[0])

    def apply(x: Any, w: Any, b: Any) -> Proxy:
        flat = None if b is None else site.call(torch.flatten, b)
        return site.call(torch.convolution, x, w, flat, *options)

    def constant(terms: Sequence[tuple[Any, float, Any]], x: Proxy) -> Proxy:
        small = forms.summed(
            site.call(kernels.one_channel, w * c, value, transposed, groups)
            for value, c, w in terms
        )
        ones = site.call(kernels.one_channel_of, x)
        return site.call(torch.convolution, ones, small, None, *options[:-1], 1)

    return Linear(
        apply,
        lambda s, w, x: site.call(kernels.conv_adjoint, s, w, x, *options),
        weight,
        None if bias is None else site.call(torch.reshape, bias, [-1, *[1] * axes]),
        taps,
        constant,
        None if transposed else _box(site, shape, options),
    )


def _box(site: Site, shape: tuple[int, ...], options: Sequence[Any]) -> Linear:
    """Convolution with one number for a weight: sums over the channels of each group, moved."""
    return Linear(
        lambda x, c, b: forms.summed(
            [forms.scaled(site.call(kernels.box, x, shape, *options), c), *[b] * (b is not None)]
        ),
        lambda s, c, x: forms.scaled(site.call(kernels.box_adjoint, s, x, shape, *options), c),
    )


def dense(site: Site) -> Linear:
    """Matrix product over the last axis."""
    weight, bias = site.args[1:3]
    return Linear(
        lambda x, w, b: site.call(F.linear, x, w) if b is None else site.call(F.linear, x, w, b),
        lambda s, w, x: site.call(torch.matmul, s, w),
        weight,
        bias,
        site.program.shape_of(weight)[1],
    )


def batch_norm(site: Site) -> Linear:
    """Batch norm in eval mode that could not be folded: one weight and bias a channel."""
    mean, var, scale, shift, _, _, eps = site.args[1:8]
    weight = site.call(torch.rsqrt, var + eps)
    weight = weight if scale is None else weight * scale
    bias = -mean * weight if shift is None else shift - mean * weight

    def channelwise(x: Proxy, w: Any) -> Proxy:
        return site.call(kernels.scale_channels, x, w)

    per_channel = site.call(kernels.as_channels, bias, site.args[0])
    return Linear(
        lambda x, w, b: _plus(channelwise(x, w), b),
        lambda s, w, x: channelwise(s, w), weight, per_channel, 1,
    )  # fmt: skip


def avg_pool(site: Site) -> Linear:
    """Average pooling."""
    options = site.args[1:]
    return Linear(
        lambda x, w, b: site.call(kernels.avg_pool, x, *options),
        lambda s, w, x: site.call(kernels.avg_pool_adjoint, s, x, *options),
    )


def adaptive_avg_pool(site: Site) -> Linear:
    """Adaptive average pooling."""
    size = site.args[1]
    return Linear(
        lambda x, w, b: site.call(kernels.adaptive_avg_pool, x, size),
        lambda s, w, x: site.call(kernels.adaptive_avg_pool_adjoint, s, x, size),
    )


def total(site: Site) -> Linear:
    """Sum over axes."""
    dim, keepdim = site.args[1:3]
    return Linear(
        lambda x, w, b: site.call(kernels.total, x, dim, keepdim),
        lambda s, w, x: site.call(kernels.spread, s, x, dim, keepdim),
    )


def mean(site: Site) -> Linear:
    """Mean over axes."""
    dim, keepdim = site.args[1:3]

    def pull(s: Proxy, w: Any, x: Proxy) -> Any:
        whole: Any = site.call(kernels.spread, s, x, dim, keepdim)
        return whole / site.call(kernels.count, x, dim)

    return Linear(lambda x, w, b: site.call(kernels.average, x, dim, keepdim), pull)


def matmul(site: Site) -> Linear:
    """Matrix product of the signal with a constant on either side."""
    left = site.args[0] is site.inputs[0]
    pull = kernels.matmul_left if left else kernels.matmul_right

    def placed(x: Any, w: Any) -> tuple[Any, Any]:
        return (x, w) if left else (w, x)

    return Linear(
        lambda x, w, b: site.call(torch.matmul, *placed(x, w)),
        lambda s, w, x: site.call(pull, s, *placed(x, w)),
        site.args[1] if left else site.args[0],
    )


def einsum(site: Site) -> Linear:
    """Sum of products of the signal with a constant, or sum of parts of the signal alone."""
    equation, *operands = site.args
    at = next(i for i, operand in enumerate(operands) if operand is site.inputs[0])
    others = [operand for i, operand in enumerate(operands) if i != at]

    def placed(x: Any, w: Any) -> list[Any]:
        if not others:
            return [x]
        return [x, w] if at == 0 else [w, x]

    return Linear(
        lambda x, w, b: site.call(torch.einsum, equation, *placed(x, w)),
        lambda s, w, x: site.call(kernels.einsum_adjoint, at, s, equation, *placed(x, w)),
        others[0] if others else None,
    )


def pulled(site: Site) -> Linear:
    """Operator without parameters whose transpose torch knows."""
    options = site.args[1:]
    name = fx.node._get_qualified_name(site.target)
    return Linear(
        lambda x, w, b: site.call(site.target, x, *options),
        lambda s, w, x: site.call(kernels.pullback, name, [0], s, x, *options),
    )


def suppress(site: Site) -> Linear:
    """Projection off directions, its own transpose; what the directions are held at is the bias."""
    directions, shift, axis = site.args[1:4]
    return Linear(
        lambda x, w, b: _plus(site.call(kernels.suppressed, x, w, None, axis), b),
        lambda s, w, x: site.call(kernels.suppressed, s, w, None, axis),
        directions,
        None if shift is None else site.call(kernels.over_channels, shift, site.args[0], axis),
    )


def layer_norm(site: Site) -> Linear:
    """Layer norm with its spread held constant: centre, then one weight an element."""
    shape, scale, shift, eps = site.args[1:5]
    weight: Any = site.call(kernels.layer_scale, site.args[0], shape, eps)
    return _centred(site, kernels.layer_centred, shape, weight, scale, shift)


def rms_norm(site: Site) -> Linear:
    """Root mean square norm with its size held constant: one weight an element."""
    shape, scale, eps = site.args[1:4]
    weight: Any = site.call(kernels.mean_square_scale, site.args[0], shape, eps)
    weight = weight if scale is None else weight * scale
    return Linear(
        lambda x, w, b: _plus(_product(x, w), b), lambda s, w, x: _product(s, w), weight, None, 1
    )


def _product(x: Any, w: Any) -> Any:
    return x * w


def _plus(z: Any, b: Any) -> Any:
    return z if b is None else z + b


def group_norm(site: Site) -> Linear:
    """Group norm with its spread held constant: centre, then one weight a channel."""
    groups, scale, shift, eps = site.args[1:5]
    return _by_channel(site, groups, scale, shift, eps)


def instance_norm(site: Site) -> Linear:
    """Instance norm with its spread held constant: each channel is a group."""
    scale, shift, eps = site.args[1:4]
    return _by_channel(site, 0, scale, shift, eps)


def _by_channel(site: Site, groups: Any, scale: Any, shift: Any, eps: float) -> Linear:
    x = site.args[0]
    weight: Any = site.call(kernels.group_scale, x, groups, eps)
    scale, shift = (
        None if p is None else site.call(kernels.as_channels, p, x) for p in (scale, shift)
    )
    return _centred(site, kernels.group_centred, groups, weight, scale, shift)


def _centred(
    site: Site, centre: Any, axes: Any, weight: Any, scale: Any, shift: Proxy | None
) -> Linear:
    """Centring is its own transpose: ``pull(s) = centre(s w)``."""
    return Linear(
        lambda x, w, b: _plus(_product(site.call(centre, x, axes), w), b),
        lambda s, w, x: site.call(centre, _product(s, w), axes),
        weight if scale is None else weight * scale,
        shift,
    )
