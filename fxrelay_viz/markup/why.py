"""Why a class is flagged: the verdict in words, the pictures that show it, the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from fxrelay_viz.markup.basics import Card, button, tiles
from fxrelay_viz.reasons import Reason


@dataclass(frozen=True)
class Verdict:
    """What the ranking says of a class.

    Attributes
    ----------
    sentence : str
        The verdict in words.
    flagged : bool
    cluster : str
        Id of the cluster that it is about, or "".
    figures : mapping of caption to address
        Mean maps side by side.
    strips : mapping of title to sequence of Card
        Typical samples.
    reasons : sequence of Reason
        The scores.
    """

    sentence: str
    flagged: bool = False
    cluster: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
    strips: Mapping[str, Sequence[Card]] = field(default_factory=dict)
    reasons: Sequence[Reason] = ()


def verdict(one: Verdict, style: str) -> str:
    """Return why a class is flagged, or why not."""
    flag = '<em class="flag">flagged</em>' if one.flagged else '<em class="calm">not flagged</em>'
    acts = (
        button("odd", one.cluster, f"Select cluster {escape(one.cluster)}", "main")
        + button("compare", one.cluster, "Compare")
        if one.cluster else ""
    )  # fmt: skip
    return (
        f'<section class="verdict"><div class="bar-line"><b>Why {flag}</b>'
        f'<div class="pager">{acts}</div></div><p>{escape(one.sentence)}</p>'
        f"{_figures(one.figures, style)}{_strips(one.strips, style)}{_scores(one.reasons)}"
        "</section>"
    )


def _figures(figures: Mapping[str, str], style: str) -> str:
    inner = "".join(
        f'<figure><img src="{escape(address)}" alt="Mean relevance: {escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, address in figures.items()
    )
    head = "<h2>Where relevance lies on average</h2>"
    return f'{head}<div class="large {style}">{inner}</div>' if inner else ""


def _strips(strips: Mapping[str, Sequence[Card]], style: str) -> str:
    return "".join(
        f"<h2>{escape(title)}</h2>{tiles(cards, f'strip {style}', label=title)}"
        for title, cards in strips.items()
        if cards
    )


def _scores(reasons: Sequence[Reason]) -> str:
    rows = "".join(
        f"<li><b>{escape(one.name)}</b> {escape(one.value)}<p>{escape(one.meaning)}</p></li>"
        for one in reasons
    )
    return f'<h2>The scores behind it</h2><ul class="reasons">{rows}</ul>' if rows else ""
