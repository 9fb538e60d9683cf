"""Laplacians and their eigenvalues against dense solvers and closed forms; degenerate graphs."""

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import eigvals

from fxrelay_analysis import stages
from fxrelay_analysis.stages.graph import matrix

KINDS = ["symmetric", "random_walk", "unnormalised"]


def built(rows, **options):
    data = xr.DataArray(rows, {"sample": np.arange(len(rows))}, ("sample", "feature"))
    near = stages.neighbours(data, n_neighbours=min(10, len(rows) - 1))
    return stages.affinity(near, **options)


def laplacian(graph, kind):
    weights = matrix(graph).toarray()
    degree = weights.sum(axis=1)
    if kind == "unnormalised":
        return np.diag(degree) - weights
    safe = np.where(degree > 0, degree, 1)
    if kind == "random_walk":
        return np.eye(len(weights)) * (degree > 0) - weights / safe[:, None]
    return np.eye(len(weights)) * (degree > 0) - weights / np.sqrt(np.outer(safe, safe))


def clusters(n, seed=0, apart=3.0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 4)) + apart * random.integers(0, 3, (n, 1))


@pytest.mark.parametrize("mode", ["mean", "mutual", "weighted", "rbf"])
@pytest.mark.parametrize("n", [80, 640])
@pytest.mark.parametrize("kind", KINDS)
def test_eigenpairs_are_those_of_the_dense_laplacian(kind, n, mode):
    graph = built(clusters(n), mode=mode)
    ds = stages.spectral_embedding(graph, n_components=8, laplacian=kind)
    dense = laplacian(graph, kind)
    true = np.sort(eigvals(dense).real) if kind == "random_walk" else np.linalg.eigvalsh(dense)
    np.testing.assert_allclose(ds["eigenvalue"], true[:8], atol=1e-8)
    v = ds["embedding_spectral"].values
    np.testing.assert_allclose(dense @ v, v * ds["eigenvalue"].values, atol=1e-8)
    np.testing.assert_allclose(np.square(v).sum(axis=0), 1)
    assert (v[np.abs(v).argmax(axis=0), range(8)] > 0).all()
    assert ds["embedding_spectral"].attrs["laplacian"] == kind


def test_two_samples_are_embedded():
    ds = stages.spectral_embedding(built(np.array([[0.0], [1.0]])), n_components=5)
    np.testing.assert_allclose(ds["eigenvalue"], [0, 2], atol=1e-12)
    np.testing.assert_allclose(np.abs(ds["embedding_spectral"]), 0.5**0.5)
    assert (ds["n_connected"], ds["n_isolated"]) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sample_is_embedded(kind):
    alone = xr.Dataset(
        {name: ("edge", np.array([], kind)) for name, kind in
         [("edge_source", int), ("edge_target", int), ("edge_weight", float)]},
        coords={"sample": [3]},
    )  # fmt: skip
    ds = stages.spectral_embedding(alone, laplacian=kind)
    np.testing.assert_allclose(ds["embedding_spectral"], [[1.0]])
    np.testing.assert_allclose(ds["eigenvalue"], [0], atol=1e-12)
    assert (ds["n_connected"], ds["n_isolated"]) == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("parts", "size"), [(40, 20), (5, 160), (3, 300)])
def test_parts_and_isolated_samples_are_reported(parts, size, kind):
    rows = np.concatenate([clusters(size, seed=i, apart=0) + 1e3 * i for i in range(parts)])
    graph = built(rows)
    graph = graph.isel(edge=(graph["edge_source"] > 0) & (graph["edge_target"] > 0))  # cuts 0 off
    ds = stages.spectral_embedding(graph, n_components=6, laplacian=kind)
    assert (ds["n_connected"], ds["n_isolated"]) == (parts + 1, 1)
    assert ds["connected"].values[0] == parts
    assert np.bincount(ds["connected"])[:parts].min() >= size - 1
    assert (np.diff(ds["connected"].values[size:]) >= 0).all()
    zeros = min(6, parts + 1)
    np.testing.assert_allclose(ds["eigenvalue"][:zeros], 0, atol=1e-9)
    assert (ds["eigenvalue"][zeros:] > 1e-6).all()
    v = ds["embedding_spectral"].values
    dense = laplacian(graph, kind)
    np.testing.assert_allclose(dense @ v, v * ds["eigenvalue"].values, atol=1e-8)


def test_a_looser_tolerance_is_near_the_truth():
    graph = built(clusters(900))
    exact = stages.spectral_embedding(graph, n_components=6)
    loose = stages.spectral_embedding(graph, n_components=6, tolerance=1e-4)
    np.testing.assert_allclose(loose["eigenvalue"], exact["eigenvalue"], atol=1e-4)


def test_unit_rows_have_unit_length():
    ds = stages.spectral_embedding(built(clusters(50)), unit_rows=True)
    np.testing.assert_allclose(np.square(ds["embedding_spectral"]).sum("component"), 1)


def test_constant_maps_make_a_graph_without_structure():
    graph = built(np.ones((40, 3)), mode="weighted")
    assert (graph["edge_weight"] == 1).all()
    assert (graph["edge_source"] != graph["edge_target"]).all()
    ds = stages.spectral_embedding(graph)
    assert np.isfinite(ds["embedding_spectral"]).all()


def test_the_dense_radial_basis_function_is_that_of_all_neighbours():
    rows = clusters(30)
    data = xr.DataArray(rows, dims=("sample", "feature"))
    near = stages.neighbours(data, n_neighbours=29)
    found = matrix(stages.affinity(near, mode="rbf", sigma=1.5)).toarray()
    square = np.square(rows[:, None] - rows).sum(axis=2)
    np.testing.assert_allclose(found, np.exp(-square / 4.5) - np.eye(30), atol=1e-12)
    width = stages.affinity(near, mode="rbf").attrs["sigma"]
    assert width == pytest.approx(np.median(np.sqrt(square.max(axis=1))))


def test_local_scaling_takes_the_neighbour_asked_for():
    near = stages.neighbours(xr.DataArray(clusters(40), dims=("sample", "feature")))
    found = matrix(stages.affinity(near, mode="weighted", scale_rank=7)).toarray()
    i, j = 4, int(near["neighbour"][4, 0])
    scale = near["distance"].values[:, 6]
    expected = np.exp(-(float(near["distance"][4, 0]) ** 2) / (scale[i] * scale[j]))
    assert found[i, j] == found[j, i] == pytest.approx(expected)
    with pytest.raises(ValueError, match="affinity") as caught:
        stages.affinity(near, mode="weighted", scale_rank=11)
    assert str(caught.value) == (
        "affinity: needs scale_rank <= the number of neighbours, 10; got 11. Lower it or ask "
        "neighbours for more."
    )
