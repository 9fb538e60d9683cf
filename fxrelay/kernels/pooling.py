"""Max and average pooling over 1 to 3 axes, plain and adaptive, with their adjoints."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


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
