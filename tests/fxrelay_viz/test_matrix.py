import numpy as np

from fxrelay_viz import matrix
from fxrelay_viz.palette import colouring, rgb

RNG = np.random.default_rng(0)


def test_every_pair_of_the_first_axes_is_drawn():
    points = RNG.normal(size=(200, 7))
    found = matrix.thumbnails(points, colouring(np.arange(200) % 2))
    assert sorted(found) == [(a, b) for a in range(5) for b in range(a + 1, 5)]
    assert all(image.shape == (64, 64, 4) for image in found.values())
    assert list(matrix.thumbnails(points[:, :2], colouring(np.zeros(200, int)))) == [(0, 1)]


def test_points_lie_where_their_axes_say_in_their_colour():
    points = np.array([[0.0, 0.0, 5.0], [1.0, 1.0, 5.0], [np.nan, 0.0, 0.0]])
    colours = colouring(np.array([0, 1, 1]))
    image = matrix.thumbnails(points, colours)[0, 1]
    lower, upper = image[32:, :32], image[:32, 32:]
    assert {tuple(c) for c in lower[lower[..., 3] > 0][:, :3]} == {tuple(rgb(colours.colours)[0])}
    assert {tuple(c) for c in upper[upper[..., 3] > 0][:, :3]} == {tuple(rgb(colours.colours)[1])}
    assert not image[:32, :32].any()
    hidden = matrix.thumbnails(points, colours, np.array([True, False, True]))[0, 1]
    assert not hidden[:32, 32:].any()
    assert (hidden[32:, :32] == lower).all()
    assert not matrix.thumbnails(np.full((3, 3), np.nan), colours)[0, 2].any()
