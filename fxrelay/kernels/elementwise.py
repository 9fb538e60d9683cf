"""Adjoints of elementwise functions."""

from typing import Any

import torch
from torch import Tensor


def relu_adjoint(r: Tensor, z: Tensor) -> Tensor:
    """Gradient of ReLU: `r` where the output is positive."""
    return torch.where(z > 0, r, 0.0)


def pullback(name: str, r: Tensor, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Vector-Jacobian product at `x` of the torch function of one tensor that is called `name`."""
    namespace, _, function = name.rpartition(".")
    apply = getattr(torch.nn.functional if namespace.endswith("functional") else torch, function)
    return torch.func.vjp(lambda t: apply(t, *args, **kwargs), x)[1](r)[0]
