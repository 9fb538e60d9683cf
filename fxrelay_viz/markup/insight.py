"""What distinguishes the clusters: prototypes, mean maps, scores, two of them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from fxrelay_viz.insight import Difference
from fxrelay_viz.markup.basics import (
    Card,
    Choice,
    button,
    dot,
    empty,
    facts,
    segments,
    select,
    tiles,
)


@dataclass(frozen=True)
class Summary:
    """One cluster (or selection) at a glance.

    Attributes
    ----------
    value, title, colour : str
        Id, name and colour of the cluster.
    mean : str
        Address of its mean relevance, "" for none.
    prototypes : sequence of Card
        Its most typical samples.
    scores : mapping of name to text
    is_odd : bool
        Whether the ranking flags it.
    """

    value: str
    title: str
    colour: str = ""
    mean: str = ""
    prototypes: Sequence[Card] = ()
    scores: Mapping[str, str] = field(default_factory=dict)
    is_odd: bool = False


@dataclass(frozen=True)
class Comparison:
    """Two things side by side: rows of images under two titles."""

    titles: tuple[str, str]
    rows: Sequence[tuple[Card, Card]] = ()


def tabs(names: Mapping[str, str], chosen: str) -> str:
    """Return the buttons that choose what the lower right shows."""
    return segments("tab", names, chosen, "What to show")


def summaries(clusters: Sequence[Summary], style: str) -> str:
    """Return one row per cluster."""
    if not clusters:
        return empty("This class has no clusters.")
    return "".join(_summary(one, style) for one in clusters)


def _summary(one: Summary, style: str) -> str:
    mark = '<em class="flag">odd</em>' if one.is_odd else ""
    acts = (
        button("cluster", one.value, "Select")
        + button("only", one.value, "Only this", title="Hide all others, or show them again")
        + button("compare", one.value, "Compare")
        if one.value else ""
    )  # fmt: skip
    mean = (
        f'<figure class="mean"><img src="{escape(one.mean)}" alt="Mean relevance of '
        f'{escape(one.title)}"><figcaption>mean</figcaption></figure>'
        if one.mean else ""
    )  # fmt: skip
    return (
        f'<section class="summary"><div class="bar-line"><b>{dot(one.colour)}{escape(one.title)}'
        f'{mark}</b><div class="pager">{acts}</div></div><div class="summary-row {style}">{mean}'
        f"{tiles(one.prototypes, 'strip', label='Most typical')}</div>{facts(one.scores)}</section>"
    )


def comparison(
    pair: Sequence[Summary],
    differences: Sequence[Difference],
    methods: Comparison | None,
    fields: Sequence[Choice],
    style: str,
    minus: str = "",
) -> str:
    """Return two clusters, and two attributions, side by side.

    Parameters
    ----------
    pair : sequence of two Summary, or none
    differences : sequence of Difference
        Of the two clusters, the largest first.
    methods : Comparison or None
        The same samples by two attributions.
    fields : sequence of Choice
        What is compared.
    style : str
        CSS classes of the images, as `views.looks.style_of` names them.
    minus : str
        Address of the mean of the first cluster minus that of the second, "" for none.
    """
    chosen = "".join(select(choice) for choice in fields if len(choice.options) > 1)
    two = "".join(f"<div>{_summary(one, style)}</div>" for one in pair)
    both = (
        f'<div class="two">{two}</div>' if two else empty("There are no two clusters to compare.")
    )
    return (
        f'<div class="fields">{chosen}</div>{both}{_minus(minus, style)}{_differences(differences)}'
        f"{_methods(methods, style)}"
    )


def _minus(address: str, style: str) -> str:
    if not address:
        return ""
    return (
        f'<h2>Where their relevance differs: A − B</h2><div class="minus {style}"><figure '
        f'class="mean"><img src="{escape(address)}" alt="Mean of A minus mean of B"></figure></div>'
    )


def _differences(rows: Sequence[Difference]) -> str:
    inner = "".join(
        f"<tr><th scope=row>{escape(row.name)}</th><td>{escape(row.first)}</td>"
        f"<td>{escape(row.second)}</td><td>{row.distance:.2f}</td></tr>"
        for row in rows
    )
    head = "<tr><th></th><th scope=col>A</th><th scope=col>B</th><th scope=col>distance</th></tr>"
    table = f'<table class="differences">{head}{inner}</table>'
    return f"<h2>Where they differ</h2>{table}" if inner else ""


def _methods(methods: Comparison | None, style: str) -> str:
    if methods is None:
        return ""
    heads = "".join(f"<b>{escape(title)}</b>" for title in methods.titles)
    rows = "".join(tiles(pair, f"pair-row {style}") for pair in methods.rows)
    return f'<h2>Two attributions</h2><div class="pair-row heads">{heads}</div>{rows}'
