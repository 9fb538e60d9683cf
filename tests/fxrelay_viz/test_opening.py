import json
import time

import numpy as np
import pytest
import xarray as xr

from fxrelay_viz import samples
from fxrelay_viz.opening import open_workspace
from fxrelay_viz.reading import open_file, open_shards


def write_shards(ds: xr.Dataset, folder, size: int) -> None:
    folder.mkdir(parents=True)
    n = ds.sizes["sample"]
    (folder / "manifest.json").write_text(json.dumps({"samples": n, "shard_size": size}))
    for start in range(0, n, size):
        part = ds.isel(sample=slice(start, start + size))
        part.to_netcdf(folder / f"shard-{start // size:06d}.nc", engine="netcdf4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One project: two attributions, an analysis, and a report that is neither."""
    path = tmp_path_factory.mktemp("projects") / "digits"
    ds, tree = samples.digits(poisoned=3)
    write_shards(ds, path / "lrp", 500)
    ds.assign(relevance=-ds["relevance"]).isel(sample=slice(None, None, -1)).to_netcdf(
        path / "gradient.nc", engine="netcdf4"
    )
    tree.to_netcdf(path / "lrp-analysis.nc", engine="netcdf4")
    xr.Dataset({"leak": ("node", [0.0])}).to_netcdf(path / "report.nc", engine="netcdf4")
    return path


def test_a_folder_of_shards_is_one_lazy_dataset(folder, data):
    ds, lazy = data[0], open_shards(folder / "lrp")
    assert (lazy["sample"].values == ds["sample"].values).all()
    for chosen in ([1700, 3, 499, 500, 3], slice(490, 510), 7, np.array([], dtype=int)):
        part, expected = lazy.isel(sample=chosen), ds.isel(sample=chosen)
        xr.testing.assert_identical(part.compute()["relevance"], expected["relevance"])
        assert (part["label"].values == expected["label"].values).all()
    assert (lazy["relevance"][5:900:7, 0, 2:4].values == ds["relevance"][5:900:7, 0, 2:4]).all()
    xr.testing.assert_identical(lazy.compute(), ds)


def test_a_folder_is_a_project_of_two_methods_to_compare(folder, data):
    workspace = open_workspace([folder])
    assert workspace.project_names() == ["digits"]
    assert workspace.method_names() == ["gradient", "lrp"]
    assert workspace.analysis_names() == ["lrp-analysis"]
    project = workspace.get()
    assert (project.name, project.method, project.analysis) == ("digits", "lrp", "lrp-analysis")
    assert project.category("digit 3").points("tsne", 0, 1).shape == (183, 2)
    other = workspace.get(method="gradient")
    sample = project.category("digit 3").ids[4]
    first = project.pictures([project.position(sample)])[0].relevance.values
    second = other.pictures([other.position(sample)])[0].relevance.values
    assert (first == -second).all()
    assert workspace.get() is project
    assert project.position(-5) is None
    with pytest.raises(ValueError, match="project digits: needs a known attribution; got 'x'"):
        workspace.get(method="x")


def test_parts_by_name_are_one_project_and_folders_are_others(folder):
    workspace = open_workspace([folder / "lrp", folder / "lrp-analysis.nc", folder])
    assert workspace.project_names() == ["lrp", "digits"]
    assert workspace.get("lrp").ranking[0].name == "digit 3"
    assert workspace.get("lrp").notes.path == folder / "lrp.notes.json"
    assert workspace.get("digits").notes.path == folder / "viewer.notes.json"


def test_an_attribution_alone_shows_its_classes(folder, tmp_path):
    project = open_workspace([folder / "gradient.nc"]).get()
    assert project.names == [f"digit {k}" for k in range(10)]
    assert project.category("digit 3").note == "no analysis was opened"
    bare = open_file(folder / "gradient.nc").drop_vars(["label", "prediction"]).compute()
    bare.to_netcdf(tmp_path / "bare.nc", engine="netcdf4")
    assert open_workspace([tmp_path / "bare.nc"]).get().names == ["all samples"]


def test_what_cannot_be_opened_is_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.nc").write_bytes(b"x" * 100)
    (tmp_path / "note.txt").write_text("x")
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "manifest.json").write_text('{"samples": 900, "shard_size": 500}')
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.json").write_text("[")
    given = [tmp_path / name for name in ("empty", "gone", "note.txt")]
    with pytest.raises(ValueError, match="view: needs folders") as caught:
        open_workspace([folder, *given])
    text = str(caught.value)
    assert "empty': holds no folder of shards and no netCDF file" in text
    assert "gone': there is no such file or folder" in text
    assert "note.txt': is no folder and no .nc" in text
    for bad, message in (
        ("broken.nc", "Unknown file format"),
        ("torn", r"needs 2 shards in .*torn'; 2 are missing \(shard-000000.nc, shard-000001.nc\)"),
        ("odd", "needs manifest.json with 'samples' and 'shard_size'"),
    ):
        with pytest.raises(ValueError, match=message):
            open_workspace([tmp_path / bad])
    with pytest.raises(ValueError, match="no path was given"):
        open_workspace([])
    with pytest.raises(ValueError, match="got analyses alone"):
        open_workspace([folder / "lrp-analysis.nc"])


def test_files_that_vanish_are_a_message(tmp_path, data):
    write_shards(data[0], tmp_path / "lrp", 500)
    data[1].to_netcdf(tmp_path / "analysis.nc", engine="netcdf4")
    project = open_workspace([tmp_path]).get()
    project.pictures([3])
    (tmp_path / "lrp" / "shard-000003.nc").unlink()
    (tmp_path / "lrp" / "shard-000002.nc").write_bytes(b"damaged")
    for position in (1600, 1100):
        with pytest.raises(OSError, match=r"shard-00000[23]"):
            project.pictures([position])
    assert project.pictures([3])[0].relevance.shape == (1, 8, 8)


def test_an_analysis_that_vanishes_or_is_replaced_is_a_message_on_the_page(tmp_path, data):
    from fxrelay_viz.app import Viewer

    data[0].to_netcdf(tmp_path / "lrp.nc", engine="netcdf4")
    data[1].to_netcdf(tmp_path / "lrp-spray.nc", engine="netcdf4")
    workspace = open_workspace([tmp_path])
    viewer = Viewer(workspace)
    viewer.act("open", "digit 3")
    assert viewer.session.message == ""
    (tmp_path / "lrp-spray.nc").unlink()
    viewer.act("open", "digit 4")
    assert "lrp-spray.nc" in viewer.session.message
    (tmp_path / "lrp-spray.nc").write_bytes(b"CDF damaged" * 50)
    viewer.act("open", "digit 5")
    assert viewer.session.message
    others = {"other": data[1]["digit 5"].to_dataset()}
    xr.DataTree.from_dict(others).to_netcdf(tmp_path / "lrp-spray.nc", engine="netcdf4")
    viewer.act("open", "digit 6")
    assert "could not be read" in viewer.session.message
    viewer.act("open", "digit 3")
    assert viewer.session.state.category == "digit 3"
    assert viewer.session.message == ""


@pytest.mark.slow
def test_a_million_samples_open_within_a_second(tmp_path):
    n, size, classes = 10**6, 10_000, 100
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "manifest.json").write_text(json.dumps({"samples": n, "shard_size": size}))
    zeros = np.zeros((size, 1, 2, 2), np.float32)
    for start in range(0, n, size):
        xr.Dataset(
            {"relevance": (("sample", "channel", "y", "x"), zeros),
             "label": ("sample", np.arange(start, start + size) % classes)},
            coords={"sample": np.arange(start, start + size)},
        ).to_netcdf(
            tmp_path / "big" / f"shard-{start // size:06d}.nc", engine="netcdf4"
        )  # fmt: skip
    rng = np.random.default_rng(0)
    groups = {
        f"class {k}": xr.Dataset(
            {"embedding_tsne": (("sample", "axis"), rng.normal(size=(n // classes, 2)))},
            coords={"sample": np.arange(k, n, classes)},
        )
        for k in range(classes)
    }
    xr.DataTree.from_dict(groups).to_netcdf(tmp_path / "analysis.nc", engine="netcdf4")
    start = time.perf_counter()
    project = open_workspace([tmp_path]).get()
    assert project.category("class 7").points("tsne", 0, 1).shape == (n // classes, 2)
    assert time.perf_counter() - start < 1.5


def test_stored_numbers_are_decoded(tmp_path):
    ds = xr.Dataset(
        {
            "relevance": (("sample", "feature"), np.arange(12.0).reshape(4, 3)),
            "flag": ("sample", np.array([True, False, True, True])),
            "when": ("sample", np.arange(4).astype("datetime64[D]").astype("datetime64[ns]")),
            "gap": ("sample", np.array([1.0, np.nan, 3.0, 4.0])),
            "word": ("sample", np.array(["a", "", "é", "d"], dtype=object)),
            "whole": ("sample", np.array([1, 2, 3, 4], np.uint8)),
        },
        coords={"sample": ["a", "b", "c", "d"]},
    )
    packed = {"relevance": {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -1},
              "whole": {"_FillValue": 3}}  # fmt: skip
    ds.to_netcdf(tmp_path / "a.nc", engine="netcdf4", encoding=packed)
    with xr.open_dataset(tmp_path / "a.nc", engine="netcdf4") as file:
        expected = file.load()
    lazy = open_file(tmp_path / "a.nc")
    xr.testing.assert_identical(lazy.compute(), expected)
    chosen = [3, 0, 0]
    xr.testing.assert_identical(lazy.isel(sample=chosen).compute(), expected.isel(sample=chosen))


def test_what_attribute_dataset_wrote_is_opened(tmp_path):
    import torch

    import fxrelay

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3)).eval()
    x = torch.randn(25, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    written = fxrelay.attribute_dataset(
        net, (x, torch.arange(25) % 3), tmp_path / "relevance", composite="epsilon_plus",
        classes=["a", "b", "c"], shard_size=10, progress=False,
    )  # fmt: skip
    project = open_workspace([tmp_path]).get()
    assert project.names == ["a", "b", "c"]
    assert (project.index == written["sample"].values).all()
    found = project.pictures([3, 12, 24])
    expected = written["relevance"].isel(sample=[3, 12, 24]).compute(scheduler="synchronous")
    assert np.array_equal([p.relevance.values for p in found], expected.values)
    assert np.allclose(found[2].input.values, x[24].numpy())
    assert project.facts(24)["label"] == "a"
    written.close()
