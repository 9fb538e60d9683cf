"""Linear operators and their transposes: convolution, reductions, one weight a channel."""

from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def conv_adjoint(s: Tensor, w: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Transpose of ``torch.convolution(x, w, None, *options)`` in x, applied to `s`."""
    return aten.convolution_backward(s, x, w, None, *options, [True, False, False])[0]


def one_channel(w: Tensor, value: Any, transposed: bool, groups: int) -> Tensor:
    """Weight of one input channel of ones that does what `value` in each channel does with `w`."""
    varied = isinstance(value, Tensor) and value.dim()
    by_input = scale_inputs(w, value.to(w), groups, transposed) if varied else w * value
    if not transposed:
        return by_input.sum(1, keepdim=True)
    per_group = by_input.unflatten(0, (groups, -1)).sum(1)
    return per_group.flatten(0, 1).unsqueeze(0)


def one_channel_of(x: Tensor) -> Tensor:
    """One channel of ones in the shape of one sample."""
    return x.new_ones((1, 1, *x.shape[2:]))


def box(x: Tensor, shape: tuple[int, ...], *options: Any) -> Tensor:
    """Convolve with a weight of ones: (batch, 1, ...), or all channels where there are groups."""
    *moves, groups = options
    ones = x.new_ones((groups, 1, *shape[2:]))
    per_group = x.unflatten(1, (groups, -1)).sum(2)
    z = torch.convolution(per_group, ones, None, *moves, groups)  # type: ignore[call-arg]
    return z if groups == 1 else z.repeat_interleave(shape[0] // groups, 1)


def box_adjoint(s: Tensor, x: Tensor, shape: tuple[int, ...], *options: Any) -> Tensor:
    """Transpose of the convolution with ones, applied to `s`: equal in all channels of a group."""
    *moves, groups = options
    ones = s.new_ones((groups, 1, *shape[2:]))
    per_group = s.unflatten(1, (groups, -1)).sum(2)
    like = x.new_empty(()).expand((len(s), groups, *x.shape[2:]))
    pulled = conv_adjoint(per_group, ones, like, *moves, groups)
    return pulled.repeat_interleave(x.shape[1] // groups, 1)


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


def _by_input(w: Tensor, c: Tensor, groups: int, transposed: bool) -> Tensor:
    """Shape one number an input channel so that it broadcasts over the weight."""
    axes = [1] * (w.dim() - 2)
    if transposed:
        return c.reshape(-1, 1, *axes)
    per_group = c.reshape(groups, 1, -1, *axes)
    return per_group.expand(-1, w.shape[0] // groups, *per_group.shape[2:]).flatten(0, 1)


def scale_inputs(w: Tensor, scale: Tensor, groups: int = 1, transposed: bool = False) -> Tensor:
    """Scale the inputs of a linear operator by one number a channel."""
    return w * _by_input(w, scale, groups, transposed)


def shift_of_inputs(w: Tensor, shift: Tensor, groups: int = 1) -> Tensor:
    """Return what one number added to each input channel adds to each output, without padding."""
    return (w * _by_input(w, shift, groups, False)).flatten(1).sum(1)


def bias_map(shift: Tensor, w: Tensor, b: Tensor | None, x: Tensor, *options: Any) -> Tensor:
    """Return the convolution of constant channels in the shape of `x`: (1, channel, space...)."""
    whole = shift.reshape(1, -1, *[1] * (x.dim() - 2)).expand(1, -1, *x.shape[2:])
    return torch.convolution(whole, w, b, *options)


def threshold_affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x`` where ``scale x + shift > 0``, else the input ``-shift / scale`` of 0, by channel."""
    s, t = as_channels(scale, x), as_channels(shift, x)
    return torch.where(s * x + t > 0, x, -t / s)


def threshold_adjoint(r: Tensor, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Relevance where the threshold is open."""
    return torch.where(as_channels(scale, x) * x + as_channels(shift, x) > 0, r, 0.0)
