"""Recipes: exact round trip, errors with line and key, what an analysis carries."""

import numpy as np
import param
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fxrelay.files import write_netcdf
from fxrelay_analysis import Store, spray, stages
from fxrelay_analysis.pipeline import Pipeline, Step
from fxrelay_analysis.presets import SPRAY
from fxrelay_analysis.recipe import Recipe, parameters
from fxrelay_analysis.spraying import follow
from fxrelay_analysis.tables import from_toml, to_toml
from tests.fxrelay_analysis.test_spray import FAST, relevance


class ranged(stages.Stage):
    """A stage with parameters that TOML lacks types for."""

    bounds = param.Range((0.0, 1.0), doc="A pair.")
    anything = param.Parameter(None, doc="Any value.")

    @staticmethod
    def compute(data, *, bounds, anything):
        return data


STEPS = Pipeline(
    (
        Step("a", stages.pool, ("relevance",), {"size": 2}, shown=False),
        Step("b", ranged, ("a",), {"bounds": (0.25, 0.5), "anything": None}, True, True, "x"),
    )
)  # fmt: skip
RECIPES = [
    Recipe(),
    Recipe("relevance/", "prediction", parameters={"kmeans": {"n_clusters": range(2, 21)}}, seed=3,
           store="cache", workers=4, scheduler="tcp://127.0.0.1:8786"),
    Recipe(pipeline=STEPS, parameters={"a": {"size": 3}}),
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_comes_back_from_its_text_and_its_file(recipe, tmp_path):
    assert Recipe.parse(recipe.text) == recipe
    assert Recipe.parse(recipe.text).text == recipe.text
    assert Recipe.read(recipe.write(tmp_path / "recipe.toml")) == recipe


def test_the_text_is_small_and_plain():
    assert RECIPES[1].text == (
        'fxrelay_recipe = 1\ndata = "relevance/"\ncategory = "prediction"\nseed = 3\n'
        'store = "cache"\nworkers = 4\nscheduler = "tcp://127.0.0.1:8786"\npipeline = "spray"\n\n'
        "[parameters.kmeans.n_clusters]\nrange = [\n    2,\n    21,\n    1,\n]\n"
    )


VALUES = [
    None, True, 1, 1.0, -0.0, float("inf"), "a", [1, None], (1, "b"), {"a": {"b": (None,)}}, {},
    {"tuple": 3}, {"none": True}, {1: 2}, range(3), slice(None, 4), np.float32(1.5),
    np.arange(3, dtype="i2"), b"x", [[1], [2.0]],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_comes_back_as_what_it_was(value):
    text = Recipe(pipeline=STEPS, parameters={"b": {"anything": value}}).text
    back = Recipe.parse(text).parameters["b"]["anything"]
    assert type(back) is type(value)
    assert to_toml(back) == to_toml(value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["none", "tuple"]), inner, max_size=2
        )
        | st.tuples(inner)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(plain)
def test_any_plain_value_comes_back(value):
    assert from_toml(to_toml(value)) == value
    recipe = Recipe(pipeline=STEPS, parameters={"b": {"anything": value}})
    assert Recipe.parse(recipe.text) == recipe


def test_a_list_stands_for_a_tuple_where_the_stage_wants_one():
    text = RECIPES[2].text.replace(
        "[parameters.a]", "[parameters.b]\nbounds = [0.0, 0.5]\n[parameters.a]"
    )
    assert Recipe.parse(text).parameters["b"] == {"bounds": (0.0, 0.5)}


BAD = """fxrelay_recipe = 2
category = 3
workers = 0
colour = "red"

[parameters.kmeans]
n_clusters = 0
n_startss = 2

[parameters.umap]
"""


def test_every_fault_has_its_line_and_key(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(BAD)
    with pytest.raises(ValueError, match="Recipe") as caught:
        Recipe.read(file)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"Recipe: needs version 1 of a recipe; got in {file}:"
    assert lines[1] == "  - line 1: fxrelay_recipe: needs 1; got 2"
    assert lines[2].startswith("  - line 4: colour: needs a key among fxrelay_recipe, pipeline")
    assert lines[3] == "  - line 2: category: needs the name of a variable; got 3"
    assert lines[4] == "  - line 3: workers: needs an integer >= 1; got 0"
    assert lines[5].startswith("  - line 7: parameters.kmeans.n_clusters: n_clusters=0: ")
    assert lines[6].startswith("  - line 8: parameters.kmeans.n_startss: needs a parameter among ")
    assert lines[7].startswith("  - line 10: parameters.umap: needs a step among preprocess, ")
    assert lines[8] == "Change what is named."


BAD_STEPS = """fxrelay_recipe = 1
pipeline = "spray"

[[steps]]
name = "a"
stage = "nothing"
inputs = ["relevance"]

[[steps]]
name = "b"
stage = "pool"
inputs = "relevance"
parameters = { size = 0 }
kind = 3

[[steps]]
stage = "builtins:int"
inputs = []
"""


def test_every_fault_of_a_step_has_its_line_and_key():
    with pytest.raises(ValueError, match="Recipe") as caught:
        Recipe.parse(BAD_STEPS)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] + ": " + line.split(": ")[1] for line in lines[1:-1]] == [
        "  - line 6: steps.0.stage", "  - line 14: steps.1.kind", "  - line 12: steps.1.inputs",
        "  - line 13: steps.1.parameters.size", "  - line 16: steps.2",
        "  - line 17: steps.2.stage", "  - line 2: pipeline",
    ]  # fmt: skip
    assert lines[1].endswith("needs a stage of fxrelay, or package.module:class; got 'nothing'")
    assert lines[5].endswith("needs name")
    assert lines[6].endswith("needs a stage; got 'builtins:int', which is none")
    assert lines[7].endswith("needs either pipeline or steps; got both")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "Recipe: needs TOML; got in recipe: Invalid value (at end of document)."),
        ("pipeline = 'x'\nfxrelay_recipe = 1", "line 1: pipeline: needs one of spray"),
        ("fxrelay_recipe = 1\nsteps = 3", "line 2: steps: needs a table for each step, [[steps]]"),
        ("fxrelay_recipe = 1\nparameters = 3", "line 2: parameters: needs a table for each step"),
        ("fxrelay_recipe = 1\n[[steps]]\nname='a'\nstage='pool'\ninputs=['a']",
         "line 2: steps: Pipeline: needs steps that fit together"),
    ],
)  # fmt: skip
def test_other_faults(text, message):
    with pytest.raises(ValueError, match="Recipe") as caught:
        Recipe.parse(text)
    assert message in str(caught.value)


def test_an_analysis_carries_its_recipe_and_runs_again_by_it(tmp_path):
    ds = relevance().isel(sample=slice(0, 100))
    recipe = Recipe("relevance/", parameters=FAST, seed=5, store=tmp_path / "cache")
    tree = follow(recipe, ds, progress=False)
    assert tree.attrs["recipe"] == recipe.text
    file = write_netcdf(tree, tmp_path / "analysis.nc")
    again = Recipe.read(file)
    assert again == recipe
    xr.testing.assert_identical(follow(again, ds, progress=False), tree)
    plain = spray(ds, parameters=FAST, seed=5, progress=False)
    assert Recipe.parse(plain.attrs["recipe"]) == Recipe(parameters=FAST, seed=5)
    plain.attrs["recipe"] = recipe.text
    xr.testing.assert_identical(plain, tree)
    assert Store(tmp_path / "cache").prune().n_left > 0


def test_a_file_without_a_recipe_is_told(tmp_path):
    file = write_netcdf(xr.Dataset(), tmp_path / "other.nc")
    with pytest.raises(ValueError, match="Recipe") as caught:
        Recipe.read(file)
    assert str(caught.value).startswith(
        f"Recipe: needs the file of an analysis with the attribute 'recipe'; got {str(file)!r} ("
    )
    with pytest.raises(FileNotFoundError):
        Recipe.read(tmp_path / "nothing.toml")


def test_flags_change_a_recipe():
    base = RECIPES[1]
    more = base.change(category="label", workers=None, parameters=parameters(["tsne.seed=2"]))
    assert more.category == "label"
    assert more.workers == 4
    assert more.parameters == {"kmeans": {"n_clusters": range(2, 21)}, "tsne": {"seed": 2}}
    again = more.change(parameters=parameters(["kmeans.n_clusters=[2, 3]", "kmeans.seed=1"]))
    assert again.parameters["kmeans"] == {"n_clusters": [2, 3], "seed": 1}
    with pytest.raises(ValueError, match="Recipe") as caught:
        parameters(["kmeans", "kmeans.x=", "a=3"])
    assert str(caught.value) == (
        "Recipe: needs STEP.PARAMETER=VALUE with a value as in TOML, kmeans.n_clusters=[2, 3] for "
        "instance; got 'kmeans', 'kmeans.x=', 'a=3'."
    )


def test_a_pipeline_that_is_a_preset_may_be_written_out():
    written = Recipe(pipeline=SPRAY)
    assert written.text.count("[[steps]]") == len(SPRAY.steps)
    assert Recipe.parse(written.text).pipeline == SPRAY
