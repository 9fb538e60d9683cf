"""The viewer: what it is made of, what depends on what, and where it stands on the page."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import panel as pn
import param
import xarray as xr

from fxrelay import schema
from fxrelay_viz import parts, selection, state
from fxrelay_viz.board import CSS, Board
from fxrelay_viz.data import Category, Project
from fxrelay_viz.images import Pictures
from fxrelay_viz.plot import EmbeddingPlot

LOG: Final = logging.getLogger(__name__)


class Link(param.Parameterized):
    """What stands in the address of the page."""

    view = param.String(default="", doc="State and recipe as `state.encode` writes them.")


class Viewer(pn.viewable.Viewer):
    """The app; it can be served, shown in a notebook, or driven from Python.

    Attributes
    ----------
    state : ViewState
    selection : Selection
    mask : bool array
        The selected samples of the open category.
    """

    message = param.String(default="", doc="What went wrong last, for the reader.")
    focus = param.Integer(default=None, allow_None=True, doc="Sample shown in large.")
    ranking_page = param.Integer(default=0, bounds=(0, None), doc="Page of the ranking, from 0.")

    def __init__(self, project: Project, pictures: Pictures | None = None, **params: Any) -> None:
        super().__init__(**params)
        self.project, self.pictures = project, pictures or Pictures(project)
        self.state, self.selection, self.link = state.ViewState(), selection.Selection(), Link()
        self.mask = np.zeros(0, dtype=bool)
        self._changed: set[str] = set()
        self._depth = 0
        self.boards = {
            name: Board(self.act, stylesheets=[CSS], sizing_mode="stretch_width")
            for name in parts.BOARDS
        }
        self.selectors = {n: self._selector(n, label) for n, label in parts.SELECTORS.items()}
        self.plot = EmbeddingPlot(self.gesture, self.hover)
        self.spectrum = pn.pane.HoloViews(None, backend="bokeh", height=150, width=222)
        self.body = pn.Column(sizing_mode="stretch_both")
        self.explorer, self.landing = _explorer(self), _landing(self)
        self._page = _page(self)
        self._watch()
        self._follow_address()
        self._open_link()

    def __panel__(self) -> Any:
        """Return the page."""
        return self._page

    @property
    def category(self) -> Category:
        """The open category."""
        return self.project.category(self.state.category)

    @property
    def selected(self) -> xr.Dataset:
        """The selected samples as a (lazy) part of the Dataset."""
        if not self.state.category:
            return self.project.ds.isel({schema.SAMPLE: []})
        return self.project.ds.isel({schema.SAMPLE: self.category.positions[self.mask]})

    # what changed, and what is drawn again

    def _watch(self) -> None:
        named = [name for name in self.state.param if name != "name"]
        self.state.param.watch(self._note, named)
        self.selection.param.watch(self._note, ["recipe", "mode"])
        self.param.watch(self._note, ["message", "focus", "ranking_page"])
        self.link.param.watch(lambda _: self._open_link(), "view")

    def _note(self, *events: Any) -> None:
        with self.together():
            for event in events:
                is_mode = event.obj is self.selection and event.name == "mode"
                self._changed.add("selection_mode" if is_mode else event.name)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Collect changes and draw once, at the end of the outermost block."""
        self._depth += 1
        try:
            with self._guard():
                yield
            if self._depth == 1:
                self._draw()
        finally:
            self._depth -= 1

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the page has to live on, whatever the data did
            if not isinstance(error, (ValueError, OSError)):
                LOG.exception("viewer: a part of the page could not be drawn")
            self.message = f"{error}"

    def _draw(self) -> None:
        if self._changed & {"category", "recipe", "order", "seed"} and "page" not in self._changed:
            self.state.page = 0
        if self._changed & {"category", "recipe"} and self.state.category:
            self.mask = np.zeros(len(self.category.ids), dtype=bool)
            with self._guard():
                self.mask = selection.apply(self.selection.recipe, self.category)
        for name, (draw, names) in parts.VIEWS.items():
            if self._changed & set(names) and (self.state.category or name in parts.LANDING):
                with self._guard():
                    draw(self)
        self._changed = set()
        self.link.view = state.encode(self.state, self.selection.recipe)

    def _open_link(self) -> None:
        if self.link.view and self.link.view == state.encode(self.state, self.selection.recipe):
            return
        with self.together():
            try:
                values, recipe = state.decode(self.link.view)
            except ValueError as error:
                values, recipe, self.message = {}, (), str(error)
            defaults = {n: self.state.param[n].default for n in self.state.param if n != "name"}
            self.state.param.update(**(defaults | values))
            messages = self.state.settle(self.project)
            self.selection.reset(recipe if self.state.category else ())
            self.message = " ".join(messages) or self.message
            self._changed |= {"category", "mode", "message"}

    def _follow_address(self) -> None:
        if pn.state.location is not None and pn.state.curdoc is not None:
            pn.state.location.sync(self.link, {"view": "view"})

    # what a person does

    def act(self, do: str, value: str = "", how: str = "") -> None:
        """Do what a button says; see `ACTIONS`."""
        with self.together():
            self.message = ""
            if do in ACTIONS:
                ACTIONS[do](self, value, how)

    def open(self, category: str) -> None:
        """Open a category, by its name; '' goes back to the ranking."""
        with self.together():
            self.selection.reset()
            self.state.param.update(category=category, k="", page=0)
            self.focus = None
            self.message = " ".join(self.state.settle(self.project))

    def gesture(self, kind: str, value: Any) -> None:
        """Join a box, a lasso or a tapped point to the selection."""
        mode, frame = self.selection.mode, self.state.frame()
        with self.together():
            if kind == "tap":
                self.focus = int(value)
                chosen = self.category.ids[int(value)].item()
                self.selection.push(selection.Step(mode, "samples", (), (chosen,)))
            else:
                make = selection.box if kind == "box" else selection.lasso
                self.selection.push(make(mode, frame, value))

    def select_cluster(self, cluster: int, operation: str = "") -> None:
        """Join a cluster of the current clustering to the selection."""
        frame = (self.state.clustering, self.state.k)
        mode = operation or self.selection.mode
        self.selection.push(selection.Step(mode, "clusters", frame, (cluster,)))

    def select_everything(self) -> None:
        """Select the whole category."""
        self.selection.push(selection.Step("replace", "everything"))

    def hover(self, position: int) -> None:
        """Show the sample under the pointer in large."""
        if position != self.focus:
            self.focus = position

    def _choose(self, name: str, value: Any) -> None:
        if value is None or getattr(self.state, name) == value:
            return
        if name == "category":
            self.open(value)
            return
        with self.together():
            self.state.param.update(**{name: value})
            self.state.settle(self.project)

    def _selector(self, name: str, label: str) -> Any:
        select = pn.widgets.Select(
            label=label, stylesheets=[CSS], sizing_mode="stretch_width", margin=(2, 0)
        )
        select.param.watch(lambda e: self._choose(name, e.new), "value")
        return select


Action = Callable[[Viewer, str, str], None]

#: what a button reports -> what happens, with its value and the operation of Shift or Alt
ACTIONS: Final[Mapping[str, Action]] = {
    "home": lambda v, value, how: v.open(""),
    "open": lambda v, value, how: v.open(value),
    "ranking-page": lambda v, value, how: setattr(v, "ranking_page", int(value)),
    "selection-mode": lambda v, value, how: setattr(v.selection, "mode", value),
    "undo": lambda v, value, how: v.selection.undo(),
    "clear": lambda v, value, how: v.selection.clear(),
    "everything": lambda v, value, how: v.select_everything(),
    "cluster": lambda v, value, how: v.select_cluster(int(value), how),
    "look": lambda v, value, how: setattr(v.state, "mode", value),
    "shuffle": lambda v, value, how: v.state.param.update(order="random", seed=v.state.seed + 1),
    "page": lambda v, value, how: setattr(v.state, "page", int(value)),
    "show": lambda v, value, how: setattr(v, "focus", int(value)),
}


def _page(viewer: Viewer) -> Any:
    return pn.Column(
        viewer.boards["header"],
        viewer.body,
        sizing_mode="stretch_both",
        min_height=700,
        css_classes=["viewer"],
        stylesheets=[CSS],
    )


def _landing(viewer: Viewer) -> Any:
    return pn.Column(
        viewer.boards["ranking"],
        sizing_mode="stretch_both",
        css_classes=["landing"],
        stylesheets=[CSS],
        scroll="y-auto",
    )


def _explorer(viewer: Viewer) -> Any:
    choose, boards = viewer.selectors, viewer.boards
    left = (
        choose["category"],
        choose["embedding"],
        _pair(choose["x"], choose["y"]),
        _pair(choose["clustering"], choose["k"]),
        choose["colour_by"],
        boards["spectrum-title"],
        viewer.spectrum,
        boards["why"],
    )
    centre = (boards["tools"], viewer.plot.pane, boards["legend"], boards["clusters"])
    right = (
        boards["looks"],
        _pair(choose["cmap"], choose["shared"], choose["order"]),
        boards["grid"],
        boards["detail"],
    )
    return pn.Row(
        _panel(left, width=248, sizing_mode="stretch_height"),
        _panel(centre, sizing_mode="stretch_both"),
        _panel(right, width=492, sizing_mode="stretch_height"),
        sizing_mode="stretch_both",
        css_classes=["explorer"],
        stylesheets=[CSS],
    )


def _pair(*widgets: Any) -> Any:
    return pn.Row(*widgets, sizing_mode="stretch_width", css_classes=["pair"], stylesheets=[CSS])


def _panel(items: tuple[Any, ...], **sizing: Any) -> Any:
    return pn.Column(*items, css_classes=["panel"], stylesheets=[CSS], scroll="y-auto", **sizing)


def view(ds: xr.Dataset, tree: xr.DataTree) -> Viewer:
    """Make the viewer of a Dataset and its analysis.

    Parameters
    ----------
    ds : Dataset
        Attribution Dataset, `relevance` with dims (sample, [target,] channel, y, x); `input`,
        `label` and `prediction` are shown where present. It may be lazy.
    tree : DataTree
        From `fxrelay_analysis.spray`: a group per category, and `ranking`.

    Returns
    -------
    Viewer
        Displays itself in a notebook (after ``panel.extension()``) and has ``.servable()``; see
        `serve` for a server with an image route.

    Raises
    ------
    ValueError
        If the two do not fit together; names every category that is at fault.
    """
    return Viewer(Project(ds, tree))
