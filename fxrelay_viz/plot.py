"""The embedding plot: a cloud in a pane, gestures out as plain geometry."""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import panel as pn
from bokeh import events

from fxrelay_viz.clouds import Cloud, is_raster
from fxrelay_viz.figure import Figure, overlay
from fxrelay_viz.geometry import extent
from fxrelay_viz.later import Later, locked
from fxrelay_viz.palette import Colouring
from fxrelay_viz.sketching import USUAL, Sketch, Sketcher

EMPTY: Final = Cloud(np.zeros((0, 2)), Colouring(np.zeros(0, int), (), (), ()), np.zeros(0, bool))
#: a page that is being laid out changes its size several times within so many milliseconds
SETTLING: Final = 120
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
        Called with the position of the point under the pointer, or None, once per change; never
        while something is dragged.
    """

    def __init__(
        self, on_gesture: Callable[[str, Any], None], on_hover: Callable[[int | None], None]
    ) -> None:
        self._on_gesture, self._on_hover = on_gesture, on_hover
        self._near: Near = lambda place, spans: None
        self._over: int | None = None
        self._is_dragging = False
        self._size: tuple[int, int] | None = None
        self._cloud, self._home = EMPTY, extent(EMPTY.points)
        self._view = self._home
        self._marked: list[int] = []
        self._outlines: Sequence[np.ndarray] = ()
        self._contours: Sequence[tuple[np.ndarray, str]] = ()
        self._figure: Figure | None = None
        self._sketcher, self._settled = Sketcher(self._take), Later(self._draw, SETTLING)
        self.pane = pn.pane.HoloViews(
            None, backend="bokeh", sizing_mode="stretch_both", min_height=240, linked_axes=False
        )

    @property
    def is_raster(self) -> bool:
        """Whether there are too many points in view for glyphs."""
        return is_raster(self._cloud, self._view)

    def show(self, cloud: Cloud, near: Near) -> None:
        """Draw a cloud; the plot keeps its zoom while the points stay the same."""
        moved = cloud.points is not self._cloud.points
        self._cloud, self._near = cloud, near
        if moved:
            self._marked = []
            self._fit()
        if self.pane.object is None:
            self.pane.object = overlay(_weakly(self._made))
        self._draw()

    def mark(self, positions: Sequence[int]) -> None:
        """Put a ring around points, or around none."""
        if list(positions) != self._marked:
            self._marked = list(positions)
            self._draw_marks()

    def outline(self, outlines: Sequence[np.ndarray]) -> None:
        """Draw the outlines of what was selected."""
        if len(outlines) + len(self._outlines):
            self._outlines = tuple(outlines)
            self._draw_lines()

    def contour(self, lines: Sequence[tuple[np.ndarray, str]]) -> None:
        """Draw lines of equal density, each of shape (m, 2), with a colour each."""
        if lines is not self._contours and len(lines) + len(self._contours):
            self._contours = lines
            self._draw_lines()

    def fit(self) -> None:
        """Show everything again."""
        self._fit()
        self._draw()

    def close(self) -> None:
        """Let go of everything; the plot is not used again."""
        self._sketcher.close()
        self._figure, self._cloud, self._near = None, EMPTY, lambda place, spans: None
        self._on_gesture, self._on_hover = lambda kind, value: None, lambda position: None

    # drawing

    def _made(self, plot: Any, element: Any) -> None:
        """Take over a figure that HoloViews made."""
        self._figure = Figure(plot)
        self._figure.fit(self._home)
        self._figure.listen(
            {
                events.SelectionGeometry: self._select,
                events.Tap: self._tap,
                events.MouseMove: self._move,
                events.MouseLeave: lambda event: self._hover(None),
                events.PanStart: lambda event: self._drag(True),
                events.PanEnd: lambda event: self._drag(False),
                events.RangesUpdate: self._zoom,
            },
            self._resize,
        )
        if self._marked:
            self._draw_marks()
        if self._outlines or self._contours:
            self._draw_lines()
        self._draw()

    def _fit(self) -> None:
        """Show everything, at one scale on both axes."""
        width, height = self._size or USUAL
        self._home = self._view = extent(self._cloud.points, aspect=width / height)
        if self._figure is not None:
            locked(partial(self._figure.fit, self._home))

    def _draw(self) -> None:
        if self._figure is not None:
            self._sketcher.ask(self._cloud, self._view, self._size)

    def _take(self, found: Sketch) -> None:
        if self._figure is not None:
            self._figure.draw(found)

    def _draw_marks(self) -> None:
        if self._figure is not None:
            locked(partial(self._figure.ring, self._cloud.points[self._marked]))

    def _draw_lines(self) -> None:
        if self._figure is not None:
            locked(partial(self._figure.outline, self._outlines))
            locked(partial(self._figure.contour, self._contours))

    # gestures

    def hit(self, x: float | None, y: float | None) -> int | None:
        """Return the position of the point at these coordinates, or None."""
        if x is None or y is None or not len(self._cloud.points):
            return None
        left, bottom, right, top = self._view
        return self._near((x, y), (right - left, top - bottom))

    def _select(self, event: Any) -> None:
        shape = event.geometry or {}
        if not event.final:
            return
        if shape.get("type") == "rect":
            self._on_gesture("box", tuple(float(shape[n]) for n in ("x0", "y0", "x1", "y1")))
        elif shape.get("type") == "poly" and len(shape["x"]) > 2:
            self._on_gesture("lasso", np.stack([shape["x"], shape["y"]], axis=1).astype(float))

    def _tap(self, event: Any) -> None:
        position = self.hit(event.x, event.y)
        if position is not None:
            self._on_gesture("tap", position)

    def _move(self, event: Any) -> None:
        if not self._is_dragging:
            self._hover(self.hit(event.x, event.y))

    def _drag(self, is_dragging: bool) -> None:
        self._is_dragging = is_dragging

    def _hover(self, position: int | None) -> None:
        if position != self._over:
            self._over = position
            self._on_hover(position)

    def _zoom(self, event: Any) -> None:
        if None in (event.x0, event.y0, event.x1, event.y1):
            return
        view = (float(event.x0), float(event.y0), float(event.x1), float(event.y1))
        if view != self._view:
            self._view = view
            if self._cloud.is_large:
                self._draw()

    def _resize(self, width: int, height: int) -> None:
        size = (min(width, MOST_PIXELS), min(height, MOST_PIXELS))
        if min(size) > 0 and size != self._size:
            self._size = size
            if self._view == self._home:
                self._fit()
            self._settled.ask()


def _weakly(method: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a hook that HoloViews, which keeps options for good, cannot hold the plot by."""
    reference = weakref.WeakMethod(method)

    def hook(plot: Any, element: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(plot, element)

    return hook
