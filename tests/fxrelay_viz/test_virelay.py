import json

import numpy as np
import pytest

from fxrelay_analysis.virelay import write_project
from fxrelay_viz import samples, selection
from fxrelay_viz.exporting import Chosen, export
from fxrelay_viz.importing import read_state
from fxrelay_viz.opening import open_workspace
from fxrelay_viz.state import ViewState


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    ds, tree = samples.digits(poisoned=3)
    path = write_project(ds, tree, tmp_path_factory.mktemp("virelay") / "p", name="digits")
    return open_workspace([path])


def test_a_project_of_virelay_is_opened_directly(workspace):
    project = workspace.get()
    category = project.category("digit 3")
    assert len(category.ids) == 183
    assert {"tsne", "spectral"} <= set(category.embeddings)
    assert 2 in category.clusterings["kmeans"]
    original = samples.digits(poisoned=3)[0]
    shown = project.pictures(category.positions[:3])
    expected = original["relevance"].values[original["label"].values == 3][:3]
    assert np.allclose([p.relevance.values for p in shown], expected, atol=1e-6)
    assert ViewState(category="digit 3").settle(project) == []


def test_its_state_goes_there_and_back(workspace):
    project = workspace.get()
    category = project.category("digit 3")
    state = ViewState(category="digit 3", mode="input")
    state.settle(project)
    recipe = (selection.Step("replace", "samples", (), tuple(category.ids[5:9].tolist())),)
    one = Chosen(project, category, selection.apply(recipe, category), state, recipe)
    content = json.loads(export("virelay", one).body)
    values, again, messages = read_state(json.dumps(content).encode(), workspace)
    assert messages == []
    assert selection.apply(again, category).nonzero()[0].tolist() == [5, 6, 7, 8]
    assert ViewState(**values).mode == "input"
