"""All clusters in one table: hand-made trees, and what spray returns."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import spray
from fxrelay_analysis.clusters import rank_clusters
from tests.fxrelay_analysis.test_spray import FAST, relevance


def group(separability, valley, labels, suffix="", **others):
    """A sweep over 2 and 3 clusters of 8 samples."""
    dims = ("n_clusters", "cluster")
    return xr.Dataset(
        {
            f"separability{suffix}": (dims, separability),
            f"valley{suffix}": (dims, valley),
            f"clustering_kmeans{suffix}": (("sample", "n_clusters"), np.array(labels).T),
            **{f"{name}{suffix}": (dims, values) for name, values in others.items()},
        },
        {"n_clusters": [2, 3], "cluster": [0, 1, 2], "sample": np.arange(8)},
    )


NAN = np.nan
LABELS = [[0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 2, 1, 1, 1]]
SIZES = {"cluster_size": [[6, 2, NAN], [4, 3, 1]], "prototype": [[0, 6, -1], [1, 7, 4]]}
FIRST = group([[2.0, 5, NAN], [2.5, 4, 1]], [[1, 0, NAN], [0, 0, 1]], LABELS, **SIZES)
SECOND = group([[9.0, 1, NAN], [0, 0, 0]], [[1, 1, NAN], [1, 1, 1]], LABELS, **SIZES)


def test_clusters_are_told_once_and_in_order():
    tree = xr.DataTree.from_dict({"/a": FIRST, "/b": SECOND, "/ranking": xr.Dataset()})
    out = rank_clusters(tree)
    told = list(zip(*(out[n].values.tolist() for n in ("category", "n_clusters", "cluster")),
                    strict=True))  # fmt: skip
    # 3/1 of a is 2/1 with a sample more; 2/0 holds 3/0 and has no valley: 1 at most
    assert told[:2] == [("a", 2, 1), ("a", 3, 0)]
    assert ("a", 3, 1) not in told
    assert ("a", 2, 0) not in told
    assert set(told[2:]) == {("a", 3, 2), ("b", 2, 0), ("b", 2, 1), ("b", 3, 2)}
    assert out["suspicion"].values.tolist() == [5, 2.5, 1, 1, 1, 0]
    assert out["share"][0] == 0.25
    assert out["prototype"][0] == 6
    assert out["cluster_size"][:2].values.tolist() == [2, 4]
    assert out["separability"].max() == 9
    assert set(out["clustering"].values.tolist()) == {"kmeans"}
    assert rank_clusters(tree, overlap=1.0).sizes["rank"] == 10


def test_clusterings_of_several_metrics_compete():
    both = xr.merge([FIRST, group([[0.0, 0, NAN], [0, 7, 0]], [[1, 1, NAN], [1, 0, 1]], LABELS,
                                  "_equalized")])  # fmt: skip
    out = rank_clusters(xr.DataTree.from_dict({"/a": both}))
    first = out.isel(rank=0)
    assert (first["clustering"], first["n_clusters"], first["cluster"]) == (
        "kmeans_equalized",
        3,
        1,
    )
    assert "prototype" not in out  # one metric has none
    scored = both.assign(purity_label=both["valley"] + 2, purity_label_equalized=both["valley"] + 3)
    purity = rank_clusters(xr.DataTree.from_dict({"/a": scored}))
    expected = purity["valley"] + 2 + (purity["clustering"] == "kmeans_equalized")
    np.testing.assert_array_equal(purity["purity_label"], expected)


def test_the_table_of_an_analysis(tmp_path):
    ds = relevance()
    tree = spray(ds, parameters=FAST, progress=False)
    out = rank_clusters(tree)
    leading = tree["ranking"].isel(category=0)
    assert out["category"][0] == leading["category"]
    assert float(out["suspicion"][0]) >= float(leading["suspicion"]) * (1 - 1e-6)
    assert (np.diff(out["suspicion"]) <= 0).all()
    assert out["prototype"].isin(ds["sample"]).all()
    assert out["suspicion"].attrs["long_name"]
    out.to_netcdf(tmp_path / "clusters.nc")


def test_what_is_needed_is_named():
    tree = xr.DataTree.from_dict({"/a": FIRST})
    with pytest.raises(ValueError, match="rank_clusters") as caught:
        rank_clusters(tree, clustering="dbscan")
    assert str(caught.value) == (
        "rank_clusters: needs categories with 'clustering_dbscan' and 'separability' of it, and "
        "overlap in [0, 1]; got 0 such clusters in 1 categories, and 0.5. Run spray, or name "
        "another clustering."
    )
    with pytest.raises(ValueError, match="and 2"):
        rank_clusters(tree, overlap=2)
