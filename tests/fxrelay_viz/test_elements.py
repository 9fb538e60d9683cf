import holoviews as hv
import numpy as np

from fxrelay_viz import elements
from fxrelay_viz.palette import GREY, colouring

RNG = np.random.default_rng(0)
XY = RNG.normal(size=(50, 2)).astype(np.float32)
COLOURS = colouring(np.arange(50) % 3 - 1)
NAMES = ("tsne 1", "tsne 2")


def test_points_carry_the_colour_of_their_cluster():
    element = elements.points(XY, COLOURS, np.zeros(50, bool), NAMES)
    assert (element["x"] == XY[:, 0]).all()
    assert set(element["colour"]) == set(COLOURS.colours)
    assert (element["colour"][::3] == GREY).all()
    assert len(set(element["alpha"])) == 1


def test_selected_points_lie_on_top_and_the_rest_is_faded():
    selected = np.arange(50) < 5
    element = elements.points(XY, COLOURS, selected, NAMES)
    assert (element["x"][-5:] == XY[:5, 0]).all()
    assert element["alpha"][-5:].min() > 0.9
    assert element["alpha"][:-5].max() < 0.2


def test_what_is_not_selected_is_one_grey_category_of_the_cloud():
    element = elements.cloud(XY, COLOURS, np.arange(50) < 6, NAMES)
    kinds = element.data["kind"].astype(int).to_numpy()
    assert kinds[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert set(kinds[6:]) == {3}
    everything = elements.cloud(XY, COLOURS, np.zeros(50, bool), NAMES)
    assert (everything.data["kind"].astype(int) == COLOURS.codes).all()


def test_elements_render():
    renderer = hv.renderer("bokeh")
    for element in (
        elements.points(XY, COLOURS, XY[:, 0] > 0, NAMES),
        elements.ring(XY[[3]]),
        elements.ring(np.zeros((0, 2))),
        elements.eigenvalues(np.linspace(0, 1, 12), 3),
        elements.eigenvalues(np.zeros(1)),
    ):
        assert renderer.get_plot(element).state is not None


def test_raster_has_an_image():
    shaded = elements.raster(elements.cloud(XY, COLOURS, XY[:, 0] > 0, NAMES), COLOURS.colours)
    image = hv.renderer("bokeh").get_plot(shaded)
    assert image.state is not None
