"""Images of many samples, and of the one under the pointer."""

from collections.abc import Sequence
from html import escape

from fxrelay_viz.markup.basics import Card, button, dot, empty, pager, tiles


def grid(
    cards: Sequence[Card], page: int, total: int, size: int, style: str, what: str = "",
    is_random: bool = False,
) -> str:  # fmt: skip
    """Return the images of a page of the selection, or of what else they are."""
    if not cards:
        return empty("No samples here. Undo, select others, or show hidden clusters.")
    again = button("shuffle", "", "Shuffle", title="Others at random") if is_random else ""
    bar = f'<div class="bar-line"><b>{what}</b>{again}{pager(page, total, size, "page")}</div>'
    return bar + tiles(cards, f"grid {style}", label=what)


def preview(
    card: Card | None, facts: Sequence[str] = (), is_wrong: bool = False, style: str = "",
    beside: str = "",
) -> str:  # fmt: skip
    """Return the sample under the pointer: image, id, what it is, what the model says.

    Parameters
    ----------
    card : Card or None
        None shows nothing.
    facts : sequence of str
    is_wrong : bool
        Whether the model is wrong.
    style : str
        CSS classes of the images.
    beside : str
        Address of the plain input, where the image shows something else.
    """
    if card is None:
        return ""
    lines = "".join(f"<span>{escape(line)}</span>" for line in facts)
    kind = f"preview {style}{' wrong' * is_wrong}"
    plain = f'<img src="{escape(beside)}" alt="Input">' if beside else ""
    return (
        f'<div class="{kind}">{plain}<img src="{escape(card.address)}" alt="{escape(card.title)}">'
        f"<div><b>{dot(card.colour)}{escape(card.caption)}</b>{lines}</div></div>"
    )
