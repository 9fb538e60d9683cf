"""Which points lie in a box, in a polygon or next to the pointer; NumPy only."""

import numpy as np

#: a lasso is reduced to this many corners, so that a share link stays short
MAX_CORNERS = 48


def in_box(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Mask the points inside a box.

    Parameters
    ----------
    points : float array, shape (n, 2)
    corners : float array, shape (2, 2)
        Any two opposite corners.

    Returns
    -------
    bool array, shape (n,)
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    inside: np.ndarray = ((points >= low) & (points <= high)).all(axis=1)
    return inside


def in_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Mask the points inside a closed polygon by the even-odd rule.

    Parameters
    ----------
    points : float array, shape (n, 2)
    corners : float array, shape (m, 2)
        The last corner joins the first; fewer than three enclose nothing.

    Returns
    -------
    bool array, shape (n,)
    """
    out = np.zeros(len(points), dtype=bool)
    if len(corners) < 3:
        return out
    near = np.flatnonzero(in_box(points, corners))
    x, y = points[near, 0], points[near, 1]
    crossings = np.zeros(len(near), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            between = (y0 > y) != (y1 > y)
            crossings ^= between & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    out[near] = crossings
    return out


def simplify(corners: np.ndarray, most: int = MAX_CORNERS) -> np.ndarray:
    """Drop the corners of a polygon that span the smallest triangles until `most` are left.

    Parameters
    ----------
    corners : float array, shape (m, 2)
    most : int, >= 3

    Returns
    -------
    float array, shape (min(m, most), 2)
    """
    corners = corners[:: max(1, len(corners) // (16 * most))]
    while len(corners) > most:
        a, b = np.roll(corners, 1, axis=0) - corners, np.roll(corners, -1, axis=0) - corners
        corners = np.delete(corners, np.argmin(abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])), axis=0)
    return corners


def nearest(points: np.ndarray, at: tuple[float, float], radius: float = np.inf) -> int | None:
    """Return the position of the point next to `at`, or None when none is within the radius."""
    if not len(points):
        return None
    squared = ((points - np.asarray(at)) ** 2).sum(axis=1)
    best = int(np.argmin(squared))
    return best if squared[best] <= radius**2 else None
