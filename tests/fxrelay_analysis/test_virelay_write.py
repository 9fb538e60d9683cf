"""Projects that are written are read back alike, by us and by ViRelAy itself."""

import h5py
import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis.virelay import read_project, write_project

RANDOM = np.random.default_rng(0)
IDS = {"text": [f"photo {i}" for i in range(8)], "number": np.arange(8) * 10}


def explained(ids):
    images = RANDOM.normal(size=(2, 8, 3, 5, 4)).astype(np.float32)
    scores = RANDOM.uniform(size=(8, 3)).astype(np.float32)
    dims = ("sample", "channel", "y", "x")
    return xr.Dataset(
        {
            "relevance": (dims, images[0]),
            "input": (dims, images[1]),
            "output": (("sample", "class"), scores),
            "prediction": ("sample", scores.argmax(1)),
            "target": ("sample", scores.argmax(1)),
            "label": ("sample", [0, 0, 2, 0, 2, 0, 2, 2]),
        },
        {"sample": ids, "class": ["ant", "bee", "cat"]},
        {"model": "Net"},
    )


def analysed(ids):
    def group(rows, name):
        return xr.Dataset(
            {
                "embedding_spectral": (("sample", "component"), RANDOM.normal(size=(4, 3))),
                "eigenvalue": ("component", [0.0, 0.2, 0.7]),
                "embedding_tsne": (("sample", "axis"), RANDOM.normal(size=(4, 2))),
                "clustering_kmeans": (("sample", "n_clusters"), RANDOM.integers(0, 2, (4, 2))),
                "clustering_dbscan": (("sample", "eps"), RANDOM.integers(-1, 2, (4, 2))),
                "train_split": ("sample", np.array([True, False, True, True])),
            },
            {"sample": np.array(ids)[rows], "n_clusters": [2, 10], "eps": [0.5, 1.5]},
            {"category": name},
        )

    ranking = xr.Dataset({"suspicion": ("category", [2.0, 1.0])}, {"category": ["ant", "cat"]})
    groups = {"/ant": group([0, 1, 3, 5], "ant"), "/cat": group([6, 2, 7, 4], "cat")}
    return xr.DataTree.from_dict({"/ranking": ranking} | groups)


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_a_round_trip_keeps_all_that_the_files_have_room_for(tmp_path, ids):
    ds, tree = explained(ids), analysed(ids)
    again, grown = read_project(write_project(ds, tree, tmp_path / "new", name="insects"))
    for name in ("relevance", "input", "output", "prediction", "label", "sample", "class"):
        np.testing.assert_array_equal(again[name], ds[name])
    assert again.attrs["attribution_strategy"] == "predicted_label"
    assert again.attrs["model"] == "Net"
    assert list(grown.children) == ["ant", "cat"]
    for key in ("ant", "cat"):
        for name in ("sample", "train_split"):
            np.testing.assert_array_equal(grown[key][name], tree[key][name])
        for name in ("eigenvalue", "embedding_tsne", "embedding_spectral"):
            np.testing.assert_allclose(grown[key][name], tree[key][name], rtol=1e-6)
        xr.testing.assert_equal(
            grown[key]["clustering_kmeans"].astype(int), tree[key]["clustering_kmeans"].astype(int)
        )
        for eps in (0.5, 1.5):
            labels = tree[key]["clustering_dbscan"].sel(eps=eps).values
            assert grown[key][f"clustering_dbscan-eps={eps}"].values.tolist() == labels.tolist()


def test_a_written_project_without_scores_or_with_several_labels(tmp_path):
    ds = explained(IDS["number"]).drop_vars("output")
    again, _ = read_project(write_project(ds, analysed(IDS["number"]), tmp_path))
    np.testing.assert_array_equal(again["output"].argmax("class"), ds["prediction"])
    hot = np.eye(3, dtype=bool)[ds["label"].values]
    hot[:, 2] = True
    several = ds.assign(label_multi_hot=(("sample", "class"), hot))
    again, _ = read_project(write_project(several, analysed(IDS["number"]), tmp_path))
    np.testing.assert_array_equal(again["label_multi_hot"], hot)


def test_lazy_data_is_written_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("fxrelay_analysis.virelay.writing.BLOCK", 3)
    ds = explained(IDS["number"])
    write_project(ds.chunk(sample=2), analysed(IDS["number"]), tmp_path)
    with h5py.File(tmp_path / "attribution.h5") as file:
        np.testing.assert_array_equal(file["attribution"], ds["relevance"])


def test_all_that_is_missing_is_named(tmp_path):
    ds = explained(IDS["number"]).isel(sample=slice(0, 6))
    ds = ds.drop_vars(["input", "label", "output", "prediction", "target"])
    ds = ds.expand_dims(target=2, axis=1)
    with pytest.raises(ValueError, match="write_project") as caught:
        write_project(ds, analysed(IDS["number"]), tmp_path)
    assert str(caught.value) == (
        "write_project: needs images with their relevance, inputs, labels and predictions, and an "
        "analysis of the same samples; got no 'input'; 'relevance' with dims ('sample', 'target', "
        "'channel', 'y', 'x'); no 'label'; neither 'output' nor 'prediction'; category 'cat' with "
        "2 samples that the Dataset lacks. Add what is missing; pick one target with "
        "ds.isel(target=0)."
    )
    assert not list(tmp_path.iterdir())


def test_classes_of_one_name_keep_their_keys(tmp_path):
    ds = explained(IDS["number"]).assign_coords({"class": ["ant", "bee", "ant"]})
    tree = analysed(IDS["number"])
    tree = xr.DataTree.from_dict({"/ant": tree["cat"].to_dataset().assign_attrs(category="ant")})
    write_project(ds, tree, tmp_path)
    with h5py.File(tmp_path / "analysis.h5") as file:
        assert list(file) == ["00000002"]
    tree.attrs["category"] = "unknown"
    write_project(ds, tree, tmp_path)
    with h5py.File(tmp_path / "analysis.h5") as file:
        assert list(file) == ["ant"]


def test_other_orders_of_dimensions_and_ids_that_are_not_unique_are_refused(tmp_path):
    ds, tree = explained(IDS["number"]), analysed(IDS["number"])
    with pytest.raises(ValueError, match=r"'input' with dims \('sample', 'y', 'x', 'channel'\)"):
        write_project(ds.transpose("sample", "y", "x", "channel", ...)
                      .assign(relevance=ds["relevance"]), tree, tmp_path)  # fmt: skip
    with pytest.raises(ValueError, match="got sample ids that are not unique"):
        write_project(ds.assign_coords(sample=np.zeros(8, int)), tree, tmp_path)


@pytest.mark.external
def test_virelay_opens_what_was_written(tmp_path):
    model = pytest.importorskip("virelay.model")
    ds, tree = explained(IDS["number"]), analysed(IDS["number"])
    project = model.Project(str(write_project(ds, tree, tmp_path)))
    assert project.get_analysis_methods() == ["spectral"]
    categories = project.get_analysis_categories("spectral")
    assert [(c.name, c.human_readable_name) for c in categories] == [
        ("00000000", "ant"),
        ("00000002", "cat"),
    ]
    names = project.get_analysis_clustering_names("spectral")
    assert sorted(names) == [
        "dbscan-eps=0.5", "dbscan-eps=1.5", "kmeans-02", "kmeans-10", "train_split",
    ]  # fmt: skip
    assert sorted(project.get_analysis_embedding_names("spectral")) == ["spectral", "tsne"]
    found = project.get_analysis("spectral", "00000002", "kmeans-02", "spectral")
    np.testing.assert_array_equal(found.attribution_indices, [6, 2, 7, 4])
    np.testing.assert_allclose(found.eigenvalues, [0.7, 0.2, 0.0])
    np.testing.assert_array_equal(found.clustering, tree["cat"]["clustering_kmeans"][:, 0])
    attribution = project.get_attribution(6)
    np.testing.assert_allclose(attribution.prediction, ds["output"][6])
    assert attribution.labels[0].name == "cat"
    np.testing.assert_allclose(np.moveaxis(attribution.data, -1, 0), ds["relevance"][6])
    assert project.get_sample(2).labels[0].name == "cat"
    project.close()
