from typing import Any

import numpy as np
import pytest
from bokeh import events
from bokeh.models import BoxSelectTool, LassoSelectTool

from fxrelay_viz import clouds
from fxrelay_viz.clouds import Cloud
from fxrelay_viz.palette import colouring
from fxrelay_viz.plot import EmbeddingPlot

RNG = np.random.default_rng(0)
XY = RNG.normal(size=(60, 2)).astype(np.float32)
COLOURS = colouring(np.arange(60) % 3)


class Told:
    def __init__(self) -> None:
        self.gestures: list[tuple[str, Any]] = []
        self.hovers: list[int | None] = []
        self.root: Any = None
        self.plot = EmbeddingPlot(lambda *g: self.gestures.append(g), self.hovers.append)

    def show(self, xy: np.ndarray = XY, selected: np.ndarray | None = None) -> None:
        chosen = np.zeros(len(xy), bool) if selected is None else selected
        cloud = Cloud(xy, colouring(np.arange(len(xy)) % 3), chosen, ("a", "b"))
        self.plot.show(cloud, lambda at, spans: int(np.hypot(*(xy - at).T).argmin()))
        self.root = self.root or self.plot.pane.get_root()

    def tell(self, event: type[events.ModelEvent], **facts: Any) -> None:
        """Report an event as a browser does."""
        self.figure.model._trigger_event(event(self.figure.model, **facts))

    def point(self, event: type[events.PointEvent], x: float | None, y: float | None) -> None:
        self.tell(event, sx=0.0, sy=0.0, x=x, y=y, modifiers=None)

    def zoom(self, left: float, bottom: float, right: float, top: float) -> None:
        self.tell(events.RangesUpdate, x0=left, y0=bottom, x1=right, y1=top)

    def resize(self, width: int, height: int) -> None:
        model = self.figure.model
        for name, pixels in (("inner_width", width), ("inner_height", height)):
            model.trigger(name, None, pixels)

    def drawn(self) -> tuple[bool, int]:
        """Return whether there is a raster, and how many glyphs."""
        image, points = self.figure._image.data_source.data, self.figure._points.data_source.data
        return len(image["image"]) == 1, len(points["x"])

    @property
    def figure(self) -> Any:
        return self.plot._figure


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_figure_is_made_once(told: Told):
    told.show()
    figure, ranges = told.figure.model, told.plot._view
    told.show(selected=XY[:, 0] > 0)
    assert told.figure.model is figure
    assert told.plot._view == ranges
    told.show(XY * 3)
    assert told.figure.model is figure
    assert figure.x_range.start < 3 * XY[:, 0].min()
    assert figure.x_range.reset_start == figure.x_range.start
    tools = [t for t in figure.tools if isinstance(t, (BoxSelectTool, LassoSelectTool))]
    assert len(tools) == 2
    assert not any(t.continuous or t.renderers for t in tools)


def test_gestures_are_plain_geometry(told: Told):
    told.show()
    box = {"type": "rect", "x0": 0, "y0": 1, "x1": 2, "y1": 3}
    corners = {"type": "poly", "x": [0, 1, 0], "y": [0, 0, 1]}
    told.tell(events.SelectionGeometry, geometry=box, final=True)
    told.tell(events.SelectionGeometry, geometry=corners, final=False)
    told.tell(events.SelectionGeometry, geometry=corners, final=True)
    told.tell(events.SelectionGeometry, geometry={"type": "poly", "x": [0, 1], "y": [0, 0]})
    told.point(events.Tap, float(XY[5, 0]), float(XY[5, 1]))
    assert [kind for kind, _ in told.gestures] == ["box", "lasso", "tap"]
    assert told.gestures[0][1] == (0, 1, 2, 3)
    assert told.gestures[1][1].tolist() == [[0, 0], [1, 0], [0, 1]]
    assert told.gestures[2][1] == 5


def test_the_pointer_is_told_once_per_change(told: Told):
    told.show()
    for n in (3, 3, 4):
        told.point(events.MouseMove, float(XY[n, 0]), float(XY[n, 1]))
    told.point(events.MouseLeave, 0.0, 0.0)
    assert told.hovers == [3, 4, None]


def test_the_pointer_is_not_told_while_something_is_dragged(told: Told):
    told.show()
    place = float(XY[3, 0]), float(XY[3, 1])
    told.point(events.PanStart, *place)
    told.point(events.MouseMove, *place)
    assert told.hovers == []
    told.point(events.PanEnd, *place)
    told.point(events.MouseMove, *place)
    assert told.hovers == [3]


def test_zoom_changes_raster_to_glyphs_and_back(told: Told, monkeypatch):
    monkeypatch.setattr(clouds, "MOST_GLYPHS", 20)
    monkeypatch.setattr(clouds, "NEAR_GLYPHS", 10)
    told.show()
    assert told.plot.is_raster
    assert told.drawn() == (True, 0)
    told.zoom(1.0, 0.0, 1.2, 0.2)
    assert not told.plot.is_raster
    assert told.plot._view == (1.0, 0.0, 1.2, 0.2)
    near = ((XY >= [1, 0]) & (XY <= [1.2, 0.2])).all(axis=1).sum()
    assert told.drawn() == (False, near)
    told.zoom(-4.0, -4.0, 4.0, 4.0)
    assert told.plot.is_raster
    told.tell(events.RangesUpdate, x0=None, y0=0.0, x1=1.0, y1=1.0)
    assert told.plot._view == (-4, -4, 4, 4)


def test_a_new_size_keeps_one_scale_unless_zoomed(told: Told):
    told.show()
    told.resize(1000, 250)
    left, bottom, right, top = told.plot._view
    assert np.isclose((right - left) / (top - bottom), 4)
    told.zoom(0.0, 0.0, 1.0, 1.0)
    told.resize(500, 500)
    assert told.plot._view == (0, 0, 1, 1)


def test_colours_of_glyphs_follow_the_cloud(told: Told):
    told.show()
    glyphs = told.figure._points
    assert list(glyphs.glyph.fill_color.transform.palette) == list(COLOURS.colours)
    assert (glyphs.data_source.data["color"] == np.arange(60) % 3).all()
    told.show(selected=XY[:, 0] > 0)
    alpha = glyphs.data_source.data["alpha"]
    assert (np.diff(alpha) >= 0).all()
    assert (alpha == alpha.max()).sum() == (XY[:, 0] > 0).sum()
    assert told.figure.model.xaxis[0].axis_label == "a"


def test_marks_and_outlines(told: Told):
    told.plot.mark([1])
    told.plot.outline([XY[:3]])
    told.show()
    ring, regions = (told.figure._ring.data_source, told.figure._regions.data_source)
    assert len(regions.data["xs"]) == 1
    told.plot.mark([1, 2])
    assert (ring.data["x"] == XY[[1, 2], 0]).all()
    told.plot.outline([XY[:3]])
    assert regions.data["xs"][0].tolist() == XY[[0, 1, 2, 0], 0].tolist()
    told.plot.outline([])
    assert regions.data == {"xs": [], "ys": []}


def test_contours_have_a_colour_each(told: Told):
    told.show()
    lines = [(XY[:4], "#ff0000"), (XY[4:6], "#00ff00")]
    told.plot.contour(lines)
    drawn = told.figure._contours.data_source.data
    assert drawn["colour"] == ["#ff0000", "#00ff00"]
    assert [len(x) for x in drawn["xs"]] == [4, 2]
    told.plot.contour([])
    assert drawn != told.figure._contours.data_source.data == {"xs": [], "ys": [], "colour": []}


def test_hidden_points_are_not_drawn_and_nothing_moves(told: Told):
    told.show()
    view = told.plot._view
    shown = XY[:, 0] < 0
    told.plot.show(Cloud(XY, COLOURS, ~shown, shown=shown), lambda at, spans: None)
    drawn = told.figure._points.data_source.data
    assert sorted(drawn["x"]) == sorted(XY[shown, 0])
    assert len(set(drawn["alpha"])) == 1
    assert told.plot._view == view
    told.plot.mark([int(np.argmax(XY[:, 0]))])
    assert told.figure._ring.data_source.data["x"] == [XY[:, 0].max()]


def test_nothing_is_held_after_close(told: Told):
    told.show()
    figure = told.figure.model
    told.plot.close()
    box = {"type": "rect", "x0": 0, "y0": 0, "x1": 1, "y1": 1}
    figure._trigger_event(events.SelectionGeometry(figure, geometry=box))
    assert told.gestures == []
    assert told.plot.hit(0.0, 0.0) is None
