"""Clusterings against planted groups, other solvers, and inputs that are hard."""

import hypothesis
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage, optimal_leaf_ordering
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans, kmeans_plusplus
from sklearn.datasets import make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from fxrelay_analysis import stages
from fxrelay_analysis.stages.cluster import by_size
from fxrelay_analysis.stages.starts import kmeans_fits

RANDOM = np.random.default_rng(0)
TRUTH = np.repeat([0, 1, 2], [40, 30, 20])
CENTRES = np.array([[0, 0, 0], [12, 0, 0], [0, 12, 0]])
SWEPT = {
    "kmeans": "n_clusters",
    "gaussian_mixture": "n_clusters",
    "agglomerative": "n_clusters",
    "dbscan": "eps",
    "hdbscan": "min_cluster_size",
}


def rows(values):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"sample": np.arange(len(values)) + 7}, ("sample", "feature"))


def labels(name, *inputs, **parameters):
    result = stages.STAGES[name](*inputs, **parameters)
    return result if isinstance(result, xr.DataArray) else result[f"clustering_{name}"]


BLOBS = rows(CENTRES[TRUTH] + RANDOM.normal(size=(90, 3)))
RINGS = rows(make_circles(300, noise=0.03, factor=0.4, random_state=0)[0])


def spectrum(features, **options):
    return stages.spectral_embedding(stages.affinity(stages.neighbours(features)), **options)


@pytest.mark.parametrize("name", SWEPT)
def test_planted_groups_are_found_and_numbered_by_size(name):
    values = {"n_clusters": [2, 3], "eps": [0.01, 3.0], "min_cluster_size": [10, 15]}[SWEPT[name]]
    found = labels(name, BLOBS, **{SWEPT[name]: values})
    assert found.dims == ("sample", SWEPT[name])
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[SWEPT[name]], values)
    np.testing.assert_array_equal(found["sample"], BLOBS["sample"])
    last = found[:, 1].values
    inside = last >= 0
    np.testing.assert_array_equal(last[inside], TRUTH[inside])
    assert inside.mean() > 0.85


@pytest.mark.parametrize("name", SWEPT)
def test_a_single_value_is_a_sweep_of_one(name):
    value = {"n_clusters": 3, "eps": 3.0, "min_cluster_size": 10}[SWEPT[name]]
    one = labels(name, BLOBS, **{SWEPT[name]: value})
    several = labels(name, BLOBS, **{SWEPT[name]: [value]})
    xr.testing.assert_identical(one, several)


@pytest.mark.parametrize("assign", ["kmeans", "cluster_qr", "discretize"])
def test_rings_are_cut_by_their_spectrum(assign):
    found = stages.spectral_clustering(spectrum(RINGS), n_clusters=2, assign=assign)
    truth = np.hypot(*RINGS.values.T) < 0.7
    assert adjusted_rand_score(truth, found[:, 0]) == 1
    assert adjusted_rand_score(truth, stages.kmeans(RINGS, n_clusters=2)[:, 0]) < 0.1


def test_spectral_clustering_by_kmeans_is_kmeans_of_the_spectrum():
    found = spectrum(BLOBS)
    cut = stages.spectral_clustering(found, n_clusters=[2, 3])
    np.testing.assert_array_equal(cut, stages.kmeans(found, n_clusters=[2, 3]))
    with pytest.raises(ValueError, match="spectral_clustering") as caught:
        stages.spectral_clustering(spectrum(BLOBS, n_components=3), n_clusters=[2, 5])
    assert str(caught.value) == (
        "spectral_clustering: needs as many components as clusters, 5; got 3. Raise n_components "
        "of the embedding or lower n_clusters."
    )


def test_leading_components_only_where_there_are_components():
    wide = rows(np.concatenate([0 * BLOBS.values, BLOBS.values], axis=1))  # groups in the last ones
    np.testing.assert_array_equal(stages.kmeans(wide, n_clusters=3)[:, 0], TRUTH)


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize(("n_starts", "bound"), [(1, 1.03), (6, 1.01)])
def test_kmeans_of_a_sweep_is_as_tight_as_sklearns(init, n_starts, bound):
    x, _ = make_blobs(300, 4, centers=7, cluster_std=2.5, random_state=0)
    counts, seeds = range(2, 10), range(12)
    options = {"n_starts": n_starts, "init": init}
    ours = [[f.inertia_ for f in kmeans_fits(x, counts, seed=s, **options)] for s in seeds]
    others = [
        [KMeans(k, n_init=n_starts, init=init, random_state=s).fit(x).inertia_ for k in counts]
        for s in seeds
    ]
    assert np.mean(ours) < bound * np.mean(others)


def test_kmeans_starts_k_clusters_from_the_first_k_centres():
    x = np.random.default_rng(0).normal(size=(50, 3))
    centres = kmeans_plusplus(x - x.mean(axis=0), 6, random_state=check_random_state(5))[1]
    oracle = [KMeans(k, init=x[centres[:k]], n_init=1).fit(x).labels_ for k in (6, 2, 4)]
    found = stages.kmeans(rows(x), n_clusters=[6, 2, 4], n_starts=1, seed=5)
    np.testing.assert_array_equal(found, np.stack([by_size(column) for column in oracle], axis=1))


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_a_mixture_is_sklearns(covariance):
    found = stages.gaussian_mixture(BLOBS, n_clusters=[2, 3], covariance=covariance)
    oracle = GaussianMixture(3, covariance_type=covariance, n_init=4, max_iter=200, random_state=0)
    oracle.fit(BLOBS.values)
    np.testing.assert_allclose(found.bic[1], oracle.bic(BLOBS.values))
    np.testing.assert_allclose(found.aic[1], oracle.aic(BLOBS.values))
    np.testing.assert_allclose(found.log_likelihood[:, 1], oracle.score_samples(BLOBS.values))
    assert found.bic[1] < found.bic[0]
    assert found.converged.all()
    share = found.responsibility
    np.testing.assert_allclose(share.sum("cluster"), 1)
    assert np.isnan(share[:, 0, 2]).all()
    np.testing.assert_array_equal(
        share[:, 1].argmax("cluster"), found.clustering_gaussian_mixture[:, 1]
    )


def test_a_singular_mixture_says_what_to_do():
    flat = rows(np.repeat([[0.0, 0, 0], [9, 0, 0]], 10, axis=0))
    assert stages.gaussian_mixture(flat, n_clusters=2).converged
    with pytest.raises(ValueError, match="gaussian_mixture") as caught:
        stages.gaussian_mixture(flat, n_clusters=2, reg_covar=0)
    assert str(caught.value) == (
        "gaussian_mixture: needs covariances that are not singular; got 2 components where one is. "
        "Raise reg_covar=0, or use covariance='diag'."
    )


def test_dbscan_is_sklearns():
    found = stages.dbscan(BLOBS, eps=[0.8, 1.2], min_samples=4)
    for column, eps in enumerate([0.8, 1.2]):
        oracle = DBSCAN(eps=eps, min_samples=4).fit(BLOBS.values)
        ours = found.clustering_dbscan[:, column].values
        np.testing.assert_array_equal(ours, by_size(oracle.labels_))
        np.testing.assert_array_equal(np.flatnonzero(found.core[:, column]),
                                      oracle.core_sample_indices_)  # fmt: skip
        assert (ours == -1).any()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cluster_selection_method": "leaf"},
        {"min_samples": 3},
        {"cluster_selection_epsilon": 1.0},
        {"alpha": 1.5},
    ],
)
def test_hdbscan_is_sklearns(options):
    found = stages.hdbscan(BLOBS, min_cluster_size=8, **options)
    oracle = HDBSCAN(8, copy=True, **options).fit(BLOBS.values)
    np.testing.assert_array_equal(found.clustering_hdbscan[:, 0], by_size(oracle.labels_))
    np.testing.assert_allclose(found.probability[:, 0], oracle.probabilities_)


def glosh_by_definition(rows, least):
    """e(x): least radius at which the component of x in the graph of radii has enough samples."""
    away = squareform(pdist(rows))
    core = np.sort(away, axis=1)[:, least - 1]  # the sample itself is one of them
    reach = np.maximum(away, np.maximum(core[:, None], core))
    np.fill_diagonal(reach, 0)
    leaves, cluster = np.full(len(rows), np.nan), [None] * len(rows)
    for radius in np.unique(reach):
        part = connected_components(reach <= radius, directed=False)[1]
        for x in np.flatnonzero(np.isnan(leaves)):
            if (part == part[x]).sum() >= least:
                leaves[x], cluster[x] = radius, part == part[x]
    first = [leaves[np.isfinite(leaves) & member].min() for member in cluster]
    return 1 - np.divide(first, leaves, out=np.ones(len(rows)), where=leaves > 0)


@hypothesis.given(seed=st.integers(0, 200), least=st.integers(2, 7), grid=st.booleans())
@hypothesis.settings(max_examples=25, deadline=None)
def test_oddness_by_hdbscan_is_its_definition(seed, least, grid):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.normal(0, 1, (14, 2)), random.normal(6, 0.3, (9, 2))])
    given = rows(np.round(values) if grid else values)
    found = stages.hdbscan(given, min_cluster_size=least)["outlier_hdbscan"]
    np.testing.assert_allclose(found[:, 0], glosh_by_definition(given.values, least), atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("linkage_name", ["ward", "average", "complete", "single"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock"])
def test_one_tree_gives_sklearns_clusters(linkage_name, metric):
    if linkage_name == "ward" and metric != "euclidean":
        with pytest.raises(ValueError, match="agglomerative") as caught:
            stages.agglomerative(BLOBS, metric=metric)
        assert str(caught.value) == (
            "agglomerative: needs metric='euclidean' (or 'precomputed') for linkage='ward'; got "
            f"'{metric}'. Use linkage='average', or unit_rows=True in place of cosine."
        )
        return
    found = stages.agglomerative(BLOBS, n_clusters=[2, 3, 7], linkage=linkage_name, metric=metric)
    for column, k in enumerate([2, 3, 7]):
        oracle = AgglomerativeClustering(k, linkage=linkage_name, metric=metric)
        assert adjusted_rand_score(oracle.fit_predict(BLOBS.values), found[:, column]) == 1


def test_every_number_of_clusters_is_in_the_tree():
    for name in ("ward", "average", "complete", "single", "weighted", "centroid", "median"):
        found = stages.agglomerative(BLOBS, n_clusters=range(1, 91), linkage=name)
        np.testing.assert_array_equal(found.max("sample") + 1, range(1, 91))
    nested = found.values
    for finer, coarser in zip(nested.T[1:], nested.T[:-1], strict=True):
        assert len(np.unique(np.stack([finer, coarser]), axis=1).T) == finer.max() + 1


def test_a_dendrogram_is_scipys_and_its_leaves_do_not_cross():
    found = stages.dendrogram(BLOBS, linkage="average", optimal=True)
    oracle = linkage(BLOBS.values, "average")
    tree = np.stack([found[f"merge_{n}"] for n in ("left", "right", "height", "size")], axis=1)
    np.testing.assert_allclose(tree, oracle, atol=1e-10)
    order = found.leaf_order.values
    np.testing.assert_array_equal(np.sort(order), np.arange(90))
    drawn = dendrogram(optimal_leaf_ordering(oracle, pdist(BLOBS)), no_plot=True)
    np.testing.assert_array_equal(order, drawn["leaves"])
    middles = sorted((x[1] + x[2]) / 2 for x in drawn["icoord"])  # leaves are drawn at 5, 15, ...
    np.testing.assert_allclose(np.sort(found.merge_place), (np.array(middles) - 5) / 10)
    three = fcluster(oracle, 3, "maxclust")[order]
    assert (np.diff(three) != 0).sum() == 2


def test_four_points_merge_by_hand():
    found = stages.dendrogram(rows([[0.0], [1], [5], [8]]), linkage="complete")
    np.testing.assert_array_equal(found.merge_left, [0, 2, 4])
    np.testing.assert_array_equal(found.merge_right, [1, 3, 5])
    np.testing.assert_allclose(found.merge_height, [1, 3, 8])
    np.testing.assert_array_equal(found.merge_size, [2, 2, 4])


def test_a_dendrogram_is_cut_at_heights():
    tree = stages.dendrogram(BLOBS, linkage="average")
    found = stages.cut_dendrogram(tree, height=[0.001, 2.5, 6.0, 1e9])
    assert found.dims == ("sample", "height")
    np.testing.assert_array_equal(found["sample"], BLOBS["sample"])
    oracle = linkage(BLOBS.values, "average")
    for column, height in enumerate(found["height"].values):
        truth = fcluster(oracle, height, "distance")
        assert adjusted_rand_score(truth, found[:, column]) == 1
    np.testing.assert_array_equal(found[:, 2], TRUTH)
    np.testing.assert_array_equal(found.max("sample") + 1, [90, len(set(truth_at(2.5))), 3, 1])


def truth_at(height):
    return fcluster(linkage(BLOBS.values, "average"), height, "distance")


@pytest.mark.parametrize("name", ["pca", "mds", "isomap", "agglomerative", "dbscan", "hdbscan"])
@hypothesis.given(seed=st.integers(0, 100))
@hypothesis.settings(max_examples=8, deadline=None)
def test_order_of_samples_does_not_matter(name, seed):
    order = np.random.default_rng(seed).permutation(len(BLOBS))
    options = {"mds": {"method": "classical"}, "dbscan": {"eps": 3.0}}.get(name, {})
    here, there = (stages.STAGES[name](x, **options) for x in (BLOBS, BLOBS[order]))
    if isinstance(here, xr.Dataset):
        key = next(n for n in here if str(n).startswith(("embedding_", "clustering_")))
        here, there = here[key], there[key]
    if here.dtype.kind == "f":
        np.testing.assert_allclose(there, here[order], atol=1e-6)
    else:
        pairs = zip(here.values[order].T, there.values.T, strict=True)
        assert all(adjusted_rand_score(a, b) > 0.99 for a, b in pairs)


@pytest.mark.parametrize("name", ["dbscan", "hdbscan", "agglomerative"])
def test_distances_stand_for_points(name):
    options = {"dbscan": {"eps": 1.2}, "hdbscan": {}, "agglomerative": {"linkage": "average"}}[name]
    away = stages.distances(BLOBS)
    np.testing.assert_array_equal(
        labels(name, away, metric="precomputed", **options), labels(name, BLOBS, **options)
    )


@pytest.mark.parametrize("name", SWEPT)
def test_duplicates_and_constant_rows_are_clustered(name):
    twice = rows(np.repeat([[0.0, 0], [9, 9]], 12, axis=0))
    found = labels(name, twice).values
    assert found.min() >= -1
    assert (found[:12] == found[0]).all()
    if name != "agglomerative":  # a tree has every number of clusters
        assert labels(name, rows(np.zeros((12, 2)))).max() <= 0


@pytest.mark.parametrize("name", SWEPT)
def test_nan_is_refused(name):
    bad = BLOBS.copy(deep=True)
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match=f"^{name}: needs finite values"):
        stages.STAGES[name](bad)


def test_too_few_samples_are_refused():
    for name, n in (("kmeans", 8), ("gaussian_mixture", 8), ("agglomerative", 8)):
        with pytest.raises(ValueError, match=name) as caught:
            stages.STAGES[name](BLOBS[:5])
        assert str(caught.value) == (
            f"{name}: needs at least as many samples as clusters, {n}; got 5. Lower n_clusters."
        )
    with pytest.raises(ValueError, match="hdbscan") as caught:
        stages.hdbscan(BLOBS[:5], min_cluster_size=[4, 6])
    assert str(caught.value) == (
        "hdbscan: needs 6 or more samples; got 5. Lower min_cluster_size and min_samples."
    )
    with pytest.raises(ValueError, match="dendrogram") as caught:
        stages.dendrogram(BLOBS[:1])
    assert str(caught.value) == "dendrogram: needs 2 or more samples; got 1. Leave it out."


@pytest.mark.parametrize("eps", [0, [0.5, -1], "a", [], [True]])
def test_eps_is_a_positive_number_or_several(eps):
    with pytest.raises(ValueError, match="dbscan") as caught:
        stages.dbscan(BLOBS, eps=eps)
    assert f"'eps' must be a number > 0 or a list or tuple of such, not {eps!r}." in str(
        caught.value
    )


def test_all_that_is_below_zero_is_noise():
    np.testing.assert_array_equal(by_size(np.array([-2, 1, 0, 1, -3, -1])), [-1, 0, 1, 0, -1, -1])


@hypothesis.given(st.lists(st.integers(-1, 5), min_size=1, max_size=40))
def test_numbers_follow_sizes(given):
    before = np.array(given)
    after = by_size(before)
    np.testing.assert_array_equal(after == -1, before == -1)
    sizes = np.bincount(after[after >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert (sizes > 0).all()
    pairs = {(a, b) for a, b in zip(before.tolist(), after.tolist(), strict=True)}
    assert len(pairs) == len(set(given))


@pytest.mark.parametrize("name", [*SWEPT, "spectral_clustering"])
def test_results_do_not_depend_on_threads(name):
    wide = rows(np.random.default_rng(1).normal(size=(300, 64)))
    given = spectrum(wide) if name == "spectral_clustering" else wide
    with threadpool_limits(1):
        one = stages.STAGES[name](given)
    with threadpool_limits(2):
        xr.testing.assert_identical(stages.STAGES[name](given), one)
