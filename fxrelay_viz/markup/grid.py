"""Images of many samples, and of the one under the pointer."""

from collections.abc import Sequence
from html import escape

from fxrelay_viz.markup.basics import Card, dot, empty, pager, tiles


def grid(
    cards: Sequence[Card], page: int, total: int, size: int, style: str, what: str = ""
) -> str:
    """Return the images of a page of the selection, or of what else they are."""
    if not cards:
        return empty("No samples here. Undo, select others, or show hidden clusters.")
    bar = f'<div class="bar-line"><b>{what}</b>{pager(page, total, size, "page")}</div>'
    return bar + tiles(cards, f"grid {style}", label=what)


def preview(
    card: Card | None, facts: Sequence[str] = (), is_wrong: bool = False, style: str = ""
) -> str:
    """Return the sample under the pointer: image, id, what it is, what the model says."""
    if card is None:
        return ""
    lines = "".join(f"<span>{escape(line)}</span>" for line in facts)
    kind = f"preview {style}{' wrong' * is_wrong}"
    return (
        f'<div class="{kind}"><img src="{escape(card.address)}" alt="{escape(card.title)}">'
        f"<div><b>{dot(card.colour)}{escape(card.caption)}</b>{lines}</div></div>"
    )
