"""Transposes of products of signals."""

import torch
from torch import Tensor


def matmul_left(r: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Transpose of ``a @ b`` in a, applied to `r`."""
    if a.dim() < 2 or b.dim() < 2:
        return torch.func.vjp(lambda t: t @ b, a)[1](r)[0]
    pulled = r @ b.mT
    return pulled if pulled.shape == a.shape else pulled.sum_to_size(a.shape)


def matmul_right(r: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Transpose of ``a @ b`` in b, applied to `r`."""
    if a.dim() < 2 or b.dim() < 2:
        return torch.func.vjp(lambda t: a @ t, b)[1](r)[0]
    pulled = a.mT @ r
    return pulled if pulled.shape == b.shape else pulled.sum_to_size(b.shape)


def einsum_adjoint(i: int, r: Tensor, equation: str, *operands: Tensor) -> Tensor:
    """Transpose of einsum in operand `i`, applied to `r`."""

    def apply(t: Tensor) -> Tensor:
        return torch.einsum(equation, *operands[:i], t, *operands[i + 1 :])

    return torch.func.vjp(apply, operands[i])[1](r)[0]


def softmax_relevance(r: Tensor, x: Tensor, s: Tensor, dim: int) -> Tensor:
    """Relevance of logits, ``x (r - s Σr)``; a logit of -inf has none."""
    return torch.where(s == 0, 0.0, x) * (r - s * r.sum(dim, keepdim=True))


def softmax_bias(r: Tensor, x: Tensor, s: Tensor, dim: int) -> Tensor:
    """Return what the bias ``s (1 - x + Σ s x)`` of softmax's expansion keeps."""
    finite = torch.where(s == 0, 0.0, x)
    return r * (1 - finite + (s * finite).sum(dim, keepdim=True))
