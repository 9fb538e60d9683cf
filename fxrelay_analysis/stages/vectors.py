"""What the stages share on arrays of vectors: unit rows, and columns of one sign."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def unit(rows: Array) -> Array:
    """Return the rows scaled to unit length; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def oriented(columns: Array) -> Array:
    """Return columns (n, q), each with the sign that makes its largest entry positive."""
    return columns * signs(columns)


def signs(columns: Array) -> Array:
    """Return the sign (q,) of the entry of largest magnitude of each column (n, q)."""
    top = columns[np.argmax(np.abs(columns), axis=0), np.arange(columns.shape[1])]
    return np.where(top < 0, -1.0, 1.0)
