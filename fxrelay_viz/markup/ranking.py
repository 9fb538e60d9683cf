"""The landing page: classes by how suspicious they are."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from fxrelay_viz.category import Rank
from fxrelay_viz.markup.basics import button, empty, pager

HEADS = ("", "Class", "Suspicion", "Samples", "Clusters", "In the odd one", "From the odd cluster")


def ranking(
    ranks: Sequence[Rank],
    images: Mapping[str, Sequence[str]],
    page: int,
    size: int,
    query: str = "",
    style: str = "",
) -> str:
    """Return one row per category, most suspicious first, one click into it.

    Parameters
    ----------
    ranks : sequence of Rank
        Of all categories.
    images : mapping of name to addresses
        What is shown of a category.
    page, size : int
        Page, from 0, and its number of rows.
    query : str
        Only categories with this in their name are listed.
    style : str
        CSS classes of the images.
    """
    most = max((max(r.suspicion or 0.0, r.threshold or 0.0) for r in ranks), default=0.0) or 1.0
    places = {rank.name: n for n, rank in enumerate(ranks, start=1)}
    found = [rank for rank in ranks if query.casefold() in rank.name.casefold()]
    shown = found[page * size : (page + 1) * size]
    rows = "".join(_row(places[r.name], r, most, images.get(r.name, ())) for r in shown)
    head = "".join(f"<span>{text}</span>" for text in HEADS)
    more = pager(page, len(found), size, "ranking-page") if len(found) > size else ""
    table = (
        f'<div class="table {style}"><div class="head" aria-hidden="true">{head}</div>{rows}</div>'
    )
    return (
        f'<section class="ranking"><h1>Which class cheats?</h1><p class="lead">{_lead(ranks)}</p>'
        f"{table if found else empty('No class has this in its name.')}{more}</section>"
    )


def _lead(ranks: Sequence[Rank]) -> str:
    flagged, total = sum(rank.flagged for rank in ranks), len(ranks)
    if all(rank.suspicion is None for rank in ranks):
        return (
            f"{total:,} classes; the analysis did not rank them. Open one to look at its clusters."
        )
    limit = next((f" (suspicion {r.threshold:g} or more)" for r in ranks if r.threshold), "")
    return (
        "The samples of each class are grouped by what the network looks at: its clusters. Where "
        "one cluster stands apart, the network may have learnt a shortcut, a watermark for "
        f"instance. {flagged or 'None'} of {total:,} classes {'is' if flagged == 1 else 'are'} "
        f"flagged{limit}. Open a class to see why."
    )


def _row(place: int, rank: Rank, most: float, images: Iterable[str]) -> str:
    share = 100 * max(rank.suspicion or 0.0, 0.0) / most
    score = "" if rank.suspicion is None else f"{rank.suspicion:.2f}"
    flag = '<em class="flag">flagged</em>' if rank.flagged else ""
    numbers = (rank.n_samples, rank.n_clusters, rank.cluster_size)
    cells = "".join(f'<span class="n">{"" if n is None else f"{n:,}"}</span>' for n in numbers)
    limit = 100 * (rank.threshold or 0.0) / most
    tick = f'<s style="width:{limit:.1f}%"></s>' if limit else ""
    strip = "".join(f'<img src="{escape(a)}" alt="" decoding="async">' for a in images)
    inner = (
        f'<span class="n soft">{place}</span><span class="name">{escape(rank.name)}{flag}</span>'
        f'<span class="bar"><i style="width:{share:.1f}%"></i>{tick}<u>{score}</u></span>'
        f'{cells}<span class="strip">{strip}</span>'
    )
    told = f"{place}. {rank.name}, suspicion {score or 'unknown'}{', flagged' * rank.flagged}"
    return button("open", rank.name, inner, "row flagged" if rank.flagged else "row",
                  aria_label=told)  # fmt: skip
