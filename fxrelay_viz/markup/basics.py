"""The controls that all parts of the page are made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Card:
    """One image that can be clicked.

    Attributes
    ----------
    address : str
        Goes into the `src` of the image.
    value : str
        What a click reports.
    caption, title : str
        Below the image, and what a screen reader and a resting pointer tell of it.
    colour : str
        Of the dot before the caption; "" for none.
    """

    address: str
    value: str
    caption: str
    title: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Choice:
    """A selector: its label, what it reports, its options (text by value) and the chosen value.

    A `half` one shares its line with another.
    """

    label: str
    do: str
    options: Mapping[Any, str]
    value: Any
    how: str = ""
    half: bool = False


def attributes(**given: str) -> str:
    """Return the attributes that are not empty, escaped, with a space before each."""
    return "".join(
        f' {k.rstrip("_").replace("_", "-")}="{escape(v)}"' for k, v in given.items() if v
    )


def button(do: str, value: Any, inner: str, kind: str = "", off: bool = False, **more: str) -> str:
    """Return a button that reports `do` and `value`; `inner` is HTML already."""
    rest = attributes(class_=kind, aria_disabled="true" if off else "", **more)
    return (
        f'<button type="button" data-do="{do}" data-value="{escape(str(value))}"{rest}>'
        f"{inner}</button>"
    )


def segments(do: str, options: Mapping[str, str], current: str, label: str) -> str:
    """Return a row of joined buttons of which one is pressed."""
    parts = [
        button(do, value, escape(text), aria_pressed=str(value == current).lower())
        for value, text in options.items()
    ]
    return f'<div class="segments" role="group" aria-label="{escape(label)}">{"".join(parts)}</div>'


def select(choice: Choice) -> str:
    """Return a labelled selector; a chosen value that is no option stands first."""
    options = dict(choice.options)
    if choice.value not in options:
        options = {choice.value: str(choice.value), **options}
    rows = "".join(
        f'<option value="{escape(str(value))}"{" selected" if value == choice.value else ""}>'
        f"{escape(text)}</option>"
        for value, text in options.items()
    )
    off = " disabled" if len(options) < 2 else ""
    return (
        f'<label class="field{" half" * choice.half}"><span>{escape(choice.label)}</span>'
        f'<select data-do="{choice.do}" data-value="{escape(choice.how)}"{off}>{rows}</select>'
        "</label>"
    )


def slider(do: str, label: str, value: float, low: float, high: float, step: float) -> str:
    """Return a labelled slider."""
    return (
        f'<label class="field"><span>{escape(label)}</span><input type="range" data-do="{do}" '
        f'min="{low:g}" max="{high:g}" step="{step:g}" value="{value:g}"></label>'
    )


def pager(page: int, total: int, size: int, do: str) -> str:
    """Return the buttons to the pages before and after."""
    last = max(0, -(-total // size) - 1)
    back = button(do, max(page - 1, 0), "‹", off=page == 0, aria_label="Previous page")
    on = button(do, min(page + 1, last), "›", off=page >= last, aria_label="Next page")
    text = f"{page * size + 1:,}–{min((page + 1) * size, total):,} of {total:,}"
    return f'<div class="pager">{back}<span>{text}</span>{on}</div>'


def dot(colour: str) -> str:
    """Return a dot of this colour, or nothing."""
    return f'<span class="dot" style="background:{escape(colour)}"></span>' if colour else ""


def tile(card: Card, do: str = "show") -> str:
    """Return an image with its caption as a button."""
    inner = (
        f'<img src="{escape(card.address)}" alt="{escape(card.title or card.caption)}" '
        f'decoding="async"><span>{dot(card.colour)}{escape(card.caption)}</span>'
    )
    return button(do, card.value, inner, "tile", title=card.title)


def tiles(cards: Iterable[Card], kind: str = "grid", do: str = "show", label: str = "") -> str:
    """Return images side by side; the arrow keys walk over them."""
    inner = "".join(tile(card, do) for card in cards)
    return f'<div class="{kind}" role="group"{attributes(aria_label=label)}>{inner}</div>'


def facts(rows: Mapping[str, str] | Sequence[tuple[str, str]], wrong: Iterable[str] = ()) -> str:
    """Return a list of names and values; the `wrong` ones are red."""
    pairs = rows.items() if isinstance(rows, Mapping) else rows
    inner = "".join(
        f"<dt>{escape(k)}</dt><dd{' class=wrong' if k in wrong else ''}>{escape(v)}</dd>"
        for k, v in pairs
    )
    return f'<dl class="facts-list">{inner}</dl>'


def empty(text: str) -> str:
    """Return what stands where there is nothing to see."""
    return f'<p class="empty">{escape(text)}</p>'
