"""Scores of clusters against hand-worked cases."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import stages
from fxrelay_analysis.truth import match


def labels(*columns):
    values = np.array(columns, np.int32).T
    coords = {"sample": np.arange(len(values)), "n_clusters": [c.max() + 1 for c in values.T]}
    return xr.DataArray(values, coords, ("sample", "n_clusters"), "clustering_kmeans")


def blobs(sizes=(60, 40), apart=20.0, seed=0):
    random = np.random.default_rng(seed)
    rows = np.concatenate([random.normal(i * apart, 1, (n, 5)) for i, n in enumerate(sizes)])
    return xr.DataArray(rows, {"sample": np.arange(len(rows))}, ("sample", "feature"), "feature")


def test_sizes_isolation_and_padding():
    found = labels([0, 0, 0, 1], [0, 1, 1, 2])
    np.testing.assert_array_equal(stages.sizes(found), [[3, 1, np.nan], [1, 2, 1]])
    pairs = np.array([(0, 1), (1, 2), (2, 3)])
    both = np.concatenate([pairs, pairs[:, ::-1]]).T.astype(np.int32)
    graph = xr.Dataset(
        {
            "edge_source": ("edge", both[0]),
            "edge_target": ("edge", both[1]),
            "edge_weight": ("edge", np.ones(6)),
        },
        coords={"sample": np.arange(4)},
    )
    np.testing.assert_allclose(stages.isolation(graph, found), [[1, 1, np.nan], [1, 1, 1]])


def test_silhouette_of_far_groups_is_near_one():
    embedded = stages.spectral_embedding(stages.affinity(stages.neighbours(blobs())))
    found = stages.kmeans(embedded, n_clusters=[1, 2])
    values = stages.silhouette(embedded, found).silhouette.values
    assert np.isnan(values[0]).all()
    assert (values[1] > 0.99).all()
    assert np.isfinite(stages.silhouette(embedded, found, max_samples=20).silhouette[1]).all()


def test_prototypes_are_members_of_their_cluster():
    features = blobs().assign_coords(sample=np.arange(500, 600))
    embedded = stages.spectral_embedding(stages.affinity(stages.neighbours(features)))
    found = stages.kmeans(embedded, n_clusters=[2, 3])
    ids = stages.prototypes(embedded, found)
    assert ids.dtype == np.int64
    assert ids.values[0, 2] == -1
    for k, row in zip((2, 3), ids.values, strict=True):
        assert found.sel(sample=row[:k], n_clusters=k).values.tolist() == list(range(k))


def test_eigengap_and_surplus():
    spectrum = xr.Dataset({"eigenvalue": ("component", [0.0, 0.1, 0.7])})
    np.testing.assert_allclose(stages.eigengap(spectrum), [0.1, 0.6, np.nan])
    features = xr.DataArray([[1.0, 0.0], [1.0, 0.0], [0.5, 2.0]], dims=("sample", "feature"))
    np.testing.assert_allclose(stages.surplus(features, labels([0, 0, 1])), [[0.5, 2.0]])


def test_kmeans_sweeps_and_numbers_by_size():
    embedded = stages.spectral_embedding(stages.affinity(stages.neighbours(blobs((30, 70)))))
    found = stages.kmeans(embedded, n_clusters=range(2, 7))
    assert found.dims == ("sample", "n_clusters")
    assert found.shape == (100, 5)
    assert found.dtype == np.int32
    assert found["n_clusters"].values.tolist() == [2, 3, 4, 5, 6]
    assert [len(np.unique(column)) for column in found.values.T] == [2, 3, 4, 5, 6]
    for column in found.values.T:
        assert (np.diff(np.bincount(column)) <= 0).all()
    assert stages.kmeans(embedded, n_clusters=3).shape == (100, 1)


def test_more_clusters_than_distinct_points():
    same = xr.DataArray(np.ones((6, 2)), dims=("sample", "feature"))
    assert set(stages.kmeans(same, n_clusters=[3]).values.ravel()) == {0}


def test_match_gives_size_purity_and_recall():
    cluster = np.array([1, 1, 1, 0, 0], bool)
    planted = np.array([1, 1, 0, 1, 1], bool)
    assert match(cluster, planted) == (3, pytest.approx(2 / 3), 0.5)
    assert np.isnan(match(cluster, ~np.ones(5, bool)).recall)
    assert np.isnan(match(~np.ones(5, bool), planted).purity)
    with pytest.raises(ValueError, match="match") as caught:
        match(np.array([1, 0]), planted)
    assert str(caught.value) == (
        "match: needs boolean vectors; got int64 of shape (2,) and bool of shape (5,). "
        "Compare labels with == first."
    )
    with pytest.raises(ValueError, match="match") as caught:
        match(cluster[:2], planted)
    assert str(caught.value) == (
        "match: needs vectors of one length; got 2 and 5. Select the same samples in both."
    )


def test_silhouettes_of_clusterings_with_equally_many_clusters_differ():
    random = np.random.default_rng(0)
    two = labels(*random.integers(0, 3, (2, 60))).assign_coords(n_clusters=[3, 4])
    embedded = xr.Dataset({"embedding_spectral": (("sample", "component"),
                                                  random.normal(size=(60, 6)))})  # fmt: skip
    both = stages.silhouette(embedded, two).silhouette
    alone = stages.silhouette(embedded, two.isel(n_clusters=[1])).silhouette
    np.testing.assert_array_equal(both.values[1, :3], alone.values[0, :3])


@pytest.mark.parametrize(
    ("ids", "nobody"),
    [
        (np.arange(4, dtype=np.uint64) + 2**63, 2**64 - 1),
        (np.arange(4) / 2, -1),
        (np.array(list("abcd")), ""),
        (np.arange(4).astype("M8[ns]"), np.datetime64("NaT")),
    ],
)
def test_prototypes_keep_the_type_of_the_ids(ids, nobody):
    embedded = xr.Dataset(
        {"embedding_spectral": (("sample", "component"), np.eye(4))}, {"sample": ids}
    )
    clustering = labels([0, 0, 1, 1], [0, 1, 2, 2]).assign_coords(sample=ids)
    found = stages.prototypes(embedded, clustering)
    assert set(found.values[1].tolist()) <= set(ids.tolist())
    np.testing.assert_array_equal(found.values[0, 2], np.array(nobody, found.dtype))


def test_components_and_settings_are_selected():
    embedded = stages.spectral_embedding(stages.affinity(stages.neighbours(blobs())))
    kept = stages.select(embedded, positions=[3, 1])
    xr.testing.assert_identical(kept, embedded.isel(component=[3, 1]))
    assert kept["component"].values.tolist() == [3, 1]
    one = stages.select(stages.kmeans(embedded, n_clusters=[2, 5]), dim="n_clusters", positions=1)
    assert one.sizes == {"sample": 100, "n_clusters": 1}
    assert one["n_clusters"] == 5
    for dim, last, got in [("component", 16, "16 of 'component'"), ("axis", 7, "7 of 'axis'"),
                           ("sample", 7, "7 of 'sample'")]:  # fmt: skip
        with pytest.raises(ValueError, match="select") as caught:
            stages.select(embedded, dim=dim, positions=[0, last])
        assert str(caught.value) == (
            f"select: needs positions of a dimension, not 'sample'; got {got}, and sample: 100, "
            "component: 16. Lower the positions or name another dimension."
        )
