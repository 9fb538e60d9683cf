"""What the viewer is showing, as one small object, and its form in a link.

The state and the recipe of the selection together are all that a link or an exported file needs.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import param

from fxrelay.heatmap import CMAPS
from fxrelay_viz import selection
from fxrelay_viz.data import Category, Project

VERSION: Final = 1
CLUSTER: Final = "cluster"
PAGE_SIZE: Final = 24
#: no link or file needs more than this; a longer one is refused before it is read
MOST_BYTES: Final = 65536

MODES: Final[Mapping[str, str]] = {
    "input": "Input",
    "heatmap": "Heatmap",
    "overlay": "Overlay",
}
ORDERS: Final[Mapping[str, str]] = {
    "index": "By index",
    "centroid": "Nearest centre",
    "extreme": "Farthest out",
    "random": "Random",
}


class ViewState(param.Parameterized):
    """Everything a person can choose, but for the selection."""

    category = param.String(default="", doc="Open category; empty shows the ranking.")
    embedding = param.String(default="", doc="Name of the embedding.")
    x = param.Integer(default=0, bounds=(0, None), doc="Component on the horizontal axis.")
    y = param.Integer(default=1, bounds=(0, None), doc="Component on the vertical axis.")
    clustering = param.String(default="", doc="Name of the clustering.")
    k = param.Parameter(default="", doc="Number of clusters, or '' where there is no sweep.")
    colour_by = param.String(default=CLUSTER, doc="'cluster' or a variable with sample dimension.")
    mode = param.Selector(default="overlay", objects=list(MODES), doc="What the images show.")
    cmap = param.Selector(default="bwr", objects=list(CMAPS), doc="Colour map of relevance.")
    shared = param.Boolean(default=False, doc="One colour scale for the page.")
    order = param.Selector(default="index", objects=list(ORDERS), doc="Order of the grid.")
    seed = param.Integer(default=0, bounds=(0, None), doc="Seed of the random order.")
    page = param.Integer(default=0, bounds=(0, None), doc="Page of the grid, from 0.")

    def frame(self) -> tuple[str, int, int]:
        """Return where a geometry is drawn: embedding and axes."""
        return self.embedding, self.x, self.y

    def settle(self, project: Project) -> list[str]:
        """Replace what the open category does not have by its defaults.

        Returns
        -------
        list of str
            A message for every value that was replaced and had been chosen.
        """
        names = [rank.name for rank in project.ranking]
        messages = []
        if self.category and self.category not in names:
            messages.append(f"There is no category {self.category!r}.")
            self.category = ""
        if not self.category:
            return messages
        category = project.category(self.category)
        if category.note:
            messages.append(f"{self.category} was not analysed: {category.note}.")
        fitting = _fitting(self, category, project)
        for name, value in fitting.items():
            if getattr(self, name) not in ("", value) and name != "k":
                messages.append(f"{self.category} has no {name} {getattr(self, name)!r}.")
        self.param.update(**fitting)
        return messages


def _fitting(state: ViewState, category: Category, project: Project) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if state.embedding not in category.embeddings:
        out["embedding"] = _prefer(list(category.embeddings), "tsne")
    points = category.embeddings[out.get("embedding", state.embedding)]
    if max(state.x, state.y) >= points.shape[1]:
        out |= {"x": 0, "y": 1}
    if state.clustering not in category.clusterings:
        out["clustering"] = _prefer(list(category.clusterings), "kmeans")
    sweep = category.clusterings.get(out.get("clustering", state.clustering), {"": None})
    if state.k not in sweep:
        chosen = project.rank(category.name).n_clusters
        out["k"] = chosen if chosen in sweep else next(iter(sweep))
    if state.colour_by not in colourings(category, project):
        out["colour_by"] = CLUSTER
    return out


def _prefer(names: Sequence[str], name: str) -> str:
    return name if name in names else next(iter(names), "")


def colourings(category: Category, project: Project) -> list[str]:
    """Return what the points can be coloured by."""
    return [CLUSTER, *project.variables, *category.scores]


def ordered(state: ViewState, category: Category, mask: np.ndarray) -> np.ndarray:
    """Return the selected samples, as positions in the category, in the order of the grid."""
    chosen = np.flatnonzero(mask)
    if state.order == "random":
        return np.random.default_rng(state.seed).permutation(chosen)
    if state.order == "index" or not len(chosen):
        return chosen
    points = category.embeddings[state.embedding][chosen]
    distance = np.linalg.norm(points - points.mean(axis=0), axis=1)
    sign = 1 if state.order == "centroid" else -1
    return chosen[np.argsort(sign * distance, kind="stable")]


def encode(state: ViewState, recipe: selection.Recipe) -> str:
    """Write state and recipe as the short text of a link."""
    chosen = {k: v for k, v in state.param.values().items() if k != "name"}
    default = ViewState.param
    small = {k: v for k, v in chosen.items() if v != default[k].default}
    text = json.dumps({"version": VERSION, "state": small, "selection": selection.to_json(recipe)})
    packed = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    return f"v{VERSION}-{packed}" if small or recipe else ""


def decode(link: str) -> tuple[dict[str, Any], selection.Recipe]:
    """Read what `encode` wrote.

    Returns
    -------
    values : dict
        Parameters of `ViewState`; unknown ones are left out.
    recipe : tuple of Step

    Raises
    ------
    ValueError
        If the text is damaged, too long or of another version.
    """
    if not link:
        return {}, ()
    read = _unpack(link)
    if not isinstance(read, dict) or read.get("version") != VERSION:
        raise ValueError(
            f"link: needs version {VERSION}; got {link[:40]!r}. "
            "Open it with the fxrelay that made it."
        )
    values = read.get("state")
    recipe = selection.from_json(str(read.get("selection")))
    known = {k: v for k, v in (values if isinstance(values, dict) else {}).items() if k in _NAMES}
    try:
        ViewState(**known)
        if not isinstance(known.get("k", ""), (int, str)):
            raise ValueError(f"k={known['k']!r}, neither a number of clusters nor ''")
    except ValueError as error:
        raise ValueError(f"link: needs values in range; got {error}. Copy it again.") from None
    return known, recipe


_NAMES: Final = frozenset(name for name in ViewState.param if name != "name")


def _unpack(link: str) -> Any:
    prefix, _, packed = link.partition("-")
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        text = zlib.decompressobj().decompress(raw, MOST_BYTES)
        if prefix.startswith("v") and len(text) < MOST_BYTES:
            return json.loads(text)
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        pass
    raise ValueError(
        f"link: needs the whole text after 'view='; got {link[:40]!r} ({len(link)} characters), "
        "which is damaged or cut off. Copy it again."
    )
