"""Whatever comes from outside: a value, or an error of one line, and never anything else."""

import base64
import json
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fxrelay_viz import links, selection
from fxrelay_viz.images import FIELDS, parse
from fxrelay_viz.importing import read_state
from fxrelay_viz.kinds import KINDS
from fxrelay_viz.searching import search
from fxrelay_viz.selection import OPERATIONS
from fxrelay_viz.state import ViewState
from fxrelay_viz.virelay_state import NEEDED
from fxrelay_viz.workspace import Workspace

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["digit 3", "tsne", "kmeans", "label", "../../etc/passwd", "<b>", "\x00"]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)
states = st.dictionaries(
    st.sampled_from([name for name in ViewState.param if name != "name"]), values, max_size=5
)
steps = st.lists(
    st.tuples(
        st.sampled_from([*OPERATIONS, "x"]), st.sampled_from([*KINDS, "x"]),
        st.lists(scalars, max_size=3),
        st.lists(scalars | st.lists(scalars, max_size=3), max_size=4),
    ).map(list) | values,
    max_size=4,
)  # fmt: skip
contents = st.one_of(
    values,
    st.fixed_dictionaries(
        {"version": st.just(1) | values, "state": states | values,
         "selection": st.fixed_dictionaries({"version": st.just(1) | values,
                                             "steps": steps | values}) | values}
    ),
    st.fixed_dictionaries({name: values for name in NEEDED}),
)  # fmt: skip
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def at_most_a_message():
    try:
        yield
    except ValueError as error:
        text = str(error)
        if not text.endswith(".") or "Traceback" in text or len(text) > 2000:
            raise AssertionError(text) from error


def try_on(project, state_values, recipe) -> None:
    """Do with state and recipe what the viewer does."""
    state = ViewState(**state_values)
    found, _ = state.find(Workspace.of(project))
    state.settle(found)
    if state.category:
        selection.apply(recipe, found.category(state.category))
    assert len(links.encode(state, recipe, links.Links())) <= links.MOST_LINK


@quick
@given(content=contents)
def test_links(project, content):
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode()
    with at_most_a_message():
        try_on(project, *links.decode(f"v1-{packed.rstrip('=')}"))


@quick
@given(text=st.text(max_size=60) | st.text(max_size=20).map("v1-{}".format))
def test_texts_that_are_no_links(text: str):
    with at_most_a_message():
        links.decode(text)


@quick
@given(content=contents, raw=st.binary(max_size=40) | st.none())
def test_files(project, content, raw):
    body = json.dumps(content).encode() if raw is None else raw
    with at_most_a_message():
        found = read_state(body, Workspace.of(project))
        try_on(project, found.values, found.recipe)


@quick
@given(query=st.dictionaries(st.sampled_from(list(FIELDS)) | st.text(max_size=9),
                             st.text(max_size=20) | st.sampled_from(["1e400", "nan", "-0", "٣"]),
                             max_size=4))  # fmt: skip
def test_queries_of_images(query):
    with at_most_a_message():
        look = parse(query)
        assert 0 <= look.blend <= 1
        assert look.limit is None or 0 < look.limit < 1e101


@quick
@given(
    text=st.text(max_size=40) | st.sampled_from(["label:digit", "id:1500", "tag:", "correct:True"])
)
def test_searches(project, text: str):
    category = project.category("digit 3")
    assert search(category, text).shape == category.ids.shape


@pytest.mark.parametrize(
    ("text", "count"),
    [("digit 3", 183), ("DIGIT 3", 183), ("label:digit 3", 183), ("label:digit 4", 0), ("", 0),
     ("nothing", 0), ("label:", 0)],
)  # fmt: skip
def test_a_search_finds_by_class(project, text: str, count: int):
    assert search(project.category("digit 3"), text).sum() == count


def test_a_search_finds_by_id_tag_and_note(data):
    from fxrelay_viz.project import Project

    project = Project(*data)
    category = project.category("digit 3")
    project.notes.tag(category.ids[4:6], "Copyright mark")
    project.notes.note(category.ids[9], "see also 1003")
    assert search(category, f"{category.ids[7]}").nonzero()[0].tolist() == [7]
    assert search(category, f"id:{category.ids[7]}").nonzero()[0].tolist() == [7]
    assert search(category, "copyright").nonzero()[0].tolist() == [4, 5]
    assert search(category, "tag:mark").nonzero()[0].tolist() == [4, 5]
    assert search(category, "note:also").nonzero()[0].tolist() == [9]
    assert search(category, "correct:false").sum() == (~category.column("correct")).sum()


EVIL = "<img src=x onerror=alert(1)>\"'&"


def test_names_from_data_are_texts_on_the_page(data):
    from fxrelay_viz.app import Viewer
    from fxrelay_viz.project import Project

    ds, tree = data
    names = [f"{EVIL}{k}" for k in range(10)]
    ids = np.array([f"{EVIL}{i}" for i in ds["sample"].values])
    ds = ds.assign_coords({"class": names, "sample": ids}).assign_attrs(model=EVIL)
    ds = ds.assign({EVIL: ("sample", ids)})
    groups = {
        f"c{n}{EVIL}": node.to_dataset().assign_coords(
            sample=[f"{EVIL}{i}" for i in node["sample"].values]
        ).assign_attrs(not_analysed=EVIL)
        for n, (name, node) in enumerate(tree.children.items()) if name != "ranking"
    }  # fmt: skip
    project = Project(ds, xr.DataTree.from_dict(groups), name=EVIL, method=EVIL, analysis=EVIL)
    project.notes.tag(ids[:3], EVIL)
    project.notes.note(ids[0], EVIL)
    project.notes.keep(EVIL, "v1-x", EVIL)
    viewer = Viewer(project)
    pages = [board.html for board in viewer.boards.values()]
    viewer.act("open", project.names[0])
    viewer.act("cluster", "0")
    viewer.act("show", "1")
    for tab in ("clusters", "compare", "notes"):
        viewer.act("tab", tab)
        pages += [board.html for board in viewer.boards.values()]
    viewer.session.message = EVIL
    pages += [board.html for board in viewer.boards.values()]
    assert sum("onerror" in page for page in pages) > 5
    for page in pages:
        assert "<img src=x" not in page
        assert "\"'&" not in page
