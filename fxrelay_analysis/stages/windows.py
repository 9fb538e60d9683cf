"""The smallest rectangle of an image that holds a share of its mass."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
ROUNDING = 1e-9  # share of the mass that summation may lose


class Window(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


def smallest(mass: Array, share: float) -> Window:
    """Return the rectangle of least area that holds `share` of the sum of `mass` (h, w) >= 0.

    The width that a window needs never grows with its height, so one walk along that staircase
    meets every candidate: h + w steps, each a difference of summed areas (Crow 1984). Of equal
    areas the one that holds most wins, then the taller, then the first in reading order.
    """
    height, width = mass.shape
    sums = np.zeros((height + 1, width + 1))
    np.cumsum(np.cumsum(mass, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
    needed = (share - ROUNDING) * sums[-1, -1]
    whole = Window(0, 0, height, width)
    best = (height * width, -sums[-1, -1], whole)
    if sums[-1, -1] == 0:
        return whole
    tall, wide = height, 1
    while tall >= 1 and wide <= width:
        held = _held(sums, tall, wide)
        if held.max() >= needed:
            top, left = np.unravel_index(int(held.argmax()), held.shape)
            found = Window(int(top), int(left), tall, wide)
            best = min(best, (tall * wide, -float(held.max()), found), key=lambda item: item[:2])
            tall -= 1
        else:
            wide += 1
    return best[2]


def _held(sums: Array, tall: int, wide: int) -> Array:
    """Return the mass of every window of that size, by its top left pixel."""
    rows = sums[tall:] - sums[:-tall]
    held: Array = rows[:, wide:] - rows[:, :-wide]
    return held
