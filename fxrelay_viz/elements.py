"""HoloViews elements as pure functions: a cloud in, a styled element out.

They make no widgets and touch no state, so they serve in the app, in a notebook and in a report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import pandas as pd

from fxrelay_viz.geometry import Extent, dilate, extent, inside
from fxrelay_viz.palette import GREY, Colouring, rgb
from fxrelay_viz.theme import ACCENT, INK, style

#: more points than this are drawn on the server
MOST_GLYPHS: Final = 20_000
#: ... until no more than this are in view
NEAR_GLYPHS: Final = 5_000
#: a raster shows points this thick, in pixels around their centre, while few are in view
THICKEST: Final = 3
FAINTEST: Final = 0.35


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
    """

    points: np.ndarray
    colouring: Colouring
    selected: np.ndarray
    names: tuple[str, str] = ("", "")


def is_raster(cloud: Cloud, view: Extent | None = None) -> bool:
    """Return whether there are too many points (in view) for glyphs."""
    if len(cloud.points) <= MOST_GLYPHS or view is None:
        return len(cloud.points) > MOST_GLYPHS
    return int(inside(cloud.points, view).sum()) > NEAR_GLYPHS


def points(cloud: Cloud, view: Extent | None = None) -> hv.Points:
    """Draw an embedding as glyphs; what is not selected is faded.

    Parameters
    ----------
    cloud : Cloud
    view : Extent, optional
        Only points in this part are drawn; by default all.

    Returns
    -------
    hv.Points
        The selected points last, so that they lie on top.
    """
    shown = np.arange(len(cloud.points)) if view is None else np.flatnonzero(
        inside(cloud.points, view)
    )  # fmt: skip
    chosen = cloud.selected[shown]
    order = shown[np.argsort(chosen, kind="stable")]
    faded = np.where(cloud.selected[order], 0.95, 0.16).astype(np.float32)
    columns = {
        "x": cloud.points[order, 0],
        "y": cloud.points[order, 1],
        "code": cloud.colouring.codes[order].astype(np.float32),
        "alpha": faded if cloud.selected.any() else np.full(len(order), 0.85, np.float32),
    }
    element = hv.Points(columns, kdims=["x", "y"], vdims=["code", "alpha"])
    table = list(cloud.colouring.colours) or [GREY]
    return element.opts(
        color="code", cmap=table, clim=(-0.5, len(table) - 0.5), alpha="alpha", line_color=None,
        size=8 if len(order) <= 2000 else 5, xlabel=cloud.names[0], ylabel=cloud.names[1],
        backend="bokeh",
    )  # fmt: skip


def raster(cloud: Cloud, view: Extent | None = None, size: tuple[int, int] = (700, 500)) -> hv.RGB:
    """Draw an embedding of any number of points as one image.

    A pixel has the mean colour of its (selected) points and is more opaque the more there are;
    what is not selected is grey, and never hides what is.

    Parameters
    ----------
    cloud : Cloud
    view : Extent, optional
        What to show, by default everything.
    size : (int, int)
        Width and height in pixels.

    Returns
    -------
    hv.RGB
        With an alpha channel, so that it lies on any ground.
    """
    view = extent(cloud.points) if view is None else view
    counts = _counts(cloud, view, size)
    chosen = cloud.selected.any()
    image = _shade(counts[..., :-1], rgb(cloud.colouring.colours), 0.6 if chosen else FAINTEST)
    if chosen:
        back = _shade(counts[..., -1:], rgb((GREY,)), 0.15)
        hidden = image[..., 3] == 0
        image[hidden] = back[hidden]
        image[hidden, 3] //= 2
    return hv.RGB(
        image[::-1], bounds=(view[0], view[1], view[2], view[3]), vdims=[*"RGBA"]
    ).opts(xlabel=cloud.names[0], ylabel=cloud.names[1], backend="bokeh")  # fmt: skip


def _counts(cloud: Cloud, view: Extent, size: tuple[int, int]) -> np.ndarray:
    """Return how many points of each colour lie in each pixel, those not selected last."""
    import datashader as ds  # compiles for a second, and most projects need no raster

    rest = len(cloud.colouring.colours)
    codes = cloud.colouring.codes
    if cloud.selected.any():
        codes = np.where(cloud.selected, codes, rest)
    kinds = pd.Categorical.from_codes(codes, categories=_names(rest + 1))
    x, y = cloud.points.T
    frame = pd.DataFrame({"x": x, "y": y, "kind": kinds}, copy=False)
    canvas = ds.Canvas(*size, x_range=(view[0], view[2]), y_range=(view[1], view[3]))
    out: np.ndarray = canvas.points(frame, "x", "y", ds.by("kind", ds.count())).values
    return out


@lru_cache(maxsize=64)
def _names(count: int) -> list[str]:
    return [str(n) for n in range(count)]


def _shade(counts: np.ndarray, table: np.ndarray, faintest: float) -> np.ndarray:
    """Return counts (height, width, colours) as an image (height, width, 4) of uint8."""
    total = counts.sum(axis=-1, dtype=np.float32)
    filled = total > 0
    mean = counts.astype(np.float32) @ table.astype(np.float32)
    mean /= np.maximum(total, 1)[..., None]
    dense = np.log1p(total) / np.log1p(max(float(total.max(initial=1)), 2.0))
    alpha = np.where(filled, 255 * (faintest + (1 - faintest) * dense), 0)
    image = np.concatenate([mean, alpha[..., None]], axis=-1).astype(np.uint8)
    share = float(filled.mean())
    thick = 0 if share > 0.2 else 1 if share > 0.02 else 2 if share > 0.002 else THICKEST
    return dilate(image, thick)


def warm() -> None:
    """Compile what `raster` needs, so that nobody waits for it later."""
    for kind in (np.float32, np.float64):
        colouring = Colouring(np.zeros(4, int), (GREY,), ("",), (0,))
        cloud = Cloud(np.zeros((4, 2), kind), colouring, np.zeros(4, bool))
        raster(cloud, size=(8, 8))


def regions(outlines: Sequence[np.ndarray]) -> hv.Path:
    """Draw the outlines of boxes and lassos, each of shape (m, 2), closed."""
    closed = [np.concatenate([o, o[:1]]) for o in outlines if len(o)]
    return hv.Path(closed, kdims=["x", "y"]).opts(
        color=ACCENT, line_width=1.5, line_dash="dashed", alpha=0.8, backend="bokeh"
    )


def ring(xy: np.ndarray) -> hv.Points:
    """Mark points with a ring, shape (m, 2); none is allowed."""
    element = hv.Points(np.asarray(xy, dtype=float).reshape(-1, 2), kdims=["x", "y"])
    return element.opts(
        size=15, fill_alpha=0, line_color=INK, line_width=2, color=INK, backend="bokeh"
    )


def eigenvalues(values: np.ndarray, k: int | None = None) -> Any:
    """Draw the spectrum of the graph; a gap after the k-th value speaks for k clusters.

    Parameters
    ----------
    values : float array, shape (component,)
    k : int, optional
        Number of clusters to mark.

    Returns
    -------
    hv.Overlay
    """
    number = np.arange(1, len(values) + 1)
    inside_k = number <= (k or 0)
    data = {"n": number, "value": values, "colour": np.where(inside_k, ACCENT, GREY)}
    stems = hv.Spikes(data, kdims="n", vdims=["value", "colour"])
    heads = hv.Points(data, kdims=["n", "value"], vdims="colour")
    return (
        stems.opts(color="colour", line_width=2, backend="bokeh")
        * heads.opts(color="colour", size=7, backend="bokeh")
    ).opts(
        xlabel="",
        ylabel="",
        xticks=[1, *range(5, len(values) + 1, 5)] if len(values) > 8 else number.tolist(),
        toolbar=None,
        padding=0.08,
        hooks=[style],
        backend="bokeh",
    )
