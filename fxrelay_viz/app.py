"""The viewer: a session on a page, and where each part stands."""

from functools import partial
from typing import Any

import panel as pn
import param
import xarray as xr

from fxrelay_viz import actions, exporting, importing
from fxrelay_viz.board import CSS, Board
from fxrelay_viz.clouds import Cloud
from fxrelay_viz.giveback import give_back_soon
from fxrelay_viz.images import Gallery
from fxrelay_viz.links import Links
from fxrelay_viz.plot import EmbeddingPlot
from fxrelay_viz.project import Project
from fxrelay_viz.session import DATA, Session
from fxrelay_viz.views import VIEWS, stale
from fxrelay_viz.views.colours import point_colours
from fxrelay_viz.views.regions import densities, outlines
from fxrelay_viz.workspace import Workspace

#: what the points depend on, and what marks some of them
POINTS = {"category", "embedding", "x", "y", "second", "clustering", "k", "colour_by", "hidden",
          "density", "recipe", "notes", *DATA}  # fmt: skip
MARKS = POINTS | {"sample", "over"}


class Link(param.Parameterized):
    """What stands in the address of the page."""

    view = param.String(default="", doc="State and recipe as `links.encode` writes them.")


class Viewer(pn.viewable.Viewer):
    """The app; it can be served, shown in a notebook, or driven from Python.

    Parameters
    ----------
    workspace : Workspace or Project
    gallery : Gallery, optional
        Where images come from; by default data URIs.
    shared : Links, optional
        Where long links are kept.

    Attributes
    ----------
    session : Session
        What is open and selected; ``session.selected`` is the selection as a Dataset.
    """

    def __init__(
        self,
        workspace: Workspace | Project,
        gallery: Gallery | None = None,
        shared: Links | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.session = Session(Workspace.of(workspace), gallery, shared)
        self.link = Link()
        self.boards = {name: _board(self, name) for name in VIEWS}
        self.plots = [self._plot(0), self._plot(1)]
        self._page = _page(self)
        self.session.on_change = self.draw
        self.link.param.watch(lambda event: self.session.restore(event.new), "view")
        self.draw(set(self.session.state.param) | {"message"})
        self._follow_address()

    def __panel__(self) -> Any:
        """Return the page."""
        return self._page

    @property
    def selected(self) -> xr.Dataset:
        """The selected samples as a (lazy) part of the Dataset."""
        return self.session.selected

    def act(self, do: str, value: str = "", how: str = "") -> None:
        """Do what a control says: what it is called, its value, and how."""
        if do in OF_PAGE:
            with self.session.together():
                self.session.message = ""
                OF_PAGE[do](self, value, how)
        else:
            actions.act(self.session, do, value, how)

    def draw(self, changed: set[str]) -> None:
        """Draw what depends on what changed; a part that cannot be drawn leaves a message."""
        session, opened = self.session, bool(self.session.state.category)
        for name in stale(changed, session):
            with session.guard():
                self.boards[name].html = VIEWS[name].draw(session)
        if opened and changed & MARKS:
            for plot, frame in zip(self.plots, self._frames(), strict=True):
                with session.guard():
                    self._draw_plot(plot, frame, bool(changed & POINTS))
        self.boards["grid"].current = "" if session.focus is None else str(session.focus)
        self._page.css_classes = ["page", "explorer" if opened else "landing"]
        self.link.view = session.link

    def _frames(self) -> list[tuple[str, int, int] | None]:
        """Return what each plot shows; the second one perhaps nothing."""
        second = self.session.state.second
        return [self.session.state.frame(), (second, 0, 1) if second else None]

    def _draw_plot(
        self, plot: EmbeddingPlot, frame: tuple[str, int, int] | None, points: bool
    ) -> None:
        plot.pane.visible = frame is not None
        if frame is None:
            return
        session, category = self.session, self.session.category
        near = category.nearby(frame)
        if points:
            names = (f"{frame[0]} {frame[1] + 1}", f"{frame[0]} {frame[2] + 1}")
            shown = session.visible if session.state.hidden else None
            cloud = Cloud(near.points, point_colours(session), session.mask, names, shown)
            plot.show(cloud, partial(near.nearest, among=shown))
            plot.contour(densities(session, frame))
            plot.outline(outlines(session.selection.recipe, frame))
        plot.mark([n for n in (session.focus, session.over) if n is not None])

    def _plot(self, number: int) -> EmbeddingPlot:
        def gesture(kind: str, value: Any) -> None:
            frame = self._frames()[number]
            if frame is not None:
                self.session.gesture(frame, kind, value)

        return EmbeddingPlot(gesture, lambda position: setattr(self.session, "over", position))

    def _follow_address(self) -> None:
        if pn.state.location is not None and pn.state.curdoc is not None:
            pn.state.location.sync(self.link, {"view": "view"})
            pn.state.on_session_destroyed(lambda context: self.close())

    def close(self) -> None:
        """Let go of everything, so that a closed page takes no memory."""
        self.session.close()
        for plot in self.plots:
            plot.close()
        for board in self.boards.values():
            board.on_report = None
        give_back_soon()


def _export(viewer: Viewer, value: str, how: str) -> None:
    session = viewer.session
    chosen = exporting.Chosen(session.project, session.category, session.mask, session.state,
                              session.selection.recipe)  # fmt: skip
    made = exporting.export(value, chosen)
    viewer.boards["header"].download(made.name, made.mime, made.body)


def _import(viewer: Viewer, value: str, how: str) -> None:
    session = viewer.session
    values, recipe, told = importing.read_state(value.encode(), session.workspace)
    session.load(values, recipe)
    session.message = " ".join(filter(None, [session.message, *told]))


def _fit(viewer: Viewer, value: str, how: str) -> None:
    for plot in viewer.plots:
        plot.fit()


#: what needs the page: files to and from the browser, the zoom of the plots
OF_PAGE = {"export": _export, "import": _import, "fit": _fit}


# where each part stands


def _board(viewer: Viewer, name: str) -> Board:
    sizing = {} if name == "preview" else {"sizing_mode": "stretch_width"}
    return Board(viewer.act, css_classes=[f"at-{name}"], listens=name == "header", **sizing)


def _page(viewer: Viewer) -> Any:
    boards = viewer.boards
    plots = pn.Row(*(plot.pane for plot in viewer.plots), boards["preview"], css_classes=["plots"],
                   stylesheets=[CSS], sizing_mode="stretch_both")  # fmt: skip
    left = _side("left", boards["choices"], boards["numbers"])
    centre = _side("centre", boards["tools"], plots, boards["legend"], boards["histograms"])
    right = _side("right", boards["looks"], boards["grid"], boards["lower"])
    return pn.Column(
        boards["header"], boards["message"], boards["ranking"], left, centre, right,
        boards["status"], css_classes=["page", "landing"], stylesheets=[CSS],
        sizing_mode="stretch_both",
    )  # fmt: skip


def _side(name: str, *parts: Any) -> Any:
    return pn.Column(*parts, css_classes=["panel", name], stylesheets=[CSS],
                     sizing_mode="stretch_both")  # fmt: skip


def view(ds: xr.Dataset, tree: xr.DataTree) -> Viewer:
    """Make the viewer of a Dataset and its analysis.

    Parameters
    ----------
    ds : Dataset
        Attribution Dataset, `relevance` with dims (sample, [target,] ...); `input`, `label`,
        `prediction` and `output` are shown where present. It may be lazy.
    tree : DataTree
        From `fxrelay_analysis.spray`: a group per category, and `ranking`.

    Returns
    -------
    Viewer
        Displays itself in a notebook, after ``panel.extension()``, or where there is no network
        ``panel.extension(inline=True)``; has ``.servable()``. See `serve` for a server with an
        image route.

    Raises
    ------
    ValueError
        If the two do not fit together; names every category that is at fault.
    """
    return Viewer(Project(ds, tree))
