"""Adjoints of elementwise functions, and of any function by its name."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor


def relu_adjoint(r: Tensor, z: Tensor) -> Tensor:
    """Gradient of ReLU: `r` where the output is positive."""
    return torch.ops.aten.threshold_backward(r, z, 0)


@cache
def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    if module == "torch.Tensor":
        return getattr(Tensor, function)
    return getattr(import_module(module), function)


def cast_back(r: Tensor, x: Tensor) -> Tensor:
    """Cast `r` to the type of `x`, unless that has whole numbers only."""
    return r.to(x) if x.is_floating_point() else r


def pullback(name: str, wrt: Sequence[int], r: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Vector-Jacobian product of the function called `name`, in the arguments at `wrt`.

    Returns a tensor, or a tuple where `wrt` names several. Integers, such as token ids on their way
    to an embedding, are moved as if they were of the type of `r`.
    """
    apply = _function(name)

    def of(*chosen: Tensor) -> Tensor:
        whole = list(args)
        for i, value in zip(wrt, chosen, strict=True):
            whole[i] = value
        return apply(*whole, **kwargs)

    primals = (args[i] if args[i].is_floating_point() else args[i].to(r.dtype) for i in wrt)
    pulled = torch.func.vjp(of, *primals)[1](r)
    return pulled if len(wrt) > 1 else pulled[0]
