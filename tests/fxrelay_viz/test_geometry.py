import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fxrelay_viz.geometry import in_box, in_polygon, nearest, simplify

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


def test_nearest():
    assert nearest(POINTS, tuple(POINTS[17])) == 17
    assert nearest(POINTS, (9.0, 9.0), radius=0.1) is None
    assert nearest(POINTS[:0], (0.0, 0.0)) is None
