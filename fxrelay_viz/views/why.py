"""Why a class is flagged, in words and pictures: its odd cluster against the rest of it."""

from itertools import chain, zip_longest
from typing import Any

import numpy as np

from fxrelay_viz import markup
from fxrelay_viz.markup import Card, Verdict
from fxrelay_viz.means import difference, weighted
from fxrelay_viz.palette import NOISE
from fxrelay_viz.reasons import ranked, sentence, why
from fxrelay_viz.session import Session
from fxrelay_viz.views.looks import look_of, style_of
from fxrelay_viz.views.sample import card
from fxrelay_viz.views.typical import PROTOTYPES, drawn, end, means, prototypes


def verdict(session: Session) -> str:
    """Return what the ranking says of the open class, and the pictures that show it."""
    category, rank = session.category, session.project.rank(session.state.category)
    clustering = ranked(category, rank)
    if rank.cluster is None or not clustering:
        told = Verdict(sentence(rank), rank.flagged, reasons=why(category, rank))
        return markup.verdict(told, style_of(session))
    name = f"Cluster {rank.cluster}"
    several = len(category.clusterings) > 1
    of = f" of {clustering.replace('_', ' ')}" if several else ""
    told = Verdict(
        sentence(rank, name + of),
        rank.flagged,
        cluster=str(rank.cluster),
        figures=_figures(session, (clustering, rank.n_clusters), rank.cluster, name),
        strips=_strips(session, (clustering, rank.n_clusters), rank.cluster, name),
        reasons=why(category, rank),
    )
    return markup.verdict(told, style_of(session))


def _figures(session: Session, ranked: tuple[str, Any], cluster: int, name: str) -> dict[str, str]:
    """Return the mean maps of the cluster, of the rest, and their difference, on one scale."""
    found = means(session, *ranked)
    others = [c for c in found if c not in (cluster, NOISE)]
    if cluster not in found or not others:
        return {}
    labels = session.category.clusters(*ranked)
    sizes = [int(np.count_nonzero(labels == c)) for c in others]
    one, rest = found[cluster], weighted([found[c] for c in others], sizes)
    maps = {name: one, "The rest": rest, f"{name} − the rest": difference(one, rest)}
    limit = end(maps.values())
    return {title: drawn(session, picture, limit) for title, picture in maps.items()}


def _strips(
    session: Session, ranked: tuple[str, Any], cluster: int, name: str
) -> dict[str, list[Card]]:
    """Return typical images of the cluster, and of the others in turn."""
    typical = prototypes(session, *ranked)
    turns = zip_longest(*(found for c, found in typical.items() if c != cluster))
    rest = [n for n in chain.from_iterable(turns) if n is not None][:PROTOTYPES]
    return {
        f"Typical of {name.lower()}": _cards(session, typical.get(cluster, ())),
        "Typical of the rest": _cards(session, rest),
    }


def _cards(session: Session, members: Any) -> list[Card]:
    return [card(session, int(n), look_of(session)) for n in members]
