"""One person's visit: what is open, what is selected, what was said; without a page.

It runs without a server, so that everything a person can do is tested as plain calls.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import param
import xarray as xr

from fxrelay import schema
from fxrelay_viz import links, selection
from fxrelay_viz.category import Category
from fxrelay_viz.images import Gallery, Pictures
from fxrelay_viz.project import Project
from fxrelay_viz.reasons import ranked
from fxrelay_viz.state import TSNE, ViewState, ordered
from fxrelay_viz.workspace import Workspace

LOG: Final = logging.getLogger(__name__)
#: what starts the grid at its first page again
REORDERING: Final = {"category", "recipe", "hidden", "order", "seed", "page_size"}
#: choices of another Dataset or analysis
DATA: Final = {"project", "method", "analysis"}
NOTHING: Final = (None, None, np.zeros(0, dtype=int))


class Session(param.Parameterized):
    """What one person looks at.

    Parameters
    ----------
    workspace : Workspace
    gallery : Gallery, optional
        Where addresses of images come from; by default data URIs.
    shared : links.Links, optional
        Where long links are kept.

    Attributes
    ----------
    state : ViewState
    selection : Selection
    project : Project
    mask : bool array
        The selected samples of the open category; none of a hidden cluster.
    visible : bool array
        The samples of the open category that are in no hidden cluster.
    link : str
        State and recipe as the text of a link.
    on_change : callable
        Called with the names of what changed, once for each action.
    """

    message = param.String(default="", doc="What went wrong last, for the reader.")
    over = param.Integer(default=None, allow_None=True, doc="Sample under the pointer.")
    query = param.String(default="", doc="What is searched for.")
    ranking_page = param.Integer(default=0, bounds=(0, None), doc="Page of the ranking, from 0.")

    def __init__(
        self,
        workspace: Workspace,
        gallery: Gallery | None = None,
        shared: links.Links | None = None,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.workspace, self.gallery = workspace, gallery or Gallery()
        self.shared = links.Links() if shared is None else shared
        self.state, self.selection = ViewState(), selection.Selection()
        self.project: Project = workspace.get()
        self.mask = self.visible = np.zeros(0, dtype=bool)
        self.held = ""
        self.link = ""
        self.on_change: Callable[[set[str]], None] = lambda names: None
        self._changed: set[str] = set()
        self._depth = 0
        self._ordered: tuple[Any, Any, np.ndarray] = NOTHING
        self._watch()

    @property
    def category(self) -> Category:
        """The open category."""
        return self.project.category(self.state.category)

    @property
    def pictures(self) -> Pictures:
        """Addresses of the images of the open project."""
        return self.gallery.of(self.project)

    @property
    def focus(self) -> int | None:
        """Position in the category of the sample shown in large."""
        if self.state.sample is None or not self.state.category:
            return None
        found = int(self.category.places.get_indexer([self.state.sample])[0])
        return None if found < 0 else found

    @property
    def selected(self) -> xr.Dataset:
        """The selected samples as a (lazy) part of the Dataset."""
        if not self.state.category:
            return self.project.ds.isel({schema.SAMPLE: []})
        return self.project.ds.isel({schema.SAMPLE: self.category.positions[self.mask]})

    @property
    def shown(self) -> np.ndarray:
        """What the grid shows, in order; the whole category while nothing is selected."""
        chosen, mask = self.state, self.mask
        key = (self.category, chosen.order, chosen.seed, chosen.embedding, chosen.colour_by)
        if self._ordered[0] is not mask or self._ordered[1] != key:
            every = mask if mask.any() else self.visible
            self._ordered = (mask, key, ordered(chosen, self.category, every))
        return self._ordered[2]

    @property
    def page(self) -> tuple[int, np.ndarray]:
        """The page of the grid, the last one for a link to one beyond, and its samples."""
        size, every = self.state.page_size, self.shown
        page = min(self.state.page, max(0, -(-len(every) // size) - 1))
        return page, every[page * size : (page + 1) * size]

    # what changed

    def _watch(self) -> None:
        named = [name for name in self.state.param if name != "name"]
        self._watchers: list[tuple[Any, Any]] = [
            (self.state, self.state.param.watch(self._note, named)),
            (self.selection, self.selection.param.watch(self._note, ["recipe", "mode"])),
            (self, self.param.watch(self._note, ["message", "over", "query", "ranking_page"])),
        ]

    def close(self) -> None:
        """Let go of everything; the session is not used again."""
        for owner, watcher in self._watchers:
            owner.param.unwatch(watcher)
        self._watchers, self.on_change = [], lambda names: None
        self.mask = self.visible = np.zeros(0, dtype=bool)
        self._ordered = NOTHING

    def _note(self, *events: Any) -> None:
        with self.together():
            for event in events:
                is_mode = event.obj is self.selection and event.name == "mode"
                self._changed.add("selection_mode" if is_mode else event.name)

    def touch(self, *names: str) -> None:
        """Say that something changed which is no parameter, such as the notes."""
        with self.together():
            self._changed |= set(names)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Collect changes and report them once, at the end of the outermost block."""
        self._depth += 1
        try:
            with self.guard():
                yield
            if self._depth == 1 and self._changed:
                self._settle()
                changed, self._changed = self._changed, set()
                self.on_change(changed)
                if self._changed:  # a part that could not be drawn left a message
                    self.on_change(self._changed & {"message"})
        finally:
            self._depth -= 1
            if not self._depth:
                self._changed = set()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Turn an error into a message; the page has to live on, whatever the data did."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, (ValueError, OSError)):
                LOG.exception("viewer: a part of the page could not be drawn")
            if str(error) not in self.message:
                self.message = f"{self.message} {error}".strip()

    def _settle(self) -> None:
        """Bring in line what follows from what changed."""
        with self.guard():
            if self._changed & DATA:
                self.project, told = self.state.find(self.workspace)
                self.message = " ".join([*told, *self.state.settle(self.project)])
            if self._changed & REORDERING and "page" not in self._changed:
                self.state.page = 0
        if self._changed & {"category", "recipe", "hidden", *DATA} and self.state.category:
            self.mask = np.zeros(len(self.category.ids), dtype=bool)
            self.visible = ~self.mask
            with self.guard():
                chosen = self.state
                self.visible = self.category.outside(chosen.clustering, chosen.k, chosen.hidden)
                self.mask = selection.apply(self.selection.recipe, self.category) & self.visible
        if self._changed & {"category", *DATA}:
            self.over = None
        self.link = links.encode(self.state, self.selection.recipe, self.shared)

    # what everything else is built on

    def open(self, category: str) -> None:
        """Open a category, by its name; '' goes back to the ranking.

        It is shown by the clustering that the ranking speaks of, and in a flagged one the cluster
        that the ranking names is selected at first.
        """
        flagged = category in self.project.names and self.project.rank(category).flagged
        usual = {"embedding": ""} if self.state.embedding.startswith(TSNE) else {}
        before = {n: v for n, v in self.state.param.values().items() if n != "name"}
        with self.together():
            self.state.param.update(
                **usual, category=category, clustering="", k="", page=0, sample=None, compared=[],
                hidden=[],
            )  # fmt: skip
            try:
                told = self.state.settle(self.project)
                self.selection.reset(self.odd() if flagged else ())
            except Exception:
                self.state.param.update(**before)  # what was open stays open
                raise
            self.query, self.message = "", " ".join(told)

    def odd(self) -> selection.Recipe:
        """Return what selects the cluster that the ranking names; nothing where it names none."""
        rank = self.project.rank(self.state.category)
        name = ranked(self.category, rank)
        if not name or rank.cluster is None:
            return ()
        frame = (name, rank.n_clusters)
        return (selection.Step("replace", "clusters", frame, (rank.cluster,)),)

    def restore(self, link: str) -> None:
        """Show what a link says; a damaged one shows the ranking and a message."""
        if link == self.link:
            return
        with self.together():
            try:
                values, recipe = links.decode(link, self.shared)
            except ValueError as error:
                values, recipe, self.message = {}, (), str(error)
            self.load(values, recipe)

    def load(self, values: dict[str, Any], recipe: selection.Recipe) -> None:
        """Take over a state and a recipe, such as those of a link or a file."""
        with self.together():
            defaults = {n: self.state.param[n].default for n in self.state.param if n != "name"}
            self.state.param.update(**(defaults | values))
            self.project, told = self.state.find(self.workspace)
            told += self.state.settle(self.project)
            self.selection.reset(recipe if self.state.category else ())
            self.message = " ".join(told) or self.message
            self._changed |= {"category", "mode", "message"}

    def share(self) -> str:
        """Return the link, and keep it for other servers where it is long."""
        return self.shared.share(links.encode(self.state, self.selection.recipe))

    def choose(self, name: str, value: Any) -> None:
        """Set one choice of the state, and what has to change with it."""
        if value is None or getattr(self.state, name) == value:
            return
        with self.together():
            if name == "category":
                self.open(value)
            else:
                fresh: dict[str, Any] = {"hidden": []} if name in ("clustering", "k") else {}
                self.state.param.update(**{name: value}, **fresh)
                self.message = " ".join(self.state.settle(self.project))

    def join(
        self, kind: str, frame: tuple[Any, ...], value: tuple[Any, ...], how: str = ""
    ) -> None:
        """Join a set of samples to the selection, by default as the mode says."""
        mode = how if how in selection.OPERATIONS else self.held or self.selection.mode
        self.selection.push(selection.Step(mode, kind, frame, value))

    def gesture(self, frame: tuple[str, int, int], kind: str, value: Any) -> None:
        """Join a box, a lasso or a tapped point of a plot to the selection."""
        mode = self.held or self.selection.mode
        with self.together():
            self.message = ""
            if kind == "tap":
                chosen = self.category.ids[int(value)].item()
                self.state.param.update(sample=chosen, tab="sample")
                self.selection.push(selection.Step(mode, "samples", (), (chosen,)))
            else:
                make = selection.box if kind == "box" else selection.lasso
                self.selection.push(make(mode, frame, value))

    def show(self, position: int | None) -> None:
        """Show a sample of the category in large, or none."""
        chosen = None if position is None else self.category.ids[position].item()
        self.state.param.update(sample=chosen, tab="sample")
