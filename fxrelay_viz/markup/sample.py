"""One sample in large, with everything that is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from fxrelay_viz.markup.basics import Card, button, empty, facts, tiles

NOTHING = "Click a point or an image to see one sample in large."


@dataclass(frozen=True)
class Detail:
    """What is shown of one sample.

    Attributes
    ----------
    value : str
        Its position in the category.
    name : str
        Its id.
    images : mapping of caption to address
    known : mapping of name to text
    wrong : tuple of str
        The facts that are red.
    classes : sequence of (name, output, share of the largest)
        The largest outputs, in order.
    targets, layers, neighbours, methods : sequences of Card
        Every explained target, recorded layer, sample nearby, and other attribution.
    tags : sequence of str
    note : str
    """

    value: str = ""
    name: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    classes: Sequence[tuple[str, float, float]] = ()
    targets: Sequence[Card] = ()
    layers: Sequence[Card] = ()
    neighbours: Sequence[Card] = ()
    methods: Sequence[Card] = ()
    tags: Sequence[str] = ()
    note: str = ""


def detail(one: Detail, style: str) -> str:
    """Return one sample in large, or what to do to see one."""
    if not one.images:
        return empty(NOTHING)
    strips = (
        ("Explained targets", "target", one.targets),
        ("Layers", "variable", one.layers),
        ("Other attributions", "method", one.methods),
        ("Nearest in this embedding", "show", one.neighbours),
    )
    rows = "".join(_strip(title, do, cards, style) for title, do, cards in strips if cards)
    return (
        f'<div class="detail">{_title(one)}{_pictures(one.images, style)}'
        f'<div class="columns">{facts(one.known, one.wrong)}{_classes(one.classes)}</div>'
        f"{rows}{_marks(one)}</div>"
    )


def _title(one: Detail) -> str:
    turns = (
        button("step", "-1", "‹", "icon", aria_label="Sample before")
        + button("step", "1", "›", "icon", aria_label="Sample after")
        + button("near", one.value, "Select its neighbours")
        + button("show", "", "×", "icon", aria_label="Close the sample")
    )
    return f'<div class="bar-line"><b>{escape(one.name)}</b><div class="pager">{turns}</div></div>'


def _pictures(images: Mapping[str, str], style: str) -> str:
    inner = "".join(
        f'<figure><img src="{escape(address)}" alt="{escape(name)}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, address in images.items()
    )
    return f'<div class="large {style}">{inner}</div>'


def _classes(classes: Sequence[tuple[str, float, float]]) -> str:
    rows = "".join(
        f'<li><span>{escape(name)}</span><i style="width:{100 * max(share, 0):.0f}%"></i>'
        f"<b>{value:.3g}</b></li>"
        for name, value, share in classes
    )
    return f'<ol class="outputs" aria-label="Largest outputs">{rows}</ol>' if rows else ""


def _strip(title: str, do: str, cards: Sequence[Card], style: str) -> str:
    return f"<h2>{title}</h2>{tiles(cards, f'strip {style}', do, title)}"


def _marks(one: Detail) -> str:
    tags = "".join(
        button("untag", tag, f"{escape(tag)} ×", "chip", aria_label=f"Remove the tag {tag}")
        for tag in one.tags
    )
    return (
        f'<h2>Tags and note</h2><div class="chips">{tags}<input type="text" data-do="tag" '
        'placeholder="Add a tag" aria-label="Add a tag" maxlength="64"></div>'
        '<textarea data-do="note" rows="2" placeholder="Note" aria-label="Note" '
        f'maxlength="10000">{escape(one.note)}</textarea>'
    )
