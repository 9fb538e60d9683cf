"""Where points lie densely: contour lines of smoothed counts, cheap at any number of points."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from fxrelay_viz.geometry import Extent, extent
from fxrelay_viz.palette import Colouring
from fxrelay_viz.theme import SOFT

#: cells of the grid of counts along each axis
CELLS: Final = 128
#: standard deviation of the smoothing, in cells
SPREAD: Final = 2.5
#: a line surrounds the densest places that hold this share of the points
SHARES: Final = (0.9, 0.6, 0.3)
#: with more colours, or on a continuous scale, all points are counted together
MOST_COLOURS: Final = 12

Line = tuple[np.ndarray, str]


def contours(
    points: np.ndarray,
    colouring: Colouring | None = None,
    shown: np.ndarray | None = None,
    shares: Sequence[float] = SHARES,
) -> list[Line]:
    """Return lines of equal density of all points, or of those of each colour.

    Points are counted on a grid of 128 x 128 cells, which a normal distribution of 2.5 cells
    smooths; the line of share s surrounds the densest cells that hold s of the points.

    Parameters
    ----------
    points : float array, shape (n, 2)
        Points that are not finite are not counted.
    colouring : Colouring, optional
        Of the n points; by default, for more than 12 colours and on a continuous scale all points
        are counted together.
    shown : bool array, shape (n,), optional
        Points that count; by default all.
    shares : sequence of float, over 0 and below 1

    Returns
    -------
    list of (float array of shape (m, 2), colour)
    """
    kept = np.isfinite(points).all(axis=1)
    if shown is not None:
        kept &= shown
    if not kept.any():
        return []
    view = extent(points)
    colours: tuple[str, ...] = (SOFT,)
    codes = np.zeros(len(points), dtype=int)
    if colouring is not None and not colouring.limits and len(colouring.colours) <= MOST_COLOURS:
        colours, codes = colouring.colours, colouring.codes
    counts = _counts(points[kept], codes[kept], len(colours), view)
    return [
        (line, colour)
        for plane, colour in zip(counts, colours, strict=True)
        for line in _lines(plane, view, shares)
    ]


def _counts(points: np.ndarray, codes: np.ndarray, n: int, view: Extent) -> np.ndarray:
    """Return how many points of each code lie in each cell, shape (n, CELLS, CELLS): code, y, x."""
    low, high = np.array(view[:2]), np.array(view[2:])
    x, y = (
        np.clip((points[:, axis] - low[axis]) / (high - low)[axis] * CELLS, 0, CELLS - 1)
        .astype(np.int64)
        for axis in (0, 1)
    )  # fmt: skip
    flat = np.bincount((codes * CELLS + y) * CELLS + x, minlength=n * CELLS * CELLS)
    return flat.reshape(n, CELLS, CELLS)


def _lines(counts: np.ndarray, view: Extent, shares: Sequence[float]) -> list[np.ndarray]:
    from contourpy import contour_generator  # Bokeh brings it

    if not counts.any():
        return []
    smooth = np.pad(gaussian_filter(counts.astype(np.float64), SPREAD, mode="constant"), 1)
    centres = (np.arange(CELLS + 2) - 0.5) / CELLS
    x, y = (view[k] + centres * (view[k + 2] - view[k]) for k in (0, 1))
    generator = contour_generator(x, y, smooth)
    return [
        np.asarray(line)
        for level in dict.fromkeys(_levels(smooth, shares))
        for line in generator.lines(level)
    ]


def _levels(smooth: np.ndarray, shares: Sequence[float]) -> list[float]:
    """Return the densities over which the densest cells hold each share of the whole."""
    falling = np.sort(smooth, axis=None)[::-1]
    held = np.cumsum(falling) / falling.sum()
    return [float(falling[np.searchsorted(held, share)]) for share in shares]
