import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fxrelay_viz.geometry import dilate, extent, in_box, in_polygon, inside, simplify

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1, 1, size=(500, 2))


def test_box_takes_any_two_opposite_corners():
    expected = (abs(POINTS) <= 0.5).all(axis=1)
    for corners in ([[-0.5, -0.5], [0.5, 0.5]], [[0.5, -0.5], [-0.5, 0.5]]):
        assert (in_box(POINTS, np.array(corners)) == expected).all()


def test_polygon_of_a_triangle_and_of_a_hole():
    triangle = np.array([[0, 0], [1, 0], [0, 1]])
    expected = (POINTS > 0).all(axis=1) & (POINTS.sum(axis=1) < 1)
    assert (in_polygon(POINTS, triangle) == expected).all()
    ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1],
                     [-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])  # fmt: skip
    assert (in_polygon(POINTS, ring) == ~in_box(POINTS, np.array([[-0.5] * 2, [0.5] * 2]))).all()


def test_polygon_with_fewer_than_three_corners_is_empty():
    assert not in_polygon(POINTS, POINTS[:2]).any()


@given(st.integers(3, 12), st.integers(0, 2**31))
def test_polygon_agrees_with_the_winding_of_a_convex_one(corners: int, seed: int):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    polygon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    edges = np.roll(polygon, -1, axis=0) - polygon
    away = POINTS[:, None] - polygon
    cross = edges[:, 0] * away[..., 1] - edges[:, 1] * away[..., 0]
    sure = (abs(cross) > 1e-9).all(axis=1)
    assert (in_polygon(POINTS, polygon) == (cross > 0).all(axis=1))[sure].all()


def test_simplify_keeps_the_shape_of_a_lasso():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    lasso = np.stack([np.cos(angle), np.sin(angle) * (1 + 0.3 * np.cos(3 * angle))], axis=1)
    short = simplify(lasso)
    assert len(short) == 48
    assert (in_polygon(POINTS, lasso) == in_polygon(POINTS, short)).mean() > 0.99
    assert len(simplify(RNG.uniform(size=(20_000, 2)))) == 48
    assert (simplify(lasso[:10]) == lasso[:10]).all()


def test_extent_is_padded_and_finite():
    points = np.array([[0.0, 0.0], [10.0, 4.0], [np.nan, 99.0]])
    assert extent(points, padding=0.0) == (0, 0, 10, 4)
    assert np.allclose(extent(points, padding=0.05), (-0.5, -0.2, 10.5, 4.2))
    assert extent(np.zeros((0, 2))) == (-1, -1, 1, 1)
    left, bottom, right, top = extent(np.full((3, 2), 7.0))
    assert left < 7 < right
    assert bottom < 7 < top


@given(st.floats(0.2, 5), st.integers(0, 2**31))
def test_extent_of_an_aspect_has_one_scale_and_holds_every_point(aspect: float, seed: int):
    points = np.random.default_rng(seed).normal(size=(20, 2)) * [3, 1]
    view = extent(points, aspect=aspect)
    assert np.isclose((view[2] - view[0]) / (view[3] - view[1]), aspect)
    assert inside(points, view).all()


def test_dilate_thickens_and_keeps_what_is_drawn():
    image = np.zeros((5, 5, 4), np.uint8)
    image[2, 2] = 1, 2, 3, 255
    grown = dilate(image, 1)
    assert (grown[..., 3] > 0).sum() == 5
    assert (dilate(image, 2)[..., 3] > 0).sum() == 13
    assert (grown[2, 1] == image[2, 2]).all()
    assert dilate(image, 0) is image
    assert image[..., 3].sum() == 255
