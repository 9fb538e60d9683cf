import subprocess
import sys

import holoviews as hv
import numpy as np
import panel as pn
import pytest
import xarray as xr

import fxrelay_viz
from fxrelay_viz import selection
from fxrelay_viz.app import ACTIONS, Viewer
from fxrelay_viz.data import Project


def odd(viewer: Viewer) -> set[int]:
    category = viewer.category
    rank = viewer.project.rank("digit 3")
    return set(category.ids[category.clusters("kmeans", 2) == rank.cluster].tolist())


def surround(viewer: Viewer) -> tuple[float, ...]:
    category = viewer.category
    members = np.isin(category.ids, list(odd(viewer)))
    low, high = (f(category.points("tsne", 0, 1)[members], axis=0) for f in (np.min, np.max))
    return (*(low - 0.1), *(high + 0.1))


def test_the_story_of_the_main_job(viewer: Viewer, data):
    assert viewer.boards["ranking"].html.index("digit 3") < viewer.boards["ranking"].html.index(
        "digit 7"
    )
    viewer.act("open", "digit 3")
    assert viewer.state.category == "digit 3"
    assert "whole class" in viewer.boards["grid"].html
    viewer.gesture("box", surround(viewer))
    assert set(viewer.selected["sample"].values.tolist()) == odd(viewer)
    assert viewer.boards["grid"].html.count("<img") == 24
    assert "1–24 of 91" in viewer.boards["grid"].html
    viewer.act("page", "1")
    assert "25–48 of 91" in viewer.boards["grid"].html
    viewer.act("undo")
    assert not viewer.mask.any()
    viewer.act("home")
    assert viewer.state.category == ""
    assert viewer.message == ""


def test_the_same_as_a_link_in_a_new_session(viewer: Viewer, project: Project):
    viewer.act("open", "digit 3")
    viewer.gesture("lasso", np.array([[-20, -20], [0, -20], [0, 20], [-20, 20]]))
    viewer.act("cluster", "0", "subtract")
    viewer.act("look", "heatmap")
    viewer.state.order = "extreme"
    viewer.act("page", "1")
    again = Viewer(project)
    again.link.view = viewer.link.view
    assert (again.mask == viewer.mask).all()
    assert again.boards["grid"].html == viewer.boards["grid"].html
    assert again.state.page == viewer.state.page
    assert again.message == ""
    assert again.link.view == viewer.link.view


@pytest.mark.parametrize("text", ["v1-broken", "x" * 5000])
def test_a_damaged_link_shows_the_ranking_and_a_message(viewer: Viewer, text: str):
    viewer.link.view = text
    assert "damaged or cut off" in viewer.boards["header"].html
    assert viewer.state.category == ""


def test_a_link_of_other_data_says_what_is_missing(viewer: Viewer, project: Project):
    step = selection.Step("add", "clusters", ("kmeans", 99), (0,))
    chosen = Viewer(project)
    chosen.act("open", "digit 3")
    viewer.link.view = fxrelay_viz.state.encode(chosen.state, (step,))
    assert "needs a known number of clusters; got 99" in viewer.boards["header"].html
    viewer.act("open", "digit 7")
    assert viewer.state.category == "digit 7"
    assert "alert" not in viewer.boards["header"].html


def test_selection_modes_and_keys(viewer: Viewer):
    viewer.act("open", "digit 3")
    viewer.act("cluster", "0")
    first = int(viewer.mask.sum())
    viewer.act("cluster", "1", "add")
    assert viewer.mask.all()
    viewer.act("cluster", "0", "subtract")
    assert int(viewer.mask.sum()) == len(viewer.mask) - first
    viewer.act("selection-mode", "intersect")
    viewer.act("cluster", "0")
    assert not viewer.mask.any()
    viewer.act("everything")
    assert viewer.mask.all()
    viewer.act("clear")
    assert not viewer.mask.any()


def test_tap_selects_one_sample_and_shows_it(viewer: Viewer):
    viewer.act("open", "digit 3")
    viewer.gesture("tap", 5)
    assert np.flatnonzero(viewer.mask).tolist() == [5]
    assert f"<dd>{viewer.category.ids[5]}</dd>" in viewer.boards["detail"].html
    assert viewer.boards["grid"].current == "5"
    viewer.hover(7)
    assert f"<dd>{viewer.category.ids[7]}</dd>" in viewer.boards["detail"].html


def test_every_selector_changes_the_page(viewer: Viewer):
    viewer.act("open", "digit 3")
    changes = {"embedding": "spectral", "x": 2, "y": 3, "k": 5, "colour_by": "prediction",
               "cmap": "hot", "order": "random"}  # fmt: skip
    for name, value in changes.items():
        viewer.selectors[name].value = value
        assert getattr(viewer.state, name) == value
    assert viewer.boards["legend"].visible
    assert "digit 3" in viewer.boards["legend"].html
    assert viewer.boards["clusters"].html.count('data-do="cluster"') == 5
    viewer.selectors["category"].value = "digit 7"
    assert viewer.state.category == "digit 7"
    assert "digit 7" in viewer.boards["header"].html


def test_one_scale_for_the_page(viewer: Viewer):
    viewer.act("open", "digit 3")
    assert "+max" in viewer.boards["looks"].html
    viewer.selectors["shared"].value = True
    assert "+max" not in viewer.boards["looks"].html


def test_a_failing_part_leaves_a_message_and_the_page(viewer: Viewer, monkeypatch):
    viewer.act("open", "digit 3")

    def fail(positions):
        raise OSError("relevance-0003.nc is damaged")

    monkeypatch.setattr(viewer.project, "pictures", fail)
    viewer.act("page", "2")
    assert "relevance-0003.nc is damaged" in viewer.boards["header"].html
    monkeypatch.undo()
    viewer.act("page", "1")
    assert "damaged" not in viewer.boards["header"].html


def test_nonsense_from_the_browser_is_harmless(viewer: Viewer):
    for do in [*ACTIONS, "no-such-thing"]:
        for value in ("", "x", "-5", "99999999999", "<b>"):
            viewer.act(do, value, "explode")
            viewer.act("home")
    viewer.boards["grid"]._handle_msg("text")
    viewer.boards["grid"]._handle_msg({"do": None, "value": {}})
    viewer.act("open", "digit 3")
    for do in ACTIONS:
        for value in ("x", "-5", "99999999999"):
            viewer.act(do, value, "explode")
    viewer.act("open", "digit 3")
    assert viewer.boards["grid"].html.count("<img") == 24


def test_a_plot_of_many_points_is_shaded_on_the_server(viewer: Viewer, monkeypatch):
    monkeypatch.setattr(fxrelay_viz.elements, "MOST_GLYPHS", 100)
    viewer.act("open", "digit 3")
    assert viewer.plot.is_raster
    assert hv.renderer("bokeh").get_plot(viewer.plot.pane.object) is not None


def test_hit_finds_the_point_under_the_pointer(viewer: Viewer):
    viewer.act("open", "digit 3")
    x, y = viewer.category.points("tsne", 0, 1)[11]
    assert viewer.plot.hit(float(x), float(y)) == 11
    assert viewer.plot.hit(1e6, 0.0) is None
    assert viewer.plot.hit(None, None) is None


def test_view_is_one_object_for_server_and_notebook(data):
    viewer = fxrelay_viz.view(*data)
    assert isinstance(viewer, pn.viewable.Viewer)
    assert pn.panel(viewer).get_root() is not None


def test_heatmaps_alone_and_no_ranking(data):
    ds, tree = data
    groups = {name: tree[name].to_dataset() for name in tree.children if name != "ranking"}
    viewer = fxrelay_viz.view(
        ds.drop_vars(["input", "label", "prediction"]), xr.DataTree.from_dict(groups)
    )
    viewer.act("open", "digit 3")
    assert viewer.boards["grid"].html.count("<img") == 24
    assert "Overlay" not in viewer.boards["looks"].html


def test_serve_refuses_a_taken_port_and_warns_beyond_loopback(data, monkeypatch):
    calls = {}
    monkeypatch.setattr(pn, "serve", lambda apps, **k: calls.update(k))
    with pytest.warns(UserWarning, match="can be opened by other machines without a password"):
        fxrelay_viz.serve(*data, port=0, address="0.0.0.0")
    assert calls["port"] > 0
    fxrelay_viz.serve(*data, port=0)
    assert calls["address"] == "localhost"
    assert all("localhost" in o or "127.0.0.1" in o for o in calls["websocket_origin"])
    with pytest.raises(OSError, match="serve: needs a free port on localhost; got 70000"):
        fxrelay_viz.serve(*data, port=70000)


def test_the_viewer_imports_no_torch():
    code = "import sys, fxrelay_viz.serve, fxrelay_viz.samples; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_link_beyond_the_last_page_shows_the_last_one_on_its_own_scale(viewer: Viewer):
    viewer.act("open", "digit 3")
    viewer.state.param.update(page=10**6, shared=True)
    assert viewer.message == ""
    assert "169–183 of 183" in viewer.boards["grid"].html


@pytest.mark.parametrize("address", ["::1", ""])
def test_addresses_that_no_browser_could_use_are_refused(data, address):
    with pytest.raises(ValueError, match="serve") as caught:
        fxrelay_viz.serve(*data, address=address, start=False)
    assert str(caught.value) == (
        f"serve: needs a host name or an IPv4 address; got {address!r}. Use 'localhost'."
    )
