"""Forms as values of a program."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.site import Site
from fxrelay.terms import W_NEGATIVE, W_POSITIVE, X_NEGATIVE, X_POSITIVE, Basis, Bound, Form


@dataclass
class Evaluate:
    """Forms as program values; basis elements that are asked for twice merge later."""

    site: Site
    value: Any
    basis: Callable[[Basis], Any]

    def __call__(self, form: Form) -> Any:
        """Return the linear combination; None for the empty one."""
        if form in (X_POSITIVE, W_POSITIVE):
            return self.site.call(torch.clamp, self.value, min=0)
        if form in (X_NEGATIVE, W_NEGATIVE):
            return self.site.call(torch.clamp, self.value, max=0)
        return combined(self.site, [(c, self.basis(key)) for key, c in form.coefficients])


def of_input(site: Site, x: Proxy) -> Evaluate:
    """Return forms of an input, for one sample where they are constant."""

    def basis(key: Basis) -> Any:
        if isinstance(key, Bound):
            return site.call(kernels.bound_of, bound(site, key), x)
        return {
            "x": lambda: x,
            "|x|": lambda: site.call(torch.abs, x),
            "1": lambda: site.call(kernels.ones_of, x),
        }[key]()

    return Evaluate(site, x, basis)


def of_operand(site: Site, x: Proxy) -> Evaluate:
    """Return forms of an operand of a sum: of its whole shape even where they are constant."""
    known = of_input(site, x).basis
    return Evaluate(
        site, x, lambda key: site.call(torch.ones_like, x) if key == "1" else known(key)
    )


def of_weight(site: Site, w: Proxy | None) -> Evaluate:
    """Return forms of a weight or a bias."""

    def basis(key: Basis) -> Any:
        return {
            "w": lambda: w,
            "|w|": lambda: site.call(torch.abs, w),
            "w2": lambda: site.call(torch.square, w),
            "1": lambda: site.call(torch.ones_like, w),
        }[str(key)]()

    return Evaluate(site, w, basis)


def bound(site: Site, key: Bound) -> Proxy:
    """Write the value of a bound."""
    return site.program.constant(key.name, key.value)


def scaled(value: Any, coefficient: float) -> Any:
    """Write ``coefficient * value``."""
    return value if coefficient == 1 else value * coefficient


def combined(site: Site, parts: Iterable[tuple[float, Any]]) -> Any:
    """Write a linear combination in one call a part; None for the empty one."""
    total = None
    for c, value in sorted(parts, key=lambda part: part[0] != 1):
        if total is None:
            total = scaled(value, c)
        elif c == 1:
            total = total + value
        else:
            total = site.call(torch.add, total, value, alpha=c)
    return total


def summed(parts: Iterable[Any]) -> Any:
    """Write a sum; None for the empty one."""
    total = None
    for part in parts:
        total = part if total is None else total + part
    return total
