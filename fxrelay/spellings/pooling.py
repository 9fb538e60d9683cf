"""Spellings of pooling."""

import operator
from collections.abc import Mapping

from fxrelay import kernels
from fxrelay.spellings.calls import Spelling, call, many


def _stride(stride, kernel, n):
    return many(stride, n) if stride is not None and stride != [] else kernel


def _max_pool(n: int, indices: bool = False) -> Spelling:
    def max_pool(
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
        return_indices=indices,
    ):  # fmt: skip
        kernel = many(kernel_size, n)
        options = kernel, _stride(stride, kernel, n), many(padding, n), many(dilation, n), ceil_mode
        return _winners(call(kernels.max_pool, input, *options), return_indices)

    return max_pool


def _winners(pooled, return_indices):
    """Return the largest values; with the places where they were found where the model asks."""
    values = call(operator.getitem, pooled, 0)
    return (values, call(kernels.places, pooled)) if return_indices else values


def _avg_pool(n: int) -> Spelling:
    def avg_pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    ):  # fmt: skip
        kernel = many(kernel_size, n)
        tail = (divisor_override,) if n > 1 else (None,)
        options = _stride(stride, kernel, n), many(padding, n), ceil_mode, count_include_pad, *tail
        return call(kernels.avg_pool, input, kernel, *options)

    return avg_pool


def _adaptive_avg_pool(n: int) -> Spelling:
    return lambda input, output_size: call(kernels.adaptive_avg_pool, input, many(output_size, n))


def _adaptive_max_pool(n: int, indices: bool = False) -> Spelling:
    def adaptive_max_pool(input, output_size, return_indices=indices):
        pooled = call(kernels.adaptive_max_pool, input, many(output_size, n))
        return _winners(pooled, return_indices)

    return adaptive_max_pool


def _max_unpool(n: int) -> Spelling:
    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        kernel = many(kernel_size, n)
        options = kernel, _stride(stride, kernel, n), many(padding, n), output_size
        return call(kernels.max_unpool, input, indices, *options)

    return max_unpool


def _ranked(n: int) -> dict[str, Spelling]:
    return {
        f"max_pool{n}d": _max_pool(n),
        f"max_pool{n}d_with_indices": _max_pool(n, True),
        f"avg_pool{n}d": _avg_pool(n),
        f"adaptive_avg_pool{n}d": _adaptive_avg_pool(n),
        f"_adaptive_avg_pool{n}d": _adaptive_avg_pool(n),
        f"adaptive_max_pool{n}d": _adaptive_max_pool(n),
        f"adaptive_max_pool{n}d_with_indices": _adaptive_max_pool(n, True),
        f"max_unpool{n}d": _max_unpool(n),
    }


BY_NAME: Mapping[str, Spelling] = {k: v for n in (1, 2, 3) for k, v in _ranked(n).items()}
