"""Which relevance lies at the end of the colour map: each image's own, a page's, or a class's."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from fxrelay.heatmap import limits
from fxrelay_viz.category import Category
from fxrelay_viz.project import Project
from fxrelay_viz.state import ViewState

#: with one scale for several images, this percentile of the magnitudes is its end at most
SHARED_PERCENTILE: Final = 99.5
#: the scale of a class is found from so many of its samples, evenly spread
SAMPLED: Final = 128


def scale_end(
    state: ViewState, project: Project, category: Category, members: Sequence[int] | np.ndarray
) -> float | None:
    """Return the relevance at the end of the colour map; None while every image has its own.

    Parameters
    ----------
    state : ViewState
        `scale`, `cmap`, `percentile`, `variable` and `target` count.
    project, category : Project, Category
    members : sequence of int
        The samples of the page, as positions in the category.

    Returns
    -------
    float or None
        To three digits, so that addresses of images repeat.
    """
    if state.scale == "image":
        return None
    look = (state.cmap, state.percentile, state.variable, state.target)
    if state.scale == "category":
        return _category_end(project, category, *look)
    return _end(project, category.positions[np.asarray(members, dtype=int)], *look)


@lru_cache(maxsize=64)
def _category_end(
    project: Project, category: Category, cmap: str, percentile: float, variable: str, target: int
) -> float:
    n = len(category.positions)
    spread = np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(int))
    return _end(project, category.positions[spread], cmap, percentile, variable, target)


def _end(
    project: Project, positions: np.ndarray, cmap: str, percentile: float, variable: str,
    target: int,
) -> float:  # fmt: skip
    pictures = project.pictures(positions, variable, target)
    rows = [p.relevance.values.reshape(1, -1) for p in pictures]
    if pictures and pictures[0].relevance.ndim > 2:  # images: what is drawn is the channels' sum
        rows = [p.relevance.sum("channel").values.reshape(1, -1) for p in pictures]
    if not rows:
        return 1.0
    flat = np.concatenate(rows, axis=1)
    most = min(percentile, SHARED_PERCENTILE)
    _, high = limits(flat, cmap, percentile=most, shared=True)
    return float(f"{high.item():.3g}")
