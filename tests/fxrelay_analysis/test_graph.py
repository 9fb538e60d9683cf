"""Neighbours against brute force; eigenvalues against closed forms."""

from unittest import mock

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from fxrelay_analysis import stages
from fxrelay_analysis.stages.graph import matrix
from fxrelay_analysis.stages.nearest import nearest

DIMS = ("sample", "feature")


def brute(x, k):
    distance = cdist(x, x)
    np.fill_diagonal(distance, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(len(x)), distance.shape), distance), axis=1)
    return order[:, :k], np.sort(distance, axis=1)[:, :k]


def check(x, k):
    index, distance = nearest(x, k)
    _, expected = brute(x.astype(np.float64), k)
    np.testing.assert_allclose(distance, expected, rtol=1e-7, atol=1e-7)
    assert (index != np.arange(len(x))[:, None]).all()
    assert all(len(set(row)) == k for row in index.tolist())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "k"), [(12, 3, 10), (500, 40, 10), (300, 784, 5), (5, 1, 4)])
def test_neighbours_are_those_of_brute_force(n, d, k, dtype):
    x = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    check(x, k)
    np.testing.assert_array_equal(nearest(x, k)[0], brute(x.astype(np.float64), k)[0])


def test_duplicates_keep_their_neighbours_and_exclude_themselves():
    x = np.random.default_rng(0).normal(size=(30, 4))
    x[5:25] = x[0]
    check(x, 6)
    index, distance = nearest(x, 6)
    np.testing.assert_array_equal(distance[0], 0)
    np.testing.assert_array_equal(index[0], [5, 6, 7, 8, 9, 10])


def test_far_from_the_origin_rounding_hides_no_neighbour():
    x = 1e4 + np.random.default_rng(0).normal(size=(200, 6)) * 1e-3
    x[0] = -1e4
    check(x, 7)


@pytest.mark.parametrize("away", [0.0, 0.5, 1.0, 3.0, 30.0, 1e3])
@pytest.mark.parametrize("power", [-140, -60, 0, 40, 60, 110])
def test_neither_the_centre_nor_the_unit_matters_in_float32(away, power):
    x = (away + np.random.default_rng(1).normal(size=(150, 30))).astype(np.float32)
    index, distance = nearest(np.ldexp(x, power), 6)
    expected = brute(np.ldexp(x, power).astype(np.float64), 6)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-9)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_empty_samples_are_ordered_by_position(share, dtype):
    random = np.random.default_rng(2)
    x = random.normal(size=(1200, 4)).astype(dtype)
    x[random.random(len(x)) < share] = 0
    np.testing.assert_array_equal(nearest(x, 3)[0], brute(x.astype(np.float64), 3)[0])


@pytest.mark.parametrize("bulk", [2.0**-140, 2.0**-80, 2.0**-74, 2.0**-66, 1e-9, 1e-3])
@pytest.mark.parametrize("outlier", [2.0**-49, 1e-6, 1.0, 1e16, 1e30])
def test_an_outlier_of_any_size_costs_no_neighbour(bulk, outlier):
    x = (bulk * np.random.default_rng(3).normal(size=(300, 20))).astype(np.float32)
    x[7] = outlier
    expected = brute(x.astype(np.float64), 5)
    np.testing.assert_allclose(nearest(x, 5)[1], expected[1], rtol=1e-9)


def test_blocks_do_not_change_the_result(monkeypatch):
    x = np.random.default_rng(0).normal(size=(101, 6))
    whole = nearest(x, 4)
    monkeypatch.setattr("fxrelay_analysis.stages.nearest.BLOCK", 1000)
    monkeypatch.setattr("fxrelay_analysis.stages.nearest.TILE", 7)
    for a, b in zip(whole, nearest(x, 4), strict=True):
        np.testing.assert_array_equal(a, b)


@given(st.integers(6, 40), st.integers(1, 5), st.integers(0, 2**31), st.booleans())
def test_neighbours_of_any_data(n, k, seed, coarse):
    x = np.random.default_rng(seed).normal(size=(n, 3))
    check(np.round(x) if coarse else x, k)


@given(st.integers(6, 60), st.integers(1, 5), st.integers(0, 2**31), st.integers(1, 25))
def test_tiles_of_any_size_give_the_same_neighbours(n, k, seed, tile):
    random = np.random.default_rng(seed)
    x = np.round(2 * random.normal(size=(n, 2)))  # duplicates and equal distances
    some = random.permutation(n)[: n // 2]
    with mock.patch("fxrelay_analysis.stages.nearest.TILE", tile):
        whole, part = nearest(x, k), nearest(x, k, some)
    expected = brute(x, k)
    for got, few, want in zip(whole, part, expected, strict=True):
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(few, want[some])


def dense(mode, x, k=3):
    ds = stages.neighbours(xr.DataArray(x, dims=("sample", "feature")), n_neighbours=k)
    ds = ds.assign_coords(sample=np.arange(len(x)))
    return matrix(stages.affinity(ds, mode=mode)).toarray()


def test_affinities_are_symmetric_without_loops():
    x = np.random.default_rng(0).normal(size=(25, 2))
    index, _ = brute(x, 3)
    a = np.zeros((25, 25))
    np.put_along_axis(a, index, 1, axis=1)
    np.testing.assert_array_equal(dense("mean", x), (a + a.T) / 2)
    np.testing.assert_array_equal(dense("binary", x), np.maximum(a, a.T))
    np.testing.assert_array_equal(dense("mutual", x), a * a.T)
    weighted = dense("weighted", x)
    np.testing.assert_array_equal(weighted, weighted.T)
    np.testing.assert_array_equal(weighted > 0, dense("binary", x) > 0)
    assert weighted.max() <= 1


def graph(edges, n):
    both = np.array([*edges, *((j, i) for i, j in edges)]).T
    return xr.Dataset(
        {
            "edge_source": ("edge", both[0].astype(np.int32)),
            "edge_target": ("edge", both[1].astype(np.int32)),
            "edge_weight": ("edge", np.ones(both.shape[1])),
        },
        coords={"sample": np.arange(n)},
    )


def cycle(n):
    return [(i, (i + 1) % n) for i in range(n)]


@pytest.mark.parametrize("n", [30, 700])
def test_eigenvalues_of_a_cycle_and_a_path(n):
    found = stages.spectral_embedding(graph(cycle(n), n), n_components=6)["eigenvalue"]
    np.testing.assert_allclose(
        found, np.sort(1 - np.cos(2 * np.pi * np.arange(n) / n))[:6], atol=1e-10
    )
    found = stages.spectral_embedding(graph(cycle(n)[:-1], n), n_components=6)["eigenvalue"]
    np.testing.assert_allclose(found, 1 - np.cos(np.pi * np.arange(6) / (n - 1)), atol=1e-10)


@pytest.mark.parametrize("n", [20, 800])
def test_two_components_are_counted_and_told_apart(n):
    edges = cycle(n) + [(n + i, n + j) for i, j in cycle(n)]
    ds = stages.spectral_embedding(graph(edges, 2 * n), n_components=4)
    assert ds["n_connected"] == 2
    np.testing.assert_allclose(ds["eigenvalue"][:2], 0, atol=1e-10)
    labels = stages.kmeans(ds, n_clusters=2).values[:, 0]
    assert len(set(labels[:n])) == len(set(labels[n:])) == 1
    assert labels[0] != labels[-1]


def test_a_sample_without_edges_is_a_component_of_its_own():
    ds = stages.spectral_embedding(graph(cycle(10), 11), n_components=3)
    assert ds["n_connected"] == 2
    np.testing.assert_allclose(ds["eigenvalue"][:2], 0, atol=1e-12)
    assert np.isfinite(ds["embedding_spectral"]).all()


@pytest.mark.parametrize("n", [40, 900])
def test_vectors_are_orthonormal_signed_and_repeatable(n):
    x = np.random.default_rng(1).normal(size=(n, 3))
    near = stages.neighbours(xr.DataArray(x, {"sample": np.arange(n)}, ("sample", "feature")))
    once = stages.spectral_embedding(stages.affinity(near))
    assert once.identical(stages.spectral_embedding(stages.affinity(near)))
    v = once["embedding_spectral"].values
    np.testing.assert_allclose(v.T @ v, np.eye(v.shape[1]), atol=1e-8)
    assert (v[np.abs(v).argmax(axis=0), range(v.shape[1])] > 0).all()
    assert (np.diff(once["eigenvalue"]) >= 0).all()
    assert once["eigenvalue"][0] == pytest.approx(0, abs=1e-10)


def test_fewer_samples_than_components():
    assert stages.spectral_embedding(graph(cycle(5), 5)).sizes["component"] == 5


@pytest.mark.parametrize("power", [-1000, -73, 0, 70, 500])
def test_neighbours_do_not_depend_on_the_unit(power):
    x = np.random.default_rng(0).normal(size=(300, 6))
    index, distance = nearest(x, 5)
    scaled, far = nearest(np.ldexp(x, power), 5)
    np.testing.assert_array_equal(scaled, index)
    np.testing.assert_array_equal(far, np.ldexp(distance, power))


def blobs(sizes):
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(size=(n, 5)) + 100 * i for i, n in enumerate(sizes)])
    near = stages.neighbours(xr.DataArray(rows, {"sample": np.arange(len(rows))}, DIMS))
    return stages.affinity(near)


@pytest.mark.parametrize("sizes", [[40] * 20, [200] * 4, [650, 12, 30]])
def test_every_component_has_its_zero_eigenvalue(sizes):
    built = blobs(sizes)
    ds = stages.spectral_embedding(built)
    weights, v = matrix(built).toarray(), ds["embedding_spectral"].values
    scale = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(weights)) - scale[:, None] * weights * scale
    assert ds["n_connected"] == len(sizes)
    np.testing.assert_allclose(ds["eigenvalue"], np.linalg.eigvalsh(laplacian)[:16], atol=1e-10)
    np.testing.assert_allclose(laplacian @ v, v * ds["eigenvalue"].values, atol=1e-10)
    np.testing.assert_allclose(v.T @ v, np.eye(16), atol=1e-10)


@pytest.mark.parametrize("kinds", [1, 30])
def test_repeated_samples_are_embedded_the_same_every_time(kinds):
    rows = np.repeat(np.random.default_rng(0).normal(size=(kinds, 5)), 720 // kinds, axis=0)
    near = stages.neighbours(xr.DataArray(rows, {"sample": np.arange(720)}, DIMS))
    built = stages.affinity(near)
    once = stages.spectral_embedding(built)
    assert all(once.identical(stages.spectral_embedding(built)) for _ in range(3))
