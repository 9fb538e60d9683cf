"""The command line: the whole job on little data, and errors as one message."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fxrelay.cli import app
from fxrelay.demo.data import digits
from fxrelay.demo.story import Settings, trained
from fxrelay.loading import read_image

RUN = CliRunner()


def invoke(*args):
    return RUN.invoke(app, [str(arg) for arg in args])


def width(path):
    with Image.open(path) as image:
        return image.width


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(["cat", "cat", "dog", "dog"]):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_attribute_then_heatmap(photos, tmp_path):
    out = tmp_path / "relevance"
    done = invoke(
        "attribute", "torchvision:squeezenet1_1", photos, "--out", out, "--size", 32,
        "--composite", "epsilon_plus",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "4 samples explained" in done.output
    drawn = invoke("heatmap", out, "--out", tmp_path / "sheet.png")
    assert drawn.exit_code == 0, drawn.output
    assert width(tmp_path / "sheet.png") > 200


def test_report_prints_the_table(photos):
    done = invoke("report", "torchvision:squeezenet1_1", "--data", photos, "--size", 64)
    assert done.exit_code == 0, done.output
    assert "features.0" in done.output
    assert "missing" in done.output


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("report", "resnet50"),
         "error: model: needs torchvision:NAME or package.module:function; got 'resnet50'."),
        (("report", "torchvision:nothing"), "error: model: needs a function that exists; got"),
        (("attribute", "torchvision:alexnet", "nowhere"),
         "error: data: needs a folder of images or a netCDF file; got 'nowhere'."),
        (("demo", "--share", "2", "--no-serve"),
         "error: plant: needs share above 0 and at most 1; got 2.0. Change what is named."),
        (("heatmap", "."), "error: open_dataset: needs a folder that attribute_dataset made"),
        (("report", "torch.nn:Linear"),
         "error: model: needs 'torch.nn:Linear' to be a function that runs without arguments; got "
         "TypeError: Linear.__init__() missing 2 required positional arguments"),
        (("report", ".nets:net"), "error: model: needs a function that exists; got '.nets:net'"),
        (("demo", "--clean", "--class", "3"),
         "error: demo: needs --clean or --class; got both, --class 3. Drop one."),
        (("demo", "--per-class", "10", "--no-serve"),
         "error: demo: needs per_class in 11..500; got 10. Change what is named."),
        (("demo", "--seed", "-1", "--per-class", "5", "--no-serve"),
         "error: demo: needs per_class in 11..500; got 5; needs seed in 0..2**63-1; got -1. Change "
         "what is named."),
        (("demo", "--port", "99999"),
         "error: serve: needs a free port on localhost; got 99999"),
        (("demo", "--address", "::1"),
         "error: serve: needs a host name or an IPv4 address; got '::1'. Use 'localhost'."),
        (("analyze", "nowhere", "--out", "."),
         "error: --out: needs the name of a file; got the folder '.'."),
        (("view", "nowhere", "missing.nc"), "error: view: needs folders or netCDF files"),
    ],
)  # fmt: skip
def test_errors_are_one_message(args, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(*args)
    assert done.exit_code == 2
    assert text in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


def test_demo_catches_the_clever_hans_and_reuses_every_result(tmp_path):
    args = ("demo", "--no-serve", "--per-class", 100, "--seed", 0, "--class", 4, "--out", tmp_path)
    done = invoke(*args)
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["first"] == "4"
    assert min(outcome["purity"], outcome["recall"]) >= 0.97
    made = {p: p.stat().st_mtime_ns for p in folder.glob("*/**/*.nc")}
    assert invoke(*args).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*/**/*.nc")} == made
    assert width(folder / "clusters.png") > 400


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pt", b""),
        ("text.pt", b"import torch"),
        ("text.safetensors", b"import torch"),
        ("missing.pt", None),
    ],
)
def test_weights_that_cannot_be_read_are_named(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = invoke("report", "torchvision:squeezenet1_1", "--weights", tmp_path / name)
    assert done.exit_code == 2
    assert f"model: needs a safetensors file or a state dict; got '{tmp_path / name}' (" in (
        done.output
    )
    assert "Write one with torch.save(model.state_dict(), ...)." in done.output


@pytest.mark.parametrize("state", [{1: torch.ones(1)}, [1, 2], {"weight": torch.ones(1)}])
def test_weights_that_do_not_fit_are_named(state, tmp_path):
    torch.save(state, tmp_path / "weights.pt")
    done = invoke("report", "torchvision:squeezenet1_1", "--weights", tmp_path / "weights.pt")
    assert done.exit_code == 2
    assert f"error: model: weights in '{tmp_path / 'weights.pt'}' do not fit: " in done.output


def test_a_damaged_image_is_named(photos, tmp_path):
    good = (photos / "cat" / "0.png").read_bytes()
    (photos / "cat" / "0.png").write_bytes(good[:200])
    done = invoke("report", "torchvision:squeezenet1_1", "--data", photos, "--size", 32)
    assert done.exit_code == 2
    text = done.output.splitlines()[-1]
    assert text.startswith(f"error: data: needs images that can be read; got '{photos}/cat/0.png'")
    assert text.endswith("Mend or remove it.")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "LA"])
def test_images_of_every_kind_are_read(mode, tmp_path):
    for name, shape in {"plain": (40, 50), "dot": (1, 1), "line": (300, 1)}.items():
        Image.new(mode, shape).save(tmp_path / f"{name}.png")
        x = read_image(tmp_path / f"{name}.png", 16)
        assert x.shape == (3, 16, 16)
        assert x.isfinite().all()


def test_a_size_of_nothing_is_refused(photos):
    done = invoke("report", "torchvision:squeezenet1_1", "--data", photos, "--size", 0)
    assert done.exit_code == 2
    assert "error: data: needs size >= 1; got 0. The usual one is 224." in done.output


def test_images_too_small_for_the_model_are_told(photos):
    done = invoke("report", "torchvision:squeezenet1_1", "--data", photos, "--size", 2)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:100], lambda b: b[:-40] + b"\xff" * 40, lambda b: b""]
)
def test_a_damaged_model_file_of_the_demo_is_trained_again(damage, tmp_path):
    settings = Settings(per_class=12, epochs=1)
    file, data = tmp_path / "model.safetensors", digits(per_class=12)
    first, score = trained(file, data, settings, progress=False)
    content = file.read_bytes()
    file.write_bytes(damage(content))
    again, same = trained(file, data, settings, progress=False)
    assert same == score
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    assert file.read_bytes() == content


def test_view_serves_what_is_named(tmp_path, monkeypatch):
    from fxrelay_viz import samples

    ds, tree = samples.digits()
    ds.to_netcdf(tmp_path / "lrp.nc", engine="netcdf4")
    tree.to_netcdf(tmp_path / "lrp-analysis.nc", engine="netcdf4")
    served = {}
    monkeypatch.setattr("fxrelay_viz.serve", lambda *given, **rest: served.update(rest, of=given))
    monkeypatch.setenv("FXRELAY_PASSWORD", "sesame")
    done = invoke("view", tmp_path / "lrp.nc", tmp_path / "lrp-analysis.nc", tmp_path, "--port", 0)
    assert done.exit_code == 0, done.output
    assert "viewer: http://localhost:" in done.output
    (workspace,) = served["of"]
    assert workspace.project_names()[0] == "lrp"
    assert (served["address"], served["password"]) == ("localhost", "sesame")
