import threading

import pytest
import xarray as xr

from fxrelay_viz import data as module
from fxrelay_viz.app import Viewer
from fxrelay_viz.data import Project


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
    several = ds.assign(relevance=ds["relevance"].expand_dims(target=2, axis=1))
    several.to_netcdf(tmp_path / "ds.nc", engine="netcdf4")
    tree.to_netcdf(tmp_path / "tree.nc", engine="netcdf4")
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    with (
        xr.open_dataset(tmp_path / "ds.nc", engine="netcdf4", chunks={"sample": 500}) as lazy,
        xr.open_datatree(tmp_path / "tree.nc", engine="netcdf4") as groups,
    ):
        project = Project(lazy, groups)
        assert (project.pictures([1500, 3])[0]["relevance"] == ds["relevance"].values[1500]).all()
        assert (project.pictures([3])[0]["input"] == ds["input"].values[3]).all()
        assert project.category("digit 3").points("tsne", 0, 1).shape == (183, 2)
        threads = [
            threading.Thread(target=project.pictures, args=(range(n, 1700, 40),)) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(project._remembered) <= module.REMEMBERED


def test_without_inputs(data):
    assert not Project(data[0].drop_vars("input"), data[1]).has_input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds, tree: (ds.isel(y=0), tree), "needs 'relevance' with dimensions"),
        (lambda ds, tree: (ds.drop_vars("relevance"), tree), r"got \(\). Only images"),
        (lambda ds, tree: (ds, xr.DataTree()), "at least one category; got none"),
        (lambda ds, tree: (ds.isel(sample=slice(100, None)), tree),
         r"every analysed sample in the Dataset; got unknown ids in digit 3 \(12\), digit 7 \(1"),
    ],
)  # fmt: skip
def test_data_that_does_not_fit(data, change, message: str):
    with pytest.raises(ValueError, match=message):
        Project(*change(*data))


def test_unknown_category_and_a_category_without_embedding(project, data):
    with pytest.raises(ValueError, match=r"needs a category of the analysis; got 'x'.*digit 3"):
        project.category("x")
    bare = xr.Dataset(coords={"sample": [1000, 1001]}, attrs={"not_analysed": "needs 21 samples"})
    small = Project(data[0], xr.DataTree.from_dict({"a": bare}))
    assert small.category("a").points("index", 0, 1).tolist() == [[0, 0], [1, 0]]
    assert small.category("a").note == "needs 21 samples"
    viewer = Viewer(small)
    viewer.open("a")
    assert viewer.message == "a was not analysed: needs 21 samples."
    assert viewer.boards["grid"].html.count("<img") == 2
