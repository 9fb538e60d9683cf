"""Linear operators as maps that can run with other inputs and weights."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch.fx import Proxy

from fxrelay import kernels
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
    return Linear(
        lambda x, w: site.call(torch.convolution, x, w, None, *options),
        lambda s, w, x: site.call(kernels.conv_adjoint, s, w, x, *options),
        weight,
        None if bias is None else site.call(torch.reshape, bias, [-1, *[1] * axes]),
        taps,
    )


def dense(site: Site) -> Linear:
    """Matrix product over the last axis."""
    weight, bias = site.args[1:3]
    return Linear(
        lambda x, w: site.call(F.linear, x, w),
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
    return Linear(channelwise, lambda s, w, x: channelwise(s, w), weight, per_channel, 1)


def avg_pool(site: Site) -> Linear:
    """Average pooling."""
    options = site.args[1:]
    return Linear(
        lambda x, w: site.call(kernels.avg_pool, x, *options),
        lambda s, w, x: site.call(kernels.avg_pool_adjoint, s, x, *options),
    )


def adaptive_avg_pool(site: Site) -> Linear:
    """Adaptive average pooling."""
    size = site.args[1]
    return Linear(
        lambda x, w: site.call(kernels.adaptive_avg_pool, x, size),
        lambda s, w, x: site.call(kernels.adaptive_avg_pool_adjoint, s, x, size),
    )


def total(site: Site) -> Linear:
    """Sum over axes."""
    dim, keepdim = site.args[1:3]
    return Linear(
        lambda x, w: site.call(kernels.total, x, dim, keepdim),
        lambda s, w, x: site.call(kernels.spread, s, x, dim, keepdim),
    )


def mean(site: Site) -> Linear:
    """Mean over axes."""
    dim, keepdim = site.args[1:3]

    def pull(s: Proxy, w: Any, x: Proxy) -> Any:
        whole: Any = site.call(kernels.spread, s, x, dim, keepdim)
        return whole / site.call(kernels.count, x, dim)

    return Linear(lambda x, w: site.call(kernels.average, x, dim, keepdim), pull)
