"""Odd samples: every score finds those that were planted, closed forms, few samples, duplicates."""

import sys

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import LocalOutlierFactor

from fxrelay_analysis import stages

METHODS = stages.outliers.param.methods.objects


def array(rows):
    rows = np.asarray(rows, float)
    return xr.DataArray(rows, {"sample": np.arange(len(rows)) + 5}, ("sample", "feature"))


def groups(n=100):
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(size=(n, 3)), random.normal(8, 0.2, (n, 3))])
    return np.concatenate([rows, [[4, 4, 4], [-9, 9, -9]]])


@pytest.mark.parametrize("method", METHODS)
def test_planted_outliers_are_the_oddest(method):
    out = stages.outliers(array(groups()), methods=[method])
    rank = out[f"outlier_rank_{method}"].values
    assert rank[-1] == (202 - 0.5) / 202
    if method != "mahalanobis":  # one normal distribution holds what lies between two groups
        assert rank[-2] == (201 - 0.5) / 202
    assert set(out.data_vars) == {f"outlier_{method}", f"outlier_rank_{method}"}
    assert out["sample"][0] == 5


def test_closed_forms():
    rows = groups(20)
    out = stages.outliers(array(rows), n_neighbours=3)
    near = np.sort(cdist(rows, rows), axis=1)[:, 1:4].mean(axis=1)
    np.testing.assert_allclose(out["outlier_knn"], near)
    many = np.random.default_rng(0).normal(size=(5000, 2)) * [1, 10]
    away = stages.outliers(array(many), methods=["mahalanobis"])["outlier_mahalanobis"]
    centred = many - many.mean(0)
    exact = np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(many.T)), centred))
    np.testing.assert_allclose(away, exact, rtol=0.05)


@pytest.mark.parametrize("shape", [(60, 3), (60, 1), (20, 20), (12, 80), (40, 400)])
def test_shrunk_covariances_are_scikit_learns(shape):
    rows = np.random.default_rng(1).normal(size=shape) * np.geomspace(1, 9, shape[1]) + 3
    found = stages.outliers(array(rows), methods=["mahalanobis"])["outlier_mahalanobis"]
    np.testing.assert_allclose(found, np.sqrt(LedoitWolf().fit(rows).mahalanobis(rows)), rtol=1e-8)


def test_the_local_outlier_factor_is_scikit_learns():
    rows = groups(60)
    out = stages.outliers(array(rows), methods=["lof"], n_neighbours=7)
    expected = -LocalOutlierFactor(7).fit(rows).negative_outlier_factor_
    np.testing.assert_allclose(out["outlier_lof"], expected, rtol=1e-6)


def test_neighbours_that_were_found_already_are_used():
    rows = array(groups(60))
    near = stages.neighbours(rows, n_neighbours=12, metric="cosine")
    out = stages.outliers(rows, near, n_neighbours=5, methods=["knn"])
    np.testing.assert_allclose(out["outlier_knn"], near["distance"][:, :5].mean("rank"))
    same = stages.outliers(rows, stages.neighbours(rows), methods=["knn", "lof"])
    xr.testing.assert_allclose(same, stages.outliers(rows, methods=["knn", "lof"]))


def test_ranks_are_shares_and_equal_samples_rank_alike():
    rows = [[0.0], [0], [1], [1], [1], [100]]
    out = stages.outliers(array(rows), methods=["knn"], n_neighbours=1)
    np.testing.assert_allclose(out["outlier_rank_knn"], [*[2.5 / 6] * 5, 5.5 / 6])


@pytest.mark.parametrize("rows", [np.ones((7, 2)), np.eye(3), np.zeros((40, 1))])
def test_duplicates_and_few_samples(rows):
    out = stages.outliers(array(rows))
    assert all(np.isfinite(v).all() for v in out.data_vars.values())
    np.testing.assert_allclose(out["outlier_rank_knn"], 0.5)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="outliers") as caught:
        stages.outliers(array([[1.0], [2]]))
    assert str(caught.value) == "outliers: needs 3 or more samples; got 2. Leave it out."
    with pytest.raises(ValueError, match="finite"):
        stages.outliers(array([[1.0], [2], [np.nan]]))


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_samples_changes_nothing(method):
    rows = array(groups(60))
    once = stages.outliers(rows, methods=[method])
    again = stages.outliers(rows[np.random.default_rng(1).permutation(len(rows))], methods=[method])
    back = again.sel(sample=once["sample"])
    if method == "mixture":  # to the bit: parts and starts are drawn
        xr.testing.assert_identical(back, once)
    xr.testing.assert_allclose(back, once)


def test_neighbours_in_another_order_are_refused():
    rows = array(groups(20))
    with pytest.raises(ValueError, match="outliers") as caught:
        stages.outliers(rows[::-1], stages.neighbours(rows))
    assert str(caught.value) == (
        "outliers: needs the 42 samples of the neighbours in its order; got other 'sample' ids, or "
        "another order of them. Select them with .sel(sample=neighbours.sample)."
    )


def test_a_mixture_that_ends_early_is_told(monkeypatch):
    rows = array(groups(60))
    assert stages.outliers(rows)["outlier_mixture"].attrs["converged"] == 1
    monkeypatch.setattr(sys.modules["fxrelay_analysis.stages.outliers"], "STEPS", 1)
    assert stages.outliers(rows)["outlier_mixture"].attrs["converged"] == 0
