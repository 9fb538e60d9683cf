import numpy as np
import pytest
from matplotlib.path import Path

from fxrelay_viz import density
from fxrelay_viz.palette import colouring
from fxrelay_viz.theme import SOFT

RNG = np.random.default_rng(0)
N = 40_000
POINTS = RNG.normal(size=(N, 2)) * (1.0, 3.0)
FAR = POINTS + np.array([20.0, 0.0])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_line_surrounds_its_share_of_the_points(share: float):
    lines = density.contours(POINTS, shares=[share])
    largest = max(lines, key=lambda line: len(line[0]))[0]
    held = Path(largest).contains_points(POINTS).mean()
    assert held == pytest.approx(share, abs=0.03)
    expected = np.sqrt(-2 * np.log(1 - share))  # of a normal distribution
    assert abs(largest[:, 0]).max() == pytest.approx(expected, rel=0.15)
    assert abs(largest[:, 1]).max() == pytest.approx(3 * expected, rel=0.15)


def test_every_colour_has_its_own_lines():
    points, codes = np.concatenate([POINTS, FAR]), np.repeat([0, 1], N)
    colours = colouring(codes)
    lines = density.contours(points, colours)
    assert {colour for _, colour in lines} == set(colours.colours)
    for line, colour in lines:
        assert (line[:, 0] > 10).all() == (colour == colours.colours[1])
    assert {c for _, c in density.contours(points, colours, codes == 1)} == {colours.colours[1]}
    assert {c for _, c in density.contours(points, colouring(points[:, 0]))} == {SOFT}


def test_where_there_is_nothing_there_are_no_lines():
    holed = np.where(RNG.random((9, 1)) < 0.5, np.nan, POINTS[:9])
    assert density.contours(holed)
    assert density.contours(np.full((3, 2), np.nan)) == []
    assert density.contours(np.zeros((0, 2))) == []
    assert density.contours(POINTS, shown=np.zeros(N, bool)) == []
    assert density.contours(np.zeros((5, 2)))
