"""Every spelling of an operator, mapped to its canonical call.

A module, a function, a tensor method, an in-place form and an aten overload are spellings of one
operator. Each row of `SPELLINGS` is a function with the spelling's own parameters that runs on
proxies and makes the canonical call, so binding arguments is Python's own work. Canonical calls
take their arguments by position and are the only targets that `fxrelay.operators` knows.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from fxrelay.spellings import (
    arithmetic,
    attention,
    elementwise,
    linear,
    norms,
    pooling,
    recurrent,
    shapes,
)
from fxrelay.spellings.calls import Spelling

aten = torch.ops.aten


def _named(name: str) -> list[Any]:
    """List the function, method, in-place and aten forms that torch has under one name."""
    if "." in name:
        return [name]
    found: list[Any] = [name, f"{name}_"]
    for namespace in (torch, F, torch._C._nn, torch.special, torch.linalg):
        found += [getattr(namespace, n) for n in (name, f"{name}_") if hasattr(namespace, n)]
    for n in (name, f"{name}_"):
        packet = getattr(aten, n, None)
        found += [getattr(packet, o) for o in packet.overloads()] if packet is not None else []
    return found


BY_NAME: Mapping[str, Spelling] = {
    **arithmetic.BY_NAME, **attention.BY_NAME, **elementwise.BY_NAME, **linear.BY_NAME,
    **norms.BY_NAME, **pooling.BY_NAME, **recurrent.BY_NAME, **shapes.BY_NAME,
}  # fmt: skip

SPELLINGS: Mapping[Any, Spelling] = {
    **{spelling: lower for name, lower in BY_NAME.items() for spelling in _named(name)},
    **norms.BY_KEY,
    **shapes.BY_KEY,
    operator.add: arithmetic.add, operator.iadd: arithmetic.add,
    operator.sub: arithmetic.sub, operator.isub: arithmetic.sub,
    operator.mul: arithmetic.mul, operator.imul: arithmetic.mul,
    operator.truediv: arithmetic.div, operator.itruediv: arithmetic.div,
    operator.neg: arithmetic.negative, operator.matmul: linear.matmul,
    operator.pow: BY_NAME["pow"], operator.abs: BY_NAME["abs"],
}  # fmt: skip

#: spellings that are given the shape of their first argument, which needs an example
SHAPED = frozenset({key for kind in recurrent.KINDS for key in _named(kind)})


def spelling_of(target: Callable[..., Any] | str) -> Spelling | None:
    """Return the row for a call's target; functions of torchvision are known by their name."""
    known = SPELLINGS.get(target)
    if known is not None or isinstance(target, str):
        return known
    return SPELLINGS.get(f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', '')}")
