"""Controls of the open category."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from fxrelay_viz import insight, markup, matrix, selection
from fxrelay_viz.category import Category, Rank
from fxrelay_viz.images import data_uri
from fxrelay_viz.markup import Choice
from fxrelay_viz.merging import MERGE_TREE
from fxrelay_viz.palette import Colouring
from fxrelay_viz.renderers import encode
from fxrelay_viz.session import Session
from fxrelay_viz.state import CLUSTER, DENSITIES, colourings
from fxrelay_viz.views.colours import cluster_colours, odd_cluster, point_colours

#: a spectrum shows so many eigenvalues
EIGENVALUES: Final = 24


def choices(session: Session) -> str:
    """Return what the plot shows."""
    category, chosen = session.category, session.state
    axes = {n: f"{n + 1}" for n in range(category.embeddings[chosen.embedding].shape[1])}
    flat = _named(list(category.embeddings))
    sweep = category.clusterings.get(chosen.clustering, {"": None})
    planar = len(axes) == 2
    ranks = session.project.ranking
    groups = {
        "": [_choice(session, "category", "Class",
                          {r.name: _class(r) for r in ranks})],
        "Plot": [
            _choice(session, "embedding", "Embedding", flat),
            *([] if planar else [_choice(session, "x", "Across", axes, half=True),
                                 _choice(session, "y", "Up", axes, half=True)]),
            _choice(session, "second", "Second plot", {"": "none", **flat}),
            _choice(session, "colour_by", "Colour by", _named(colourings(category))),
            _choice(session, "density", "Contours", DENSITIES),
        ],
        "Clusters": [
            _choice(session, "clustering", "Clustering", _named(list(category.clusterings))),
            _choice(session, "k", "Number of clusters", {k: str(k) or "as found" for k in sweep}),
        ],
    }  # fmt: skip
    return markup.choices(groups) + ("" if planar else _axes(session))


def _class(rank: Rank) -> str:
    count = "" if rank.n_samples is None else f"{rank.n_samples:,}"
    told = ", ".join(filter(None, (count, "flagged" * rank.flagged)))
    return f"{rank.name} ({told})" if told else rank.name


def _axes(session: Session) -> str:
    """Return the first axes of the embedding against each other."""
    chosen = session.state
    hidden = (chosen.clustering, chosen.k, tuple(chosen.hidden)) if chosen.hidden else ()
    found = _thumbnails(session.category, chosen.embedding, point_colours(session), hidden)
    return markup.axes(found, (chosen.x, chosen.y), chosen.embedding)


@lru_cache(maxsize=8)
def _thumbnails(
    category: Category, embedding: str, colours: Colouring, hidden: tuple[Any, ...]
) -> dict[tuple[int, int], str]:
    shown = category.outside(*hidden) if hidden else None
    drawn = matrix.thumbnails(category.embeddings[embedding], colours, shown)
    return {pair: data_uri(*encode(image, matrix.SIDE)) for pair, image in drawn.items()}


def _choice(
    session: Session, name: str, label: str, options: Mapping[Any, str], half: bool = False
) -> Choice:
    return Choice(label, "set", options, getattr(session.state, name), name, half)


def _named(names: list[str]) -> dict[str, str]:
    return {name: name.replace("_", " ") for name in names}


def numbers(session: Session) -> str:
    """Return what the number of clusters is chosen by: eigenvalues, and the tree of merges."""
    category, k = session.category, session.state.k
    values = category.spectrum(session.state.clustering)[:EIGENVALUES]
    sweep = [n for n in category.clusterings.get(session.state.clustering, {}) if n != ""]
    gaps = insight.eigengaps(values, 1)
    bars = markup.spectrum(values, k if isinstance(k, int) else None, sweep, gaps)
    return bars + _dendrogram(session)


def _dendrogram(session: Session) -> str:
    merges, chosen = session.category.merges, session.state
    if merges is None:
        return ""
    is_cut = chosen.clustering == MERGE_TREE
    colours = cluster_colours(session)
    bands = [(k, *merges.band(k)) for k in range(2, merges.most + 1)]
    return markup.dendrogram(
        merges.joints(), bands, chosen.k if is_cut else None,
        lambda sample: colours.colours[colours.codes[sample]],
    )  # fmt: skip


def tools(session: Session) -> str:
    """Return the selection modes, undo, and the count."""
    chosen = session.selection
    modes = {name: name.capitalize() for name in selection.GESTURES}
    return markup.tools(modes, chosen.mode, int(session.mask.sum()), int(session.visible.sum()),
                        chosen.undoable, chosen.redoable)  # fmt: skip


def legend(session: Session) -> str:
    """Return the clusters, and the legend of any other colouring."""
    chips = markup.clusters(cluster_colours(session), session.mask, odd_cluster(session),
                            session.state.hidden)  # fmt: skip
    name = session.state.colour_by
    return chips if name == CLUSTER else markup.legend(point_colours(session), name) + chips


def histograms(session: Session) -> str:
    """Return the histograms that were asked for."""
    category, names = session.category, session.state.histograms
    part = session.visible if session.state.hidden else slice(None)
    known = colourings(category)[1:]
    shown = [
        insight.histogram(
            name, category.column(name)[part], session.mask[part], session.project.classes
        )
        for name in names
        if name in known
    ]
    more = {"": "Add a histogram", **_named([n for n in known if n not in names])}
    return markup.histograms(shown, Choice("Histograms", "histogram", more, ""))
