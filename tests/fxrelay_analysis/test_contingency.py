"""Clusters against labels: counts by hand, scipy's exact test, and what is missing."""

import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from scipy.stats import false_discovery_control, fisher_exact

from fxrelay_analysis import stages


def clustering(*columns, sweep="n_clusters"):
    values = np.array(columns).T
    coords = {"sample": np.arange(len(values)), sweep: np.arange(values.shape[1]) + 2}
    return xr.DataArray(values, coords, ("sample", sweep), "clustering_kmeans")


def facts(**columns):
    n = len(next(iter(columns.values())))
    return xr.Dataset({k: ("sample", v) for k, v in columns.items()}, {"sample": np.arange(n)})


FOUND = clustering([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 2, -1])
KNOWN = facts(label=[3, 3, 3, 5, 5, 5, 5, 5], prediction=[3, 3, 5, 5, 5, 5, 5, 3])


def test_counts_purity_and_focus_by_hand():
    out = stages.contingency(FOUND, KNOWN)
    assert out["count_label"].dims == ("n_clusters", "cluster", "label")
    assert out["cluster"].values.tolist() == [-1, 0, 1, 2]
    assert out["count_label"].sel(n_clusters=2).values.tolist() == [[0, 0], [3, 1], [0, 4], [0, 0]]
    assert out["count_label"].sel(n_clusters=3).values.tolist() == [[0, 1], [3, 1], [0, 2], [0, 1]]
    first = out.sel(n_clusters=2, cluster=[0, 1])
    assert first["majority_label"].values.tolist() == [3, 5]
    assert first["purity_label"].values.tolist() == [0.75, 1.0]
    assert first["focus_label"].values.tolist() == [1.0, 0.8]
    nobody = out.sel(n_clusters=2, cluster=2)
    assert nobody["majority_label"] == -1
    assert np.isnan(nobody["purity_label"])
    joint = out["count"].sel(n_clusters=2, cluster=0, label=3)
    assert joint.values.tolist() == [2, 1]
    assert out["count"].sum() == 16
    assert (
        out["purity_label"].attrs["long_name"]
        == "share of the cluster with its most frequent label"
    )


def test_odds_and_enrichment_follow_their_formulas():
    out = stages.contingency(FOUND, KNOWN, pseudocount=0).sel(n_clusters=2, cluster=0, label=3)
    assert np.isposinf(out["odds_ratio_label"])
    assert out["log2_enrichment_label"] == 1.0  # 3/4 of the cluster, 3/8 of all
    cell = stages.contingency(FOUND, KNOWN).sel(n_clusters=2, cluster=0, label=3)
    assert cell["odds_ratio_label"] == pytest.approx(3.5 * 4.5 / (1.5 * 0.5))
    assert cell["log2_enrichment_label"] == pytest.approx(np.log2(3.5 / 2))


@pytest.mark.parametrize("alternative", ["greater", "less"])
@given(
    labels=st.lists(st.integers(0, 3), min_size=20, max_size=20),
    seed=st.integers(0, 10),
)
def test_p_values_are_fishers_and_q_values_those_of_benjamini_and_hochberg(
    alternative, labels, seed
):
    found = clustering(*np.random.default_rng(seed).integers(0, 3, (2, 20)))
    out = stages.contingency(
        found, facts(label=labels), alternative=alternative, variables=["label"]
    )
    p = out["p_value_label"].values
    for (column, cluster, value), got in np.ndenumerate(p):
        inside = found.values[:, column] == out["cluster"].values[cluster]
        has = np.array(labels) == out["label"].values[value]
        if np.isnan(got):
            assert inside.all() or not inside.any() or has.all()
            continue
        table = [[(inside & has).sum(), (inside & ~has).sum()],
                 [(~inside & has).sum(), (~inside & ~has).sum()]]  # fmt: skip
        assert got == pytest.approx(fisher_exact(table, alternative)[1], rel=1e-9)
    tested = p[~np.isnan(p)]
    if tested.size:
        q = out["q_value_label"].values
        np.testing.assert_allclose(q[~np.isnan(p)], false_discovery_control(tested))


def test_what_is_missing_is_counted_and_listed():
    known = facts(label=[3, 3, 3, -1, 5, 5, 5, 5], split=np.array(["a", None] * 4, object))
    out = stages.contingency(FOUND, known, variables=["label", "split", "time"])
    assert out.attrs["missing_variables"] == ["time"]
    assert out["count_label"].attrs["n_missing"] == 1
    assert out["count_split"].attrs["n_missing"] == 4
    assert out["count_label"].sel(n_clusters=2).sum() == 7
    assert out["split"].values.tolist() == ["a"]
    assert np.isnan(out["p_value_split"]).all()
    assert out["count"].sel(n_clusters=2).sum() == 4
    empty = stages.contingency(FOUND, xr.Dataset())
    assert not empty.data_vars
    assert empty.attrs["missing_variables"] == ["label", "prediction"]


def test_facts_may_be_arrays_as_in_a_pipeline():
    whole = stages.contingency(FOUND, KNOWN)
    parts = stages.contingency(FOUND, KNOWN["label"], KNOWN["prediction"])
    xr.testing.assert_identical(parts, whole)
    other = stages.contingency(FOUND, KNOWN["label"].rename("camera"))
    assert "count_camera" in other
    assert other.attrs["missing_variables"] == []
    both = stages.contingency(FOUND, KNOWN, KNOWN["label"].rename("camera"))
    assert {"count_label", "count_prediction", "count_camera"} <= set(both)


def test_a_clustering_without_a_sweep_will_do():
    out = stages.contingency(FOUND.isel(n_clusters=0, drop=True), KNOWN, joint=False)
    assert out["count_label"].dims == ("cluster", "label")
    assert "count" not in out


def test_what_does_not_fit_is_named_at_once():
    wrong = KNOWN.assign(label=(("sample", "k"), np.ones((8, 2), int)))
    with pytest.raises(ValueError, match="contingency") as caught:
        stages.contingency(FOUND, wrong.isel(sample=slice(0, 7)))
    assert str(caught.value) == (
        "contingency: needs facts (sample,) of the clustering's samples; got 'label' has dims "
        "('sample', 'k'); 7 samples for a clustering of 8. Rename variables, select samples with "
        "facts.sel(sample=clustering.sample)."
    )
    with pytest.raises(ValueError, match="other sample ids, or another order of them"):
        stages.contingency(FOUND, KNOWN.isel(sample=slice(None, None, -1)))
    for name in ("cluster", "n_clusters", "count"):
        with pytest.raises(ValueError, match=rf"got the name '{name}', which the tables have\. "):
            stages.contingency(FOUND, facts(**{name: [0] * 8}), variables=[name])
    with pytest.raises(ValueError, match="cluster labels >= -1") as caught:
        stages.contingency(FOUND - 2, KNOWN)
    assert str(caught.value) == (
        "contingency: needs cluster labels >= -1 (-1 is no cluster); got -3. Renumber them."
    )
    with pytest.raises(ValueError, match="needs a clustering of integers"):
        stages.contingency(FOUND.astype(float), KNOWN)


def test_a_joint_table_that_is_too_large_is_refused(monkeypatch):
    module = sys.modules[stages.contingency.__module__]
    monkeypatch.setattr(module, "MOST", 31)
    with pytest.raises(ValueError, match="joint table") as caught:
        stages.contingency(FOUND, KNOWN)
    assert str(caught.value) == (
        "contingency: needs a joint table of at most 31 counts; got 32 for 2 values of label, "
        "2 values of prediction. Pass joint=False or fewer variables."
    )


def test_values_of_several_types_are_named():
    clustering = xr.DataArray(np.array([0, 1], np.int32), {"sample": [0, 1]}, ["sample"])
    facts = xr.Dataset({"label": ("sample", np.array([1, "a"], object))}, {"sample": [0, 1]})
    with pytest.raises(ValueError, match=r"^contingency: needs 'label' with values of one type"):
        stages.contingency(clustering, facts)
