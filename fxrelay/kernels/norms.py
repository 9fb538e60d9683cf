"""Normalisation by a sample's own statistics, split into centring and a scale held constant."""

from collections.abc import Sequence

import torch
from torch import Tensor


def instance_norm(x: Tensor, w: Tensor | None, b: Tensor | None, eps: float) -> Tensor:
    """Normalise each channel of each sample."""
    return torch.nn.functional.instance_norm(x, None, None, w, b, True, 0.0, eps)


def _grouped(x: Tensor, groups: int) -> Tensor:
    return x.reshape(len(x), groups, -1)


def layer_centred(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Subtract the mean over the last axes, those of `shape`."""
    return x - x.mean(tuple(range(-len(shape), 0)), keepdim=True)


def layer_scale(x: Tensor, shape: Sequence[int], eps: float) -> Tensor:
    """Inverse standard deviation over the last axes, those of `shape`."""
    axes = tuple(range(-len(shape), 0))
    return torch.rsqrt(x.var(axes, correction=0, keepdim=True) + eps)


def mean_square_scale(x: Tensor, shape: Sequence[int], eps: float | None) -> Tensor:
    """Inverse root mean square over the last axes, those of `shape`."""
    axes = tuple(range(-len(shape), 0))
    small = torch.finfo(x.dtype).eps if eps is None else eps
    return torch.rsqrt(x.square().mean(axes, keepdim=True) + small)


def group_centred(x: Tensor, groups: int) -> Tensor:
    """Subtract the mean of each group of channels; 0 groups: of each channel."""
    parts = _grouped(x, groups or x.shape[1])
    return (parts - parts.mean(2, keepdim=True)).reshape(x.shape)


def group_scale(x: Tensor, groups: int, eps: float) -> Tensor:
    """Inverse standard deviation of each group of channels, one number a channel."""
    parts = _grouped(x, groups or x.shape[1])
    scale = torch.rsqrt(parts.var(2, correction=0) + eps)
    whole = scale.repeat_interleave(x.shape[1] // scale.shape[1], 1)
    return whole.reshape(*whole.shape, *[1] * (x.dim() - 2))
