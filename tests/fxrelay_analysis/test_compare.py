"""Agreement of clusterings against scikit-learn, matches by hand, and two analyses."""

import numpy as np
import pytest
import xarray as xr
from sklearn import metrics

from fxrelay_analysis import stages
from fxrelay_analysis.comparing import compare_analyses
from tests.fxrelay_analysis.test_contingency import clustering

FIRST = clustering([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])
SECOND = clustering([1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 2, -1], sweep="eps")


def test_indices_are_scikit_learns():
    out = stages.compare(FIRST, SECOND)
    assert out["adjusted_rand_index"].dims == ("n_clusters", "eps_other")
    assert out["match"].dims == ("n_clusters", "eps_other", "cluster")
    for (i, j), got in np.ndenumerate(out["adjusted_rand_index"].values):
        a, b = FIRST.values[:, i], SECOND.values[:, j]
        assert got == pytest.approx(metrics.adjusted_rand_score(a, b))
        at = {"n_clusters": i, "eps_other": j}
        normalized = out["normalized_mutual_information"].isel(at)
        assert normalized == pytest.approx(metrics.normalized_mutual_info_score(a, b))
        adjusted = out["adjusted_mutual_information"].isel(at)
        assert adjusted == pytest.approx(metrics.adjusted_mutual_info_score(a, b))


def test_clusters_are_matched_by_overlap():
    out = stages.compare(FIRST, SECOND).isel(n_clusters=1, eps_other=1)
    assert out["match"].values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(out["overlap"], [2 / 3, 1 / 2, 1 / 2])
    left_over = stages.compare(FIRST, SECOND).isel(n_clusters=1, eps_other=0)
    assert sorted(left_over["match"].values.tolist()) == [-1, 0, 1]
    dropped = stages.compare(FIRST, SECOND, noise="drop").isel(n_clusters=1, eps_other=1)
    a, b = FIRST.values[:5, 1], SECOND.values[:5, 1]
    assert dropped["adjusted_rand_index"] == pytest.approx(metrics.adjusted_rand_score(a, b))


def test_samples_are_aligned_by_id():
    turned = FIRST.isel(sample=[5, 3, 1, 0, 2])
    out = stages.compare(turned, FIRST)
    np.testing.assert_allclose(np.diag(out["adjusted_rand_index"]), 1)
    assert out.attrs == {"n_common": 5, "n_samples": [5, 6]}
    with pytest.raises(ValueError, match="share samples") as caught:
        stages.compare(FIRST, FIRST.assign_coords(sample=np.arange(6) + 10))
    assert str(caught.value) == (
        "compare: needs two clusterings that share samples; got 6 and 6 samples with no id in "
        "common. Give both the same 'sample' coordinate."
    )


def test_only_noise_has_no_agreement():
    out = stages.compare(FIRST, xr.full_like(FIRST, -1), noise="drop")
    assert np.isnan(out["adjusted_rand_index"]).all()
    assert (out["match"] == -1).all()


def tree(found, suspicion, *names):
    ranking = xr.Dataset({"suspicion": ("category", suspicion)}, {"category": list(names)})
    groups = {f"/{n}": found.to_dataset(name="clustering_kmeans") for n in names}
    return xr.DataTree.from_dict({"/ranking": ranking} | groups)


def test_two_analyses_are_compared_category_by_category():
    out = compare_analyses(tree(FIRST, [3.0, 1.0], "a", "b"), tree(FIRST, [0.5, 2.0], "b", "c"))
    assert list(out.children) == ["b"]
    assert out.attrs == {"only_before": ["a"], "only_after": ["c"]}
    assert out["suspicion_before"].values.tolist() == [1.0]
    assert out["suspicion_after"].values.tolist() == [0.5]
    np.testing.assert_allclose(np.diag(out["b/clustering_kmeans"]["adjusted_rand_index"]), 1)
    others = FIRST.assign_coords(sample=FIRST["sample"] + 1000)
    moved = xr.DataTree.from_dict(
        tree(FIRST, [3.0, 1.0], "a", "b").to_dict() | {"/b": others.to_dataset(name="x")}
    )
    apart = compare_analyses(moved, tree(FIRST, [1.0, 1.0], "a", "b"))
    assert list(apart.children) == ["a"]
    assert apart.attrs == {"only_before": ["b"], "only_after": ["b"]}
    with pytest.raises(ValueError, match="that both have") as caught:
        compare_analyses(tree(FIRST, [1.0], "a"), tree(FIRST, [1.0], "b"))
    assert str(caught.value) == (
        "compare_analyses: needs a category with samples that both have; got ['a'] and ['b']. "
        "Analyse the same variable of the same samples."
    )
