"""Index maps: indexing, joining, padding, with their adjoints."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def getitem_adjoint(r: Tensor, x: Tensor, index: Any) -> Tensor:
    """Put `r` back where ``x[index]`` took it; elements taken twice add up."""
    positions = torch.arange(x.numel(), device=x.device).reshape(x.shape)[index]
    flat = r.new_zeros(x.numel()).index_add(0, positions.reshape(-1), r.reshape(-1))
    return flat.reshape(x.shape)


def cat_adjoint(r: Tensor, parts: Sequence[Tensor], dim: int) -> tuple[Tensor, ...]:
    """Cut `r` into the parts that ``torch.cat`` joined; it takes an empty vector beside any."""
    return r.split([part.shape[dim] if part.dim() == r.dim() else 0 for part in parts], dim)


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
    """Relevance that sits on padded constants."""
    inside = torch.nn.functional.pad(torch.zeros_like(r), [-w for w in widths])
    outside = torch.nn.functional.pad(inside, list(widths), value=1.0)
    return r * outside


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


def triangle(x: Tensor, diagonal: int = 0, lower: bool = True) -> Tensor:
    """Where ``tril`` or ``triu`` keep what is there, shape of the last two axes."""
    whole = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device)
    return whole.tril(diagonal) if lower else whole.triu(diagonal)


def windows(x: Tensor, dim: int, size: int, step: int) -> Tensor:
    """Return windows of `size` along an axis, `step` apart, as a new last axis."""
    axis = dim % x.dim()
    starts = torch.arange(0, x.shape[axis] - size + 1, step, device=x.device)
    index = starts[:, None] + torch.arange(size, device=x.device)
    taken = x.index_select(axis, index.flatten())
    return taken.unflatten(axis, (len(starts), size)).movedim(axis + 1, -1)


def regathered(
    indices: Sequence[int], parts: Sequence[Tensor], like: Sequence[Tensor], dim: int
) -> Tensor:
    """Stack relevance of the unbound parts at `indices`; a part that nobody used has none."""
    whole = [torch.zeros_like(t) for t in like]
    for i, part in zip(indices, parts, strict=True):
        whole[i] = whole[i] + part
    return torch.stack(whole, dim)
