"""The figure of a plot: HoloViews makes it once, then only the data of its glyphs changes.

HoloViews takes 30 to 40 ms to pass new data through an overlay, for a ring around one point too;
setting the data of a glyph takes less than one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
from bokeh.models import ColumnDataSource

from fxrelay_viz import elements
from fxrelay_viz.clouds import Cloud
from fxrelay_viz.geometry import Extent
from fxrelay_viz.palette import GREY, Colouring
from fxrelay_viz.sketching import Sketch
from fxrelay_viz.theme import CONTOUR, OUTLINE, RING, point_size, style

TOOLS: Final = ("box_select", "lasso_select", "pan", "box_zoom", "wheel_zoom")
#: two points of two colours, one of them selected, so that HoloViews makes a column of each style
SAMPLE: Final = Cloud(
    np.zeros((2, 2), np.float32),
    Colouring(np.arange(2), (GREY, GREY), ("", ""), (0, 1)),
    np.array([True, False]),
)
#: columns of glyphs
COLUMNS: Final = ("x", "y", "code", "alpha")
NO_IMAGE: Final[Mapping[str, Any]] = {"image": [], "x": [], "y": [], "dw": [], "dh": []}


def overlay(made: Callable[[Any, Any], None]) -> hv.Overlay:
    """Return the layers of a plot that HoloViews makes: a raster and glyphs.

    Parameters
    ----------
    made : callable
        Hook that gets the plot of each figure.
    """
    blank = hv.RGB(np.zeros((1, 1, 4), np.uint8), bounds=(0, 0, 1, 1), vdims=[*"RGBA"])
    fixed = [
        layer.opts(tools=list(TOOLS), default_tools=[], apply_ranges=False, responsive=True,
                   backend="bokeh")
        for layer in (blank, elements.points(SAMPLE))
    ]  # fmt: skip
    return hv.Overlay(fixed).opts(
        responsive=True, active_tools=["box_select", "wheel_zoom"], toolbar="above",
        show_legend=False, hooks=[made, style], backend="bokeh",
    )  # fmt: skip


def warm() -> None:
    """Make what the first figure needs, so that nobody waits for it later."""
    hv.renderer("bokeh").get_plot(overlay(lambda plot, element: None))


class Figure:
    """A Bokeh figure that HoloViews made of `overlay`.

    Parameters
    ----------
    plot : HoloViews plot
        What a hook gets.
    """

    def __init__(self, plot: Any) -> None:
        self.model = plot.state
        layers = [layer.handles["glyph_renderer"] for layer in plot.subplots.values()]
        self._image, self._points = layers
        lines, points = self.model.multi_line, self.model.scatter
        self._contours = lines("xs", "ys", line_color="colour", source=_empty("colour"), **CONTOUR)
        # what lies above everything is repainted alone, while the pointer moves for instance
        self._regions = lines("xs", "ys", source=_empty(), level="overlay", **OUTLINE)
        self._ring = points("x", "y", source=_empty(), level="overlay", **RING)

    def draw(self, found: Sketch) -> None:
        """Draw a cloud."""
        columns = found.columns or dict.fromkeys(COLUMNS, np.zeros(0, np.float32))
        size, table = len(columns["x"]), found.cloud.colours
        self._points.glyph.size = point_size(size)
        mapper = self._points.glyph.fill_color.transform
        mapper.update(palette=list(table), low=-0.5, high=len(table) - 0.5)
        self._points.data_source.data = {
            "x": columns["x"], "y": columns["y"], "color": columns["code"],
            "alpha": columns["alpha"],
        }  # fmt: skip
        self._image.data_source.data = _image(found)
        for axis, name in zip((self.model.xaxis, self.model.yaxis), found.cloud.names, strict=True):
            axis.axis_label = name

    def ring(self, points: np.ndarray) -> None:
        """Put a ring around each of some points, shape (m, 2)."""
        x, y = points.astype(np.float64).T
        self._ring.data_source.data = {"x": x, "y": y}

    def contour(self, lines: Sequence[tuple[np.ndarray, str]]) -> None:
        """Draw open lines, each of shape (m, 2), with a colour each."""
        self._contours.data_source.data = {
            **_paths([points for points, _ in lines]),
            "colour": [colour for _, colour in lines],
        }

    def outline(self, outlines: Sequence[np.ndarray]) -> None:
        """Draw closed outlines, each of shape (m, 2)."""
        closed = [np.concatenate([o, o[:1]]) for o in outlines if len(o)]
        self._regions.data_source.data = _paths(closed)

    def fit(self, view: Extent) -> None:
        """Set the ranges, and what the reset tool goes back to."""
        left, bottom, right, top = view
        self.model.x_range.update(start=left, end=right, reset_start=left, reset_end=right)
        self.model.y_range.update(start=bottom, end=top, reset_start=bottom, reset_end=top)

    def listen(
        self,
        listeners: Mapping[Any, Callable[[Any], None]],
        resize: Callable[[int, int], None],
    ) -> None:
        """Report events of the browser, and width and height of the frame in pixels."""
        for event, listener in listeners.items():
            self.model.on_event(event, listener)
        told: dict[str, int] = {}

        def measured(name: str, old: int | None, new: int | None) -> None:
            told[name] = new or 0
            if len(told) == 2:
                resize(told["inner_width"], told["inner_height"])

        self.model.on_change("inner_width", measured)
        self.model.on_change("inner_height", measured)


def _empty(*more: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in ("x", "y", "xs", "ys", *more)})


def _paths(lines: Sequence[np.ndarray]) -> Mapping[str, Any]:
    return {"xs": [line[:, 0] for line in lines], "ys": [line[:, 1] for line in lines]}


def _image(found: Sketch) -> Mapping[str, Any]:
    if found.image is None:
        return NO_IMAGE
    left, bottom, right, top = found.view
    image = np.ascontiguousarray(found.image).view(np.uint32)[..., 0]
    return {
        "image": [image],
        "x": [left],
        "y": [bottom],
        "dw": [right - left],
        "dh": [top - bottom],
    }
