"""Every kind of data opens, is analysed, drawn, exported and shared."""

import pytest

from fxrelay import schema
from fxrelay_viz import exporting, links, scales, selection
from fxrelay_viz.exporting import Chosen
from fxrelay_viz.images import Look, render
from fxrelay_viz.pictures import layout
from fxrelay_viz.pretended import PRETENDED
from fxrelay_viz.project import Project
from fxrelay_viz.renderers import RENDERERS, kind_of
from fxrelay_viz.state import SCALES, ViewState


@pytest.fixture(params=list(PRETENDED), scope="module")
def project(request) -> Project:
    return Project(*PRETENDED[request.param]())


def test_the_dataset_follows_the_schema(project):
    schema.validate(project.ds)
    assert len(project.ranking) == len(project.classes)


def test_every_variable_and_target_is_drawn_on_every_scale(project):
    category = project.category(project.names[0])
    state = ViewState(category=category.name)
    assert state.settle(project) == []
    ends = set()
    for state.variable in project.explanations.shown:
        for state.target in range(len(project.explanations.targets)):
            for state.scale in SCALES:
                limit = scales.scale_end(state, project, category, [0, 1, 2])
                ends.add(limit)
                look = Look(limit=limit, variable=state.variable, target=state.target)
                assert len(render(project, int(category.positions[1]), look)[0]) > 100
    assert len(ends) > 1


def test_the_selection_is_exported(project):
    category = project.category(project.names[0])
    state = ViewState(category=category.name)
    state.settle(project)
    recipe = (selection.Step("replace", "clusters", (state.clustering, state.k), (1,)),)
    one = Chosen(project, category, selection.apply(recipe, category), state, recipe)
    for form in exporting.FORMATS:
        assert len(exporting.export(form, one).body) > 100
    assert links.decode(links.encode(state, recipe))[1] == recipe


def test_the_page_shows_it(project):
    from fxrelay_viz.app import Viewer

    viewer = Viewer(project)
    session = viewer.session
    viewer.act("open", project.names[0])
    assert session.message == ""
    assert "<img" in viewer.boards["grid"].html
    is_wide = RENDERERS[kind_of(layout(project.ds["relevance"]))].wide
    viewer.act("show", "0")
    for part, kind in (("grid", "grid"), ("lower", "large")):
        assert (f'class="{kind} auto wide"' in viewer.boards[part].html) == is_wide
    viewer.act("home")
    assert ('class="table auto wide"' in viewer.boards["ranking"].html) == is_wide


def test_targets_have_names():
    source = Project(*PRETENDED["inputs"]()).explanations
    assert source.targets == ("target 1", "target 2")
    assert [source.target_name(0, t) for t in (0, 1)] == ["cat", "dog"]
    assert source.shown == ("relevance", "relevance_of_meta", "relevance_at_conv1")
