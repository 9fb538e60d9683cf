import numpy as np
import pytest
import xarray as xr
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from fxrelay_analysis import stages
from fxrelay_viz import insight, means, reasons
from fxrelay_viz.category import Category, Rank
from fxrelay_viz.explanations import Explanations

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(300, 5)).astype(np.float32)
CATEGORY = Category(
    "c",
    np.arange(300),
    np.arange(300) + 7,
    {"tsne": POINTS},
    {"kmeans": {2: (np.arange(300) >= 200).astype(int), 3: np.arange(300) % 3 - 1}},
    scores={"degree": np.arange(300.0)},
    columns={"label": np.arange(300) // 200, "word": np.array(["a", "b", "c"] * 100)},
    classes=["cat", "dog"],
)


def test_neighbours_are_those_of_a_full_search():
    expected = NearestNeighbors(n_neighbors=6).fit(POINTS).kneighbors(POINTS[[4]])[1][0, 1:]
    assert insight.neighbours(POINTS, 4, 5).tolist() == expected.tolist()
    assert len(insight.neighbours(POINTS, 4, 999)) == 299
    assert len(insight.neighbours(POINTS[:1], 0, 5)) == 0
    holed = POINTS.copy()
    holed[9] = np.nan
    assert 9 not in insight.neighbours(holed, 4, 298)


def test_a_histogram_counts_all_and_the_selected():
    mask = np.arange(300) < 100
    found = insight.histogram("degree", np.arange(300.0), mask, bins=3)
    assert found.everything.tolist() == [100, 100, 100]
    assert found.selected.tolist() == [100, 0, 0]
    assert found.values[0] == (0.0, pytest.approx(299 / 3))
    holed = np.where(mask, np.nan, 1.0)
    assert insight.histogram("x", holed, mask, bins=2).missing == 100
    labels = insight.histogram("label", CATEGORY.columns["label"], mask, CATEGORY.classes)
    assert (labels.labels, labels.values) == (("cat", "dog"), (0, 1))
    assert (labels.everything.tolist(), labels.selected.tolist()) == ([200, 100], [100, 0])
    texts = np.array([f"t{n % 60}" if n % 2 else "often" for n in range(300)])
    many = insight.histogram("text", texts, mask)
    assert len(many.labels) == 31
    assert many.everything[many.values.index("often")] == 150
    assert insight.histogram("id", np.arange(300), mask).edges is not None
    assert insight.histogram("x", np.full(300, np.nan), mask).everything.sum() == 0


def test_gaps_in_the_spectrum():
    values = np.array([0.0, 0.01, 0.02, 0.6, 0.65, 0.9])
    assert insight.eigengaps(values) == [(3, 0.58), (5, 0.25), (4, pytest.approx(0.05))]
    assert insight.eigengaps(values, 1) == [(3, 0.58)]
    assert insight.eigengaps(np.array([0.0])) == []


def test_prototypes_are_next_to_the_mean_and_the_named_come_first():
    found = insight.prototypes(CATEGORY, "kmeans", 2, "tsne", count=3)
    for cluster, members in ((0, np.arange(200)), (1, np.arange(200, 300))):
        away = np.linalg.norm(POINTS[members] - POINTS[members].mean(0), axis=1)
        assert found[cluster].tolist() == members[np.argsort(away)[:3]].tolist()
    assert sorted(insight.prototypes(CATEGORY, "kmeans", 3, "tsne")) == [0, 1]
    group = xr.Dataset({"prototype": (("n_clusters", "cluster"), [[12, 299], [0, 0]])},
                       coords={"n_clusters": [2, 3]})  # fmt: skip
    named = Category(**{**CATEGORY.__dict__, "group": group})
    assert insight.prototypes(named, "kmeans", 2, "tsne", 2)[0][0] == 12 - 7


def test_two_clusters_are_compared_by_every_variable():
    first = CATEGORY.clusters("kmeans", 2) == 0
    rows = {row.name: row for row in insight.compare(CATEGORY, first, ~first)}
    assert (rows["label"].first, rows["label"].second) == ("cat (100%)", "dog (100%)")
    assert rows["label"].distance == rows["degree"].distance == 1.0
    assert (rows["degree"].first, rows["degree"].second) == ("99.5", "249.5")
    assert rows["word"].distance == pytest.approx(0.01, abs=0.01)
    half = np.arange(300) < 150
    expected = stats.ks_2samp(POINTS[half, 0], POINTS[~half, 0]).statistic
    other = Category(**{**CATEGORY.__dict__, "scores": {"z": POINTS[:, 0].astype(float)}})
    found = {row.name: row.distance for row in insight.compare(other, half, ~half, ["z"])}
    assert found["z"] == pytest.approx(expected)
    assert insight.compare(CATEGORY, first, first & ~first) == []


def test_why_says_what_the_analysis_found():
    group = xr.Dataset(
        {
            "separability": (("n_clusters", "cluster"), [[1.0, 9.5], [2.0, np.nan]]),
            "cluster_size": (("n_clusters", "cluster"), [[200, 100], [300, 0]]),
        },
        coords={"n_clusters": [2, 3]},
    )
    category = Category(**{**CATEGORY.__dict__, "group": group})
    rank = Rank("c", 9.5, 300, 2, 1, 100, True)
    told = reasons.why(category, rank)
    assert [(r.name, r.value) for r in told] == [
        ("Suspicion", "9.5, flagged"),
        ("Samples", "100 (others 200)"),
        ("Separability", "9.5 (others 1)"),
    ]
    assert all(r.meaning for r in told)
    assert [r.value for r in reasons.why(category, rank, 0)][2] == "1 (others 9.5)"
    assert len(reasons.why(category, rank, 7)) == 1
    assert reasons.why(CATEGORY, Rank("c")) == []


def test_mean_maps_and_their_difference(data):
    ds = data[0]
    source = Explanations(ds)
    positions = np.array([5, 900, 17])
    mean = means.mean_picture(source, positions)
    expected = ds.isel(sample=positions).mean("sample")
    assert np.allclose(mean.relevance.values, expected["relevance"].values, atol=1e-6)
    assert np.allclose(mean.input.values, expected["input"].values, atol=1e-6)
    many = means.mean_picture(source, np.arange(1000), most=24)
    spread = [*range(12), *range(988, 1000)]
    assert np.concatenate(means.runs(np.arange(30), 99)).tolist() == list(range(30))
    assert np.allclose(many.relevance.values, ds["relevance"].values[spread].mean(0), atol=1e-6)
    minus = means.difference(mean, many)
    assert np.allclose(minus.relevance.values, mean.relevance.values - many.relevance.values)
    assert means.mean_picture(source, np.array([], dtype=int)) is None
    labels = np.array([0, 0, 1])
    assert sorted(means.mean_pictures(source, positions, labels, [0, 1, 2])) == [0, 1]


def test_what_has_no_mean():
    ds = xr.Dataset(
        {
            "relevance": (("sample", "token"), np.array([[1.0, 2.0], [3.0, 4.0]])),
            "input": (("sample", "token"), np.array([["a", "b"], ["c", "d"]], dtype=object)),
        },
        coords={"sample": [0, 1]},
    )
    mean = means.mean_picture(Explanations(ds), np.array([0, 1]))
    assert mean.relevance.values.tolist() == [2.0, 3.0]
    assert mean.input is None


def test_the_verdict_in_words():
    rank = Rank("c", 9.5, 300, 2, 1, 100, True, threshold=3.0)
    assert reasons.sentence(rank, "Cluster 1") == (
        "Cluster 1, 100 of 300 samples, stands 9.5 times as clearly apart from all else as one "
        "strategy cut in two can; classes are flagged from 3 on. Look at what its samples share "
        "and the others lack: if that does not belong to the class, the network has learnt a "
        "shortcut."
    )
    calm = reasons.sentence(Rank("c", 1.2, 300, 2, 1, 100), "Cluster 1")
    assert calm.endswith("It is the most separate one, but nothing is out of the ordinary.")
    assert "No cluster stands apart" in reasons.sentence(Rank("c", 1.0))
    assert "did not rank" in reasons.sentence(Rank("c"))


def test_scores_belong_to_the_clustering_whose_sizes_they_give():
    sizes = (("n_clusters", "cluster"), [[200.0, 100.0]])
    group = xr.Dataset({"cluster_size": sizes}, coords={"n_clusters": [2]})
    other = {"first": {2: np.arange(300) % 2}, **CATEGORY.clusterings}
    category = Category(**{**CATEGORY.__dict__, "group": group, "clusterings": other})
    assert reasons.scored(category, 2) == "kmeans"
    plain = Category(**{**CATEGORY.__dict__, "clusterings": other})
    assert reasons.scored(plain, 2) == "first"
    assert reasons.scored(plain, 3) == "kmeans"
    assert reasons.scored(plain, 9) == ""


def test_prototypes_of_another_metric_are_no_scores():
    dims, coords = ("n_clusters", "cluster"), {"n_clusters": [2]}
    names = ("cluster_size", "surplus", "prototype", "prototype_equalized", "tightness")
    group = xr.Dataset({name: (dims, [[200.0, 100.0]]) for name in names}, coords=coords)
    category = Category(**{**CATEGORY.__dict__, "group": group})
    told = [one.name for one in reasons.scores(category, "kmeans", 2, 0)]
    assert told == ["Samples", "Surplus at one place", "tightness"]


def test_means_that_the_analysis_made_are_used(data):
    ds = data[0].isel(sample=slice(0, 60))
    labels = xr.DataArray(
        np.stack([np.arange(60) % 2, np.arange(60) % 3], axis=1),
        dims=("sample", "n_clusters"),
        coords={"sample": ds["sample"], "n_clusters": [2, 3]},
        name="clustering_kmeans",
    )
    made = stages.mean_maps(ds["relevance"], labels)
    ids = ds["sample"].values
    category = Category(
        "c", np.arange(60), ids, {}, {"kmeans": {2: labels.values[:, 0]}},
        group=made.to_dataset(name="mean_relevance"),
    )  # fmt: skip
    found = means.known_means(category, "kmeans", 3)
    expected = means.mean_pictures(Explanations(ds), np.arange(60), labels.values[:, 1], [0, 1, 2])
    assert sorted(found) == [0, 1, 2]
    for cluster, picture in found.items():
        assert picture.relevance.dims == expected[cluster].relevance.dims
        assert np.allclose(picture.relevance, expected[cluster].relevance, atol=1e-6)
    assert sorted(means.known_means(category, "kmeans", 2)) == [0, 1]
    assert means.known_means(category, "kmeans", 9) == {}
    assert means.known_means(category, "kmeans", 2, "relevance_at_conv") == {}
    assert means.known_means(CATEGORY, "kmeans", 2) == {}
    both = means.weighted([found[0], found[1]], [1, 3])
    assert np.allclose(both.relevance, (found[0].relevance + 3 * found[1].relevance) / 4)


def test_what_was_made_of_another_embedding_has_its_suffix():
    half = np.arange(300) % 2
    sizes = (("n_clusters", "cluster"), [[200.0, 100.0]])
    other = (("n_clusters", "cluster"), [[150.0, 150.0]])
    group = xr.Dataset(
        {
            "cluster_size": sizes,
            "cluster_size_equalized": other,
            "separability": (("n_clusters", "cluster"), [[1.0, 2.0]]),
            "separability_equalized": (("n_clusters", "cluster"), [[5.0, 6.0]]),
            "eigenvalue": ("component", [0.0, 0.1]),
            "eigenvalue_equalized": ("component", [0.0, 0.7]),
        },
        coords={"n_clusters": [2]},
    )
    both = {**CATEGORY.clusterings, "kmeans_equalized": {2: half}}
    category = Category(
        **{**CATEGORY.__dict__, "group": group, "clusterings": both,
           "eigenvalues": np.array([0.0, 0.1])}
    )  # fmt: skip
    rank = Rank("c", 6.0, 300, 2, 1, 150, True, "kmeans_equalized")
    assert reasons.ranked(category, rank) == "kmeans_equalized"
    told = {r.name: r.value for r in reasons.why(category, rank)}
    assert told == {"Suspicion": "6, flagged", "Samples": "150 (others 150)",
                    "Separability": "6 (others 5)"}  # fmt: skip
    plain = {r.name: r.value for r in reasons.scores(category, "kmeans", 2, 1)}
    assert plain == {"Samples": "100 (others 200)", "Separability": "2 (others 1)"}
    assert reasons.has_scores(category, "kmeans", 2)
    assert not reasons.has_scores(category, "other", 2)
    assert category.spectrum("kmeans_equalized").tolist() == [0.0, 0.7]
    assert category.spectrum("kmeans").tolist() == [0.0, 0.1]
    assert reasons.ranked(category, Rank("c", n_clusters=2, clustering="gone")) == "kmeans"
