"""Projects of ViRelAy are read: both dialects, both forms, images, and what is wrong with them."""

import pickle

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fxrelay_analysis import spray
from fxrelay_analysis.virelay import methods, read_project
from tests.fxrelay_analysis import projects
from tests.fxrelay_analysis.projects import DATA, INDEX, LABEL, RELEVANCE, SCORES, one_by_one


def test_a_project_becomes_a_dataset_and_a_tree(tmp_path):
    file = projects.project(tmp_path)
    ds, tree = read_project(file)
    np.testing.assert_array_equal(ds["relevance"], RELEVANCE)
    np.testing.assert_array_equal(ds["input"], DATA)
    assert ds["relevance"].dims == ds["input"].dims == ("sample", "channel", "y", "x")
    assert ds["label"].values.tolist() == LABEL.tolist()
    assert ds["prediction"].values.tolist() == SCORES.argmax(1).tolist()
    np.testing.assert_array_equal(ds["output"], SCORES)
    assert ds["class"].values.tolist() == ["cat", "dog"]
    assert ds.attrs == {
        "project": "pets",
        "model": "net",
        "dataset": "pets",
        "attribution_method": "lrp",
        "attribution_strategy": "true_label",
        "analysis_method": "spectral",
    }
    assert methods(file) == ["spectral"]
    assert list(tree.children) == ["cat", "dog"]
    dog = tree["dog"]
    assert dog.attrs == {"key": "n02", "category": "dog"}
    assert dog["sample"].values.tolist() == [1, 2, 4]
    assert "train_split" in dog


@pytest.mark.parametrize("analysis", [projects.flat_analysis, projects.specified_analysis])
def test_both_dialects_say_the_same(tmp_path, analysis):
    cat = read_project(projects.project(tmp_path, analysis=analysis()))[1]["cat"]
    np.testing.assert_array_equal(cat["eigenvalue"], projects.VALUES[::-1])
    np.testing.assert_array_equal(cat["embedding_spectral"], projects.SPECTRAL[:, ::-1])
    assert cat["embedding_spectral"].dims == ("sample", "component")
    np.testing.assert_array_equal(cat["embedding_tsne"], projects.TSNE)
    assert cat["embedding_tsne"].dims == ("sample", "axis")
    assert cat["clustering_kmeans"].dims == ("sample", "n_clusters")
    assert cat["clustering_kmeans"].sel(n_clusters=3).values.tolist() == [0, 1, 2]
    assert cat["clustering_dbscan-eps=0.2"].values.tolist() == [0, -1, 0]
    if analysis is projects.specified_analysis:
        assert cat["prototype_average_kmeans-02"].shape == (2, 4)
    else:
        assert cat["embedding_tsne"].attrs["base"] == "spectral"


def test_samples_in_groups_have_their_names_as_ids(tmp_path):
    arrays = {"attribution": RELEVANCE, "label": LABEL, "prediction": SCORES}
    file = projects.project(
        tmp_path,
        dataset=one_by_one({"data": DATA, "label": LABEL}, "img-"),
        attribution=one_by_one(arrays, "img-"),
    )
    ds, tree = read_project(file)
    assert ds["sample"].values.tolist()[:2] == ["img-000", "img-001"]
    assert ds["index"].values.tolist() == list(range(6))
    np.testing.assert_array_equal(ds["relevance"], RELEVANCE)
    assert tree["dog"]["sample"].values.tolist() == ["img-001", "img-002", "img-004"]


def test_of_several_sources_the_first_that_has_a_sample_counts(tmp_path):
    arrays = {"attribution": RELEVANCE, "label": LABEL, "prediction": SCORES}
    file = projects.project(tmp_path, attributions__sources=["b.h5", "attribution.h5"])
    rows = [4, 1]
    more = {k: v[rows] * 2 for k, v in arrays.items()} | {"index": np.array(rows, np.uint32)}
    projects.write(tmp_path, "b.h5", more | {"label": LABEL[rows]})
    ds, _ = read_project(file)
    factor = np.array([1, 2, 1, 1, 2, 1])[:, None, None, None]
    np.testing.assert_array_equal(ds["relevance"], RELEVANCE * factor)
    assert ds["label"].values.tolist() == LABEL.tolist()


def test_large_arrays_are_lazy_and_can_be_sent_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("fxrelay_analysis.virelay.stored.IN_MEMORY", 0)
    monkeypatch.setattr("fxrelay_analysis.virelay.stored.CHUNK", RELEVANCE[:2].nbytes)
    ds, _ = read_project(projects.project(tmp_path))
    assert ds["relevance"].chunks[0] == (2, 2, 2)
    again = pickle.loads(pickle.dumps(ds))
    np.testing.assert_array_equal(again["relevance"], RELEVANCE)
    names = one_by_one({"attribution": RELEVANCE, "label": LABEL, "prediction": SCORES})
    ds, _ = read_project(projects.project(tmp_path, attribution=names))
    np.testing.assert_array_equal(ds["relevance"][[4, 1]], RELEVANCE[[4, 1]])


def test_several_methods_and_files_of_one(tmp_path):
    analyses = [
        {"analysis_method": "spectral", "sources": ["analysis.h5"]},
        {"analysis_method": "other", "sources": ["other.h5"]},
        {"analysis_method": "spectral", "sources": ["more.h5"]},
    ]
    file = projects.project(tmp_path, analyses=analyses)
    more = {"n01/index": INDEX["n01"], "n01/cluster/agglomerative-02": np.array([1, 0, 0])}
    projects.write(tmp_path, "more.h5", more)
    projects.write(tmp_path, "other.h5", {"00000001/index": INDEX["n02"]})
    assert methods(file) == ["spectral", "other"]
    tree = read_project(file)[1]
    assert tree["cat"]["clustering_agglomerative"].dims == ("sample", "n_clusters_more")
    assert list(read_project(file, "other")[1].children) == ["dog"]
    with pytest.raises(ValueError, match="needs a method among spectral, other; got 'none'"):
        read_project(file, "none")


def test_several_labels_a_sample(tmp_path):
    hot = np.array([[1, 0], [1, 1], [0, 1], [1, 0], [0, 1], [1, 0]], bool)
    arrays = {"attribution": RELEVANCE, "label": hot, "prediction": SCORES}
    ds, _ = read_project(projects.project(tmp_path, attribution=arrays))
    np.testing.assert_array_equal(ds["label_multi_hot"], hot)
    assert ds["label"].values.tolist() == [0, 0, 1, 0, 1, 0]
    hot[2] = False
    ds, _ = read_project(projects.project(tmp_path, attribution=arrays))
    assert "label" not in ds


def test_channels_last_and_other_sizes(tmp_path):
    turned = {"data": DATA.transpose(0, 2, 3, 1), "label": LABEL}
    ds, _ = read_project(projects.project(tmp_path, dataset=turned))
    np.testing.assert_array_equal(ds["input"], DATA)
    arrays = {"attribution": RELEVANCE.sum(1), "label": LABEL, "prediction": SCORES}
    ds, _ = read_project(projects.project(tmp_path, attribution=arrays))
    assert ds["relevance"].sizes["channel"] == 1
    assert ds["input"].dims == ("sample", "channel_input", "y", "x")


def test_what_was_read_can_be_analysed(tmp_path):
    ds, _ = read_project(projects.project(tmp_path))
    tree = spray(ds, progress=False)
    assert set(tree.children) == {"cat", "dog", "ranking"}


PIXELS = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
METHODS = {
    "fill_zeros": {},
    "fill_ones": {"constant_values": 1},
    "edge_repeat": {"mode": "edge"},
    "mirror_edge": {"mode": "reflect"},
    "wrap_around": {"mode": "wrap"},
}


def images(folder, up, down, height=4, width=7, listed=False, **changed):
    for i in range(6):
        where = folder / "images" / f"n0{LABEL[i] + 1}"
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS + i).save(where / f"{i}.png")
    paths = sorted((folder / "images").rglob("*.png"))
    if listed:
        names = [p.relative_to(folder / "images").as_posix() for p in paths]
        (folder / "images_paths.txt").write_text("\n".join(names))
    dataset = {
        "name": "pets", "type": "image_directory", "path": "images",
        "input_height": height, "input_width": width, "up_sampling_method": up,
        "down_sampling_method": down, "label_word_net_id_regex": r"(n\d+)/",
    }  # fmt: skip
    return projects.project(folder, **{f"dataset__{k}": v for k, v in dataset.items()}, **changed)


@pytest.mark.parametrize("up", METHODS)
@pytest.mark.parametrize("listed", [False, True])
def test_images_are_filled_and_cropped(tmp_path, up, listed):
    ds, _ = read_project(images(tmp_path, up, "center_crop", listed=listed))
    assert ds["sample"].values.tolist()[:2] == ["n01/0.png", "n01/3.png"]
    assert ds["label_by_path"].values.tolist() == [0, 0, 0, 1, 1, 1]
    got = np.moveaxis(ds["input"].values[0], 0, -1)
    filled = np.pad(PIXELS / np.float32(255), [(0, 0), (2, 1), (0, 0)], **METHODS[up])
    np.testing.assert_allclose(got, filled[1:5], rtol=1e-6)


def test_images_are_resized_or_left(tmp_path):
    ds, _ = read_project(images(tmp_path, "resize", "resize"))
    expected = np.asarray(Image.fromarray(PIXELS).resize((7, 6)).resize((7, 4)))
    got = ds["input"].isel(sample=0).values
    assert got.shape == (3, 4, 7)
    np.testing.assert_allclose(np.moveaxis(got, 0, -1), expected / 255, atol=2.5 / 255)
    ds, _ = read_project(images(tmp_path, "none", "none"))
    assert ds["input"].shape == (6, 3, 6, 4)


def fault(call, *arguments, **options):
    with pytest.raises(ValueError, match="needs") as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_every_wrong_key_of_the_project_is_named(tmp_path):
    file = projects.project(
        tmp_path, name=None, model=3, dataset__type="zip", dataset__up_sampling_method="grow",
        dataset__label_index_regex="[", attributions__sources=[],
        analyses=[{"analysis_method": 1, "sources": "a"}],
    )  # fmt: skip
    assert fault(read_project, file) == (
        f"{file}: needs a project with the keys of ViRelAy; got:\n"
        "  - name: missing\n"
        "  - model: needs str; got 3\n"
        "  - dataset.type: needs one of hdf5, image_directory; got 'zip'\n"
        "  - dataset.up_sampling_method: needs one of none, fill_zeros, fill_ones, edge_repeat, "
        "mirror_edge, wrap_around, resize; got 'grow'\n"
        "  - dataset.label_index_regex: needs a regular expression; got '[' "
        "(unterminated character set at position 0)\n"
        "  - attributions.sources: needs a file; got none\n"
        "  - analyses[0].analysis_method: needs str; got 1\n"
        "  - analyses[0].sources: needs a list\n"
        "Mend what is named."
    )


def test_every_missing_file_is_named(tmp_path):
    file = projects.project(tmp_path, label_map="l.json", dataset__path="d.h5")
    assert fault(read_project, file) == (
        f"{file}: needs a project whose files exist; got:\n"
        f"  - {tmp_path / 'l.json'} is not there\n"
        f"  - {tmp_path / 'd.h5'} is not there\n"
        "Mend what is named."
    )
    missing = tmp_path / "none.yaml"
    assert fault(read_project, missing).startswith(f"{missing}: needs a project, a YAML file; got:")
    missing.write_text("{")
    assert "needs a project, a YAML file" in fault(read_project, missing)
    missing.write_text("a: 1")
    assert "  - no key project" in fault(read_project, missing)


def test_every_wrong_label_is_named(tmp_path):
    labels = [*projects.LABELS, {"index": "2", "word_net_id": "n", "name": "x"}, 3]
    file = projects.project(tmp_path, labels=labels)
    assert fault(read_project, file) == (
        f"{tmp_path / 'labels.json'}: needs a label map of entries with index, word_net_id and "
        "name; got:\n"
        "  - entry 2: {'index': '2', 'word_net_id': 'n', 'name': 'x'}\n"
        "  - entry 3: 3\n"
        "Mend what is named."
    )


def test_every_wrong_array_is_named(tmp_path):
    where = tmp_path / "attribution.h5"
    file = projects.project(tmp_path, attribution={"attribution": RELEVANCE})
    assert fault(read_project, file) == (
        f"{where}: needs 'attribution', 'label' and 'prediction' of the same samples; got no "
        "'label'; no 'prediction'. Write what is named."
    )
    short = {"attribution": RELEVANCE, "label": LABEL[:3], "prediction": SCORES, "index": [1] * 6}
    file = projects.project(tmp_path, attribution=short)
    assert fault(read_project, file) == (
        f"{where}: needs 'attribution', 'label' and 'prediction' of the same samples; got 'label' "
        "of 3 samples for 6; 'index' of int64, (6,): not one integer a sample. Write what is named."
    )
    wrong = projects.flat_analysis() | {"n01/cluster/x": np.zeros(2, int), "n01/embedding/y": [1.0]}
    file = projects.project(tmp_path, analysis=wrong)
    assert fault(read_project, file) == (
        f"{tmp_path / 'analysis.h5'}: needs arrays of 3 samples; got:\n"
        "  - n01/embedding/y: float64 of shape (1,)\n"
        "  - n01/cluster/x: int64 of shape (2,)\n"
        "Mend them."
    )
    file = projects.project(tmp_path, analysis={"n01/cluster/x": [1]})
    assert fault(read_project, file) == (
        f"{tmp_path / 'analysis.h5'}: needs 'n01/index', integers (n,); got none. Write it."
    )


def test_samples_that_do_not_exist_are_named(tmp_path):
    few = {"data": DATA[:4], "label": LABEL[:4]}
    file = projects.project(tmp_path, dataset=few)
    assert fault(read_project, file) == (
        f"{file}: needs attributions of samples 0..3, which the dataset has; got [4, 5]. "
        "Mend 'index'."
    )
    file = projects.project(tmp_path, analysis={"n01/index": np.array([1, 9])})
    assert fault(read_project, file) == (
        f"{file}: needs attributions of every analysed sample; category 'n01' has 1 without, such "
        "as [9]. Add the file that has them to attributions.sources."
    )


def test_files_that_are_no_hdf5_are_named(tmp_path):
    file = projects.project(tmp_path)
    (tmp_path / "analysis.h5").write_bytes(b"nothing")
    assert f"{tmp_path / 'analysis.h5'}: needs an HDF5 file" in fault(read_project, file)


def test_ragged_groups_are_named(tmp_path):
    arrays = one_by_one({"attribution": RELEVANCE, "label": LABEL, "prediction": SCORES})
    arrays["attribution/000"] = np.zeros((3, 2, 2), np.float32)
    file = projects.project(tmp_path, attribution=arrays)
    assert fault(read_project, file) == (
        f"{tmp_path / 'attribution.h5'}: needs samples of one shape and type in 'attribution'; got "
        "float32 (3, 2, 2), float32 (3, 4, 5). Write them in one form."
    )


def test_images_that_fail_are_named(tmp_path):
    file = images(tmp_path, "none", "none")
    Image.fromarray(PIXELS[:3]).save(tmp_path / "images/n01/3.png")
    assert "needs images of one size, (3, 6, 4); got 1 others" in fault(read_project, file)
    (tmp_path / "images/n01/3.png").write_bytes(b"no")
    assert "3.png: needs an image that can be read" in fault(read_project, file)
    file = images(tmp_path, "none", "none", labels=projects.LABELS[:1])
    assert fault(read_project, file) == (
        f"{file}: needs paths whose class '(n\\\\d+)/' finds in the label map; got n02/1.png, "
        "n02/2.png, n02/4.png (3 of 6). Mend the expression or the label map."
    )
    (tmp_path / "images_paths.txt").write_text("n01/none.png")
    assert "n01/none.png, which do not. Mend the paths." in fault(read_project, file)


def test_nothing_stays_open(tmp_path):
    ds, _ = read_project(projects.project(tmp_path))
    with h5py.File(tmp_path / "attribution.h5", "r+") as file:
        file["more"] = 1
    assert isinstance(ds, xr.Dataset)
