"""What a plot of an embedding shows: points, their colours, and which are selected."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from fxrelay_viz.geometry import Extent, inside
from fxrelay_viz.palette import GREY, Colouring

#: more points than this are drawn on the server
MOST_GLYPHS: Final = 20_000
#: ... until no more than this are in view
NEAR_GLYPHS: Final = 5_000
#: how opaque a point is: nothing is selected, it is selected, others are
PLAIN, CHOSEN, FADED = 0.85, 0.95, 0.16


@dataclass(frozen=True, eq=False)
class Cloud:
    """What a plot of an embedding shows.

    Attributes
    ----------
    points : float array, shape (n, 2)
    colouring : Colouring
        Of the n samples.
    selected : bool array, shape (n,)
        All False: nothing is faded.
    names : (str, str)
        Labels of the axes.
    shown : bool array, shape (n,), optional
        What is drawn; by default everything.
    """

    points: np.ndarray
    colouring: Colouring
    selected: np.ndarray
    names: tuple[str, str] = ("", "")
    shown: np.ndarray | None = None

    @cached_property
    def drawn(self) -> "Cloud":
        """The part that is drawn, as a cloud of its own."""
        if self.shown is None:
            return self
        colouring = replace(self.colouring, codes=self.colouring.codes[self.shown])
        return Cloud(self.points[self.shown], colouring, self.selected[self.shown], self.names)

    @property
    def colours(self) -> tuple[str, ...]:
        """The table of colours, never empty."""
        return self.colouring.colours or (GREY,)

    @property
    def is_large(self) -> bool:
        """Whether there are too many points for glyphs of all of them."""
        return len(self.points) > MOST_GLYPHS


def is_raster(cloud: Cloud, view: Extent | None = None) -> bool:
    """Return whether there are too many points (in view) for glyphs."""
    drawn = cloud.drawn
    if not drawn.is_large or view is None:
        return drawn.is_large
    return int(inside(drawn.points, view).sum()) > NEAR_GLYPHS


def glyphs(cloud: Cloud, view: Extent | None = None) -> Mapping[str, np.ndarray]:
    """Return the glyphs of a cloud as columns; what is not selected is faded.

    Parameters
    ----------
    cloud : Cloud
    view : Extent, optional
        Only points in this part; by default all.

    Returns
    -------
    mapping of str to float array, shape (m,)
        ``x``, ``y``, ``code`` into the colours and ``alpha`` in 0..1; the selected points last, so
        that they lie on top.
    """
    cloud = cloud.drawn
    shown = np.arange(len(cloud.points)) if view is None else np.flatnonzero(
        inside(cloud.points, view)
    )  # fmt: skip
    order = shown[np.argsort(cloud.selected[shown], kind="stable")]
    faded = np.where(cloud.selected[order], CHOSEN, FADED)
    alpha = faded if cloud.selected.any() else np.full(len(order), PLAIN)
    return {
        "x": cloud.points[order, 0],
        "y": cloud.points[order, 1],
        "code": cloud.colouring.codes[order].astype(np.float32),
        "alpha": alpha.astype(np.float32),
    }
