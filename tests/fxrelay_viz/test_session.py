"""Everything that a person can do, as plain calls."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_viz import links, selection
from fxrelay_viz.actions import ACTIONS, act, limits
from fxrelay_viz.notes import Notes
from fxrelay_viz.project import Project
from fxrelay_viz.session import Session
from fxrelay_viz.views import VIEWS, stale
from fxrelay_viz.workspace import Workspace

FRAME = ("tsne", 0, 1)


def html(session: Session, name: str) -> str:
    return VIEWS[name].draw(session)


def odd(session: Session) -> set[int]:
    category, rank = session.category, session.project.rank("digit 3")
    return set(category.ids[category.clusters("kmeans", 2) == rank.cluster].tolist())


def surround(session: Session) -> tuple[float, ...]:
    members = np.isin(session.category.ids, list(odd(session)))
    points = session.category.points(*FRAME)[members]
    return (*(points.min(axis=0) - 0.1), *(points.max(axis=0) + 0.1))


def test_the_story_of_the_main_job(session: Session):
    ranking = html(session, "ranking")
    assert ranking.index("digit 3") < ranking.index("digit 7")
    act(session, "open", "digit 3")
    assert session.state.category == "digit 3"
    assert set(session.selected["sample"].values.tolist()) == odd(session)
    assert "Cluster 1, 91 of 183 samples, stands" in html(session, "lower")
    assert html(session, "lower").count("<figure>") == 3
    act(session, "clear")
    assert "Whole class" in html(session, "grid")
    session.gesture(FRAME, "box", surround(session))
    assert set(session.selected["sample"].values.tolist()) == odd(session)
    assert html(session, "grid").count("<img") == 24
    assert "1–24 of 91" in html(session, "grid")
    act(session, "page", "1")
    assert "25–48 of 91" in html(session, "grid")
    act(session, "undo")
    assert not session.mask.any()
    act(session, "redo")
    assert int(session.mask.sum()) == 91
    act(session, "home")
    assert session.state.category == ""
    assert session.message == ""


def test_the_odd_cluster_in_one_click(opened: Session):
    act(opened, "set", "5", "k")
    act(opened, "odd", "1")
    assert opened.state.k == 2
    assert set(opened.selected["sample"].values.tolist()) == odd(opened)


def test_the_same_as_a_link_in_a_new_session(opened: Session, project: Project):
    opened.gesture(FRAME, "lasso", np.array([[-20, -20], [0, -20], [0, 20], [-20, 20]]))
    act(opened, "cluster", "0", "subtract")
    act(opened, "mode", "heatmap")
    act(opened, "set", "extreme", "order")
    act(opened, "histogram", "label")
    act(opened, "compare", "1")
    act(opened, "show", "4")
    act(opened, "page", "1")
    again = Session(Workspace.of(project))
    again.restore(opened.link)
    assert (again.mask == opened.mask).all()
    for name in VIEWS:
        if name != "tools":  # a link has no past
            assert html(again, name) == html(opened, name), name
    assert again.message == ""
    assert again.link == opened.link


def test_a_long_selection_has_a_short_link(opened: Session, project: Project):
    rng = np.random.default_rng(0)
    for _ in range(40):
        opened.selection.mode = "add"
        opened.gesture(FRAME, "lasso", rng.normal(size=(60, 2)))
    assert len(opened.link) < 2000
    again = Session(Workspace.of(project), shared=opened.shared)
    again.restore(opened.link)
    assert (again.mask == opened.mask).all()


def test_a_long_link_that_was_shared_or_kept_opens_on_another_server(project: Project):
    notes = Notes(None)
    session = Session(Workspace.of(project), shared=links.Links(notes))
    act(session, "open", "digit 3")
    rng = np.random.default_rng(0)
    for _ in range(40):
        session.gesture(FRAME, "lasso", rng.normal(size=(60, 2)))
        session.selection.mode = "add"
    assert session.link.startswith("r1-")
    later = Session(Workspace.of(project), shared=links.Links(notes))
    later.restore(session.link)
    assert "made by a server that has ended" in later.message
    act(session, "share")
    later = Session(Workspace.of(project), shared=links.Links(notes))
    later.restore(session.link)
    assert later.message == ""
    assert (later.mask == session.mask).all()


@pytest.mark.parametrize("text", ["v1-broken", "x" * 5000])
def test_a_damaged_link_shows_the_ranking_and_a_message(session: Session, text: str):
    session.restore(text)
    assert "damaged or cut off" in session.message
    assert session.state.category == ""


def test_a_link_of_other_data_says_what_is_missing(session: Session, opened: Session):
    step = selection.Step("add", "clusters", ("kmeans", 99), (0,))
    session.restore(links.encode(opened.state, (step,)))
    assert "needs a known number of clusters; got 99" in session.message
    act(session, "open", "digit 7")
    assert session.state.category == "digit 7"
    assert session.message == ""


def test_selection_modes_and_keys(opened: Session):
    act(opened, "cluster", "0")
    first = int(opened.mask.sum())
    act(opened, "cluster", "1", "add")
    assert opened.mask.all()
    act(opened, "cluster", "0", "subtract")
    assert int(opened.mask.sum()) == len(opened.mask) - first
    act(opened, "invert")
    assert int(opened.mask.sum()) == first
    act(opened, "selection-mode", "intersect")
    act(opened, "cluster", "1")
    assert not opened.mask.any()
    act(opened, "everything")
    assert opened.mask.all()
    act(opened, "escape")
    assert not opened.mask.any()


def test_a_held_key_counts_for_gestures_until_it_is_let_go(opened: Session):
    box = surround(opened)
    act(opened, "cluster", "0")
    act(opened, "hold", "add")
    opened.gesture(FRAME, "box", box)
    assert opened.mask.all()
    act(opened, "hold", "")
    opened.gesture(FRAME, "box", box)
    assert int(opened.mask.sum()) == 91


def test_tap_selects_one_sample_and_shows_it(opened: Session):
    opened.gesture(FRAME, "tap", 5)
    assert np.flatnonzero(opened.mask).tolist() == [5]
    assert f"Sample {opened.category.ids[5]}" in html(opened, "lower")
    opened.over = 7
    assert f"{opened.category.ids[7]}" in html(opened, "preview")
    assert opened.focus == 5


def test_search_finds_classes_and_samples(session: Session):
    act(session, "find", "digit 7")
    assert "digit 7" in html(session, "ranking")
    assert "digit 3" not in html(session, "ranking")
    act(session, "open", "digit 3")
    assert session.query == ""
    wanted = str(session.category.ids[9])
    act(session, "find", f"id:{wanted}")
    assert np.flatnonzero(session.mask).tolist() == [9]
    act(session, "find", "")
    assert not session.mask.any()


def test_values_and_histograms_narrow_a_selection(opened: Session):
    act(opened, "set", "prediction", "colour_by")
    act(opened, "value", "3")
    right = opened.mask.copy()
    assert (opened.category.column("prediction")[right] == 3).all()
    act(opened, "histogram", "label")
    assert 'class="histogram"' in html(opened, "histograms")
    act(opened, "bar", "3 label")
    assert (opened.mask == right).all()
    act(opened, "brush", "0.0 0.5 prediction")
    low, high = limits(opened.category.column("prediction"))
    inside = opened.category.column("prediction") <= low + (high - low) / 2
    assert (opened.mask == (right & inside)).all()
    act(opened, "histogram-close", "label")
    assert opened.state.histograms == []


def test_steps_through_the_grid_turn_its_pages(opened: Session):
    act(opened, "show", "23")
    act(opened, "step", "1")
    assert opened.focus == 24
    assert opened.state.page == 1
    act(opened, "step", "-1")
    assert (opened.focus, opened.state.page) == (23, 0)
    act(opened, "show", "")
    assert opened.focus is None
    assert "Click a point" in html(opened, "lower")


def test_neighbours_are_selected(opened: Session):
    act(opened, "near", "5")
    assert int(opened.mask.sum()) == 13
    assert opened.mask[5]


def test_clusters_are_compared(opened: Session):
    act(opened, "tab", "clusters")
    assert html(opened, "lower").count('class="summary"') == 2
    act(opened, "set", "4", "k")
    act(opened, "compare", "3")
    act(opened, "beside", "2", "1")
    assert opened.state.compared == [3, 2]
    text = html(opened, "lower")
    assert "Cluster 3" in text
    assert "Where they differ" in text
    assert 'alt="Mean of A minus mean of B"' in text


def test_tags_notes_and_kept_selections(data):
    session = Session(Workspace.of(Project(*data)))
    act(session, "open", "digit 3")
    act(session, "cluster", "1")
    act(session, "tag-selection", "watermark")
    act(session, "show", "2")
    act(session, "note", "a <b>bright</b> corner")
    act(session, "tag", "look again")
    assert "a &lt;b&gt;bright&lt;/b&gt; corner" in html(session, "lower")
    act(session, "untag", "look again")
    assert "look again" not in html(session, "lower")
    act(session, "keep", "marked")
    act(session, "clear")
    act(session, "tab", "notes")
    assert "watermark" in html(session, "lower")
    act(session, "open-kept", "marked")
    assert int(session.mask.sum()) == 91
    act(session, "clear")
    act(session, "find", "tag:watermark")
    assert int(session.mask.sum()) == 91
    act(session, "forget", "marked")
    assert session.project.notes.selections == {}


def test_one_scale_for_the_page(opened: Session):
    assert ">max<" in html(opened, "looks")
    act(opened, "set", "page", "scale")
    assert ">max<" not in html(opened, "looks")


def test_every_choice_changes_what_depends_on_it(opened: Session):
    changes = {"embedding": "spectral", "x": "2", "y": "3", "k": "5", "colour_by": "prediction",
               "cmap": "hot", "order": "random", "second": "tsne",
               "percentile": "98.0"}  # fmt: skip
    for name, value in changes.items():
        seen: set[str] = set()
        opened.on_change = seen.update
        act(opened, "set", value, name)
        assert str(getattr(opened.state, name)) == value
        assert name in seen
    assert "digit 3" in html(opened, "legend")
    assert html(opened, "legend").count('data-do="cluster"') == 5
    assert opened.message == ""


def test_a_failing_read_leaves_a_message_and_the_session(opened: Session, monkeypatch):
    def fail(*_):
        raise OSError("relevance-0003.nc is damaged")

    monkeypatch.setattr("fxrelay_viz.selection.apply", fail)
    act(opened, "everything")
    assert "relevance-0003.nc is damaged" in opened.message
    monkeypatch.undo()
    act(opened, "everything")
    assert opened.message == ""
    assert opened.mask.all()


def test_nonsense_from_the_browser_is_harmless(session: Session):
    values = ("", "x", "-5", "99999999999", "<b>", "0 1 label", "1 2", "nan", "digit 3")
    for do in [*ACTIONS, "no-such-thing"]:
        for value in values:
            for how in ("explode", "k", "0", "name", "page"):
                act(session, do, value, how)
        act(session, "home")
    act(session, "open", "digit 3")
    for do in ACTIONS:
        for value in values:
            act(session, do, value, "explode")
            act(session, "set", value, do)
    act(session, "open", "digit 3")
    assert session.state.category == "digit 3"
    assert html(session, "grid").count("<img") == session.state.page_size


def test_a_closed_session_says_nothing_more(opened: Session):
    seen: set[str] = set()
    opened.on_change = seen.update
    opened.close()
    act(opened, "everything")
    assert seen == set()


def test_views_are_drawn_when_what_they_show_changes(session: Session):
    assert stale({"message"}, session) == ["message"]
    assert set(stale({"category"}, session)) == {"ranking", "status", "header"}
    act(session, "open", "digit 3")
    assert "grid" in stale({"recipe"}, session)
    assert "lower" not in stale({"recipe"}, session)
    act(session, "tab", "compare")
    assert "lower" in stale({"recipe"}, session)
    known = {*session.state.param, "recipe", "selection_mode", "message", "over", "query",
             "ranking_page", "notes"}  # fmt: skip
    for name, view in VIEWS.items():
        assert view.needs <= known, name


def test_heatmaps_alone_and_no_ranking(data):
    ds, tree = data
    groups = {name: tree[name].to_dataset() for name in tree.children if name != "ranking"}
    plain = ds.drop_vars(["input", "label", "prediction"])
    session = Session(Workspace.of(Project(plain, xr.DataTree.from_dict(groups))))
    act(session, "open", "digit 3")
    assert html(session, "grid").count("<img") == 24
    assert "Overlay" not in html(session, "looks")


def test_a_link_beyond_the_last_page_shows_the_last_one_on_its_own_scale(opened: Session):
    opened.state.param.update(page=10**6, scale="page")
    assert opened.message == ""
    assert "169–183 of 183" in html(opened, "grid")
