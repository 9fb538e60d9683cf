import threading

import numpy as np
import pytest
import xarray as xr

from fxrelay_viz import explanations as module
from fxrelay_viz.analysis import Analysis, Groups
from fxrelay_viz.nearby import Nearby
from fxrelay_viz.project import Project
from fxrelay_viz.reading import Lazy
from fxrelay_viz.state import ViewState


def test_the_ranking_is_read_in_order(project):
    first = project.ranking[0]
    assert (first.name, first.flagged, first.n_clusters) == ("digit 3", True, 2)
    assert [rank.suspicion for rank in project.ranking] == sorted(
        (rank.suspicion for rank in project.ranking), reverse=True
    )


def test_a_category_knows_its_places_in_the_dataset(project, data):
    category = project.category("digit 3")
    assert (data[0]["label"].values[category.positions] == 3).all()
    assert (data[0]["sample"].values[category.positions] == category.ids).all()
    assert set(category.embeddings) == {"spectral", "tsne"}
    assert list(category.clusterings["kmeans"]) == [2, 3, 4, 5, 6]
    assert category.embeddings["spectral"].dtype == np.float32
    assert (category.column("label") == 3).all()
    with pytest.raises(ValueError, match="category digit 3: needs a known variable; got 'mood'"):
        category.column("mood")


def test_ranking_columns_by_either_name_and_what_is_missing(data):
    ds, tree = data
    ranking = tree["ranking"].to_dataset().rename(cluster="suspicious_cluster")
    ranking = ranking.drop_vars(["flagged", "n_clusters"])
    ranking["suspicious_cluster"] = ranking["suspicious_cluster"] * 0 - 1
    groups = {name: tree[name].to_dataset() for name in tree.children}
    rank = Project(ds, xr.DataTree.from_dict(groups | {"ranking": ranking})).ranking[0]
    assert (rank.cluster, rank.n_clusters, rank.flagged) == (None, None, False)
    del groups["ranking"]
    assert {r.name for r in Project(ds, xr.DataTree.from_dict(groups)).ranking} == set(groups)


def test_facts_are_readable(project):
    facts = project.facts(0)
    assert facts["sample"] == "1000"
    assert facts["label"] == "digit 0"
    assert facts["correct"] in ("True", "False")


def test_targets_and_lazy_files(tmp_path, data, monkeypatch):
    ds, tree = data
    both = xr.concat([ds["relevance"], -ds["relevance"]], dim="target").transpose("sample", ...)
    ds.assign(relevance=both).to_netcdf(tmp_path / "ds.nc", engine="netcdf4")
    tree.to_netcdf(tmp_path / "tree.nc", engine="netcdf4")
    monkeypatch.setattr(module, "REMEMBERED", 40 * 1024)
    with xr.open_dataset(tmp_path / "ds.nc", engine="netcdf4", chunks={"sample": 500}) as lazy:
        project = Project(lazy, Analysis(Groups(tmp_path / "tree.nc")))
        assert project.explanations.targets == ("target 1", "target 2")
        relevance = ds["relevance"].values
        assert (project.pictures([1500, 3])[0].relevance.values == relevance[1500]).all()
        assert (project.pictures([3], target=1)[0].relevance.values == -relevance[3]).all()
        assert (project.pictures([3])[0].input.values == ds["input"].values[3]).all()
        assert project.category("digit 3").points("tsne", 0, 1).shape == (183, 2)
        threads = [
            threading.Thread(target=project.pictures, args=(range(n, 1700, 40),)) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert project.explanations._bytes <= module.REMEMBERED
    assert project.explanations._bytes == sum(
        module._size(p) for p in project.explanations._remembered.values()
    )


def test_opening_reads_ids_only_and_categories_when_they_are_opened(tmp_path, data, monkeypatch):
    ds, tree = data
    ds.to_netcdf(tmp_path / "ds.nc", engine="netcdf4")
    tree.to_netcdf(tmp_path / "tree.nc", engine="netcdf4")
    groups = Groups(tmp_path / "tree.nc")
    with xr.open_dataset(tmp_path / "ds.nc", engine="netcdf4", cache=False) as lazy:
        project = Project(lazy, Analysis(groups))
        assert list(groups._opened) == ["ranking"]
        assert project.variables._made == {}
        category = project.category("digit 7")
        assert sorted(groups._opened) == ["digit 7", "ranking"]
        assert category.embeddings._made == category.clusterings._made == {}
        assert len(category.column("prediction")) == len(category.ids)
        assert list(project.variables._made) == ["prediction"]


def test_margins_order_by_confidence(data):
    output = np.tile(np.array([[0.0, 5.0, 1.0]]), (data[0].sizes["sample"], 1))
    output[3] = [2.0, 2.5, 0.0]
    ds = data[0].drop_vars("class").assign(output=(("sample", "class"), output))
    project = Project(ds, data[1])
    assert project.explanations.margins(np.array([3, 0])).tolist() == [0.5, 4.0]
    assert np.isnan(Project(*data).explanations.margins(np.array([0]))).all()
    assert "margin" in list(project.category("digit 3").columns)


def test_without_inputs(data):
    assert not Project(data[0].drop_vars("input"), data[1]).has_input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds, tree: (ds.isel(y=0), tree), None),
        (lambda ds, tree: (ds.rename(y="latitude"), tree), "needs 'relevance' with dimensions"),
        (lambda ds, tree: (ds.drop_vars("relevance"), tree), "got no such variable. Rename"),
        (lambda ds, tree: (ds.drop_vars("sample"), tree), "ids that occur once; got none"),
        (lambda ds, tree: (ds, xr.DataTree()), "at least one category; got none"),
        (lambda ds, tree: (ds.isel(sample=slice(100, None)), tree),
         r"every analysed sample in the Dataset; got unknown ids in digit 0 \(11\), digit"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit(data, change, message: str | None):
    if message is None:
        assert Project(*change(*data)).pictures([0])[0].relevance.dims == ("channel", "x")
        return
    with pytest.raises(ValueError, match=message):
        Project(*change(*data))


def test_unknown_category_and_a_category_without_embedding(project, data):
    with pytest.raises(ValueError, match=r"needs a known category; got 'x'.*digit 3"):
        project.category("x")
    bare = xr.Dataset(coords={"sample": [1000, 1001]}, attrs={"not_analysed": "needs 21 samples"})
    small = Project(data[0], xr.DataTree.from_dict({"a": bare}))
    assert small.category("a").points("index", 0, 1).tolist() == [[0, 0], [1, 0]]
    assert small.category("a").note == "needs 21 samples"
    chosen = ViewState(category="a")
    assert chosen.settle(small) == ["a was not analysed: needs 21 samples."]


def test_lazy_values_are_made_once_by_one_thread():
    made = []
    lazy = Lazy({"a": lambda: made.append(1) or 7})
    threads = [threading.Thread(target=lambda: lazy["a"]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (lazy["a"], made, "b" in lazy, list(lazy)) == (7, [1], False, ["a"])
    with pytest.raises(KeyError):
        lazy["b"]


@pytest.mark.parametrize("spans", [(4.0, 4.0), (0.5, 8.0), (9.0, 0.3)])
def test_the_nearest_point_is_that_of_a_full_search(spans):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 2)).astype(np.float32)
    points[7] = np.nan
    near = Nearby(points.copy())
    for at in rng.normal(size=(200, 2)):
        distance = np.linalg.norm((points - at) / spans, axis=1)
        best = int(np.nanargmin(distance))
        expected = best if distance[best] <= 0.02 else None
        assert near.nearest(tuple(at), spans, 0.02) == expected
        kept = np.arange(len(points)) % 2 == 0
        away = np.where(kept, distance, np.inf)  # point 7 is not kept
        expected = int(away.argmin()) if away.min() <= 0.02 else None
        assert near.nearest(tuple(at), spans, 0.02, kept) == expected


def test_nothing_is_near_in_odd_places():
    assert Nearby(np.zeros((0, 2))).nearest((0, 0), (1, 1)) is None
    assert Nearby(np.full((3, 2), np.nan)).nearest((0, 0), (1, 1)) is None
    one = Nearby(np.ones((3, 2)))
    assert one.nearest((1, 1), (1, 1)) in (0, 1, 2)
    assert one.nearest((1, 1), (0, 1)) is None
    assert one.nearest((np.nan, 1), (1, 1)) is None
