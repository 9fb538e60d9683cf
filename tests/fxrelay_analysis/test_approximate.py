"""Approximate neighbours: recall, ties, what is refused; exact ones where rounding is large."""

import builtins

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import cdist

from fxrelay_analysis import stages
from fxrelay_analysis.stages.nearest import nearest

DIMS = ("sample", "feature")


def curved(n, seed=0):
    random = np.random.default_rng(seed)
    return np.tanh(random.normal(size=(n, 3)) @ random.normal(size=(3, 16))).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return xr.DataArray(curved(1500), {"sample": np.arange(1500)}, DIMS)


def compared(rows, **options):
    exact = stages.neighbours(rows, method="exact", **options)
    return exact, stages.neighbours(rows, method="approximate", **options)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_recall_is_what_the_attribute_says(rows, metric):
    pytest.importorskip("pynndescent")
    exact, found = compared(rows, metric=metric, n_probe=1500)
    right = (found["distance"].values <= exact["distance"].values[:, -1:] * (1 + 1e-9)).mean()
    assert found.attrs["method"] == "approximate"
    assert found.attrs["recall"] == pytest.approx(right, abs=1e-6)
    assert right > 0.95
    assert (found["neighbour"].values != np.arange(1500)[:, None]).all()
    assert (np.diff(found["distance"]) >= 0).all()
    again = stages.neighbours(rows, method="approximate", metric=metric, n_probe=1500)
    assert found.identical(again)


@pytest.mark.slow
def test_duplicates_keep_their_neighbours_in_approximate_search():
    pytest.importorskip("pynndescent")
    x = xr.DataArray(np.repeat(curved(40), 30, axis=0), dims=DIMS)
    found = stages.neighbours(x, method="approximate")
    assert (found["neighbour"].values != np.arange(1200)[:, None]).all()
    assert all(len(set(row)) == 10 for row in found["neighbour"].values.tolist())


@pytest.mark.slow
def test_low_recall_warns(rows):
    pytest.importorskip("pynndescent")
    with pytest.warns(UserWarning, match="neighbours") as caught:
        stages.neighbours(rows + np.random.default_rng(0).normal(size=rows.shape) * 5,
                          method="auto", max_exact=100, min_recall=1.0)  # fmt: skip
    assert "needs recall of at least min_recall=1; got 0." in str(caught[0].message)


def test_approximate_search_needs_pynndescent(rows, monkeypatch):
    find = builtins.__import__

    def missing(name, *rest):
        if name == "pynndescent":
            raise ImportError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError) as caught:
        stages.neighbours(rows, method="approximate")
    assert str(caught.value) == (
        "neighbours: needs pynndescent for approximate search; it is not installed. Use "
        "method='exact', or install it: pip install 'fxrelay[scale]'."
    )


def test_some_metrics_have_no_approximate_search(rows):
    with pytest.raises(ValueError, match="neighbours") as caught:
        stages.neighbours(rows, metric="canberra", max_exact=100)
    assert str(caught.value) == (
        "neighbours: needs a metric among euclidean, sqeuclidean, seuclidean, mahalanobis, cosine, "
        "pearson, spearman, hellinger for approximate search; got 'canberra' and 1500 samples. Use "
        "method='exact' or another metric."
    )


@pytest.mark.parametrize("spread", [0, 3, 6])
def test_neighbours_are_exact_whatever_the_norms(spread):
    random = np.random.default_rng(spread)
    x = random.normal(size=(400, 30)) * 10 ** random.uniform(0, spread, (400, 1))
    index, distance = nearest(x, 7)
    whole = cdist(x, x)
    np.fill_diagonal(whole, np.inf)
    np.testing.assert_allclose(distance, np.sort(whole, axis=1)[:, :7], rtol=1e-9)
    np.testing.assert_array_equal(index, np.argsort(whole, axis=1, kind="stable")[:, :7])


def test_near_duplicates_are_told_apart():
    base = np.random.default_rng(0).normal(size=(1, 50)) * 100
    x = base + 1e-9 * np.arange(60)[:, None]  # float32 sees one point
    index, _ = nearest(x, 2)
    np.testing.assert_array_equal(np.sort(index[1:-1]), np.c_[np.arange(58), np.arange(2, 60)])


def test_some_rows_alone_have_the_same_neighbours():
    x = curved(200)
    some = np.array([7, 150, 3])
    np.testing.assert_array_equal(nearest(x, 5, some)[0], nearest(x, 5)[0][some])
