"""The embedding plot: elements in a pane, gestures out as plain geometry."""

from collections.abc import Callable
from typing import Any, Final

import holoviews as hv
import numpy as np
import panel as pn
from holoviews import streams

from fxrelay_viz import elements
from fxrelay_viz.geometry import nearest
from fxrelay_viz.palette import Colouring
from fxrelay_viz.theme import style

#: how near to a point, as a share of the plot, the pointer has to be
REACH: Final = 0.02
TOOLS: Final = ("box_select", "lasso_select", "pan", "wheel_zoom", "reset")


class EmbeddingPlot:
    """Draws points, as glyphs or raster by their number, and reports gestures.

    Parameters
    ----------
    on_gesture : callable
        Called with ("box", (left, bottom, right, top)), ("lasso", corners) or ("tap", position).
    on_hover : callable
        Called with the position of the point under the pointer, once per point.
    """

    def __init__(
        self, on_gesture: Callable[[str, Any], None], on_hover: Callable[[int], None]
    ) -> None:
        self._on_gesture, self._on_hover = on_gesture, on_hover
        self._shown: tuple[Any, ...] = ()
        self._xy = np.zeros((0, 2))
        self._streams: list[Any] = []
        self._data = streams.Pipe(data=None)
        self._ring = streams.Pipe(data=np.zeros((0, 2)))
        self._range = streams.RangeXY()
        self.pane = pn.pane.HoloViews(
            None, backend="bokeh", sizing_mode="stretch_both", min_height=360, linked_axes=False
        )

    @property
    def is_raster(self) -> bool:
        """Whether there are too many points for glyphs."""
        return len(self._xy) > elements.MOST_GLYPHS

    def show(
        self, xy: np.ndarray, colouring: Colouring, selected: np.ndarray, names: tuple[str, str]
    ) -> None:
        """Draw the points; the plot keeps its zoom while the points stay the same."""
        same = self._xy.shape == xy.shape and np.array_equal(self._xy, xy)
        self._xy = xy
        frame = (xy, colouring, selected, names)
        shown = (names, colouring.colours if self.is_raster else None)
        if same and self._shown == shown:
            self._data.send(frame)
            return
        self._shown = shown
        self.pane.object = self._build(frame)

    def mark(self, position: int | None) -> None:
        """Put a ring around one point, or around none."""
        self._ring.send(self._xy[[] if position is None else [position]])

    def hit(self, x: float | None, y: float | None) -> int | None:
        """Return the position of the point at these coordinates, or None."""
        if x is None or y is None or not len(self._xy):
            return None
        spans = [self._range.x_range, self._range.y_range]
        low, high = self._xy.min(axis=0), self._xy.max(axis=0)
        size = [
            (s[1] - s[0]) if s else float(b - a) for s, a, b in zip(spans, low, high, strict=True)
        ]
        scale = np.array([abs(s) or 1.0 for s in size])
        return nearest(self._xy / scale, (x / scale[0], y / scale[1]), REACH)

    def _build(self, frame: tuple[Any, ...]) -> Any:
        for stream in (*self._streams, self._range, self._data):
            stream.clear()
        self._data = streams.Pipe(data=frame)
        self._ring = streams.Pipe(data=np.zeros((0, 2)))
        draw = elements.cloud if self.is_raster else elements.points
        base = hv.DynamicMap(lambda data: _with_tools(draw(*data)), streams=[self._data])
        if self.is_raster:
            base = _with_tools(elements.raster(base, frame[1].colours))
        ring = hv.DynamicMap(lambda data: elements.ring(data), streams=[self._ring])
        self._listen(base)
        return (base * ring).opts(
            responsive=True,
            active_tools=["box_select", "wheel_zoom"],
            toolbar="above",
            show_legend=False,
            xlabel=frame[3][0],
            ylabel=frame[3][1],
            hooks=[style],
            backend="bokeh",
        )

    def _listen(self, source: Any) -> None:
        bounds, lasso = streams.BoundsXY(source=source), streams.Lasso(source=source)
        tap, pointer = streams.SingleTap(source=source), streams.PointerXY(source=source)
        self._range = streams.RangeXY(source=source)
        bounds.add_subscriber(lambda bounds: bounds and self._on_gesture("box", bounds))
        lasso.add_subscriber(self._lasso)
        tap.add_subscriber(self._tap)
        pointer.add_subscriber(self._hover)
        self._streams = [bounds, lasso, tap, pointer]

    def _lasso(self, geometry: np.ndarray | None) -> None:
        if geometry is not None and len(geometry) > 2:
            self._on_gesture("lasso", np.asarray(geometry))

    def _tap(self, x: float | None, y: float | None) -> None:
        position = self.hit(x, y)
        if position is not None:
            self._on_gesture("tap", position)

    def _hover(self, x: float | None, y: float | None) -> None:
        position = self.hit(x, y)
        if position is not None:
            self._on_hover(position)


def _with_tools(element: Any) -> Any:
    return element.opts(
        tools=list(TOOLS), default_tools=[], padding=0.04, responsive=True, backend="bokeh"
    )
