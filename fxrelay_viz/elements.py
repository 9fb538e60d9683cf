"""HoloViews elements as pure functions: arrays in, a styled element out.

They make no widgets and touch no state, so they serve in the app, in a notebook and in a report.
"""

from typing import Any, Final

import holoviews as hv
import holoviews.plotting.bokeh  # registers the backend
import numpy as np
import pandas as pd

from fxrelay_viz.palette import GREY, Colouring
from fxrelay_viz.theme import style

#: more points than this are drawn by datashader on the server
MOST_GLYPHS: Final = 20_000
REST: Final = "#e3e6eb"
INK: Final = "#1d2330"
ACCENT: Final = "#2f5d9f"


def points(
    xy: np.ndarray, colouring: Colouring, selected: np.ndarray, names: tuple[str, str]
) -> hv.Points:
    """Draw an embedding as glyphs; what is not selected is faded.

    Parameters
    ----------
    xy : float array, shape (n, 2)
    colouring : Colouring
        Of the n samples.
    selected : bool array, shape (n,)
        All False: nothing is faded.
    names : (str, str)
        Labels of the axes.

    Returns
    -------
    hv.Points
        The selected points last, so that they lie on top.
    """
    order = np.argsort(selected, kind="stable")
    table = np.asarray(colouring.colours)
    alpha = np.where(selected, 0.95, 0.14) if selected.any() else np.full(len(xy), 0.8)
    columns = {
        "x": xy[order, 0],
        "y": xy[order, 1],
        "colour": table[colouring.codes[order]],
        "alpha": alpha[order],
    }
    size = 8 if len(xy) <= 2000 else 5
    element = hv.Points(columns, kdims=["x", "y"], vdims=["colour", "alpha"])
    return element.opts(
        color="colour", alpha="alpha", size=size, line_color="white", line_width=0.4,
        xlabel=names[0], ylabel=names[1], backend="bokeh",
    )  # fmt: skip


def cloud(
    xy: np.ndarray, colouring: Colouring, selected: np.ndarray, names: tuple[str, str]
) -> hv.Points:
    """Return points for `raster`: what is not selected belongs to one grey category.

    Parameters and the order of the axes are those of `points`.
    """
    rest = len(colouring.colours)
    codes = np.where(selected, colouring.codes, rest) if selected.any() else colouring.codes
    kinds = pd.Categorical.from_codes(codes, categories=[str(n) for n in range(rest + 1)])
    frame = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "kind": kinds})
    element = hv.Points(frame, kdims=["x", "y"], vdims=["kind"])
    return element.opts(xlabel=names[0], ylabel=names[1], backend="bokeh")


def raster(cloud: Any, colours: tuple[str, ...]) -> Any:
    """Shade a `cloud` (or a DynamicMap of them) on the server: any number of points.

    Parameters
    ----------
    cloud : hv.Points or DynamicMap
    colours : tuple of str
        Of the categories, without the grey of what is not selected.
    """
    import datashader as ds  # compiles for seconds, and most projects need no raster
    from holoviews.operation.datashader import datashade, dynspread

    key = {str(n): colour for n, colour in enumerate((*colours, REST))}
    shaded = datashade(cloud, aggregator=ds.by("kind", ds.count()), color_key=key, min_alpha=90)
    return dynspread(shaded, max_px=4, threshold=0.5)


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
    inside = number <= (k or 0)
    data = {"n": number, "value": values, "colour": np.where(inside, ACCENT, GREY)}
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
