"""Spellings of sums, products, quotients, reductions and choices."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from fxrelay import kernels
from fxrelay.spellings.calls import Spelling, call, is_signal


def _times(value, factor):
    if isinstance(value, int | float):
        return value * factor
    return value if isinstance(factor, int | float) and factor == 1 else mul(value, factor)


def add(input, other, *, alpha=1, out=None):
    """Sum of two."""
    return call(torch.add, input, _times(other, alpha))


def sub(input, other, *, alpha=1, out=None):
    """Difference of two."""
    return call(torch.sub, input, _times(other, alpha))


def rsub(input, other, *, alpha=1):
    """Difference with the operands in the other order."""
    return sub(other, input, alpha=alpha)


def mul(input, other, *, out=None):
    """Elementwise product of a signal with another or with a constant."""
    return call(torch.mul, input, other)


def div(input, other, *, rounding_mode=None, out=None):
    """Elementwise quotient; a number or constant over a signal is a reciprocal that is scaled."""
    if rounding_mode is not None:
        raise ValueError("a rounded quotient has no relevance rule")
    if is_signal(input):
        return call(torch.div, input, other)
    inverse = call(torch.reciprocal, other)
    return inverse if isinstance(input, int | float) and input == 1 else mul(inverse, input)


def negative(input):
    """Return the signal times -1."""
    return call(torch.mul, input, -1)


def _addcmul(input, tensor1, tensor2, *, value=1):
    return add(input, _times(mul(tensor1, tensor2), value))


def _addcdiv(input, tensor1, tensor2, *, value=1):
    return add(input, _times(div(tensor1, tensor2), value))


def _lerp(input, end, weight):
    return add(input, mul(sub(end, input), weight))


def _pow(input, exponent):
    if isinstance(exponent, int | float) and exponent == 2:
        return call(torch.square, input)
    return call(torch.pow, input, exponent)


def _rpow(input, base):
    return call(torch.pow, base, input)


def _reduce(target: Callable[..., Any]) -> Spelling:
    def reduce(input, dim=None, keepdim=False, *, axis=None, dtype=None):
        if dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"{target.__name__} to another dtype, {dtype}, has no relevance rule")
        chosen = dim if axis is None else axis
        return call(target, input, None if chosen == [] else chosen, keepdim)

    return reduce


def _extreme(largest: bool) -> Spelling:
    """``max``/``min``: of all, over an axis (values and places), or of two signals."""
    over = kernels.largest if largest else kernels.smallest
    places = torch.argmax if largest else torch.argmin
    of_two = torch.maximum if largest else torch.minimum

    def extreme(input, dim=None, keepdim=False, *, other=None):
        if is_signal(dim) or other is not None or (dim is not None and not isinstance(dim, int)):
            return call(of_two, input, dim if other is None else other)
        if dim is None:
            return call(over, input, None, False)
        return call(over, input, dim, keepdim), call(places, input, dim, keepdim)

    return extreme


def _extreme_values(target: Callable[..., Any]) -> Spelling:
    return lambda input, dim=(), keepdim=False: call(target, input, dim, keepdim)


def _pair(target: Callable[..., Any]) -> Spelling:
    return lambda input, other: call(target, input, other)


def _where(condition, input, other):
    return call(torch.where, condition, input, other)


def _masked_fill(input, mask, value):
    return call(torch.where, mask, value, input)


def _topk(input, k, dim=-1, largest=True, sorted=True):
    return (
        call(kernels.top_values, input, k, dim, largest),
        call(kernels.top_places, input, k, dim, largest),
    )


def _vector_norm(input, ord=2, dim=None, keepdim=False, *, dtype=None):
    return call(kernels.vector_norm, input, ord, dim, keepdim)


def _norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    return _vector_norm(input, 2 if p in (None, "fro") else p, dim, keepdim)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """Quotient by the norm."""
    length = call(torch.clamp, _vector_norm(input, p, dim, True), eps)
    return call(torch.div, input, length)


def _moment(target: Callable[..., Any]) -> Spelling:
    def moment(input, dim=None, unbiased=None, keepdim=False, *, correction=None, axis=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        lost = 1 if unbiased in (None, True) else 0
        chosen = dim if axis is None else axis
        return call(target, input, chosen, lost if correction is None else correction, keepdim)

    return moment


def _var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    variance = _moment(kernels.variance)(input, dim, unbiased, keepdim, correction=correction)
    return variance, call(torch.mean, input, dim, keepdim)


BY_NAME: Mapping[str, Spelling] = {
    "add": add, "__add__": add, "__radd__": add, "sub": sub, "subtract": sub, "rsub": rsub,
    "__rsub__": rsub, "mul": mul, "multiply": mul, "__mul__": mul, "__rmul__": mul,
    "div": div, "divide": div, "true_divide": div, "neg": negative, "negative": negative,
    "addcmul": _addcmul, "addcdiv": _addcdiv, "lerp": _lerp, "pow": _pow, "__rpow__": _rpow,
    "mean": _reduce(torch.mean), "sum": _reduce(torch.sum), "nansum": _reduce(torch.sum),
    "max": _extreme(True), "min": _extreme(False),
    "logsumexp": _extreme_values(torch.logsumexp),
    "amax": _extreme_values(torch.amax), "amin": _extreme_values(torch.amin),
    "maximum": _pair(torch.maximum), "minimum": _pair(torch.minimum),
    "fmax": _pair(torch.maximum), "fmin": _pair(torch.minimum),
    "where": _where, "masked_fill": _masked_fill, "topk": _topk,
    "linalg_vector_norm": _vector_norm, "vector_norm": _vector_norm, "norm": _norm,
    "normalize": normalize, "var": _moment(kernels.variance), "std": _moment(kernels.deviation),
    "var_mean": _var_mean,
}  # fmt: skip
