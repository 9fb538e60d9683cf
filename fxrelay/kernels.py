"""What a relevance program calls beside torch: small pure functions, readable in its printed code.

All are compositions of differentiable torch operators, so a program can be compiled, exported, run
under ``vmap`` and differentiated. Notation: x input, w weight, z output, d denominator,
r relevance at the output, s = r / stabilize(d).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def stabilize(d: Tensor, epsilon: float, clip: bool = False, norm_scale: bool = False) -> Tensor:
    """Move `d` away from zero; zero counts as positive.

    ``d + epsilon * sign(d)``, with `clip` ``sign(d) * max(|d|, epsilon)``; with `norm_scale`
    epsilon is first multiplied by the root mean square of `d` per sample. With epsilon 0 only a
    denominator of exactly 0 moves, to 1: there all contributions cancel.
    """
    if not epsilon:
        return torch.where(d == 0, 1.0, d)
    scale: Any = epsilon
    if norm_scale:
        axes = tuple(range(1, d.dim()))
        scale = epsilon * (d.square().mean(axes, keepdim=True).sqrt() if axes else d.abs())
    if clip:
        return torch.where(d >= 0, d.clamp(min=scale), d.clamp(max=-scale))
    return torch.where(d >= 0, d + scale, d - scale)


def where_positive(r: Tensor, z: Tensor) -> Tensor:
    """Keep relevance where the output is positive or zero."""
    return torch.where(z >= 0, r, 0.0)


def where_negative(r: Tensor, z: Tensor) -> Tensor:
    """Keep relevance where the output is negative."""
    return torch.where(z < 0, r, 0.0)


def per_sample(r: Tensor) -> Tensor:
    """Sum over all but the first axis: shape (batch,)."""
    return r.flatten(1).sum(1) if r.dim() > 1 else r


def sum_to(r: Tensor, x: Tensor) -> Tensor:
    """Sum over the axes along which `x` was broadcast to the shape of `r`."""
    return r if r.shape == x.shape else r.sum_to_size(x.shape)


def absorbed(s: Tensor, d: Tensor, st: Tensor) -> Tensor:
    """Return what the stabilizer keeps where there was something to divide among, (batch,)."""
    return per_sample(torch.where(d != 0, s * (st - d), 0.0))


def undistributed(s: Tensor, d: Tensor, st: Tensor) -> Tensor:
    """Return relevance at outputs without a contribution to divide it among, (batch,)."""
    return per_sample(torch.where(d == 0, s * st, 0.0))


def ones_of(x: Tensor) -> Tensor:
    """Ones in the shape of one sample: their outputs are the same for the whole batch."""
    return torch.ones_like(x[:1])


def bound_of(value: Tensor, x: Tensor) -> Tensor:
    """Broadcast a bound to one sample of `x`; its axes start at the channel."""
    missing = x.dim() - 1 - value.dim()
    value = value.to(x).reshape(*value.shape, *[1] * missing)
    return value.expand(x.shape[1:]).unsqueeze(0)


def conv_adjoint(s: Tensor, w: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Transpose of ``torch.convolution(x, w, None, *options)`` in x, applied to `s`."""
    return aten.convolution_backward(s, x, w, None, *options, [True, False, False])[0]


def relu_adjoint(r: Tensor, z: Tensor) -> Tensor:
    """Gradient of ReLU: `r` where the output is positive."""
    return torch.where(z > 0, r, 0.0)


def pullback(name: str, r: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Vector-Jacobian product at `x` of the torch function of one tensor that is called `name`."""
    namespace, _, function = name.rpartition(".")
    apply = getattr(torch.nn.functional if namespace.endswith("functional") else torch, function)
    return torch.func.vjp(lambda t: apply(t, *args, **kwargs), x)[1](r)[0]


def _planes(t: Tensor) -> Tensor:
    return t.unsqueeze(-2)


def max_pool(x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    """Max pooling over 1 to 3 axes: output and the flat index of each winner."""
    n = len(options[0])
    if n == 1:
        out, index = aten.max_pool2d_with_indices(_planes(x), *_widened(options))
        return out.squeeze(-2), index.squeeze(-2)
    return (aten.max_pool2d_with_indices if n == 2 else aten.max_pool3d_with_indices)(x, *options)


def max_pool_adjoint(r: Tensor, x: Tensor, index: Tensor, *options: Any) -> Tensor:
    """Winner takes all: each output's relevance to the input that won."""
    n = len(options[0])
    if n == 1:
        return aten.max_pool2d_with_indices_backward(
            _planes(r), _planes(x), *_widened(options), _planes(index)
        ).squeeze(-2)
    back = (
        aten.max_pool2d_with_indices_backward if n == 2 else aten.max_pool3d_with_indices_backward
    )
    return back(r, x, *options, index)


def _widened(options: Sequence[Any]) -> tuple[Any, ...]:
    kernel, stride, padding, dilation, ceil_mode = options
    return [1, *kernel], [1, *stride], [0, *padding], [1, *dilation], ceil_mode


def _whole(x: Tensor, size: Sequence[int | None]) -> list[int]:
    return [x.shape[i - len(size)] if n is None else n for i, n in enumerate(size)]


def adaptive_max_pool(x: Tensor, size: Sequence[int | None]) -> tuple[Tensor, Tensor]:
    """Adaptive max pooling over 1 to 3 axes: output and the flat index of each winner.

    None keeps an axis.
    """
    whole = _whole(x, size)
    if len(whole) == 1:
        out, index = aten.adaptive_max_pool2d(_planes(x), [1, *whole])
        return out.squeeze(-2), index.squeeze(-2)
    return (aten.adaptive_max_pool2d if len(whole) == 2 else aten.adaptive_max_pool3d)(x, whole)


def adaptive_max_pool_adjoint(
    r: Tensor, x: Tensor, index: Tensor, size: Sequence[int | None]
) -> Tensor:
    """Winner takes all: each output's relevance to the input that won."""
    if len(size) == 1:
        return aten.adaptive_max_pool2d_backward(_planes(r), _planes(x), _planes(index)).squeeze(-2)
    back = (
        aten.adaptive_max_pool2d_backward if len(size) == 2 else aten.adaptive_max_pool3d_backward
    )
    return back(r, x, index)


def avg_pool(x: Tensor, *options: Any) -> Tensor:
    """Average pooling over 1 to 3 axes."""
    n = len(options[0])
    if n == 1:
        return aten.avg_pool2d(_planes(x), *_widened_average(options)).squeeze(-2)
    return (aten.avg_pool2d if n == 2 else aten.avg_pool3d)(x, *options)


def avg_pool_adjoint(r: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Transpose of average pooling, applied to `r`."""
    n = len(options[0])
    if n == 1:
        return aten.avg_pool2d_backward(_planes(r), _planes(x), *_widened_average(options)).squeeze(
            -2
        )
    return (aten.avg_pool2d_backward if n == 2 else aten.avg_pool3d_backward)(r, x, *options)


def _widened_average(options: Sequence[Any]) -> tuple[Any, ...]:
    kernel, stride, padding, *rest = options
    return [1, *kernel], [1, *stride], [0, *padding], *rest


def adaptive_avg_pool(x: Tensor, size: Sequence[int | None]) -> Tensor:
    """Adaptive average pooling over 1 to 3 axes; None keeps an axis."""
    whole = _whole(x, size)
    if len(whole) == 1:
        return aten.adaptive_avg_pool2d(_planes(x), [1, *whole]).squeeze(-2)
    return (aten.adaptive_avg_pool2d if len(whole) == 2 else aten.adaptive_avg_pool3d)(x, whole)


def adaptive_avg_pool_adjoint(r: Tensor, x: Tensor, size: Sequence[int | None]) -> Tensor:
    """Transpose of adaptive average pooling, applied to `r`."""
    if len(size) == 1:
        return aten._adaptive_avg_pool2d_backward(_planes(r), _planes(x)).squeeze(-2)
    back = (
        aten._adaptive_avg_pool2d_backward if len(size) == 2 else aten._adaptive_avg_pool3d_backward
    )
    return back(r, x)


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


def getitem_adjoint(r: Tensor, x: Tensor, index: Any) -> Tensor:
    """Put `r` back where ``x[index]`` took it; elements taken twice add up."""
    positions = torch.arange(x.numel(), device=x.device).reshape(x.shape)[index]
    flat = r.new_zeros(x.numel()).index_add(0, positions.reshape(-1), r.reshape(-1))
    return flat.reshape(x.shape)


def cat_adjoint(r: Tensor, parts: Sequence[Tensor], dim: int) -> tuple[Tensor, ...]:
    """Cut `r` into the parts that ``torch.cat`` joined."""
    return r.split([part.shape[dim] for part in parts], dim)


def gathered(
    indices: Sequence[int], parts: Sequence[Tensor], like: Sequence[Tensor], dim: int
) -> Tensor:
    """Join relevance of the split parts at `indices`; a part that nobody used has none."""
    joined = [torch.zeros_like(t) for t in like]
    for i, part in zip(indices, parts, strict=True):
        joined[i] = joined[i] + part
    return torch.cat(joined, dim)


def pad(x: Tensor, widths: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last axes as ``torch.nn.functional.pad`` does; negative constant widths crop."""
    if mode == "constant":
        return torch.nn.functional.pad(x, list(widths), value=value)
    for axis, index in _padded(x, widths, mode):
        x = x.index_select(axis, index)
    return x


def pad_adjoint(r: Tensor, x: Tensor, widths: Sequence[int], mode: str = "constant") -> Tensor:
    """Transpose of padding: what was copied from a pixel returns to it."""
    if mode == "constant":
        return torch.nn.functional.pad(r, [-w for w in widths])
    for axis, index in reversed(_padded(x, widths, mode)):
        size = list(r.shape)
        size[axis] = x.shape[axis]
        r = r.new_zeros(size).index_add(axis, index, r)
    return r


def on_padding(r: Tensor, widths: Sequence[int]) -> Tensor:
    """Relevance that sits on padded constants, shape (batch,)."""
    inside = torch.nn.functional.pad(torch.zeros_like(r), [-w for w in widths])
    outside = torch.nn.functional.pad(inside, list(widths), value=1.0)
    return per_sample(r * outside)


def _padded(x: Tensor, widths: Sequence[int], mode: str) -> list[tuple[int, Tensor]]:
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    return [
        (-1 - i, _source_index(x.shape[-1 - i], left, right, mode, x.device))
        for i, (left, right) in enumerate(pairs)
        if left or right
    ]


def _source_index(size: int, left: int, right: int, mode: str, device: torch.device) -> Tensor:
    index = torch.arange(-left, size + right, device=device)
    if mode == "replicate":
        return index.clamp(0, size - 1)
    if mode == "circular":
        return index % size
    return (size - 1) - ((size - 1) - index.abs()).abs()


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
