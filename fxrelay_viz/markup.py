"""HTML of the viewer, made by pure functions; every text that comes from data is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from fxrelay.heatmap import CMAPS, palette
from fxrelay_viz.data import Rank
from fxrelay_viz.palette import Colouring


@dataclass(frozen=True)
class Card:
    """One image of a grid."""

    address: str
    value: str
    caption: str
    title: str = ""
    colour: str = ""


def button(do: str, value: Any, inner: str, kind: str = "", **attributes: str) -> str:
    """Return a button that reports `do` and `value`; `inner` is HTML already."""
    rest = "".join(f' {k.replace("_", "-")}="{escape(v)}"' for k, v in attributes.items() if v)
    return (
        f'<button type="button" class="{kind}" data-do="{do}" '
        f'data-value="{escape(str(value))}"{rest}>{inner}</button>'
    )


def segments(do: str, options: Mapping[str, str], current: str, label: str) -> str:
    """Return a row of joined buttons of which one is pressed."""
    parts = [
        button(do, value, escape(text), aria_pressed=str(value == current).lower())
        for value, text in options.items()
    ]
    return f'<div class="segments" role="group" aria-label="{escape(label)}">{"".join(parts)}</div>'


def header(facts: Mapping[str, str], category: str, message: str) -> str:
    """Return the bar at the top: where we are, what is shown, what went wrong."""
    crumb = f'<span class="sep">/</span><b>{escape(category)}</b>' if category else ""
    home = button("home", "", "Classes", "link", aria_label="Back to all classes")
    items = "".join(f"<span><i>{escape(k)}</i> {escape(v)}</span>" for k, v in facts.items() if v)
    alert = f'<p class="alert" role="alert">{escape(message)}</p>' if message else ""
    return (
        f'<header><span class="brand">fxrelay</span><nav>{home}{crumb}</nav>'
        f'<div class="facts">{items}</div></header>{alert}'
    )


def ranking(
    ranks: Sequence[Rank], images: Mapping[str, Sequence[str]], page: int, size: int
) -> str:
    """Return the landing page: one row per category, most suspicious first, one click into it."""
    most = max((r.suspicion or 0.0 for r in ranks), default=0.0) or 1.0
    first = page * size
    rows = "".join(
        _rank(n + 1, rank, most, images.get(rank.name, ()))
        for n, rank in enumerate(ranks[first : first + size], start=first)
    )
    heads = ("", "Class", "Suspicion", "Samples", "Clusters", "Odd cluster", "From the odd cluster")
    head = "".join(f"<span>{text}</span>" for text in heads)
    more = pager(page, len(ranks), size, "ranking-page") if len(ranks) > size else ""
    flagged = sum(rank.flagged for rank in ranks)
    verdict = f"{flagged} flagged" if flagged else "none flagged"
    return (
        '<section class="ranking"><h1>Which class cheats?</h1>'
        f'<p class="lead">{len(ranks)} classes by how suspicious their clusters of explanations '
        f"are, {verdict}. Open one to look at its clusters.</p>"
        f'<div class="table"><div class="head">{head}</div>{rows}</div>{more}</section>'
    )


def _rank(place: int, rank: Rank, most: float, images: Iterable[str]) -> str:
    share = 100 * max(rank.suspicion or 0.0, 0.0) / most
    score = "" if rank.suspicion is None else f"{rank.suspicion:.2f}"
    flag = '<em class="flag">flagged</em>' if rank.flagged else ""
    numbers = (rank.n_samples, rank.n_clusters, rank.cluster_size)
    cells = "".join(f'<span class="n">{"" if n is None else f"{n:,}"}</span>' for n in numbers)
    strip = "".join(f'<img src="{escape(a)}" alt="" loading="lazy">' for a in images)
    inner = (
        f'<span class="n soft">{place}</span><span class="name">{escape(rank.name)}{flag}</span>'
        f'<span class="bar"><i style="width:{share:.1f}%"></i><u>{score}</u></span>'
        f'{cells}<span class="strip">{strip}</span>'
    )
    return button("open", rank.name, inner, "row flagged" if rank.flagged else "row")


def tools(modes: Sequence[str], mode: str, n_selected: int, total: int, undoable: bool) -> str:
    """Return the bar above the plot: how gestures join, undo, and how many are selected."""
    options = {name: name.capitalize() for name in modes}
    off = "" if undoable else "disabled"
    none = "" if n_selected else "disabled"
    actions = (
        button("undo", "", "Undo", off, title="Take the last selection back")
        + button("clear", "", "Clear", none, title="Select nothing")
        + button("everything", "", "All", title="Select the whole class")
    )
    number = f"<b>{n_selected:,}</b> of {total:,}"
    count = f'<span class="count" title="Selected samples">{number}</span>'
    return (
        f'<div class="tools">{segments("selection-mode", options, mode, "Selection mode")}'
        f'<div class="actions">{actions}</div>{count}</div>'
    )


def clusters(colouring: Colouring, selected: Any, odd: int | None) -> str:
    """Return one button per cluster with its colour, size and share in the selection."""
    counts, chosen = colouring.counts(), colouring.counts(selected)
    parts = []
    for n, value in enumerate(colouring.values):
        label = colouring.labels[n]
        text = "Noise" if label == "noise" else f"Cluster {escape(label)}"
        mark = '<em class="flag">odd</em>' if odd is not None and value == odd else ""
        of = f"{chosen[n]:,} / {counts[n]:,}" if chosen.any() else f"{counts[n]:,}"
        inner = f"{_dot(colouring.colours[n])}{text}{mark}<small>{of}</small>"
        pressed = str(bool(chosen[n] and chosen[n] == counts[n])).lower()
        parts.append(
            button(
                "cluster",
                value,
                inner,
                "chip",
                aria_pressed=pressed,
                title="Select; Shift adds, Alt subtracts",
            )
        )
    return f'<div class="chips" aria-label="Clusters">{"".join(parts)}</div>'


def legend(colouring: Colouring, name: str) -> str:
    """Return what the colours of the points mean, where it is not the clusters."""
    if colouring.limits is not None:
        low, high = colouring.limits
        stops = ",".join(colouring.colours[:-1])
        return (
            f'<div class="legend"><i>{escape(name)}</i><span>{low:.4g}</span>'
            f'<span class="scale" style="background:linear-gradient(90deg,{stops})"></span>'
            f"<span>{high:.4g}</span></div>"
        )
    counts = colouring.counts()
    items = "".join(
        f"<span>{_dot(colour)}{escape(label)} <small>{count:,}</small></span>"
        for colour, label, count in zip(colouring.colours, colouring.labels, counts, strict=True)
        if count
    )
    return f'<div class="legend"><i>{escape(name)}</i>{items}</div>'


def looks(modes: Mapping[str, str], mode: str, bar: str) -> str:
    """Return the image modes beside the colour bar (HTML already)."""
    return f'<div class="looks">{segments("look", modes, mode, "Image mode")}{bar}</div>'


def verdict(rank: Rank) -> str:
    """Return what the ranking says of the open category."""
    if rank.suspicion is None:
        return ""
    odd = "" if rank.cluster is None else f"<dt>odd cluster</dt><dd>{rank.cluster}</dd>"
    size = (
        "" if rank.cluster_size is None else f"<dt>its samples</dt><dd>{rank.cluster_size:,}</dd>"
    )
    flag = '<em class="flag">flagged</em>' if rank.flagged else "not flagged"
    return (
        f'<h2>Verdict</h2><dl class="facts-list"><dt>suspicion</dt><dd>{rank.suspicion:.3g}</dd>'
        f"{odd}{size}<dt>ranking</dt><dd>{flag}</dd></dl>"
    )


def grid(cards: Sequence[Card], page: int, total: int, size: int, everything: bool = False) -> str:
    """Return the images of a page of the selection, or of the whole class."""
    if not cards:
        return '<p class="empty">No samples here.</p>'
    tiles = "".join(_tile(card) for card in cards)
    what = "Nothing selected, whole class" if everything else "Selection"
    bar = f'<div class="bar-line"><b>{what}</b>{pager(page, total, size, "page")}</div>'
    return f'{bar}<div class="grid">{tiles}</div>'


def _tile(card: Card) -> str:
    dot = _dot(card.colour) if card.colour else ""
    inner = (
        f'<img src="{escape(card.address)}" alt="{escape(card.title)}">'
        f"<span>{dot}{escape(card.caption)}</span>"
    )
    return button("show", card.value, inner, "tile", title=card.title)


def pager(page: int, total: int, size: int, do: str) -> str:
    """Return the buttons to the pages before and after."""
    last = max(0, -(-total // size) - 1)
    back = button(do, max(page - 1, 0), "‹", "" if page else "disabled", aria_label="Previous page")
    on = button(
        do, min(page + 1, last), "›", "" if page < last else "disabled", aria_label="Next page"
    )
    text = f"{page * size + 1:,}–{min((page + 1) * size, total):,} of {total:,}"
    return f'<div class="pager">{back}<span>{text}</span>{on}</div>'


def detail(images: Mapping[str, str], facts: Mapping[str, str], wrong: str = "") -> str:
    """Return one sample in large, in every mode, with what is known; the fact `wrong` is red."""
    if not images:
        return (
            '<p class="empty">Point at the plot or click an image to see one sample in large.</p>'
        )
    pictures = "".join(
        f'<figure><img src="{escape(address)}" alt="{escape(name)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, address in images.items()
    )
    rows = "".join(
        f"<dt>{escape(k)}</dt><dd{' class=wrong' if k == wrong else ''}>{escape(v)}</dd>"
        for k, v in facts.items()
    )
    large = f'<div class="large">{pictures}</div>'
    return f'<div class="detail">{large}<dl class="facts-list">{rows}</dl></div>'


def colour_bar(cmap: str, limit: float | None) -> str:
    """Return the colour map with its ends in units of relevance, or of each image's largest."""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in palette(cmap)[::15])
    most = "max" if limit is None else f"{limit:.2g}"
    zero = "relevance of each image" if limit is None else "relevance"
    ticks = (f"−{most}", zero, f"+{most}") if CMAPS[cmap].signed else ("0", zero, f"{most}")
    labels = "".join(f"<span>{escape(tick)}</span>" for tick in ticks)
    return (
        f'<div class="colour-bar" role="img" aria-label="Colour bar of {escape(cmap)}">'
        f'<div class="strip" style="background:linear-gradient(90deg,{stops})"></div>'
        f'<div class="ticks">{labels}</div></div>'
    )


def _dot(colour: str) -> str:
    return f'<span class="dot" style="background:{escape(colour)}"></span>'
