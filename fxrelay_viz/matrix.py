"""A scatter matrix in thumbnails: an embedding of more than two axes at a glance."""

from itertools import combinations
from typing import Final

import numpy as np

from fxrelay_viz.geometry import extent
from fxrelay_viz.palette import Colouring, rgb

#: so many axes are drawn against each other, the first of an embedding
AXES: Final = 5
#: pixels along each side of a thumbnail
SIDE: Final = 64
#: of more points, evenly spread ones are drawn
MOST_POINTS: Final = 20_000


def thumbnails(
    points: np.ndarray, colouring: Colouring, shown: np.ndarray | None = None
) -> dict[tuple[int, int], np.ndarray]:
    """Draw every pair of the first five axes as a small image.

    Parameters
    ----------
    points : float array, shape (n, d)
    colouring : Colouring
        Of the n points.
    shown : bool array, shape (n,), optional
        Points that are drawn; by default all. The view is that of all.

    Returns
    -------
    mapping of (across, up) to uint8 array of shape (64, 64, 4)
        Axes from 0, the one across first; transparent where there is no point.
    """
    axes = range(min(AXES, points.shape[1]))
    finite = np.isfinite(points[:, : len(axes)]).all(axis=1)
    kept = np.flatnonzero(finite if shown is None else finite & shown)
    kept = kept[:: max(1, len(kept) // MOST_POINTS)]
    colours = rgb(colouring.colours)[colouring.codes[kept]]
    places = np.stack([_places(points[:, axis], kept) for axis in axes], axis=1)
    return {(a, b): _drawn(places[:, a], places[:, b], colours) for a, b in combinations(axes, 2)}


def _places(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the pixel of the kept values along an axis that holds all of them."""
    low, _, high, _ = extent(np.stack([values, values], axis=1))
    return ((values[kept] - low) / (high - low) * SIDE).astype(np.int64).clip(1, SIDE - 2)


def _drawn(x: np.ndarray, y: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return an image in which each point covers two by two pixels."""
    image = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    for down in (0, 1):
        for right in (0, 1):
            image[SIDE - 1 - y - down + 1, x + right, :3] = colours
            image[SIDE - 1 - y - down + 1, x + right, 3] = 255
    return image
