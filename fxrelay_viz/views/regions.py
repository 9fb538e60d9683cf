"""Lines in a plot: around boxes and lassos of the selection, and of equal density."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fxrelay_viz import density
from fxrelay_viz.category import Category, Frame
from fxrelay_viz.palette import Colouring
from fxrelay_viz.selection import Recipe
from fxrelay_viz.session import Session
from fxrelay_viz.views.colours import point_colours


def outlines(recipe: Recipe, frame: Frame) -> list[np.ndarray]:
    """Return the corners of every box and lasso drawn in this frame, each of shape (m, 2)."""
    drawn = [s for s in recipe if s.kind in ("box", "lasso") and tuple(s.frame) == frame]
    return [_corners(step.kind, np.asarray(step.value, dtype=float)) for step in drawn]


def _corners(kind: str, value: np.ndarray) -> np.ndarray:
    if kind == "lasso":
        return value
    (left, bottom), (right, top) = value
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def densities(session: Session, frame: Frame) -> Sequence[density.Line]:
    """Return the contours of density that were asked for, of what is visible."""
    chosen = session.state
    if not chosen.density:
        return ()
    colours = point_colours(session) if chosen.density == "colour" else None
    hidden = (chosen.clustering, chosen.k, tuple(chosen.hidden)) if chosen.hidden else ()
    return _densities(session.category, frame, colours, hidden)


@lru_cache(maxsize=4)
def _densities(
    category: Category, frame: Frame, colours: Colouring | None, hidden: tuple[Any, ...]
) -> list[density.Line]:
    shown = category.outside(*hidden) if hidden else None
    return density.contours(category.points(*frame), colours, shown)
