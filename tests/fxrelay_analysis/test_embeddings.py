"""Maps of the samples against closed forms, other solvers, and inputs that are hard."""

import hypothesis
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import make_swiss_roll
from sklearn.decomposition import PCA, KernelPCA
from sklearn.manifold import Isomap, LocallyLinearEmbedding, trustworthiness

from fxrelay_analysis import stages
from fxrelay_analysis.stages.graph import matrix

RANDOM = np.random.default_rng(0)
MAPS = ("pca", "kernel_pca", "tsne", "lle", "isomap", "mds")


def rows(values, dim="feature"):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"sample": np.arange(len(values)) + 7}, ("sample", dim), "feature")


def flat(name, *inputs, **parameters):
    result = stages.STAGES[name](*inputs, **parameters)
    return result if isinstance(result, xr.DataArray) else result[f"embedding_{name}"]


CLOUD = rows(RANDOM.normal(size=(60, 6)) * [5, 3, 2, 1, 1, 1])
BLOBS = rows(np.concatenate([RANDOM.normal(0, 1, (30, 5)), RANDOM.normal(9, 1, (25, 5))]))


@pytest.mark.parametrize("solver", ["full", "covariance", "randomized"])
@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_sklearns(solver, whiten):
    found = stages.pca(CLOUD, n_components=3, solver=solver, whiten=whiten)
    oracle = PCA(3, whiten=whiten).fit(CLOUD)
    np.testing.assert_allclose(abs(found.embedding_pca), abs(oracle.transform(CLOUD)), atol=1e-8)
    np.testing.assert_allclose(found.explained_variance, oracle.explained_variance_)
    np.testing.assert_allclose(found.explained_variance_ratio, oracle.explained_variance_ratio_)


@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "sigmoid", "cosine"])
def test_kernel_pca_is_sklearns(kernel):
    found = stages.kernel_pca(CLOUD, kernel=kernel, gamma=0.02)
    oracle = KernelPCA(2, kernel=kernel, gamma=0.02).fit(CLOUD)
    np.testing.assert_allclose(
        abs(found.embedding_kernel_pca), abs(oracle.transform(CLOUD)), atol=1e-8
    )
    np.testing.assert_allclose(found.kernel_eigenvalue, oracle.eigenvalues_)


def test_a_precomputed_kernel_is_taken_and_must_be_symmetric():
    kernel = rows(CLOUD.values @ CLOUD.values.T, "other")
    found = stages.kernel_pca(kernel, kernel="precomputed").embedding_kernel_pca
    np.testing.assert_allclose(found, stages.pca(CLOUD).embedding_pca, atol=1e-8)
    with pytest.raises(ValueError, match="kernel_pca") as caught:
        stages.kernel_pca(rows(RANDOM.normal(size=(4, 4))), kernel="precomputed")
    assert str(caught.value) == (
        "kernel_pca: needs a symmetric matrix with kernel='precomputed'; got shape (4, 4) that is "
        "not symmetric. Name a kernel."
    )


def test_the_largest_coordinate_of_every_axis_is_positive():
    for name in MAPS:
        axes = flat(name, CLOUD).values.T
        assert all(axis[np.argmax(abs(axis))] > 0 for axis in axes), name


def walk(graph):
    weights = matrix(graph).toarray()
    return weights / weights.sum(axis=1, keepdims=True), weights.sum(axis=1)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_distance_on_a_diffusion_map_is_diffusion_distance(steps):
    graph = stages.affinity(stages.neighbours(CLOUD, n_neighbours=8))
    found = stages.diffusion_map(graph, n_components=60, steps=steps).embedding_diffusion_map
    step, degree = walk(graph)
    reached = np.linalg.matrix_power(step, steps) / np.sqrt(degree / degree.sum())
    np.testing.assert_allclose(pdist(found), pdist(reached), atol=1e-8)


def test_a_diffusion_map_of_a_chain_has_cosines():
    n = 20
    pairs = np.array([(i, i + 1) for i in range(n - 1)])
    both = np.concatenate([pairs, pairs[:, ::-1]]).T.astype(np.int32)
    graph = xr.Dataset(
        {
            "edge_source": ("edge", both[0]),
            "edge_target": ("edge", both[1]),
            "edge_weight": ("edge", np.ones(both.shape[1])),
        },
        {"sample": np.arange(n)},
    )
    found = stages.diffusion_map(graph, n_components=3, steps=0)
    t = np.pi * np.arange(n) / (n - 1)
    np.testing.assert_allclose(
        found.diffusion_eigenvalue, np.cos(np.pi * np.arange(1, 4) / (n - 1))
    )
    for j in range(3):
        cosine = np.sqrt(2) * np.cos((j + 1) * t)
        np.testing.assert_allclose(abs(found.embedding_diffusion_map[:, j]), abs(cosine), atol=1e-6)


def test_density_is_divided_out():
    t = np.sort(RANDOM.beta(1, 3, 400))  # a line, dense at one end
    line = rows(np.stack([t, 0 * t], axis=1))
    graph = stages.affinity(stages.neighbours(line, n_neighbours=399), mode="rbf", sigma=0.05)
    plain, free = (stages.diffusion_map(graph, density=d).embedding_diffusion_map for d in (0, 1))
    cosine = np.cos(np.pi * t)
    even, uneven = (abs(np.corrcoef(m[:, 0], cosine)[0, 1]) for m in (free, plain))
    assert even > 0.99
    assert even > uneven


def test_parts_of_a_graph_stay_apart_on_a_diffusion_map():
    graph = stages.affinity(stages.neighbours(BLOBS, n_neighbours=5))
    found = stages.diffusion_map(graph, n_components=2).embedding_diffusion_map.values
    assert np.ptp(found[:30], axis=0).max() < 1e-6
    assert np.linalg.norm(found[0] - found[-1]) > 1


def test_classical_scaling_rebuilds_a_plane():
    plane = rows(RANDOM.normal(size=(30, 2)))
    for given in (plane, stages.distances(plane)):
        metric = "precomputed" if given.name == "distance" else "euclidean"
        found = stages.mds(given, method="classical", metric=metric)
        np.testing.assert_allclose(pdist(found), pdist(plane), atol=1e-8)
        assert found.attrs["stress"] < 1e-8


def test_metric_and_nonmetric_scaling_lower_the_stress():
    stress = {m: stages.mds(CLOUD, method=m).attrs["stress"] for m in ("classical", "metric")}
    assert stress["metric"] < stress["classical"]
    assert stages.mds(CLOUD).attrs["converged"] == 1
    assert stages.mds(CLOUD, n_iterations=1).attrs["converged"] == 0
    bent = rows(squareform(pdist(CLOUD[:, :2]) ** 2), "other")
    found = stages.mds(bent, method="nonmetric", metric="precomputed", n_iterations=1000)
    assert found.attrs["stress"] < 0.02  # only the order of distances counts


def test_isomap_unrolls():
    points, along = make_swiss_roll(500, random_state=0)
    found = stages.isomap(rows(points), n_neighbours=8)
    assert abs(np.corrcoef(found[:, 0], along)[0, 1]) > 0.98
    oracle = Isomap(n_neighbors=8, eigen_solver="dense").fit_transform(points)
    np.testing.assert_allclose(abs(found), abs(oracle), rtol=1e-6, atol=1e-6)


def test_isomap_joins_parts_and_says_so():
    found = stages.isomap(BLOBS, n_neighbours=4)
    assert found.attrs["n_connected"] >= 2
    assert np.isfinite(found).all()
    assert found[:30, 0].mean() * found[30:, 0].mean() < 0
    assert stages.isomap(BLOBS, radius=100.0).attrs["n_connected"] == 1


def test_isomap_knows_duplicates():
    twice = rows(np.repeat(CLOUD.values[:20], 4, axis=0))
    found = stages.isomap(twice, n_neighbours=3).values  # every sample's neighbours are its copies
    np.testing.assert_allclose(found[::4], found[1::4], atol=1e-9)
    assert np.ptp(found[:, 0]) > 1


@pytest.mark.parametrize("method", ["standard", "hessian", "modified", "ltsa"])
def test_lle_is_sklearns(method):
    points, _ = make_swiss_roll(200, random_state=0)
    found = stages.lle(rows(points), method=method, n_neighbours=12)
    oracle = LocallyLinearEmbedding(
        n_neighbors=12, method=method, eigen_solver="dense", random_state=0
    ).fit_transform(points)
    np.testing.assert_allclose(abs(found), abs(oracle), atol=1e-5)


@pytest.mark.parametrize("method", ["standard", "hessian", "ltsa"])
def test_lle_turns_to_another_solver_where_one_fails(method):
    many = rows(np.random.default_rng(2).normal(size=(620, 4)))
    found = stages.lle(many, method=method, n_neighbours=8)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, stages.lle(many, method=method, n_neighbours=8))


def test_lle_says_what_it_cannot():
    same = rows(np.ones((40, 3)))
    with pytest.raises(ValueError, match="lle") as caught:
        stages.lle(same, method="modified", n_neighbours=8)
    assert str(caught.value) == (
        "lle: needs neighbours in general position for method='modified' and solver='dense'; got a "
        "singular problem. Drop duplicates, use method='standard' or solver='dense'."
    )


def test_lle_needs_enough_neighbours():
    with pytest.raises(ValueError, match="lle") as caught:
        stages.lle(CLOUD, method="hessian")
    assert str(caught.value) == (
        "lle: needs n_neighbours >= 6 for method='hessian' and n_components=2; got 5. "
        "Raise n_neighbours."
    )


@pytest.mark.parametrize(
    "options", [{}, {"method": "exact"}, {"n_components": 3}, {"learning_rate": 20.0}]
)
def test_tsne_keeps_neighbours(options):
    found = stages.tsne(BLOBS, perplexity=8, n_iterations=500, **options)
    assert trustworthiness(BLOBS, found, n_neighbors=5) > 0.7
    assert 0 < found.attrs["kl_divergence"] < 3


@pytest.mark.parametrize("name", ["tsne", "isomap", "mds"])
def test_a_metric_is_the_stage_distances(name):
    named = stages.STAGES[name](BLOBS, metric="pearson")
    away = stages.distances(BLOBS, metric="pearson")
    np.testing.assert_allclose(named, stages.STAGES[name](away, metric="precomputed"), rtol=1e-6)


def test_tsne_takes_neighbours_and_distances():
    near = stages.neighbours(BLOBS, n_neighbours=25)
    away = stages.distances(BLOBS)
    for given, metric in ((near, "euclidean"), (away, "precomputed")):
        found = stages.tsne(given, perplexity=8, n_iterations=400, metric=metric)
        assert trustworthiness(BLOBS, found, n_neighbors=5) > 0.75
        np.testing.assert_array_equal(found["sample"], BLOBS["sample"])
    with pytest.raises(ValueError, match="tsne") as caught:
        stages.tsne(near)
    assert str(caught.value) == (
        "tsne: needs 4 or more samples with 54 or more neighbours (3 perplexity + 1); got 55 with "
        "25. Raise n_neighbours or lower perplexity."
    )


def test_neighbours_have_a_metric_of_their_own():
    with pytest.raises(ValueError, match="tsne") as caught:
        stages.tsne(stages.neighbours(BLOBS, n_neighbours=25), perplexity=8, metric="cosine")
    assert str(caught.value) == (
        "tsne: needs no metric beside that of the neighbours, euclidean; got cosine. Leave it out, "
        "or pass the points."
    )


@pytest.mark.parametrize("name", ["tsne", "isomap", "mds", "agglomerative", "dbscan", "hdbscan"])
def test_given_distances_are_not_touched(name):
    away = stages.distances(BLOBS)
    before = away.copy(deep=True)
    options = {"linkage": "average"} if name == "agglomerative" else {}
    stages.STAGES[name](away, metric="precomputed", **options)
    assert away.identical(before)


def test_unit_rows_are_the_default_of_spectral_embeddings_only():
    spectral = CLOUD.rename(feature="component").rename("embedding_spectral")
    assert stages.pca(CLOUD).identical(stages.pca(CLOUD, unit_rows=False))
    direction = stages.pca(CLOUD, unit_rows=True).embedding_pca
    np.testing.assert_array_equal(stages.pca(spectral).embedding_pca, direction)
    assert not np.allclose(stages.pca(CLOUD).embedding_pca, direction)


@pytest.mark.parametrize("name", MAPS)
def test_duplicates_and_constant_rows_map_to_numbers(name):
    values = np.repeat(RANDOM.normal(size=(6, 4)), 4, axis=0)
    values[:4] = 0
    assert np.isfinite(flat(name, rows(values))).all()
    assert np.isfinite(flat(name, rows(np.ones((12, 3))))).all()


@pytest.mark.parametrize("name", [*MAPS, "umap"])
def test_nan_is_refused(name):
    bad = CLOUD.copy(deep=True)
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match=name) as caught:
        stages.STAGES[name](bad)
    assert str(caught.value) == (
        f"{name}: needs finite values; got NaN or infinity in 1 of 60 samples, first at "
        "position 4. Drop them with .isel(sample=...)."
    )


@pytest.mark.parametrize(
    ("name", "n", "least", "why"),
    [
        ("tsne", 3, 4, "Leave it out."),
        ("lle", 5, 6, "Lower n_neighbours."),
        ("isomap", 5, 6, "Lower n_neighbours or n_components."),
        ("mds", 2, 3, "Lower n_components."),
        ("umap", 15, 16, "Lower n_neighbours."),
    ],
)
def test_too_few_samples_are_refused(name, n, least, why):
    with pytest.raises(ValueError, match=name) as caught:
        stages.STAGES[name](CLOUD[:n])
    assert str(caught.value) == f"{name}: needs {least} or more samples; got {n}. {why}"


@pytest.mark.parametrize("name", ["pca", "kernel_pca"])
@hypothesis.given(n=st.integers(1, 6), q=st.integers(1, 9))
@hypothesis.settings(max_examples=15, deadline=None)
def test_principal_maps_give_what_there_is(name, n, q):
    found = flat(name, CLOUD[:n], n_components=q)
    assert found.shape == (n, min(q, n, *([6] if name == "pca" else [])))
    assert np.isfinite(found).all()


def test_distances_that_are_none_are_refused():
    with pytest.raises(ValueError, match="mds") as caught:
        stages.mds(CLOUD, metric="precomputed")
    assert str(caught.value) == (
        "mds: needs distances with metric='precomputed': symmetric, not negative, 0 on the "
        "diagonal; got values of shape (60, 6). Use stages.distances or name a metric."
    )


def test_umap_needs_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(ImportError) as caught:
        stages.umap(CLOUD)
    assert str(caught.value) == (
        "umap: needs the package umap-learn; got none. Install fxrelay[manifold]."
    )
    with pytest.raises(ValueError, match="umap") as fault:
        stages.umap(CLOUD, min_dist=2.0)
    assert str(fault.value) == "umap: needs min_dist <= spread; got 2.0 > 1.0. Change one."


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"init": "random"}, {"n_components": 3}, {"densmap": True}]
)
def test_umap_keeps_neighbours(options):
    found = stages.umap(BLOBS, n_neighbours=8, **options)
    assert trustworthiness(BLOBS, found, n_neighbors=5) > 0.7
    np.testing.assert_array_equal(found, stages.umap(BLOBS, n_neighbours=8, **options))
    away = stages.distances(BLOBS)
    given = stages.umap(away, n_neighbours=8, metric="precomputed")
    assert trustworthiness(BLOBS, given, n_neighbors=5) > 0.7


def test_results_do_not_depend_on_threads():
    from threadpoolctl import threadpool_limits

    wide = rows(RANDOM.normal(size=(300, 64)))
    for name in MAPS:
        with threadpool_limits(1):
            one = flat(name, wide)
        with threadpool_limits(2):
            np.testing.assert_array_equal(flat(name, wide), one)
