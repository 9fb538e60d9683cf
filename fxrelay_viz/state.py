"""What the viewer is showing, as one small object; its form in a link is made by `links`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import param

from fxrelay import schema
from fxrelay.heatmap import CMAPS
from fxrelay_viz.category import Category, endings
from fxrelay_viz.project import MARGIN, Project
from fxrelay_viz.reasons import ranked
from fxrelay_viz.renderers.look import BLEND, MODES
from fxrelay_viz.workspace import Workspace

CLUSTER: Final = "cluster"
#: beginnings of the names of scores that say how odd a sample is, and of their ranks
OUTLIER: Final = "outlier_"
OUTLIER_RANK: Final = "outlier_rank_"
#: what the embedding that is shown first starts with
TSNE: Final = "tsne"
PAGE_SIZE: Final = 24

SCALES: Final[Mapping[str, str]] = {
    "image": "Each image",
    "page": "This page",
    "category": "This class",
}
SAMPLINGS: Final[Mapping[str, str]] = {
    "auto": "Auto",
    "smooth": "Smooth",
    "pixelated": "Pixelated",
}
ORDERS: Final[Mapping[str, str]] = {
    "index": "By index",
    "centroid": "Nearest centre",
    "extreme": "Farthest out",
    "random": "Random",
    "confidence": "Least confident",
    "odd": "Oddest first",
    "value": "By colour value",
}
DENSITIES: Final[Mapping[str, str]] = {
    "": "none",
    "all": "of all points",
    "colour": "of each colour",
}
TABS: Final[Mapping[str, str]] = {
    "why": "Why",
    "sample": "Sample",
    "clusters": "Clusters",
    "compare": "Compare",
    "notes": "Notes",
}


class ViewState(param.Parameterized):
    """Everything a person can choose, but for the selection."""

    project = param.String(default="", doc="Name of the project; empty takes the first.")
    method = param.String(default="", doc="Name of the attribution; empty takes the first.")
    analysis = param.String(default="", doc="Name of the analysis; empty takes the first.")
    category = param.String(default="", doc="Open category; empty shows the ranking.")
    embedding = param.String(default="", doc="Name of the embedding.")
    x = param.Integer(default=0, bounds=(0, None), doc="Component on the horizontal axis.")
    y = param.Integer(default=1, bounds=(0, None), doc="Component on the vertical axis.")
    second = param.String(default="", doc="Embedding drawn beside the first; empty draws none.")
    clustering = param.String(default="", doc="Name of the clustering.")
    k = param.Parameter(default="", doc="Number of clusters, or '' where there is no sweep.")
    hidden = param.List(
        default=[], item_type=int, bounds=(0, 10_000), doc="Ids of the clusters that are hidden."
    )
    colour_by = param.String(default=CLUSTER, doc="'cluster' or a variable with sample dimension.")
    density = param.Selector(
        default="", objects=list(DENSITIES), doc="What contours of density are drawn of."
    )
    variable = param.String(default=schema.RELEVANCE, doc="Variable of relevance that is drawn.")
    target = param.Integer(default=0, bounds=(0, 10**6), doc="Explained target that is drawn.")
    against = param.String(default="", doc="Attribution to compare with; empty compares none.")
    mode = param.Selector(default="overlay", objects=list(MODES), doc="What the images show.")
    cmap = param.Selector(default="bwr", objects=list(CMAPS), doc="Colour map of relevance.")
    blend = param.Number(default=BLEND, bounds=(0, 1), doc="Opacity of the heatmap in overlays.")
    scale = param.Selector(
        default="image", objects=list(SCALES), doc="What shares the ends of the colour map."
    )
    percentile = param.Number(
        default=100.0, bounds=(50, 100), doc="Percentile of magnitudes at the end of the map."
    )
    sampling = param.Selector(
        default="auto", objects=list(SAMPLINGS), doc="How small images are enlarged."
    )
    order = param.Selector(default="index", objects=list(ORDERS), doc="Order of the grid.")
    seed = param.Integer(default=0, bounds=(0, 2**32 - 1), doc="Seed of the random order.")
    page = param.Integer(default=0, bounds=(0, None), doc="Page of the grid, from 0.")
    page_size = param.Integer(default=PAGE_SIZE, bounds=(1, 96), doc="Images on a page.")
    sample = param.Parameter(default=None, doc="Id of the sample shown in large, or None.")
    tab = param.Selector(default="why", objects=list(TABS), doc="What stands below the grid.")
    histograms = param.List(
        default=[], item_type=str, bounds=(0, 4), doc="Variables whose histograms are drawn."
    )
    compared = param.List(
        default=[], item_type=int, bounds=(0, 2), doc="Ids of the clusters side by side."
    )

    def frame(self) -> tuple[str, int, int]:
        """Return where a geometry is drawn: embedding and axes."""
        return self.embedding, self.x, self.y

    def find(self, workspace: Workspace) -> tuple[Project, list[str]]:
        """Return the chosen project, and a message for every name that it replaced."""
        messages: list[str] = []
        chosen: dict[str, str] = {}
        for name, words in (("project", "project"), ("method", "attribution"),
                            ("analysis", "analysis")):  # fmt: skip
            known = getattr(workspace, f"{name}_names")(chosen.get("project", ""))
            value = getattr(self, name)
            if value and value not in known:
                messages.append(f"There is no {words} {value!r}.")
            chosen[name] = value if value in known else ""
        self.param.update(**chosen)
        return workspace.get(**chosen), messages

    def settle(self, project: Project) -> list[str]:
        """Replace what the open category does not have by its defaults.

        Returns
        -------
        list of str
            A message for every value that was replaced and had been chosen.
        """
        messages = []
        if self.category and self.category not in project.names:
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
    rank = project.rank(category.name)
    usual = ranked(category, rank) or "kmeans"
    if state.embedding not in category.embeddings:
        out["embedding"] = usual_embedding(category, usual)
    points = category.embeddings[out.get("embedding", state.embedding)]
    if max(state.x, state.y) >= points.shape[1]:
        out |= {"x": 0, "y": 1}
    if state.second and state.second not in category.embeddings:
        out["second"] = ""
    if state.clustering not in category.clusterings:
        out["clustering"] = _prefer(list(category.clusterings), usual)
    sweep = category.clusterings.get(out.get("clustering", state.clustering), {"": None})
    k = state.k
    if k not in sweep:
        k = out["k"] = rank.n_clusters if rank.n_clusters in sweep else next(iter(sweep))
    if state.hidden:
        known = np.unique(category.clusters(out.get("clustering", state.clustering), k))
        out["hidden"] = [c for c in state.hidden if c in known]
    if state.colour_by not in colourings(category):
        out["colour_by"] = CLUSTER
    if state.variable not in project.explanations.shown:
        out["variable"] = schema.RELEVANCE
    if state.target >= len(project.explanations.targets):
        out["target"] = 0
    return out


def _prefer(names: Sequence[str], name: str) -> str:
    return name if name in names else next(iter(names), "")


def usual_embedding(category: Category, clustering: str, chosen: str = "") -> str:
    """Return the embedding that goes with a clustering: the t-SNE that has its suffix.

    A `chosen` one stays if it is no t-SNE.
    """
    names = list(category.embeddings)
    if chosen in names and not chosen.startswith(TSNE):
        return chosen
    found = [f"{TSNE}{end}" for end in (*endings(clustering), "") if f"{TSNE}{end}" in names]
    return next(iter(found or names), "")


def colourings(category: Category, project: Project | None = None) -> list[str]:
    """Return what the points can be coloured by."""
    return list(dict.fromkeys([CLUSTER, *category.columns, *category.scores]))


def _by_distance(state: ViewState, category: Category, chosen: np.ndarray) -> np.ndarray:
    points = category.embeddings[state.embedding][chosen]
    out: np.ndarray = np.linalg.norm(points - points.mean(axis=0), axis=1)
    return out


def _by_column(name: str, category: Category, chosen: np.ndarray) -> np.ndarray:
    if name not in (*category.columns, *category.scores):
        return np.arange(len(chosen))
    values = category.column(name)[chosen]
    if values.dtype.kind in "iufb":
        return values
    codes: np.ndarray = np.unique(values.astype(str), return_inverse=True)[1]
    return codes


def oddness(category: Category) -> list[str]:
    """Return the variables that say how odd each sample is, one of each method."""
    found = [name for name in category.scores if name.startswith(OUTLIER)]
    return [name for name in found if not name.startswith(OUTLIER_RANK)]


def _by_oddness(state: ViewState, category: Category, chosen: np.ndarray) -> np.ndarray:
    """Return the mean place in the orders of all methods, the oddest first."""
    scores = [category.column(name)[chosen] for name in oddness(category)]
    places = np.zeros(len(chosen))
    for score in scores:
        places[np.argsort(-score, kind="stable")] += np.arange(len(chosen))
    return places if scores else np.arange(len(chosen))


#: order -> what the chosen samples are sorted by, the smallest first
KEYS: Final[Mapping[str, Callable[[ViewState, Category, np.ndarray], np.ndarray]]] = {
    "centroid": _by_distance,
    "extreme": lambda state, category, chosen: -_by_distance(state, category, chosen),
    "random": lambda state, category, chosen: np.random.default_rng(state.seed).permutation(
        len(chosen)
    ),
    "confidence": lambda state, category, chosen: _by_column(MARGIN, category, chosen),
    "odd": _by_oddness,
    "value": lambda state, category, chosen: _by_column(state.colour_by, category, chosen),
}


def ordered(state: ViewState, category: Category, mask: np.ndarray) -> np.ndarray:
    """Return the selected samples, as positions in the category, in the order of the grid."""
    chosen = np.flatnonzero(mask)
    if state.order not in KEYS or not len(chosen):
        return chosen
    return chosen[np.argsort(KEYS[state.order](state, category, chosen), kind="stable")]
