"""Adjoints of elementwise functions, and of any function by its name."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor


def relu_adjoint(r: Tensor, z: Tensor) -> Tensor:
    """Gradient of ReLU: `r` where the output is positive."""
    return torch.where(z > 0, r, 0.0)


@cache
def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    if module == "torch.Tensor":
        return getattr(Tensor, function)
    return getattr(import_module(module), function)


def pullback(name: str, wrt: Sequence[int], r: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Vector-Jacobian product of the function called `name`, in the arguments at `wrt`.

    Returns a tensor, or a tuple where `wrt` names several.
    """
    apply = _function(name)

    def of(*chosen: Tensor) -> Tensor:
        whole = list(args)
        for i, value in zip(wrt, chosen, strict=True):
            whole[i] = value
        return apply(*whole, **kwargs)

    pulled = torch.func.vjp(of, *(args[i] for i in wrt))[1](r)
    return pulled if len(wrt) > 1 else pulled[0]
