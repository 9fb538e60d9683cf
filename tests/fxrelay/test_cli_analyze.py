"""``fxrelay analyze``: recipes on the command line, flags over them, and the way back."""

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from fxrelay.cli import app
from fxrelay_analysis.recipe import Recipe

FAST = "tsne.n_iterations=250"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of relevance, as `attribute` makes it, in the current directory."""
    monkeypatch.chdir(tmp_path)
    maps = np.random.default_rng(0).gamma(1.0, 1.0, (40, 1, 8, 8)).astype(np.float32)
    label = np.repeat([0, 1], 20)
    ds = xr.Dataset(
        {"relevance": (("sample", "channel", "y", "x"), maps), "label": ("sample", label),
         "prediction": ("sample", label[::-1])},
        {"sample": np.arange(40)},
    )  # fmt: skip
    monkeypatch.setattr("fxrelay.open_dataset", lambda path: ds)
    return "relevance"


def invoke(*args):
    return CliRunner().invoke(app, ["analyze", *map(str, args)])


def analysis(path):
    with xr.open_datatree(path, engine="netcdf4") as lazy:
        return lazy.load()


def test_an_analysis_is_made_again_from_its_own_file(folder, tmp_path):
    done = invoke(folder, "--category", "prediction", "--set", FAST, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "wrote analysis.nc" in done.output
    first = analysis("analysis.nc")
    assert Recipe.read("analysis.nc") == Recipe(
        "relevance", "prediction", parameters={"tsne": {"n_iterations": 250}}, seed=3, store="cache"
    )
    assert (tmp_path / "cache" / "pipeline").is_dir()
    assert invoke("--recipe", "analysis.nc", "--out", "again.nc").exit_code == 0
    xr.testing.assert_identical(analysis("again.nc"), first)


def test_flags_override_a_recipe(folder):
    Recipe(folder, "prediction", seed=1, store="other", parameters={"tsne": {"seed": 2}}).write(
        "recipe.toml"
    )
    done = invoke("--recipe", "recipe.toml", "--category", "label", "--set", FAST, "--seed", 4,
                  "--set", "kmeans.n_clusters=[2, 3]", "--write-recipe", "more.toml")  # fmt: skip
    assert (done.exit_code, done.output) == (0, "wrote more.toml\n")
    given = {"tsne": {"seed": 2, "n_iterations": 250}, "kmeans": {"n_clusters": [2, 3]}}
    assert Recipe.read("more.toml") == Recipe(
        folder, "label", parameters=given, seed=4, store="other"
    )


def test_what_could_not_be_done_is_told(folder):
    done = invoke(folder, "--set", FAST, "--set", "neighbours.n_neighbours=30")
    assert done.exit_code == 0, done.output
    reason = "neighbours: neighbours: needs more samples than n_neighbours=30; got 20."
    assert f"not done:\n0: {reason}" in done.output
    assert f"\n1: {reason}" in done.output


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "error: analyze: needs a folder of relevance; got none. Name it, or a recipe."),
        (("--recipe", "bad.toml"),
         "error: Recipe: needs version 1 of a recipe; got in bad.toml:   - line 1: colour: needs"),
        (("--set", "kmeans=3"), "error: Recipe: needs STEP.PARAMETER=VALUE with a value as in"),
        (("relevance", "--set", "kmean.seed=3"),
         "error: spray: needs parameters for steps among preprocess, "),
        (("relevance", "--pipeline", "spry"),
         "error: spray: needs a Pipeline or the name of one, spray"),
        (("relevance", "--category", "kind"),
         "error: spray: needs category='kind' as a variable with dims ('sample',); got variables"),
    ],
)  # fmt: skip
def test_errors_are_one_message(folder, args, text, tmp_path):
    (tmp_path / "bad.toml").write_text("colour = 3\nfxrelay_recipe = 1")
    done = invoke(*args)
    assert done.exit_code == 2
    assert text in done.output.replace("\n", " ")
    assert "Traceback" not in done.output
