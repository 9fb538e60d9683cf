"""HoloViews elements as pure functions: a cloud in, a styled element out.

They make no widgets and touch no state, so they serve in the app, in a notebook and in a report.
"""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np

from fxrelay_viz.clouds import Cloud, glyphs
from fxrelay_viz.geometry import Extent, extent
from fxrelay_viz.palette import GREY
from fxrelay_viz.raster import rasterize
from fxrelay_viz.theme import ACCENT, OUTLINE, RING, point_size, style

__all__ = ["Cloud", "eigenvalues", "points", "raster", "regions", "ring"]


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
    columns, table = glyphs(cloud, view), list(cloud.colours)
    element = hv.Points(dict(columns), kdims=["x", "y"], vdims=["code", "alpha"])
    return element.opts(
        color="code", cmap=table, clim=(-0.5, len(table) - 0.5), alpha="alpha", line_color=None,
        size=point_size(len(element)), xlabel=cloud.names[0], ylabel=cloud.names[1],
        backend="bokeh",
    )  # fmt: skip


def raster(cloud: Cloud, view: Extent | None = None, size: tuple[int, int] = (700, 500)) -> hv.RGB:
    """Draw an embedding of any number of points as one image, as `rasterize` does.

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
    return hv.RGB(
        rasterize(cloud, view, size)[::-1], bounds=view, vdims=[*"RGBA"]
    ).opts(xlabel=cloud.names[0], ylabel=cloud.names[1], backend="bokeh")  # fmt: skip


def regions(outlines: Sequence[np.ndarray]) -> hv.Path:
    """Draw the outlines of boxes and lassos, each of shape (m, 2), closed."""
    closed = [np.concatenate([o, o[:1]]) for o in outlines if len(o)]
    return hv.Path(closed, kdims=["x", "y"]).opts(**OUTLINE, backend="bokeh")


def ring(xy: np.ndarray) -> hv.Points:
    """Mark points with a ring, shape (m, 2); none is allowed."""
    element = hv.Points(np.asarray(xy, dtype=float).reshape(-1, 2), kdims=["x", "y"])
    return element.opts(**RING, backend="bokeh")


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
