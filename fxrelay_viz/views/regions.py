"""Where the boxes and lassos of a selection lie in a plot."""

import numpy as np

from fxrelay_viz.selection import Recipe


def outlines(recipe: Recipe, frame: tuple[str, int, int]) -> list[np.ndarray]:
    """Return the corners of every box and lasso drawn in this frame, each of shape (m, 2)."""
    drawn = [s for s in recipe if s.kind in ("box", "lasso") and tuple(s.frame) == frame]
    return [_corners(step.kind, np.asarray(step.value, dtype=float)) for step in drawn]


def _corners(kind: str, value: np.ndarray) -> np.ndarray:
    if kind == "lasso":
        return value
    (left, bottom), (right, top) = value
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
