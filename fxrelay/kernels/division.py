"""Quotients and sinks: what every rule that divides relevance calls."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def stabilize(d: Tensor, epsilon: float, clip: bool = False, norm_scale: bool = False) -> Tensor:
    """Move `d` away from zero; zero counts as positive.

    ``d + epsilon * sign(d)``, with `clip` ``sign(d) * max(|d|, epsilon)``; with `norm_scale`
    epsilon is first multiplied by the root mean square of `d` per sample. With epsilon 0 only a
    denominator of exactly 0 moves, to 1: there all contributions cancel. In float16 epsilon is at
    least 6e-5: quotients would overflow.
    """
    if not epsilon:
        return torch.where(d == 0, 1.0, d)
    epsilon = max(epsilon, torch.finfo(d.dtype).tiny)
    scale: Any = epsilon
    if norm_scale:
        axes = tuple(range(1, d.dim()))
        scale = epsilon * (d.square().mean(axes, keepdim=True).sqrt() if axes else d.abs())
    if clip:
        return torch.where(d >= 0, d.clamp(min=scale), d.clamp(max=-scale))
    if scale is not epsilon:
        return d + torch.copysign(scale, d)
    return torch.copysign(d.new_full((), epsilon), d.detach()).add_(d)


def sign(z: Tensor) -> Tensor:
    """1 where the output is positive or zero, else -1."""
    return torch.copysign(z.new_ones(()), z)


#: a difference of sums smaller than this many roundings of theirs is 0
ROUNDINGS = 16


def difference(scales: Sequence[float], z: Tensor, *others: Tensor) -> Tensor:
    """Sum of scaled parts where the others may take the first away; 0 for what may be rounding."""
    (c, k, *more), (v, *rest) = scales, others
    d = torch.add(z, v, alpha=k) if c == 1 else torch.add(v if k == 1 else v * k, z, alpha=c)
    for scale, other in zip(more, rest, strict=True):
        d.add_(other, alpha=scale)
    left = (d.detach() / v.detach()).abs_()
    return d.mul_(left.gt_(abs(k) * ROUNDINGS * torch.finfo(d.dtype).eps))


# On CPUs a comparison in the type of its operand, then a product, is several times faster than one
# that gives bools, and than torch.where with a number.


def where_positive(r: Tensor, z: Tensor) -> Tensor:
    """Keep relevance where the output is positive or zero."""
    return r * z.detach().clone().ge_(0)


def where_negative(r: Tensor, z: Tensor) -> Tensor:
    """Keep relevance where the output is negative."""
    return r * z.detach().clone().lt_(0)


def per_sample(r: Tensor, seed: Tensor, axis: int = 0, minor: bool = False) -> Tensor:
    """Sum over all but the samples, shape (batch,).

    `axis` holds the samples of `seed`, each perhaps several times (heads, windows, frames): one
    after the other, or with `minor` all of them again and again.
    """
    first = r.movedim(axis, 0)
    if minor:
        return first.reshape(-1, len(seed), first[0].numel()).sum((0, 2))
    return first.reshape(len(seed), -1).sum(1)


def sum_to(r: Tensor, x: Tensor) -> Tensor:
    """Sum over the axes along which `x` was broadcast to the shape of `r`."""
    return r if r.shape == x.shape else r.sum_to_size(x.shape)


def absorbed(s: Tensor, d: Tensor, st: Tensor) -> Tensor:
    """Return what the stabilizer keeps where there was something to divide among."""
    return torch.where((d != 0) & (s != 0), s * (st - d), 0.0)


def part_of(s: Tensor, x: Tensor) -> Tensor:
    """Share ``s x`` of a constant; one of infinity, such as a mask's, has none where s is 0."""
    return torch.where(s == 0, 0.0, s * x)


def served(r: Tensor, st: Tensor, d: Tensor) -> Tensor:
    """Quotient ``r / st``, 0 where there is nothing to divide among."""
    return (r / st).mul_(d.detach().abs().ne_(0))


def unserved(r: Tensor, d: Tensor) -> Tensor:
    """Keep relevance where there is nothing to divide it among."""
    return r * d.detach().abs().eq_(0)


def ones_of(x: Tensor) -> Tensor:
    """Ones in the shape of one sample: their outputs are the same for the whole batch."""
    return torch.ones_like(x[:1])


def bound_of(value: Tensor, x: Tensor) -> Tensor:
    """Broadcast a bound to one sample of `x`; its axes start at the channel."""
    missing = x.dim() - 1 - value.dim()
    value = value.to(x).reshape(*value.shape, *[1] * missing)
    return value.expand(x.shape[1:]).unsqueeze(0)
