"""Distances against scipy, scikit-image, closed forms and the axioms."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr, wasserstein_distance
from skimage.metrics import structural_similarity

from fxrelay_analysis import stages
from fxrelay_analysis.stages.metrics import METRICS

RANDOM = np.random.default_rng(0)
ROWS = xr.DataArray(
    RANDOM.normal(size=(30, 12)), {"sample": np.arange(5, 35)}, ("sample", "feature")
)
MAPS = xr.DataArray(RANDOM.normal(size=(12, 14, 11)), dims=("sample", "y", "x"))
SCIPY = ["euclidean", "sqeuclidean", "seuclidean", "mahalanobis", "cityblock", "chebyshev",
         "canberra", "braycurtis", "cosine"]  # fmt: skip
SETS = ["dice", "hamming", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule"]


def input_of(metric):
    return MAPS if metric in ("ssim", "wasserstein") else ROWS


@pytest.mark.parametrize("metric", SCIPY)
def test_distances_are_those_of_scipy(metric):
    found = stages.distances(ROWS, metric=metric)
    np.testing.assert_allclose(found, squareform(pdist(ROWS, metric)), atol=1e-10)
    assert found.dims == ("sample", "other")
    np.testing.assert_array_equal(found["other"], ROWS["sample"])


@pytest.mark.parametrize("p", [1, 1.5, 3])
def test_the_exponent_of_minkowski_counts(p):
    found = stages.distances(ROWS, metric="minkowski", p=p)
    np.testing.assert_allclose(found, squareform(pdist(ROWS, "minkowski", p=p)), atol=1e-12)


@pytest.mark.parametrize("metric", SETS)
def test_distances_of_sets_are_those_of_scipy(metric):
    found = stages.distances(ROWS, metric=metric, threshold=0.5, condensed=True)
    np.testing.assert_allclose(found, pdist(np.abs(ROWS.values) > 0.5, metric))


def test_condensed_distances_name_their_pairs():
    found = stages.distances(ROWS[:3], condensed=True)
    assert found["first"].values.tolist() == [5, 5, 6]
    assert found["second"].values.tolist() == [6, 7, 7]
    np.testing.assert_allclose(found, pdist(ROWS[:3]))


def test_correlations_are_distances_not_similarities():
    found = stages.distances(ROWS, metric="pearson")
    np.testing.assert_allclose(found, 1 - np.corrcoef(ROWS), atol=1e-12)
    ranked = stages.distances(ROWS, metric="spearman")
    np.testing.assert_allclose(ranked, 1 - spearmanr(ROWS.values.T).statistic, atol=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "pearson", "spearman"])
def test_a_sample_without_direction_is_at_1_from_others(metric):
    rows = ROWS[:4].copy(deep=True)
    rows[1] = rows[3] = 0.0
    found = stages.distances(rows, metric=metric)
    np.testing.assert_allclose(found[1], [1, 0, 1, 0], atol=1e-12)


def test_structural_similarity_is_that_of_scikit_image():
    found = stages.distances(MAPS, metric="ssim")
    span = np.ptp(MAPS.values)
    _, local = structural_similarity(
        MAPS.values[0], MAPS.values[1], data_range=span, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )  # fmt: skip
    assert found[0, 1] == pytest.approx(1 - local.mean())
    np.testing.assert_allclose(found, found.values.T, atol=1e-12)


def test_wasserstein_along_the_axes_is_that_of_the_marginals():
    found = stages.distances(MAPS, metric="wasserstein", n_directions=2)
    mass = np.abs(MAPS.values)
    along_x = wasserstein_distance(np.arange(11) / 13, np.arange(11) / 13, *mass[:2].sum(axis=1))
    along_y = wasserstein_distance(np.arange(14) / 13, np.arange(14) / 13, *mass[:2].sum(axis=2))
    assert found[0, 1] == pytest.approx((along_x + along_y) / 2)


def test_wasserstein_grows_with_a_shift():
    maps = np.zeros((4, 1, 9, 9))
    for i in range(4):
        maps[i, 0, 4, 2 * i] = 1.0
    found = stages.distances(xr.DataArray(maps, dims=("sample", "channel", "y", "x")),
                             metric="wasserstein")  # fmt: skip
    np.testing.assert_allclose(found[0] / found[0, 1], [0, 1, 2, 3], atol=1e-12)
    exact = 2 / np.pi * 0.25  # mean of |cos| over the half circle times the shift
    assert found[0, 1] == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_symmetric_and_zero_for_equals(metric):
    data = input_of(metric).copy(deep=True)
    data[3], data[4], data[5] = data[2], 0.0, 0.0
    found = stages.distances(data, metric=metric, ridge=0.1).values
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    if metric != "russellrao":
        np.testing.assert_allclose(np.diag(found), 0, atol=1e-7)
        assert found[2, 3] == pytest.approx(0, abs=1e-7)
        assert found[4, 5] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_of_every_metric_are_those_of_its_distances(metric):
    data = input_of(metric)
    whole = stages.distances(data, metric=metric).values
    np.fill_diagonal(whole, np.inf)
    near = stages.neighbours(data, metric=metric, n_neighbours=4)
    np.testing.assert_allclose(near["distance"], np.sort(whole, axis=1)[:, :4], atol=1e-7)
    at = np.take_along_axis(whole, near["neighbour"].values, axis=1)
    np.testing.assert_allclose(at, near["distance"], atol=1e-7)
    assert near.attrs == {"metric": metric, "method": "exact", "recall": 1.0}


def test_neighbours_of_a_matrix_that_was_computed_elsewhere():
    matrix = stages.distances(ROWS, metric="cityblock")
    near = stages.neighbours(matrix, metric="precomputed", n_neighbours=3)
    expected = stages.neighbours(ROWS, metric="cityblock", n_neighbours=3)
    xr.testing.assert_equal(near.drop_vars("sample"), expected.drop_vars("sample"))
    with pytest.raises(ValueError, match="neighbours") as caught:
        stages.neighbours(-matrix[:, :20], metric="precomputed")
    assert str(caught.value).startswith(
        "neighbours: needs a square matrix of distances >= 0 for metric='precomputed'; got shape "
        "(30, 20), least value -"
    )


def test_too_many_samples_for_a_matrix_are_refused():
    with pytest.raises(ValueError, match="distances") as caught:
        stages.distances(ROWS, max_samples=20)
    assert str(caught.value) == (
        "distances: needs at most max_samples=20 samples; got 30, which makes 0.0 GB. Use "
        "stages.neighbours, or raise max_samples."
    )


@pytest.mark.parametrize("metric", ["ssim", "wasserstein"])
@pytest.mark.parametrize("name", ["distances", "neighbours"])
def test_metrics_on_maps_need_maps(name, metric):
    with pytest.raises(ValueError, match=name) as caught:
        stages.STAGES[name](ROWS, metric=metric)
    assert str(caught.value) == (
        f"{name}: needs dims ('sample', ['channel'], 'y', 'x') for metric={metric!r}; got "
        "('sample', 'feature'). Pass maps instead of flat features."
    )


def test_opposite_samples_are_infinitely_far_by_bray_and_curtis():
    rows = xr.DataArray([[1.0, 2], [-1, -2], [0, 0], [0, 0]], dims=("sample", "feature"))
    found = stages.distances(rows, metric="braycurtis")
    assert found[0, 1] == np.inf
    assert found[2, 3] == 0
