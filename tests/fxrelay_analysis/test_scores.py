"""Scores against hand-worked cases, and the closed form that gives suspicion its unit."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import stages
from fxrelay_analysis.stages.suspicion import CONTINUUM, separability
from fxrelay_analysis.truth import match


def labels(*columns):
    values = np.array(columns, np.int32).T
    coords = {"sample": np.arange(len(values)), "n_clusters": [c.max() + 1 for c in values.T]}
    return xr.DataArray(values, coords, ("sample", "n_clusters"), "clustering_kmeans")


def table(values, name="cluster_size"):
    k = [int(np.isfinite(row).sum()) for row in values]
    coords = {"n_clusters": k, "cluster": np.arange(len(values[0]))}
    return xr.DataArray(np.array(values, float), coords, ("n_clusters", "cluster"), name)


def test_a_continuum_cut_in_the_middle_is_the_unit():
    t = (np.arange(100_000) + 0.5) / 100_000
    phi = np.cos(np.pi * np.outer(t, [1, 2, 3]))
    ratio = 1 / (1 / CONTINUUM + 0.01 * (1 + 1 / CONTINUUM)) / CONTINUUM  # shrunk by 1 %
    assert separability(phi, t < 0.5) == pytest.approx(ratio, rel=1e-3)
    assert max(separability(phi, t < cut) for cut in np.linspace(0.05, 0.95, 19)) <= 1


def test_separability_is_fishers_ratio():
    phi = np.array([[0.0], [1.0], [4.0], [5.0]])
    between, within = 2.0**2, 0.5**2
    expected = between / (within + 0.01 * (between + within)) / CONTINUUM
    assert separability(phi, np.array([0, 0, 1, 1], bool)) == pytest.approx(expected)
    assert separability(np.ones((4, 1)), np.array([0, 0, 1, 1], bool)) == 0


def test_noise_has_no_separability():
    phi = np.random.default_rng(0).normal(size=(1000, 3))
    assert separability(phi, np.arange(1000) < 500) < 0.01


def blobs(sizes=(60, 40), apart=20.0, seed=0):
    random = np.random.default_rng(seed)
    rows = np.concatenate([random.normal(i * apart, 1, (n, 5)) for i, n in enumerate(sizes)])
    return xr.DataArray(rows, {"sample": np.arange(len(rows))}, ("sample", "feature"), "feature")


def scored(features, **given):
    near = stages.neighbours(features)
    graph = stages.affinity(near)
    embedded = stages.spectral_embedding(graph)
    found = stages.kmeans(embedded, n_clusters=range(2, 5))
    sizes, surplus = stages.sizes(found), stages.surplus(features, found)
    return stages.suspicion(stages.fisher(embedded, found), sizes, surplus, **given)


def test_two_groups_are_flagged_and_a_line_is_not():
    verdict = scored(blobs())
    assert verdict["flagged"]
    assert verdict["suspicion"] > 20
    assert verdict["chosen_n_clusters"] == 2
    assert verdict["suspicious_size"] == 40  # the side with the greater values
    t = np.sort(np.random.default_rng(0).uniform(size=400))
    line = xr.DataArray(np.outer(t, np.ones(3)), {"sample": np.arange(400)}, ("sample", "feature"))
    assert scored(line)["suspicion"] < 1.5
    assert not scored(line)["flagged"]


def test_suspicion_skips_clusters_that_are_too_small():
    size = table([[98, 2, np.nan], [60, 38, 2]])
    score = table([[50, 50, np.nan], [3, 1, 40]], "separability")
    surplus = table([[1, 2, np.nan], [2, 1, 3]], "surplus")
    verdict = stages.suspicion(score, size, surplus)
    assert verdict["suspicion"] == 3
    assert verdict["chosen_n_clusters"] == 3
    assert verdict["suspicious_cluster"] == 0
    assert verdict["suspicious_size"] == 60
    assert stages.suspicion(score, size, surplus, min_share=0.01)["suspicion"] == 50
    assert not stages.suspicion(score, size, surplus, threshold=3.5)["flagged"]


def test_without_any_large_cluster_nothing_is_suspicious():
    verdict = stages.suspicion(table([[1, 1]]), table([[99, 1]]), table([[1, 1]]))
    assert verdict["suspicion"] == 0
    assert verdict["suspicious_cluster"] == -1
    assert not verdict["flagged"]


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


def test_a_cluster_without_a_rest_has_no_separability():
    phi = np.random.default_rng(0).normal(size=(100, 16))
    assert np.isnan(separability(phi, np.ones(100, bool)))


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
    found = stages.prototypes(embedded, labels([0, 0, 1, 1], [0, 1, 2, 2]))
    assert set(found.values[1].tolist()) <= set(ids.tolist())
    np.testing.assert_array_equal(found.values[0, 2], np.array(nobody, found.dtype))
