"""The command line: the whole job on little data, and errors as one message."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fxrelay.cli import app

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
