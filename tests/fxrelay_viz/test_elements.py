import holoviews as hv
import numpy as np
import pytest

from fxrelay_viz import clouds, elements, raster
from fxrelay_viz.clouds import Cloud, is_raster
from fxrelay_viz.palette import GREY, colouring, rgb

RNG = np.random.default_rng(0)
XY = RNG.normal(size=(50, 2)).astype(np.float32)
COLOURS = colouring(np.arange(50) % 3 - 1)
NAMES = ("tsne 1", "tsne 2")
NONE = np.zeros(50, bool)
VIEW = (-4.0, -4.0, 4.0, 4.0)


def cloud(selected: np.ndarray) -> Cloud:
    return Cloud(XY, COLOURS, selected, NAMES)


def test_points_carry_the_colour_of_their_cluster():
    element = elements.points(cloud(NONE))
    assert (element["x"] == XY[:, 0]).all()
    assert (element["code"] == COLOURS.codes).all()
    assert len(set(element["alpha"])) == 1


def test_selected_points_lie_on_top_and_the_rest_is_faded():
    element = elements.points(cloud(np.arange(50) < 5))
    assert (element["x"][-5:] == XY[:5, 0]).all()
    assert element["alpha"][-5:].min() > 0.9
    assert element["alpha"][:-5].max() < 0.2


def test_only_points_in_view_are_sent():
    element = elements.points(cloud(NONE), (0.0, 0.0, 4.0, 4.0))
    assert len(element) == ((XY > 0).all(axis=1)).sum()


def pixels(selected: np.ndarray) -> np.ndarray:
    image = elements.raster(cloud(selected), VIEW, (400, 400))
    planes = [image.dimension_values(d, flat=False) for d in "RGBA"]
    return np.stack(planes, axis=-1)[::-1]


def place(point: np.ndarray) -> tuple[int, int]:
    """Row from the top and column of a point in an image of 400 x 400 pixels of VIEW."""
    x, y = np.floor((point + 4) * 50).astype(int)
    return 399 - y, x


def test_a_pixel_of_the_raster_has_the_colour_of_its_point():
    image = pixels(NONE)
    table = rgb(COLOURS.colours)
    for n in range(50):
        row, column = place(XY[n])
        assert image[row, column, 3] > 0
        assert (image[row, column, :3] == table[COLOURS.codes[n]]).all()


def test_what_is_not_selected_is_grey_and_fainter():
    image, chosen = pixels(np.arange(50) == 7), rgb(COLOURS.colours)[COLOURS.codes[7]]
    row, column = place(XY[7])
    assert (image[row, column, :3] == chosen).all()
    grey = image[place(XY[8])]
    assert (grey[:3] == rgb((GREY,))[0]).all()
    assert grey[3] < image[row, column, 3]


def test_dense_pixels_are_more_opaque_and_mix_their_colours():
    xy = np.array([[0.1, 0.1]] * 3 + [[2.1, 2.1]], np.float32)
    two = colouring(np.array([0, 0, 1, 0]))
    image = elements.raster(Cloud(xy, two, np.zeros(4, bool)), VIEW, (400, 400))
    planes = np.stack([image.dimension_values(d, flat=False) for d in "RGBA"], axis=-1)[::-1]
    dense, thin = planes[place(xy[0])], planes[place(xy[3])]
    assert dense[3] > thin[3]
    assert abs(dense[:3] - rgb(two.colours).astype(float).T @ [2 / 3, 1 / 3]).max() <= 1


def test_what_is_hidden_is_on_no_raster():
    shown = np.arange(50) < 20
    hidden = raster.rasterize(Cloud(XY, COLOURS, NONE, shown=shown), VIEW, (400, 400))
    part = Cloud(XY[:20], colouring(np.arange(20) % 3 - 1), NONE[:20])
    assert (hidden == raster.rasterize(part, VIEW, (400, 400))).all()


@pytest.mark.parametrize("view", [None, VIEW])
def test_many_points_are_a_raster_until_few_are_in_view(monkeypatch, view):
    assert not is_raster(cloud(NONE), view)
    monkeypatch.setattr(clouds, "MOST_GLYPHS", 40)
    monkeypatch.setattr(clouds, "NEAR_GLYPHS", 30)
    assert is_raster(cloud(NONE), view)
    assert not is_raster(cloud(NONE), (0.0, 0.0, 4.0, 4.0))


def test_elements_render():
    renderer = hv.renderer("bokeh")
    for element in (
        elements.points(cloud(XY[:, 0] > 0)),
        elements.raster(cloud(XY[:, 0] > 0)),
        elements.ring(XY[[3]]),
        elements.ring(np.zeros((0, 2))),
        elements.regions([XY[:4]]),
        elements.regions([]),
        elements.eigenvalues(np.linspace(0, 1, 12), 3),
        elements.eigenvalues(np.zeros(1)),
    ):
        assert renderer.get_plot(element).state is not None
    raster.warm()
