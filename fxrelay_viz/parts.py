"""The parts of the page: what each depends on, and how it is drawn from the viewer's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fxrelay import schema
from fxrelay.heatmap import CMAPS, limits
from fxrelay_viz import elements, markup, selection, state
from fxrelay_viz.data import Category, Rank
from fxrelay_viz.images import LARGE, Look
from fxrelay_viz.palette import Colouring, colouring
from fxrelay_viz.state import CLUSTER, MODES, ORDERS, PAGE_SIZE

if TYPE_CHECKING:
    from fxrelay_viz.app import Viewer

RANKS: Final = 12
STRIP: Final = 8
#: with one scale for the page, this percentile of the largest magnitudes is its end
SHARED_PERCENTILE: Final = 99.5

BOARDS: Final = (
    "header", "ranking", "tools", "clusters", "legend", "spectrum-title", "why", "looks", "grid",
    "detail",
)  # fmt: skip

#: state -> label of its selector
SELECTORS: Final[Mapping[str, str]] = {
    "category": "Class", "embedding": "Embedding", "x": "Horizontal", "y": "Vertical",
    "clustering": "Clustering", "k": "Clusters", "colour_by": "Colour by",
    "cmap": "Colour map", "shared": "Scale", "order": "Order",
}  # fmt: skip


def draw_header(viewer: Viewer) -> None:
    """Draw where we are, what data is shown, and the last message."""
    attrs, n = viewer.project.ds.attrs, len(viewer.project.index)
    facts = {
        "samples": f"{n:,}",
        "model": str(attrs.get(schema.MODEL, "")),
        "composite": _short(attrs.get(schema.COMPOSITE, "")),
    }
    viewer.boards["header"].html = markup.header(facts, viewer.state.category, viewer.message)


def draw_body(viewer: Viewer) -> None:
    """Put the ranking or the explorer on the page."""
    wanted = viewer.explorer if viewer.state.category else viewer.landing
    if list(viewer.body) != [wanted]:
        viewer.body.objects = [wanted]


def draw_ranking(viewer: Viewer) -> None:
    """Draw the ranking, with the first images of each odd cluster."""
    if viewer.state.category:
        return
    ranks, page = viewer.project.ranking, viewer.ranking_page
    shown = ranks[page * RANKS : (page + 1) * RANKS]
    images = {rank.name: _odd_images(viewer, rank.name) for rank in shown}
    viewer.boards["ranking"].html = markup.ranking(ranks, images, page, RANKS)


def draw_choices(viewer: Viewer) -> None:
    """Fill the selectors with what the open category has."""
    category, chosen = viewer.category, viewer.state
    axes = {f"{n + 1}": n for n in range(category.embeddings[chosen.embedding].shape[1])}
    sweep = category.clusterings.get(chosen.clustering, {"": None})
    options: dict[str, Any] = {
        "category": {_title(rank): rank.name for rank in viewer.project.ranking},
        "embedding": list(category.embeddings),
        "x": axes,
        "y": axes,
        "clustering": list(category.clusterings) or [""],
        "k": {str(k) or "as found": k for k in sweep},
        "colour_by": state.colourings(category, viewer.project),
        "cmap": list(CMAPS),
        "shared": {"Each image": False, "Whole page": True},
        "order": {text: name for name, text in ORDERS.items()},
    }
    for name, select in viewer.selectors.items():
        select.param.update(options=options[name], value=getattr(chosen, name))
        select.disabled = len(options[name]) < 2


def draw_tools(viewer: Viewer) -> None:
    """Draw the selection modes, undo, and the count."""
    modes, chosen = list(selection.OPERATIONS), viewer.selection
    viewer.boards["tools"].html = markup.tools(
        modes, chosen.mode, int(viewer.mask.sum()), len(viewer.mask), chosen.undoable
    )


def draw_plot(viewer: Viewer) -> None:
    """Draw the points."""
    embedding, x, y = frame = viewer.state.frame()
    names = (f"{embedding} {x + 1}", f"{embedding} {y + 1}")
    points = viewer.category.points(*frame)
    viewer.plot.show(points, point_colours(viewer), viewer.mask, names)
    viewer.plot.mark(viewer.focus)


def draw_clusters(viewer: Viewer) -> None:
    """Draw a button per cluster, and the legend of any other colouring."""
    is_cluster = viewer.state.colour_by == CLUSTER
    colours = cluster_colours(viewer)
    viewer.boards["clusters"].html = markup.clusters(colours, viewer.mask, odd_cluster(viewer))
    name = viewer.state.colour_by
    text = "" if is_cluster else markup.legend(point_colours(viewer), name)
    viewer.boards["legend"].param.update(html=text, visible=not is_cluster)


def draw_spectrum(viewer: Viewer) -> None:
    """Draw the eigenvalues and what the ranking says of the category."""
    values, k = viewer.category.eigenvalues, viewer.state.k
    title, plot = "", None
    if values is not None and len(values):
        title = "<h2>Eigenvalues</h2>"
        plot = elements.eigenvalues(values[:24], k if isinstance(k, int) else None)
    viewer.boards["spectrum-title"].html = title
    viewer.spectrum.object = plot
    viewer.boards["why"].html = markup.verdict(viewer.project.rank(viewer.state.category))


def draw_looks(viewer: Viewer) -> None:
    """Draw the image modes and the colour bar."""
    modes = MODES if viewer.project.has_input else {"heatmap": MODES["heatmap"]}
    bar = markup.colour_bar(viewer.state.cmap, shared_limit(viewer))
    viewer.boards["looks"].html = markup.looks(modes, viewer.state.mode, bar)


def draw_grid(viewer: Viewer) -> None:
    """Draw a page of the selection; of the whole category while nothing is selected."""
    chosen = shown_samples(viewer)
    page, members = _page(viewer, chosen)
    look = Look(_mode(viewer), viewer.state.cmap, shared_limit(viewer))
    viewer.project.pictures(viewer.category.positions[members])
    cards = [_card(viewer, int(n), look) for n in members]
    viewer.boards["grid"].html = markup.grid(
        cards, page, len(chosen), PAGE_SIZE, everything=not viewer.mask.any()
    )


def draw_detail(viewer: Viewer) -> None:
    """Draw one sample in large, and ring it in the plot."""
    viewer.plot.mark(viewer.focus)
    viewer.boards["grid"].current = "" if viewer.focus is None else str(viewer.focus)
    if viewer.focus is None:
        viewer.boards["detail"].html = markup.detail({}, {})
        return
    position = int(viewer.category.positions[viewer.focus])
    modes = list(MODES) if viewer.project.has_input else ["heatmap"]
    images = {
        MODES[mode]: viewer.pictures.address(position, Look(mode, viewer.state.cmap, size=LARGE))
        for mode in modes
    }
    facts = viewer.project.facts(position)
    facts |= {name: f"{v[viewer.focus]:.4g}" for name, v in viewer.category.scores.items()
              if v.dtype.kind in "fiu"}  # fmt: skip
    colours = cluster_colours(viewer)
    facts[CLUSTER] = colours.labels[colours.codes[viewer.focus]]
    wrong = schema.PREDICTION if facts.pop("correct", "") == "False" else ""
    viewer.boards["detail"].html = markup.detail(images, facts, wrong)


def cluster_colours(viewer: Viewer) -> Colouring:
    """Return the colours of the clusters of the open category."""
    return _cluster_colours(viewer.category, viewer.state.clustering, viewer.state.k)


@lru_cache(maxsize=8)  # every card asks
def _cluster_colours(category: Category, clustering: str, k: Any) -> Colouring:
    if not clustering:
        return colouring(np.zeros(len(category.ids), dtype=int))
    return colouring(category.clusters(clustering, k))


def point_colours(viewer: Viewer) -> Colouring:
    """Return the colours of the points."""
    name, category, project = viewer.state.colour_by, viewer.category, viewer.project
    if name == CLUSTER:
        return cluster_colours(viewer)
    if name in category.scores:
        return colouring(category.scores[name])
    values = project.variables[name][category.positions]
    if name in (schema.LABEL, schema.PREDICTION, schema.TARGET):
        return colouring(values, project.class_name, range(len(project.classes)))
    return colouring(values)


def odd_cluster(viewer: Viewer) -> int | None:
    """Return the suspicious cluster, where the clustering shown is the one that was ranked."""
    rank = viewer.project.rank(viewer.state.category)
    return rank.cluster if viewer.state.k in ("", rank.n_clusters) else None


def shown_samples(viewer: Viewer) -> np.ndarray:
    """Return what the grid shows, as positions in the category, in order."""
    mask = viewer.mask if viewer.mask.any() else np.ones_like(viewer.mask)
    return state.ordered(viewer.state, viewer.category, mask)


def _page(viewer: Viewer, chosen: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the page of the grid, the last one for a link to one beyond, and its samples."""
    page = min(viewer.state.page, max(0, -(-len(chosen) // PAGE_SIZE) - 1))
    return page, chosen[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]


def shared_limit(viewer: Viewer) -> float | None:
    """Return the relevance at the end of the colour map; None while every image has its own."""
    if not viewer.state.shared:
        return None
    _, members = _page(viewer, shown_samples(viewer))
    pictures = viewer.project.pictures(viewer.category.positions[members])
    relevance = np.stack([picture[schema.RELEVANCE] for picture in pictures])
    _, high = limits(relevance, viewer.state.cmap, percentile=SHARED_PERCENTILE, shared=True)
    return float(f"{high.item():.3g}")


def _card(viewer: Viewer, member: int, look: Look) -> markup.Card:
    colours, position = cluster_colours(viewer), int(viewer.category.positions[member])
    facts = viewer.project.facts(position)
    title = ", ".join(f"{name} {value}" for name, value in facts.items())
    return markup.Card(
        address=viewer.pictures.address(position, look),
        value=str(member),
        caption=facts[schema.SAMPLE],
        title=title,
        colour=colours.colours[colours.codes[member]],
    )


def _odd_images(viewer: Viewer, name: str) -> list[str]:
    project, rank = viewer.project, viewer.project.rank(name)
    category = project.category(name)
    sweep = next(iter(category.clusterings.values()), {})
    labels = sweep.get(rank.n_clusters)
    members = (
        np.arange(len(category.ids)) if labels is None else np.flatnonzero(labels == rank.cluster)
    )
    positions = category.positions[members[:STRIP]]
    project.pictures(positions)
    return [viewer.pictures.address(int(p), Look(_mode(viewer))) for p in positions]


def _mode(viewer: Viewer) -> str:
    return viewer.state.mode if viewer.project.has_input else "heatmap"


def _title(rank: Rank) -> str:
    return f"{rank.name}  (flagged)" if rank.flagged else rank.name


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


#: part -> how it is drawn, and what it shows: it is drawn again when one of these changes
VIEWS: Final[Mapping[str, tuple[Callable[[Viewer], None], tuple[str, ...]]]] = {
    "ranking": (draw_ranking, ("category", "ranking_page")),
    "choices": (draw_choices, ("category", "embedding", "clustering", "k", "colour_by", "x", "y",
                               "order", "cmap", "shared")),
    "tools": (draw_tools, ("category", "recipe", "selection_mode")),
    "plot": (draw_plot, ("category", "embedding", "x", "y", "clustering", "k", "colour_by",
                         "recipe")),
    "clusters": (draw_clusters, ("category", "clustering", "k", "colour_by", "recipe")),
    "spectrum": (draw_spectrum, ("category", "k")),
    "looks": (draw_looks, ("category", "mode", "cmap", "shared", "page", "order", "seed",
                           "recipe")),
    "grid": (draw_grid, ("category", "recipe", "order", "seed", "page", "mode", "cmap", "shared",
                         "embedding", "clustering", "k")),
    "detail": (draw_detail, ("category", "focus", "cmap", "clustering", "k")),
    "body": (draw_body, ("category",)),
    "header": (draw_header, ("category", "message")),  # last: it tells what went wrong before
}  # fmt: skip

#: the parts that are drawn without an open category
LANDING: Final = ("header", "ranking", "body")
