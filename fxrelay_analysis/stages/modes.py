"""What a sample of a line with one mode can look like: the null of suspicion."""

from typing import Any, Final

import numpy as np
from scipy.special import bdtrc

Array = np.ndarray[Any, Any]
#: places between cluster and rest where a valley is looked for
PLACES: Final = 12
#: truncated exponential densities exp(-t) on [0, length]: from nearly uniform to nearly complete
LENGTHS: Final = np.geomspace(1e-2, 30, 300)


def ceiling(share: float) -> float:
    r"""Return the greatest Fisher ratio of cutting off the upper `share` of one mode.

    The greatest R^2 / (1 - R^2) over all exponential densities exp(-t) on [0, length], from the
    uniform (length -> 0, R^2 = 3 p (1 - p)) to the complete one (R^2 = p ln(p)^2 / (1 - p)): the
    extremes among densities with one mode and no tail heavier than exponential (log-concave).
    `share` in (0, 1); a share and its complement have the same.
    """
    p, length = min(share, 1 - share), LENGTHS
    mass = -np.expm1(-length)
    cut = -np.log(np.exp(-length) + p * mass)

    def moments(low: Any) -> Array:
        at = np.array([low + 0 * length, length])
        parts = np.exp(-at) * np.array([at**0, at + 1, at**2 + 2 * at + 2])
        return (parts[:, 0] - parts[:, 1]) / mass

    _, mean, square = moments(0.0)
    tail, tail_mean, _ = moments(cut)
    exponential = p / (1 - p) * np.square(tail_mean / tail - mean) / (square - mean**2)
    r2 = max(float(exponential.max()), 3 * p * (1 - p))
    return r2 / (1 - r2)


def valley_p(inside: Array, outside: Array) -> float:
    """Return how probable the valley between two samples of a line is if there is none.

    A window around the median of `inside` holds its middle two thirds; windows of the same width
    are laid at twelve places towards the median of `outside`. If density nowhere rises towards
    `inside`, each of them gets a point at least as often: the p-value of the emptiest is that of
    a fair coin, times twelve for having chosen it; at most 1. (A sign test; compare Minnotte 1997
    on testing a single mode.)
    """
    far, near = float(np.median(outside)), float(np.median(inside))
    gap = near - far
    if gap <= 0:
        return 1.0
    half = min(float(np.percentile(np.abs(inside - near), 68)), gap / 4)
    points = np.sort(np.concatenate([inside, outside]))
    centres = np.append(np.linspace(far + gap / 4, near - 2 * half, PLACES), near)
    counts = np.searchsorted(points, centres + half, "right") - np.searchsorted(
        points, centres - half
    )
    trough, peak = int(counts[:-1].min()), int(counts[-1])
    return float(min(1.0, PLACES * bdtrc(peak - 1, peak + trough, 0.5)))
