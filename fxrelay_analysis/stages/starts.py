"""k-means for several numbers of clusters, which share the centres that they start from."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]


def kmeans_fits(
    x: Array,
    counts: Sequence[int],
    *,
    n_starts: int,
    seed: int,
    init: str = "k-means++",
    n_iterations: int = 300,
    tolerance: float = 1e-4,
) -> list[Any]:
    """Return scikit-learn's KMeans, fitted to x (n, d), for every number of clusters.

    Each start draws centres once, for the largest number, and k clusters start from the first k:
    k-means++ chooses a centre by those before it, so these are what it chooses for k, from as many
    trials a centre as the largest number has. The start with the least inertia is kept.
    (Arthur and Vassilvitskii 2007.)

    Parameters
    ----------
    x : ndarray (n, d)
        Finite.
    counts : sequence of int
        Numbers of clusters, at most n.
    n_starts, seed, init, n_iterations, tolerance
        As of the stage `kmeans`.
    """
    from sklearn import config_context
    from sklearn.cluster import KMeans
    from sklearn.utils import check_random_state

    random, centred = check_random_state(seed), x - x.mean(axis=0)
    drawn = [INITS[init](centred, max(counts), random) for _ in range(n_starts)]
    options = {"n_init": n_starts, "max_iter": n_iterations, "tol": tolerance}
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return [KMeans(k, init=_each(drawn), **options).fit(x) for k in counts]


def _each(drawn: list[Array]) -> Callable[..., Array]:
    """Return what KMeans asks for the centres of each start: the first k of those drawn.

    They are drawn as positions, because KMeans has its own, centred copy of the samples.
    """
    left = iter(drawn)
    return lambda x, k, random_state: x[next(left)[:k]]


def _far(x: Array, k: int, random: Any) -> Array:
    from sklearn.cluster import kmeans_plusplus

    positions: Array = kmeans_plusplus(x, k, random_state=random)[1]
    return positions


def _any(x: Array, k: int, random: Any) -> Array:
    positions: Array = random.choice(len(x), k, replace=False)
    return positions


#: init -> positions (k,) of the samples x (n, d) that are the first centres
INITS: Final[dict[str, Callable[[Array, int, Any], Array]]] = {"k-means++": _far, "random": _any}
