"""Largest and smallest values, lengths and spreads: reductions that are no linear operators."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def largest(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Largest value of all, or over an axis; its place takes all relevance."""
    return x.max() if dim is None else x.max(dim, keepdim)[0]


def smallest(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Smallest value of all, or over an axis; its place takes all relevance."""
    return x.min() if dim is None else x.min(dim, keepdim)[0]


def won(r: Tensor, x: Tensor, a: Any, b: Any, z: Tensor) -> Tensor:
    """Relevance that `x`, one of a and b, gets where it is `z`, the larger or smaller of them."""
    return torch.where(x == z, torch.where(a == b, r / 2, r), 0.0)


def top_values(x: Tensor, k: int, dim: int = -1, largest: bool = True) -> Tensor:
    """Return the `k` largest or smallest values over an axis, in order."""
    return torch.topk(x, k, dim, largest)[0]


def top_places(x: Tensor, k: int, dim: int = -1, largest: bool = True) -> Tensor:
    """Where `top_values` finds them."""
    return torch.topk(x, k, dim, largest)[1]


def places(pooled: tuple[Tensor, Tensor]) -> Tensor:
    """Return the flat index of each winner of a max pooling call."""
    return pooled[1]


def vector_norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Length of vectors along one or more axes."""
    axes = None if dim in (None, [], ()) else dim
    return torch.linalg.vector_norm(x, p, axes, keepdim)


def variance(x: Tensor, dim: Any = None, lost: int = 1, keepdim: bool = False) -> Tensor:
    """Variance over axes; `lost` degrees of freedom leave the divisor."""
    return torch.var(x, dim, correction=lost, keepdim=keepdim)


def deviation(x: Tensor, dim: Any = None, lost: int = 1, keepdim: bool = False) -> Tensor:
    """Return the standard deviation over axes; `lost` degrees of freedom leave the divisor."""
    return torch.std(x, dim, correction=lost, keepdim=keepdim)


def discrete(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to a type without gradient; what is computed from it carries no relevance."""
    return x.to(dtype)


def max_unpool(
    x: Tensor, places: Tensor, kernel: Sequence[int], stride: Sequence[int],
    padding: Sequence[int], size: list[int] | None = None,
) -> Tensor:  # fmt: skip
    """Put values back where max pooling found them, zeros elsewhere."""
    unpool = {
        1: torch.nn.functional.max_unpool1d,
        2: torch.nn.functional.max_unpool2d,
        3: torch.nn.functional.max_unpool3d,
    }[len(kernel)]
    return unpool(x, places, list(kernel), list(stride), list(padding), size)


def steps(x: Tensor, axis: int, n: int) -> tuple[Tensor, ...]:
    """Cut into the `n` steps that a recurrent layer was unrolled for."""
    if x.shape[axis] != n:
        raise ValueError(
            f"recurrent layer: needs {n} steps, for which it was unrolled; got {x.shape[axis]}. "
            "Trace with an example of this length."
        )
    return x.unbind(axis)
