import subprocess
import sys
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import pytest

import fxrelay_viz
from fxrelay_viz import clouds
from fxrelay_viz.app import Viewer
from fxrelay_viz.views import VIEWS

FRAME = ("tsne", 0, 1)


def test_boards_follow_the_session(viewer: Viewer):
    assert "digit 3" in viewer.boards["ranking"].html
    assert "landing" in viewer._page.css_classes
    viewer.act("open", "digit 3")
    assert "explorer" in viewer._page.css_classes
    assert viewer.boards["grid"].html.count("<img") == 24
    viewer.act("show", "5")
    assert viewer.boards["grid"].current == "5"
    assert viewer.link.view == viewer.session.link
    viewer.act("home")
    assert viewer.boards["ranking"].html.count('data-do="open"') == 10


def test_a_link_in_the_address_is_opened(viewer: Viewer, project):
    viewer.act("open", "digit 3")
    viewer.session.gesture(FRAME, "box", (-20, -20, 0, 20))
    again = Viewer(project)
    again.link.view = viewer.link.view
    assert (again.session.mask == viewer.session.mask).all()
    assert again.boards["grid"].html == viewer.boards["grid"].html
    again.link.view = "v1-broken"
    assert "damaged or cut off" in again.boards["message"].html


def test_a_part_that_cannot_be_drawn_leaves_a_message_and_the_last_view(
    viewer: Viewer, monkeypatch
):
    viewer.act("open", "digit 3")
    before = viewer.boards["grid"].html

    def fail(*_):
        raise OSError("relevance-0003.nc is damaged")

    monkeypatch.setattr(viewer.session.project, "pictures", fail)
    viewer.act("page", "2")
    assert "relevance-0003.nc is damaged" in viewer.boards["message"].html
    assert viewer.boards["grid"].html == before
    monkeypatch.undo()
    viewer.act("page", "1")
    assert viewer.boards["message"].html == ""
    assert "25–48 of 91" in viewer.boards["grid"].html


def test_reports_from_the_browser(viewer: Viewer):
    grid = viewer.boards["grid"]
    grid._handle_msg("text")
    grid._handle_msg({"do": None, "value": {}})
    assert grid.answered == 1
    viewer.boards["ranking"]._handle_msg({"do": "open", "value": "digit 3"})
    assert viewer.session.state.category == "digit 3"


def test_a_plot_of_many_points_is_shaded_on_the_server(viewer: Viewer, monkeypatch):
    monkeypatch.setattr(clouds, "MOST_GLYPHS", 100)
    monkeypatch.setattr(clouds, "NEAR_GLYPHS", 50)
    viewer.act("open", "digit 3")
    assert viewer.plots[0].is_raster
    assert hv.renderer("bokeh").get_plot(viewer.plots[0].pane.object) is not None


def test_two_embeddings_are_linked(viewer: Viewer):
    viewer.act("open", "digit 3")
    assert not viewer.plots[1].pane.visible
    viewer.act("set", "spectral", "second")
    assert viewer.plots[1].pane.visible
    viewer.plots[1]._on_gesture("box", (-1e9, -1e9, 0, 1e9))
    step = viewer.session.selection.recipe[-1]
    assert step.frame == ("spectral", 0, 1)
    assert (viewer.plots[0]._cloud.selected == viewer.session.mask).all()
    assert (viewer.plots[1]._cloud.selected == viewer.session.mask).all()
    assert [len(plot._outlines) for plot in viewer.plots] == [0, 1]


def test_files_go_out_and_come_back(viewer: Viewer, monkeypatch):
    sent: list[tuple[str, str, bytes]] = []
    monkeypatch.setattr(viewer.boards["header"], "download", lambda *file: sent.append(file))
    viewer.act("open", "digit 3")
    viewer.act("cluster", "1")
    for form in ("csv", "json", "state", "png"):
        viewer.act("export", form)
    assert [name.rpartition(".")[2] for name, _, _ in sent] == ["csv", "json", "json", "png"]
    mask, link = viewer.session.mask.copy(), viewer.session.link
    viewer.act("home")
    viewer.act("import", sent[2][2].decode(), "x.json")
    assert viewer.session.message == ""
    assert (viewer.session.mask == mask).all()
    assert viewer.session.link == link
    viewer.act("import", "{}", "x.json")
    assert "import: needs JSON" in viewer.session.message
    assert (viewer.session.mask == mask).all()


@pytest.mark.parametrize("do", ["export", "import"])
def test_nonsense_files_are_harmless(viewer: Viewer, do: str):
    for value in ("", "x", "[1]", '{"version": 99, "state": {}}'):
        viewer.act(do, value, "<b>")
        assert viewer.session.message


def test_fit_shows_everything_again(viewer: Viewer):
    viewer.act("fit")
    viewer.act("open", "digit 3")
    plot = viewer.plots[0]
    home = plot._view
    plot._view = (0.0, 0.0, 1.0, 1.0)
    viewer.act("fit")
    assert plot._view == home


def test_after_close_nothing_is_reported(viewer: Viewer):
    viewer.act("open", "digit 3")
    viewer.close()
    assert all(board.on_report is None for board in viewer.boards.values())
    viewer.boards["grid"]._handle_msg({"do": "page", "value": "1"})


def test_view_is_one_object_for_server_and_notebook(data: Any):
    viewer = fxrelay_viz.view(*data)
    assert isinstance(viewer, pn.viewable.Viewer)
    assert pn.panel(viewer).get_root() is not None
    viewer.act("open", "digit 7")
    assert viewer.selected.sizes["sample"] == 0
    viewer.act("everything")
    assert viewer.selected.sizes["sample"] == 179
    assert "data:image/png" in viewer.boards["grid"].html


def test_every_board_stands_on_the_page(viewer: Viewer):
    shown = {id(part) for part in viewer._page.select()}
    assert all(id(viewer.boards[name]) in shown for name in VIEWS)


def test_the_viewer_imports_no_torch():
    code = "import sys, fxrelay_viz.serve, fxrelay_viz.samples; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_hidden_clusters_and_contours_reach_the_plot(viewer: Viewer):
    viewer.act("open", "digit 3")
    plot, session = viewer.plots[0], viewer.session
    assert plot._cloud.shown is None
    assert len(plot._contours) == 0
    viewer.act("set", "colour", "density")
    colours = {colour for _, colour in plot._contours}
    assert len(colours) == 2
    viewer.act("hide", "0")
    assert (plot._cloud.shown == session.visible).all()
    assert len({colour for _, colour in plot._contours}) == 1
    gone, kept = (int(np.flatnonzero(part)[0]) for part in (~session.visible, session.visible))
    where = tuple(plot._cloud.points[kept])
    assert plot._near(where, (1.0, 1.0)) == kept
    assert plot._near(tuple(plot._cloud.points[gone]), (1e-6, 1e-6)) is None
    viewer.act("show-all")
    assert plot._cloud.shown is None
