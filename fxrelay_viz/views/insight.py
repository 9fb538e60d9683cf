"""What distinguishes the clusters, and what people wrote."""

from typing import Final

import numpy as np

from fxrelay_viz import insight, markup
from fxrelay_viz.images import Look
from fxrelay_viz.markup import Card, Choice, Comparison, Summary
from fxrelay_viz.means import difference
from fxrelay_viz.reasons import has_scores, scores
from fxrelay_viz.session import Session
from fxrelay_viz.state import TABS
from fxrelay_viz.views.colours import cluster_colours, odd_cluster
from fxrelay_viz.views.looks import look_of, mode_of, style_of
from fxrelay_viz.views.sample import card, detail
from fxrelay_viz.views.typical import MOST_CLUSTERS, drawn, means, prototypes
from fxrelay_viz.views.why import verdict

#: samples that are drawn by two attributions
PAIRS: Final = 6
MOST_DIFFERENCES: Final = 8


def lower(session: Session) -> str:
    """Return what stands below the grid: the tabs and what they chose."""
    chosen = {"why": verdict, "sample": detail, "clusters": clusters, "compare": compare,
              "notes": notes}  # fmt: skip
    tab = session.state.tab
    return markup.tabs(TABS, tab) + chosen[tab](session)


def clusters(session: Session) -> str:
    """Return every cluster at a glance."""
    ids = cluster_colours(session).values[:MOST_CLUSTERS]
    return markup.summaries([_summary(session, c) for c in ids], style_of(session))


def _summary(session: Session, cluster: int) -> Summary:
    colours, category = cluster_colours(session), session.category
    place = colours.values.index(cluster)
    label = colours.labels[place]
    count = int(colours.counts()[place])
    told = {"samples": f"{count:,}", "share": f"{count / len(category.ids):.0%}"}
    clustering, k = session.state.clustering, session.state.k
    if has_scores(category, clustering, k):
        told |= {r.name.lower(): r.value for r in scores(category, clustering, k, cluster)}
    typical = prototypes(session, clustering, k)
    mean = means(session, clustering, k).get(cluster)
    return Summary(
        value=str(cluster),
        title="Noise" if label == "noise" else f"Cluster {label}",
        colour=colours.colours[place],
        mean="" if mean is None else drawn(session, mean),
        prototypes=[card(session, int(n), look_of(session)) for n in typical.get(cluster, ())],
        scores=told,
        is_odd=cluster == odd_cluster(session),
    )


def compare(session: Session) -> str:
    """Return two clusters side by side, and two attributions of the selected samples."""
    ids = list(cluster_colours(session).values)
    pair = _pair(session, ids)
    labels = dict(zip(ids, cluster_colours(session).labels, strict=True))
    other = [m for m in session.workspace.method_names(session.state.project)
             if m != session.project.method]  # fmt: skip
    fields = [
        *(Choice(f"Cluster {'AB'[n]}", "beside", labels, c, str(n)) for n, c in enumerate(pair)),
        Choice("Other attribution", "set", {"": "none", **{m: m for m in other}},
               session.state.against, "against"),
    ]  # fmt: skip
    return markup.comparison(
        [_summary(session, c) for c in pair], _differences(session, pair), _methods(session),
        fields, style_of(session), _minus(session, pair),
    )  # fmt: skip


def _minus(session: Session, pair: list[int]) -> str:
    """Return the address of the mean map of the first cluster minus that of the second."""
    found = means(session, session.state.clustering, session.state.k)
    if len(pair) < 2 or any(c not in found for c in pair):
        return ""
    return drawn(session, difference(*(found[c] for c in pair)))


def _differences(session: Session, pair: list[int]) -> list[insight.Difference]:
    """Return the variables in which the two clusters differ most."""
    if len(pair) < 2:
        return []
    labels = session.category.clusters(session.state.clustering, session.state.k)
    return insight.compare(session.category, *(labels == c for c in pair))[:MOST_DIFFERENCES]


def _pair(session: Session, ids: list[int]) -> list[int]:
    """Return the clusters to compare: as chosen, else the odd one and the largest other."""
    odd = odd_cluster(session)
    first = [c for c in session.state.compared if c in ids]
    sizes = cluster_colours(session).counts()
    by_size = [ids[n] for n in np.argsort(-sizes, kind="stable")]
    rest = ([odd] if odd in ids else []) + by_size
    return list(dict.fromkeys([*first, *rest]))[:2] if len(ids) > 1 else []


def _methods(session: Session) -> Comparison | None:
    chosen = session.state
    if not chosen.against:
        return None
    other = session.workspace.get(chosen.project, chosen.against, session.project.analysis)
    look = look_of(session)
    plain = Look(mode_of(session), chosen.cmap, blend=chosen.blend)
    rows = []
    for member in session.shown[:PAIRS]:
        ours = card(session, int(member), look)
        position = other.position(session.category.ids[member].item())
        address = "" if position is None else session.gallery.of(other).address(position, plain)
        rows.append((ours, Card(address, ours.value, ours.caption if address else "not explained")))
    return Comparison((session.project.method or "this one", chosen.against), rows)


def notes(session: Session) -> str:
    """Return tags, notes and kept selections."""
    book = session.project.notes
    known = set(session.category.ids.tolist())
    here = {str(i): text for i, text in book.notes.items() if i in known}
    kept = {name: facts.get("note", "") for name, facts in book.selections.items()}
    tags = {tag: len(ids) for tag, ids in book.tags.items()}
    return markup.notebook(tags, here, kept, int(session.mask.sum()))
