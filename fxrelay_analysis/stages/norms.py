"""The length of a sample and what dividing by it gives."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]


def normalized(rows: Array, norm: str, guard: float, out: Array | None = None) -> Array:
    """Return the rows (n, d) divided by their length; rows of length zero stay zero.

    They are new, or in `out`, which may be less precise.
    """
    if norm == "standardize":
        rows = _centred(rows)
    length = NORMS[norm](rows, guard)
    divisor: Array = np.where(length != 0, length, 1).astype(rows.dtype)
    return np.divide(rows, divisor[:, None], out=out, casting="same_kind")


def _total(rows: Array, guard: float) -> Array:
    total = rows.sum(axis=1)
    bound = guard * np.abs(rows).sum(axis=1) if guard else 0
    return np.copysign(np.maximum(np.abs(total), bound), total)


def _euclidean(rows: Array) -> Array:
    power = np.frexp(np.abs(rows).max(axis=1, initial=0))[1]  # squares neither over- nor underflow
    scaled = np.ldexp(rows, -power[:, None])
    length: Array = np.ldexp(np.sqrt(np.square(scaled).sum(axis=1)), power)
    return length


def _centred(rows: Array) -> Array:
    constant = (rows == rows[:, :1]).all(axis=1)  # rounding of the mean is no variation
    centred: Array = np.where(constant[:, None], 0, rows - rows.mean(axis=1, keepdims=True))
    return centred


#: norm -> length of each row of an array (n, d), given the guard of `sum`
NORMS: Final[dict[str, Callable[[Array, float], Array]]] = {
    "l1": lambda rows, _: np.abs(rows).sum(axis=1),
    "l2": lambda rows, _: _euclidean(rows),
    "max": lambda rows, _: np.abs(rows).max(axis=1, initial=0),
    "sum": _total,
    "standardize": lambda rows, _: _euclidean(rows) / np.sqrt(rows.dtype.type(rows.shape[1])),
    "none": lambda rows, _: np.ones(len(rows), rows.dtype),
}
