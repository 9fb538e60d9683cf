"""The embedding plot: a cloud in a pane, gestures out as plain geometry."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

import holoviews as hv
import numpy as np
import panel as pn
from holoviews import streams

from fxrelay_viz import elements
from fxrelay_viz.elements import Cloud
from fxrelay_viz.geometry import Extent, extent
from fxrelay_viz.palette import Colouring
from fxrelay_viz.theme import style

TOOLS: Final = ("box_select", "lasso_select", "pan", "box_zoom", "wheel_zoom")
EMPTY: Final = Cloud(np.zeros((0, 2)), Colouring(np.zeros(0, int), (), (), ()), np.zeros(0, bool))
#: a raster is never drawn larger, whatever a browser asks for
MOST_PIXELS: Final = 2048

#: what the pointer is next to: place, (width, height) of the view -> position or None
Near = Callable[[tuple[float, float], tuple[float, float]], int | None]


class EmbeddingPlot:
    """Draws points, as glyphs or raster by their number in view, and reports gestures.

    The figure is made once, with the first cloud, and only its data changes afterwards, so that
    tools, zoom and gestures of the browser survive every update.

    Parameters
    ----------
    on_gesture : callable
        Called with ("box", (left, bottom, right, top)), ("lasso", corners) or ("tap", position).
    on_hover : callable
        Called with the position of the point under the pointer, or None, once per change.
    """

    def __init__(
        self, on_gesture: Callable[[str, Any], None], on_hover: Callable[[int | None], None]
    ) -> None:
        self._on_gesture, self._on_hover = on_gesture, on_hover
        self._near: Near = lambda place, spans: None
        self._over: int | None = None
        self._marked: list[int] = []
        self._cloud, self._view, self._size = EMPTY, extent(EMPTY.points), (700, 500)
        self._home, self._figure = self._view, None
        self._pipes: dict[str, Any] = {}
        self._streams: list[Any] = []
        self.pane = pn.pane.HoloViews(
            None, backend="bokeh", sizing_mode="stretch_both", min_height=240, linked_axes=False
        )

    @property
    def is_raster(self) -> bool:
        """Whether there are too many points in view for glyphs."""
        return elements.is_raster(self._cloud, self._view)

    def show(self, cloud: Cloud, near: Near) -> None:
        """Draw a cloud; the plot keeps its zoom while the points stay the same."""
        moved = cloud.points is not self._cloud.points
        self._cloud, self._near = cloud, near
        if moved:
            self._marked = []
            self._fit()
        if self.pane.object is None:
            self._build()
        else:
            self._draw()

    def mark(self, positions: Sequence[int]) -> None:
        """Put a ring around points, or around none."""
        if self._pipes and list(positions) != self._marked:
            self._marked = list(positions)
            self._pipes["ring"].send(self._cloud.points[self._marked])

    def outline(self, outlines: Sequence[np.ndarray]) -> None:
        """Draw the outlines of what was selected."""
        if self._pipes and len(outlines) + len(self._pipes["regions"].data):
            self._pipes["regions"].send(tuple(outlines))

    def fit(self) -> None:
        """Show everything again."""
        if self._pipes:
            self._fit()
            self._draw()

    def close(self) -> None:
        """Let go of everything; the plot is not used again."""
        for stream in (*self._streams, *self._pipes.values()):
            stream.clear()
            stream.source = None
        self._pipes, self._streams, self._figure = {}, [], None
        self._cloud, self._near = EMPTY, lambda place, spans: None
        self._on_gesture, self._on_hover = lambda kind, value: None, lambda position: None

    # drawing

    def _fit(self) -> None:
        """Show everything, at one scale on both axes."""
        width, height = self._size
        self._home = self._view = extent(self._cloud.points, aspect=width / height)
        if self._figure is not None:  # streams report without the lock of the document
            figure, home = self._figure, self._home
            pn.state.execute(lambda: _set_ranges(figure, home), schedule=bool(pn.state.curdoc))

    def _draw(self) -> None:
        self._pipes["cloud"].send((self._cloud, self._view, self._size))

    def _build(self) -> None:
        first = (self._cloud, self._view, self._size)
        self._pipes = {
            "cloud": streams.Pipe(data=first),
            "ring": streams.Pipe(data=np.zeros((0, 2))),
            "regions": streams.Pipe(data=()),
        }
        cloud, ring, regions = self._pipes.values()
        image = hv.DynamicMap(_image, streams=[cloud])
        layers = (
            image
            * hv.DynamicMap(_glyphs, streams=[cloud])
            * hv.DynamicMap(lambda data: _fixed(elements.regions(data)), streams=[regions])
            * hv.DynamicMap(lambda data: _fixed(elements.ring(data)), streams=[ring])
        )
        self._listen(image)
        self.pane.object = layers.opts(
            responsive=True, active_tools=["box_select", "wheel_zoom"], toolbar="above",
            show_legend=False, hooks=[_weakly(self._made), style], backend="bokeh",
        )  # fmt: skip

    def _made(self, plot: Any, element: Any) -> None:
        figure = plot.state
        if figure is not self._figure:
            self._figure = figure
            _set_ranges(figure, self._home)
        for axis, name in zip((figure.xaxis, figure.yaxis), self._cloud.names, strict=True):
            axis.axis_label = name

    # gestures

    def _listen(self, source: Any) -> None:
        listeners = {
            streams.BoundsXY(source=source): self._box,
            streams.Lasso(source=source): self._lasso,
            streams.SingleTap(source=source): self._tap,
            streams.PointerXY(source=source): self._hover,
            streams.RangeXY(source=source): self._zoom,
            streams.PlotSize(source=source): self._resize,
        }
        for stream, listener in listeners.items():
            stream.add_subscriber(listener)
        self._streams = list(listeners)

    def hit(self, x: float | None, y: float | None) -> int | None:
        """Return the position of the point at these coordinates, or None."""
        if x is None or y is None or not len(self._cloud.points):
            return None
        left, bottom, right, top = self._view
        return self._near((x, y), (right - left, top - bottom))

    def _box(self, bounds: Extent | None) -> None:
        if bounds is not None:
            self._on_gesture("box", bounds)

    def _lasso(self, geometry: np.ndarray | None) -> None:
        if geometry is not None and len(geometry) > 2:
            self._on_gesture("lasso", np.asarray(geometry))

    def _tap(self, x: float | None, y: float | None) -> None:
        position = self.hit(x, y)
        if position is not None:
            self._on_gesture("tap", position)

    def _hover(self, x: float | None, y: float | None) -> None:
        position = self.hit(x, y)
        if position != self._over:
            self._over = position
            self._on_hover(position)

    def _zoom(self, x_range: Any, y_range: Any) -> None:
        if x_range is None or y_range is None:
            return
        view = (float(x_range[0]), float(y_range[0]), float(x_range[1]), float(y_range[1]))
        if view != self._view:
            many = len(self._cloud.points) > elements.MOST_GLYPHS
            self._view = view
            if many:
                self._draw()

    def _resize(self, width: int | None, height: int | None, scale: float = 1.0) -> None:
        if not width or not height:
            return
        size = (min(int(width), MOST_PIXELS), min(int(height), MOST_PIXELS))
        if size != self._size:
            self._size = size
            if self._view == self._home:
                self._fit()
            self._draw()


def _weakly(method: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a hook that HoloViews, which keeps options for good, cannot hold the plot by."""
    reference = weakref.WeakMethod(method)

    def hook(plot: Any, element: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(plot, element)

    return hook


def _image(data: tuple[Cloud, Extent, tuple[int, int]]) -> Any:
    cloud, view, size = data
    if elements.is_raster(cloud, view):
        return _fixed(elements.raster(cloud, view, size))
    blank = np.zeros((1, 1, 4), dtype=np.uint8)
    return _fixed(hv.RGB(blank, bounds=view, vdims=[*"RGBA"]))


def _glyphs(data: tuple[Cloud, Extent, tuple[int, int]]) -> Any:
    cloud, view, _ = data
    if elements.is_raster(cloud, view):
        return _fixed(elements.points(EMPTY))
    return _fixed(
        elements.points(cloud, view if len(cloud.points) > elements.MOST_GLYPHS else None)
    )


def _fixed(element: Any) -> Any:
    return element.opts(
        tools=list(TOOLS), default_tools=[], apply_ranges=False, responsive=True, backend="bokeh"
    )


def _set_ranges(figure: Any, view: Extent) -> None:
    left, bottom, right, top = view
    figure.x_range.update(start=left, end=right, reset_start=left, reset_end=right)
    figure.y_range.update(start=bottom, end=top, reset_start=bottom, reset_end=top)
