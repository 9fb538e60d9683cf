"""Least eigenvalues of graph Laplacians, component by component.

Each Laplacian is shift I - S with S symmetric, so its least eigenvalues are the algebraically
largest of S, which Lanczos iteration finds without solving equations.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh

from fxrelay_analysis.stages.vectors import oriented

Array = np.ndarray[Any, Any]
DENSE: Final = 600  # samples up to which the dense solver is as quick
LARGE: Final = 100_000  # samples above which the tolerance is loose
TIGHT: Final = 1e-12  # Lanczos never ends where rounding is all that is tolerated
LOOSE: Final = 1e-6


class Shifted(NamedTuple):
    """A Laplacian as shift I - matrix; `back` (n,) turns eigenvectors into the Laplacian's own.

    `ground` (n,) is, in each component, the vector whose eigenvalue is 0.
    """

    shift: float
    matrix: csr_array
    ground: Array
    back: Array


def eigenpairs(
    weights: csr_array, count: int, laplacian: str = "symmetric", tolerance: float | None = None
) -> tuple[Array, Array]:
    """Return the `count` least eigenvalues of a Laplacian, ascending, and vectors (n, count)."""
    n = weights.shape[0]
    shifted = LAPLACIANS[laplacian](weights)
    if tolerance is None:
        tolerance = LOOSE if n > LARGE else TIGHT
    if n <= max(DENSE, 3 * count):
        values, vectors = _dense(shifted.matrix, count)
    else:
        values, vectors = _by_part(shifted, count, tolerance)
    values = shifted.shift - values
    order = np.argsort(values, kind="stable")
    vectors = vectors[:, order] * shifted.back[:, None]
    vectors = oriented(vectors / np.linalg.norm(vectors, axis=0))
    return values[order], np.ascontiguousarray(vectors)  # as every stage that takes them wants


def parts(weights: csr_array) -> Array:
    """Return the connected component of each sample, int32, 0 the largest; ties by position."""
    names = connected_components(weights, directed=False)[1]
    rank = np.empty(names.max() + 1, np.int32)
    rank[np.argsort(-np.bincount(names), kind="stable")] = np.arange(len(rank))
    return rank[names]


def _symmetric(weights: csr_array) -> Shifted:
    degree = np.asarray(weights.sum(axis=1)).ravel()
    alone = degree == 0
    root = np.sqrt(np.where(alone, 1, degree))
    scale = diags_array(1 / root)
    similar = csr_array(scale @ weights @ scale)
    if alone.any():
        similar = csr_array(similar + diags_array(alone.astype(float)))
    return Shifted(1.0, similar, root, np.ones(len(root)))


def _random_walk(weights: csr_array) -> Shifted:
    same = _symmetric(weights)
    return same._replace(back=1 / same.ground)


def _unnormalised(weights: csr_array) -> Shifted:
    degree = np.asarray(weights.sum(axis=1)).ravel()
    shift = 2 * float(degree.max(initial=0)) or 1.0  # no eigenvalue exceeds it (Gershgorin)
    ones = np.ones(len(degree))
    return Shifted(shift, csr_array(weights + diags_array(shift - degree)), ones, ones)


#: name -> how to write that Laplacian as shift I - S
LAPLACIANS: Final[dict[str, Callable[[csr_array], Shifted]]] = {
    "symmetric": _symmetric,
    "random_walk": _random_walk,
    "unnormalised": _unnormalised,
}


def _dense(matrix: csr_array, count: int) -> tuple[Array, Array]:
    n = matrix.shape[0]
    return eigh(matrix.toarray(), subset_by_index=(n - count, n - 1))


def _largest(matrix: csr_array, count: int, tolerance: float) -> tuple[Array, Array]:
    n = matrix.shape[0]
    if n <= max(DENSE, 3 * count):
        return _dense(matrix, count)
    random = np.random.default_rng(0)
    start = random.uniform(0.5, 1.5, n)
    times = LinearOperator(matrix.shape, matrix.dot, dtype=matrix.dtype)  # a matrix takes longer
    return eigsh(times, count, which="LA", v0=start, tol=tolerance, rng=random)


def _by_part(shifted: Shifted, count: int, tolerance: float) -> tuple[Array, Array]:
    """Solve each connected part alone: Lanczos misses eigenvalues that several parts share.

    Every part has the eigenvalue 0, so of P parts none can give more than count - P + 1 of the
    least; from `count` parts on, all that is wanted is the ground vector of the largest ones.
    """
    names = parts(shifted.matrix)
    rows, starts = np.argsort(names, kind="stable"), np.cumsum(np.bincount(names))
    starts = np.concatenate([[0], starts])
    sorted_by_part = shifted.matrix[rows][:, rows] if len(starts) > 2 else shifted.matrix
    most = max(1, count - len(starts) + 2)
    found = []
    for start, stop in list(pairwise(starts))[:count]:
        part = rows[start:stop]
        if most == 1:
            ground = shifted.ground[part, None]
            found.append((part, np.array([shifted.shift]), ground / np.linalg.norm(ground)))
        else:
            block = _block(sorted_by_part, int(start), int(stop))
            found.append((part, *_largest(block, min(most, stop - start), tolerance)))
    return _merged(found, count, shifted.matrix.shape[0])


def _block(matrix: csr_array, start: int, stop: int) -> csr_array:
    """Return the diagonal block of a matrix that has nothing beside it."""
    if stop - start == matrix.shape[0]:
        return matrix
    low, high = matrix.indptr[start], matrix.indptr[stop]
    pointers, columns = matrix.indptr[start : stop + 1] - low, matrix.indices[low:high] - start
    return csr_array((matrix.data[low:high], columns, pointers), shape=(stop - start,) * 2)


def _merged(found: list[tuple[Array, Array, Array]], count: int, n: int) -> tuple[Array, Array]:
    """Return the `count` largest eigenvalues of all parts and their vectors, zero elsewhere."""
    values = np.concatenate([values for _, values, _ in found])
    place = [(part, j) for part, (_, here, _) in enumerate(found) for j in range(len(here))]
    best = np.argsort(-np.round(values, 10), kind="stable")[:count]  # equal: the larger part first
    vectors = np.zeros((n, len(best)))
    for column, (part, j) in enumerate(place[i] for i in best):
        vectors[found[part][0], column] = found[part][2][:, j]
    return values[best], vectors
