"""Scores of clusterings against other implementations, hand-worked cases and planted groups."""

import numpy as np
import pytest
import xarray as xr
from sklearn import metrics

from fxrelay_analysis import stages

RANDOM = np.random.default_rng(0)
TRUTH = np.repeat([0, 1, 2], [40, 30, 20])
CENTRES = np.array([[0, 0, 0], [12, 0, 0], [0, 12, 0]])


def rows(values):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"sample": np.arange(len(values))}, ("sample", "feature"))


BLOBS = rows(CENTRES[TRUTH] + RANDOM.normal(size=(90, 3)))
FOUND = stages.kmeans(BLOBS, n_clusters=range(1, 7))
ORACLES = {
    "silhouette": ("mean_silhouette", metrics.silhouette_score),
    "calinski_harabasz": ("calinski_harabasz", metrics.calinski_harabasz_score),
    "davies_bouldin": ("davies_bouldin", metrics.davies_bouldin_score),
}
SCORES = pytest.mark.parametrize("name", ORACLES)


def numbers(name, *inputs, **parameters):
    result = stages.STAGES[name](*inputs, **parameters)
    return result if isinstance(result, xr.DataArray) else result[ORACLES[name][0]]


@SCORES
def test_scores_are_sklearns(name):
    found = numbers(name, BLOBS, FOUND)
    assert found.dims == ("n_clusters",)
    assert np.isnan(found[0])  # one cluster
    for column in range(1, 6):
        oracle = ORACLES[name][1](BLOBS, FOUND[:, column])
        assert found[column].item() == pytest.approx(oracle)


@SCORES
def test_noise_is_left_out_and_the_sweep_keeps_its_name(name):
    clusters = stages.dbscan(BLOBS, eps=[0.01, 1.2])
    labels = clusters.clustering_dbscan[:, 1].values
    found = numbers(name, BLOBS, clusters)
    assert found.dims == ("eps",)
    assert np.isnan(found[0])  # nothing but noise
    inside = labels >= 0
    assert (~inside).any()
    assert found[1].item() == pytest.approx(ORACLES[name][1](BLOBS[inside], labels[inside]))


@SCORES
def test_a_clustering_without_sweep_has_one_score(name):
    found = numbers(name, BLOBS, FOUND.isel(n_clusters=2, drop=True))
    assert found.dims == ()
    assert found.item() == pytest.approx(numbers(name, BLOBS, FOUND)[2].item())


@SCORES
def test_points_are_those_that_were_clustered(name):
    spectral = stages.spectral_embedding(stages.affinity(stages.neighbours(BLOBS)))
    clusters = stages.kmeans(spectral, n_clusters=[3, 4])
    unit = spectral.embedding_spectral.values / np.linalg.norm(
        spectral.embedding_spectral, axis=1, keepdims=True
    )
    first = spectral.embedding_spectral.values[:, :4]
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    oracle = ORACLES[name][1]
    assert numbers(name, spectral, clusters)[1].item() == pytest.approx(
        oracle(first, clusters[:, 1])
    )
    whole = numbers(name, spectral, clusters, leading=False)[1].item()
    assert whole == pytest.approx(oracle(unit, clusters[:, 1]))


def test_clusters_are_scored_one_by_one():
    found = stages.silhouette(BLOBS, FOUND)
    each = metrics.silhouette_samples(BLOBS, FOUND[:, 2])
    for cluster in range(3):
        expected = each[FOUND[:, 2] == cluster].mean()
        assert found.silhouette[2, cluster].item() == pytest.approx(expected)
    assert np.isnan(found.silhouette[2, 3:]).all()
    line = rows([[0.0], [2], [10], [14]])  # means 1, 12; spreads 1, 2
    pairs = xr.DataArray(np.array([0, 0, 1, 1]), dims="sample")
    np.testing.assert_allclose(stages.davies_bouldin(line, pairs).cluster_davies_bouldin, 3 / 11)
    apart, within = 2 * 2 * 5.5**2 / 1, (1 + 1 + 4 + 4) / 2
    assert stages.calinski_harabasz(line, pairs).item() == pytest.approx(apart / within)


def test_silhouette_draws_by_seed():
    few = [
        stages.silhouette(BLOBS, FOUND, max_samples=30, seed=s).mean_silhouette for s in (0, 0, 1)
    ]
    assert few[0].identical(few[1])
    assert not few[0].identical(few[2])
    assert abs(few[0][2] - stages.silhouette(BLOBS, FOUND).mean_silhouette[2]) < 0.1


def test_degenerate_clusterings_have_scores():
    same = rows(np.zeros((6, 2)))
    pairs = xr.DataArray(np.repeat([0, 1], 3), dims="sample")
    assert np.isinf(numbers("calinski_harabasz", same, pairs))
    assert numbers("davies_bouldin", same, pairs) == 0
    alone = xr.DataArray(np.arange(6), dims="sample")
    assert np.isnan(numbers("silhouette", same, alone))
    assert np.isnan(numbers("calinski_harabasz", same, alone))


@SCORES
def test_points_and_clusters_are_of_the_same_samples(name):
    with pytest.raises(ValueError, match="needs the 90 samples") as caught:
        stages.STAGES[name](BLOBS[:50], FOUND)
    assert str(caught.value) == (
        f"{name}: needs the 90 samples of the clustering in its order; got 50. Select them with "
        ".sel(sample=clustering.sample)."
    )
    with pytest.raises(ValueError, match="one variable") as fault:
        stages.STAGES[name](BLOBS, xr.Dataset({"a": FOUND}))
    assert str(fault.value) == (
        f"{name}: needs a clustering, or a Dataset with one variable 'clustering_...'; "
        "got none. Pass the variable itself."
    )


@pytest.mark.parametrize(
    ("method", "sweep"),
    [
        ("kmeans", {"n_clusters": [3, 6]}),
        ("gaussian_mixture", {"n_clusters": [3, 6]}),
        ("agglomerative", {"n_clusters": [3, 6]}),
        ("dbscan", {"eps": [3.0, 0.9]}),
        ("hdbscan", {"min_cluster_size": [10, 3]}),
    ],
)
@pytest.mark.parametrize("replace", [False, True])
def test_planted_groups_come_again_and_parts_of_them_do_not(method, sweep, replace):
    clusters = stages.STAGES[method](BLOBS, **sweep)
    found = stages.stability(BLOBS, clusters, method=method, n_draws=5, replace=replace)
    assert found.stability.dims == tuple(sweep)
    assert found.stability[0] == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(found.cluster_stability[0, :3], 1, atol=0.02)
    if method != "hdbscan":  # which finds the groups at any size
        assert found.stability[1] < found.stability[0]
        assert found.stability_spread[1] > 0
    assert found.identical(
        stages.stability(BLOBS, clusters, method=method, n_draws=5, replace=replace)
    )


def test_noise_is_as_stable_as_chance():
    noise = rows(RANDOM.normal(size=(90, 8)))
    found = stages.stability(noise, stages.kmeans(noise, n_clusters=5))
    assert found.stability < 0.5
    assert (found.cluster_stability < 0.75).all()


def test_stability_by_hand():
    line = rows([[0.0], [1], [10], [11]])
    clusters = stages.kmeans(line, n_clusters=2)
    found = stages.stability(line, clusters, share=1.0, n_draws=2)
    np.testing.assert_array_equal(found.stability, [1])
    np.testing.assert_array_equal(found.stability_spread, [0])
    wrong = clusters.copy(data=np.array([[0], [0], [0], [1]]))
    found = stages.stability(line, wrong, share=1.0, n_draws=1)
    np.testing.assert_allclose(found.cluster_stability, [[2 / 3, 1 / 2]])
    np.testing.assert_allclose(found.stability, 0, atol=1e-12)


def test_stability_knows_which_parameter_was_swept():
    with pytest.raises(ValueError, match="stability") as caught:
        stages.stability(BLOBS, FOUND.rename("other"), method="dbscan")
    assert str(caught.value) == (
        "stability: needs a clustering of the 90 samples by one parameter of dbscan; got dims "
        "('sample', 'n_clusters') of shape (90, 6). Pass what was clustered."
    )
    with pytest.raises(TypeError, match="kmeans: needs parameters among"):
        stages.stability(BLOBS, FOUND, parameters={"wrong": 1})
    fine = stages.stability(BLOBS, FOUND, parameters={"n_starts": 2}, n_draws=2)
    assert fine.stability.sizes == {"n_clusters": 6}


def test_stability_repeats_what_made_the_clustering():
    merged = stages.agglomerative(BLOBS, n_clusters=[3, 4])
    told = stages.stability(BLOBS, merged, n_draws=2)
    assert told.identical(stages.stability(BLOBS, merged, n_draws=2, method="agglomerative"))
    assert told.identical(stages.stability(BLOBS, merged.rename(f"{merged.name}_2"), n_draws=2))
    for name, method in [("clustering_agglomerative", "kmeans"), ("mine", None)]:
        with pytest.raises(ValueError, match="stability") as caught:
            stages.stability(BLOBS, merged.rename(name), method=method)
        assert str(caught.value) == (
            "stability: needs the method that made the clustering, one of kmeans, "
            "gaussian_mixture, spectral_clustering, agglomerative, dbscan, hdbscan; got "
            f"method={method!r} for {name!r}. Name it."
        )


def test_a_draw_that_is_too_small_names_the_clustering_that_it_has():
    few = BLOBS[:5]
    with pytest.raises(ValueError, match="stability") as caught:
        stages.stability(few, stages.agglomerative(few, n_clusters=5), share=0.6)
    assert str(caught.value) == (
        "stability: needs draws that agglomerative can cluster; got one of 3 of 5 samples. Raise "
        "share, or leave it out. (agglomerative: needs at least as many samples as clusters, 5; "
        "got 3. Lower n_clusters.)"
    )


def test_the_gap_is_widest_at_planted_groups():
    found = stages.gap_statistic(BLOBS)
    assert found.gap.values.argmax() == 2
    uniform = rows(RANDOM.uniform(size=(100, 2)))
    chosen = stages.choose_n_clusters(stages.gap_statistic(uniform), least=1)
    assert chosen.suggested_n_clusters == 1


def test_all_criteria_agree_on_planted_groups():
    spectral = stages.spectral_embedding(stages.affinity(stages.neighbours(BLOBS)))
    clusters = stages.kmeans(BLOBS, n_clusters=range(2, 7))
    scores = [
        stages.eigengap(spectral),
        stages.silhouette(BLOBS, clusters),
        stages.calinski_harabasz(BLOBS, clusters),
        stages.davies_bouldin(BLOBS, clusters),
        stages.gaussian_mixture(BLOBS, n_clusters=range(2, 7)),
        stages.stability(BLOBS, clusters, n_draws=5),
        stages.gap_statistic(BLOBS),
    ]
    found = stages.choose_n_clusters(*scores)
    assert list(found["criterion"].values) == [
        "eigengap", "mean_silhouette", "calinski_harabasz", "davies_bouldin", "bic", "aic",
        "stability", "gap",
    ]  # fmt: skip
    suggested = dict(zip(found["criterion"].values, found.suggested_n_clusters.values, strict=True))
    assert suggested.pop("aic") >= 3  # AIC is known to take too many
    assert suggested == dict.fromkeys(suggested, 3)
    assert found.votes.sel(n_clusters=3) >= 7
    np.testing.assert_allclose(
        found.score.sel(criterion="eigengap", n_clusters=3), scores[0][2], rtol=1e-12
    )
    np.testing.assert_array_equal(found["n_clusters"], range(1, 9))
    assert np.isnan(found.score.sel(criterion="bic", n_clusters=8))
    few = stages.spectral_embedding(stages.affinity(stages.neighbours(BLOBS)), n_components=6)
    assert stages.choose_n_clusters(stages.eigengap(few)).suggested_n_clusters == 3


def test_scores_of_several_clusterings_are_not_mixed():
    scores = [stages.silhouette(BLOBS, FOUND), stages.davies_bouldin(BLOBS, FOUND)]
    with pytest.raises(ValueError, match="choose_n_clusters") as caught:
        stages.choose_n_clusters(*scores, stages.silhouette(BLOBS, stages.agglomerative(BLOBS)))
    assert str(caught.value) == (
        "choose_n_clusters: needs each score once; got 'mean_silhouette' of several clusterings. "
        "Choose for one clustering at a time."
    )


def test_choosing_needs_scores():
    with pytest.raises(ValueError, match="choose_n_clusters") as caught:
        stages.choose_n_clusters(stages.sizes(FOUND))
    assert str(caught.value) == (
        "choose_n_clusters: needs scores with dim 'n_clusters' among eigengap, mean_silhouette, "
        "calinski_harabasz, davies_bouldin, bic, aic, stability, gap; got none. Pass the results "
        "of silhouette, stability, ..."
    )
