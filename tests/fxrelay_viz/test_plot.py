from typing import Any

import numpy as np
import pytest
from bokeh.models import BoxSelectTool, LassoSelectTool

from fxrelay_viz import elements
from fxrelay_viz.elements import Cloud
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

    def stream(self, name: str) -> Any:
        return next(s for s in self.plot._streams if type(s).__name__ == name)


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_figure_is_made_once(told: Told):
    told.show()
    figure, ranges = told.plot._figure, told.plot._view
    told.show(selected=XY[:, 0] > 0)
    assert told.plot._figure is figure
    assert told.plot._view == ranges
    told.show(XY * 3)
    assert told.plot._figure is figure
    assert figure.x_range.start < 3 * XY[:, 0].min()
    assert figure.x_range.reset_start == figure.x_range.start
    tools = [t for t in figure.tools if isinstance(t, (BoxSelectTool, LassoSelectTool))]
    assert len(tools) == 2
    assert not any(t.continuous or t.renderers for t in tools)


def test_gestures_are_plain_geometry(told: Told):
    told.show()
    told.stream("BoundsXY").event(bounds=(0, 1, 2, 3))
    told.stream("Lasso").event(geometry=np.array([[0, 0], [1, 0], [0, 1]]))
    told.stream("Lasso").event(geometry=np.array([[0, 0], [1, 0]]))
    told.stream("SingleTap").event(x=float(XY[5, 0]), y=float(XY[5, 1]))
    assert [kind for kind, _ in told.gestures] == ["box", "lasso", "tap"]
    assert told.gestures[0][1] == (0, 1, 2, 3)
    assert told.gestures[2][1] == 5


def test_the_pointer_is_told_once_per_change(told: Told):
    told.show()
    for n in (3, 3, 4):
        told.stream("PointerXY").event(x=float(XY[n, 0]), y=float(XY[n, 1]))
    told.stream("PointerXY").event(x=None, y=None)
    assert told.hovers == [3, 4, None]


def test_zoom_changes_raster_to_glyphs_and_back(told: Told, monkeypatch):
    monkeypatch.setattr(elements, "MOST_GLYPHS", 20)
    monkeypatch.setattr(elements, "NEAR_GLYPHS", 10)
    told.show()
    assert told.plot.is_raster
    told.stream("RangeXY").event(x_range=(1.0, 1.2), y_range=(0.0, 0.2))
    assert not told.plot.is_raster
    assert told.plot._view == (1.0, 0.0, 1.2, 0.2)
    told.stream("RangeXY").event(x_range=(-4.0, 4.0), y_range=(-4.0, 4.0))
    assert told.plot.is_raster


def test_a_new_size_keeps_one_scale_unless_zoomed(told: Told):
    told.show()
    told.stream("PlotSize").event(width=1000, height=250, scale=1.0)
    left, bottom, right, top = told.plot._view
    assert np.isclose((right - left) / (top - bottom), 4)
    told.stream("RangeXY").event(x_range=(0.0, 1.0), y_range=(0.0, 1.0))
    told.stream("PlotSize").event(width=500, height=500, scale=1.0)
    assert told.plot._view == (0, 0, 1, 1)


def test_marks_and_outlines(told: Told):
    told.plot.mark([1])
    told.plot.outline([XY[:3]])
    told.show()
    told.plot.mark([1, 2])
    assert (told.plot._pipes["ring"].data == XY[[1, 2]]).all()
    told.plot.outline([XY[:3]])
    assert len(told.plot._pipes["regions"].data) == 1
    told.plot.outline([])
    assert told.plot._pipes["regions"].data == ()


def test_nothing_is_held_after_close(told: Told):
    told.show()
    streams = told.plot._streams
    told.plot.close()
    streams[0].event(bounds=(0, 0, 1, 1))
    assert told.gestures == []
    assert told.plot.hit(0.0, 0.0) is None
