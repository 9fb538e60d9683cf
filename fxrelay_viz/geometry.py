"""Which points lie in a box, in a polygon or next to the pointer; NumPy only."""

import numpy as np

#: a lasso is reduced to this many corners, so that a share link stays short
MAX_CORNERS = 48

#: left, bottom, right, top
Extent = tuple[float, float, float, float]


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
    (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
    x, y = points.T  # column by column: many times as fast as along the short axis
    inside: np.ndarray = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
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


def extent(points: np.ndarray, padding: float = 0.04, aspect: float | None = None) -> Extent:
    """Return the box around the finite points.

    Parameters
    ----------
    points : float array, shape (n, 2)
    padding : float, >= 0
        Added on every side, as a share of the larger side.
    aspect : float, > 0, optional
        Width by height of the plot: the box is widened so that both axes have one scale.

    Returns
    -------
    left, bottom, right, top : float
        (-1, -1, 1, 1) where no point is finite; never without area.
    """
    low, high = _ends(points)
    if not np.isfinite([low, high]).all():  # some points are not
        low, high = _ends(points[np.isfinite(points).all(axis=1)])
    if not np.isfinite([low, high]).all():  # all of them
        return -1.0, -1.0, 1.0, 1.0
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.where(half > 0, half, 0.5 * max(half.max(), 1e-9) or 0.5) * (1 + 2 * padding)
    if aspect is not None:
        tall = max(half[1], half[0] / aspect)
        half = np.array([tall * aspect, tall])
    left, bottom, right, top = (float(v) for v in (*(middle - half), *(middle + half)))
    return left, bottom, right, top


def _ends(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest coordinates; column by column, which is fast."""
    ends = [(column.min(initial=np.inf), column.max(initial=-np.inf)) for column in points.T]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def inside(points: np.ndarray, view: Extent) -> np.ndarray:
    """Mask the points in a part of the plane, shape (n,)."""
    return in_box(points, np.array([view[:2], view[2:]]))


def dilate(image: np.ndarray, pixels: int) -> np.ndarray:
    """Thicken what is drawn in an image by some pixels, across and down.

    Parameters
    ----------
    image : uint8 array, shape (height, width, 4)
        What is not drawn is 0 throughout.
    pixels : int, >= 0

    Returns
    -------
    uint8 array, shape (height, width, 4)
    """
    if not pixels:
        return image
    whole = np.pad(np.ascontiguousarray(image).view(np.uint32)[..., 0], pixels)
    flat, width = whole.ravel(), whole.shape[1]
    for _ in range(pixels):
        drawn = np.flatnonzero(flat)
        colours = flat[drawn]
        for step in (width, -width, 1, -1):
            free = flat[drawn + step] == 0
            flat[drawn[free] + step] = colours[free]
    inner = np.ascontiguousarray(whole[pixels:-pixels, pixels:-pixels])
    return inner[..., None].view(np.uint8)
