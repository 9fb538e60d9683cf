"""Linear operators and their transposes: convolution, reductions, one weight a channel."""

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def conv_adjoint(s: Tensor, w: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Transpose of ``torch.convolution(x, w, None, *options)`` in x, applied to `s`."""
    return aten.convolution_backward(s, x, w, None, *options, [True, False, False])[0]


def spread(r: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Transpose of ``x.sum(dim, keepdim)``, applied to `r`."""
    axes = sorted(_axes(dim, x))
    if not keepdim:
        for axis in axes:
            r = r.unsqueeze(axis)
    return r.expand(x.shape)


def count(x: Tensor, dim: Any = None) -> int:
    """Return how many elements ``x.mean(dim)`` averages over."""
    n = 1
    for axis in _axes(dim, x):
        n *= x.shape[axis]
    return n


def _axes(dim: Any, x: Tensor) -> list[int]:
    dims = range(x.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
    return [d % x.dim() for d in dims]


def total(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Sum over axes; None means all."""
    return x.sum(_axes(dim, x), keepdim)


def average(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Mean over axes; None means all."""
    return x.mean(_axes(dim, x), keepdim)


def as_channels(w: Tensor, x: Tensor) -> Tensor:
    """One number a channel, shaped to broadcast over `x`."""
    return w.reshape(-1, *[1] * (x.dim() - 2))


def scale_channels(x: Tensor, w: Tensor) -> Tensor:
    """Each channel of `x` times its own number."""
    return x * as_channels(w, x)


def scale_transposed(w: Tensor, scale: Tensor, groups: int) -> Tensor:
    """Scale the outputs of a transposed convolution; its weight is (in, out / groups, ...)."""
    per_group = scale.reshape(groups, 1, -1, *[1] * (w.dim() - 2))
    return (w.unflatten(0, (groups, -1)) * per_group).flatten(0, 1)


def interpolate(
    x: Tensor, size: Any = None, scale: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute: bool | None = None, antialias: bool = False,
) -> Tensor:  # fmt: skip
    """Resize the axes of space: a linear operator with fixed weights."""
    return torch.nn.functional.interpolate(
        x, size, scale, mode, align_corners, recompute, antialias
    )
