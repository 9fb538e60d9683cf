"""Approximate nearest neighbours, by nearest-neighbour descent, and how many of them are right."""

from typing import Any, Final

import numpy as np

from fxrelay_analysis.stages.nearest import Squares, least, nearest

Array = np.ndarray[Any, Any]
MARGIN: Final = 5  # neighbours that descent keeps beside those asked for
ROWS: Final = 4096  # samples that are ranked at once


def approximate(x: Array, k: int, seed: int) -> tuple[Array, Array]:
    """Return positions (n, k) int32 and distances (n, k) float64 of about the k nearest rows.

    Nearest-neighbour descent (Dong, Charikar and Li 2011) as in pynndescent finds candidates; their
    distances are computed in float64. Rows for which it finds too few are searched exactly.

    Raises
    ------
    ImportError
        If pynndescent is not installed.
    """
    descent = _pynndescent()
    squares, m = Squares(x), k + 1 + MARGIN
    power = squares.odd - squares.power
    low = (np.ldexp(squares.x, power) if power else squares.x).astype(np.float32, copy=False)
    found = descent(low, "euclidean", n_neighbors=m, random_state=seed, low_memory=True,
                    compressed=False).neighbor_graph[0]  # fmt: skip
    del low
    index, distance = np.empty((len(x), k), np.int32), np.empty((len(x), k))
    few = []
    for start in range(0, len(x), ROWS):
        rows = np.arange(start, min(start + ROWS, len(x)))
        others = np.sort(found[rows], axis=1)
        invalid = (others == rows[:, None]) | (others < 0)
        few.extend(rows[(~invalid).sum(axis=1) < k])
        others[invalid] = rows[np.nonzero(invalid)[0]]
        index[rows], square = _ranked_others(squares, rows, others, k)
        distance[rows] = np.ldexp(np.sqrt(square), squares.power)
    if few:
        index[few], distance[few] = nearest(x, k, np.asarray(few))
    return index, distance


def recall(x: Array, distance: Array, n_probe: int, seed: int) -> float:
    """Return the share of the true neighbours that are at hand, on `n_probe` random samples.

    A neighbour counts as right if it is no farther than the farthest true one, so that equal
    distances do not matter.
    """
    k = distance.shape[1]
    probe = np.random.default_rng(seed).choice(len(x), min(n_probe, len(x)), replace=False)
    true = nearest(x, k, np.sort(probe))[1]
    return float((distance[np.sort(probe)] <= true[:, -1:] * (1 + 1e-12)).mean())


def _ranked_others(squares: Squares, rows: Array, candidates: Array, k: int) -> tuple[Array, Array]:
    """Rank candidates of which those that are the sample itself come last."""
    square = squares.of(rows, candidates)
    square[candidates == rows[:, None]] = np.inf
    return least(candidates, square, k)


def _pynndescent() -> Any:
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise ImportError(
            "neighbours: needs pynndescent for approximate search; it is not installed. Use "
            "method='exact', or install it: pip install 'fxrelay[scale]'."
        ) from error
    return NNDescent
