"""Masks and windows of attention. Masks are constants to relevance; windows are index maps."""

import math
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

#: torchvision's bound of the logarithmic scale of cosine attention
LOG_100: Final = math.log(100.0)


def attention_mask(q: Tensor, mask: Tensor | None, padding: Tensor | None, heads: int) -> Tensor:
    """Join a mask (length, source) or (batch·heads, length, source) with one of keys to leave out.

    True, or -inf, leaves a key out. Result: what is added to scores (batch, heads, length, source).
    """
    whole = torch.zeros((), dtype=q.dtype, device=q.device)
    if mask is not None:
        added = _added(mask, q)
        whole = added if added.dim() == 2 else added.unflatten(0, (-1, heads))
    if padding is not None:
        whole = whole + _added(padding, q)[:, None, None]
    return whole


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=mask.device).masked_fill(
        mask, -math.inf
    )


def causal_mask(scores: Tensor) -> Tensor:
    """Where a query may not look: at keys after it, (length, source)."""
    return torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax of scaled scores, as a model that returns its attention computes it."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    return torch.softmax(scores if mask is None else scores + mask, -1)


def added_mask(mask: Tensor, scores: Tensor) -> Tensor:
    """Return a mask as what is added to scores: -inf where a truth value is False."""
    return _added(~mask if mask.dtype == torch.bool else mask, scores)


def zero_position(x: Tensor) -> Tensor:
    """One position of zeros for keys or values (length, batch, features)."""
    return torch.zeros_like(x[:1])


def seen(mask: Tensor) -> Tensor:
    """Widen a mask by one position that everyone sees."""
    return F.pad(mask, (0, 1))


def without_middle_third(b: Tensor) -> Tensor:
    """Bias of query, key and value with the key's set to zero."""
    q, _, v = b.chunk(3)
    return torch.cat([q, torch.zeros_like(q), v])


def pad_even(x: Tensor) -> Tensor:
    """Pad (..., y, x, channel) with zeros to even sizes."""
    h, w = x.shape[-3:-1]
    return F.pad(x, (0, 0, 0, w % 2, 0, h % 2))


def beyond(r: Tensor, x: Tensor) -> Tensor:
    """Relevance (..., y, x, channel) on what `pad_even` added to `x`."""
    h, w = x.shape[-3:-1]
    inside = F.pad(torch.ones_like(x), (0, 0, 0, w % 2, 0, h % 2))
    return r * (1 - inside)


def _plan(x: Tensor, window: Sequence[int], shift: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return padded sizes, and the shift: 0 along axes that one window covers."""
    padded = [-(-n // w) * w for n, w in zip(x.shape[1:-1], window, strict=True)]
    moved = [0 if w >= n else s for n, w, s in zip(padded, window, shift, strict=True)]
    return padded, moved


def _space(n: int) -> tuple[int, ...]:
    return tuple(range(1, n + 1))


def to_windows(x: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """Pad, roll and cut (batch, space..., channel) into (batch·windows, position, channel)."""
    sizes, moved = _plan(x, window, shift)
    n, channels = len(sizes), x.shape[-1]
    missing = [size - old for size, old in zip(sizes, x.shape[1:-1], strict=True)]
    x = F.pad(x, [0, 0, *(width for m in reversed(missing) for width in (0, m))])
    x = torch.roll(x, [-s for s in moved], _space(n)) if any(moved) else x
    cut = [k for size, w in zip(sizes, window, strict=True) for k in (size // w, w)]
    x = x.reshape(len(x), *cut, channels)
    order = [0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1]
    return x.permute(order).reshape(-1, math.prod(window), channels)


def from_windows(y: Tensor, x: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """Undo `to_windows` of `x`: join, roll back and crop to (batch, space..., channel)."""
    sizes, moved = _plan(x, window, shift)
    n, channels = len(sizes), y.shape[-1]
    counts = [size // w for size, w in zip(sizes, window, strict=True)]
    y = y.reshape(len(x), *counts, *window, channels)
    order = [0, *(axis for i in range(n) for axis in (1 + i, 1 + n + i)), 2 * n + 1]
    y = y.permute(order).reshape(len(x), *sizes, channels)
    y = torch.roll(y, moved, _space(n)) if any(moved) else y
    return y[(slice(None), *(slice(0, size) for size in x.shape[1:-1]))]


def on_window_padding(r: Tensor, x: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """Relevance (batch·windows, position, channel) that sits on padded zeros."""
    inside = to_windows(torch.ones_like(x[..., :1]), window, shift)
    return r * (1 - inside)


def window_mask(x: Tensor, bias: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """Position bias, and -100 between positions that only the roll made neighbours.

    Shape (1 or batch·windows, heads, position, position).
    """
    sizes, moved = _plan(x, window, shift)
    if not any(moved):
        return bias
    region = torch.zeros((), dtype=torch.long, device=x.device)
    for n, w, s in zip(sizes, window, moved, strict=True):
        region = region[..., None] * 3 + _region(n, w, s, x.device)
    parts = to_windows(region[None, ..., None], window, [0] * len(sizes))[..., 0]
    apart = parts[:, None, :, None] != parts[:, None, None, :]
    return bias + torch.where(apart, -100.0, 0.0).to(bias.dtype).repeat(len(x), 1, 1, 1)


def _region(n: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Give each stretch of a rolled axis whose ends were no neighbours a number: (n,)."""
    at = torch.arange(n, device=device)
    return (at >= n - window).long() + ((at >= n - shift).long() if shift else 0)
