"""Controls of an open category: what to draw, how gestures join, what colours mean."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from fxrelay.heatmap import CMAPS, palette
from fxrelay_viz.markup.basics import Choice, attributes, button, dot, segments, select, slider
from fxrelay_viz.palette import Colouring

#: a legend lists so many values
MOST_LISTED = 40


def choices(groups: Mapping[str, Sequence[Choice]]) -> str:
    """Return selectors under headings, which may be empty; those with one option are left out."""
    out = ""
    for title, group in groups.items():
        fields = "".join(select(choice) for choice in group if len(choice.options) > 1)
        head = f"<legend>{escape(title)}</legend>" if title else ""
        out += f"<fieldset>{head}{fields}</fieldset>" if fields else ""
    return f'<div class="choices">{out}</div>'


def tools(
    modes: Mapping[str, str], mode: str, n_selected: int, total: int, undoable: bool, redoable: bool
) -> str:
    """Return the bar above the plot: how gestures join, undo, and how many are selected."""
    none = not n_selected
    actions = (
        button("undo", "", "↶", "icon", not undoable, title="Undo (Ctrl+Z)", aria_label="Undo")
        + button("redo", "", "↷", "icon", not redoable, title="Redo (Ctrl+Y)", aria_label="Redo")
        + button("invert", "", "Invert", title="Select what is not selected")
        + button("everything", "", "All", title="Select the whole class")
        + button("clear", "", "Clear", off=none, title="Select nothing (Escape)")
        + button("fit", "", "⤢", "icon", title="Show all points", aria_label="Show all points")
    )
    number = f"<b>{n_selected:,}</b> of {total:,} selected"
    return (
        f'<div class="tools">{segments("selection-mode", modes, mode, "How a gesture joins")}'
        f'<div class="actions">{actions}</div>'
        f'<span class="count" role="status">{number}</span></div>'
    )


def clusters(
    colouring: Colouring, selected: np.ndarray, odd: int | None, hidden: Sequence[int] = ()
) -> str:
    """Return a button per cluster with its colour, size and share in the selection, and an eye.

    Parameters
    ----------
    colouring : Colouring
        Of the clusters.
    selected : bool array, shape (n,)
    odd : int or None
        The cluster that the ranking names.
    hidden : sequence of int
        Ids of the clusters that are not shown.
    """
    counts, chosen = colouring.counts(), colouring.counts(selected)
    parts = "".join(
        f'<span class="pair{" off" * (value in hidden)}">'
        f"{_chip(n, colouring, int(counts[n]), int(chosen[n]), bool(chosen.any()), odd)}"
        f"{_eye(value, _named(colouring.labels[n]), value in hidden)}</span>"
        for n, value in enumerate(colouring.values)
    )
    back = button("show-all", "", "Show all", "link") if hidden else ""
    return f'<div class="chips" role="group" aria-label="Clusters">{parts}{back}</div>'


def _named(label: str) -> str:
    return "Noise" if label == "noise" else f"Cluster {label}"


def _eye(value: Any, name: str, is_hidden: bool) -> str:
    shown = '<circle cx="8" cy="5" r="2.2"/>' if not is_hidden else '<path d="M3 10 13 0"/>'
    icon = (
        '<svg class="eye" viewBox="0 0 16 10" aria-hidden="true">'
        f'<path d="M1 5q7-8 14 0q-7 8-14 0"/>{shown}</svg>'
    )
    told = f"{'Show' if is_hidden else 'Hide'} {name}"
    return button("hide", value, icon, "icon", title=f"{told}; with Shift show it alone",
                  aria_label=told, aria_pressed=str(is_hidden).lower())  # fmt: skip


def _chip(
    n: int, colouring: Colouring, count: int, chosen: int, is_any: bool, odd: int | None
) -> str:
    value, label = colouring.values[n], colouring.labels[n]
    text = escape(_named(label))
    mark = '<em class="flag">odd</em>' if odd is not None and value == odd else ""
    of = f"{chosen:,} / {count:,}" if is_any else f"{count:,}"
    inner = f"{dot(colouring.colours[n])}{text}{mark}<small>{of}</small>"
    pressed = str(bool(chosen and chosen == count)).lower()
    return button("cluster", value, inner, "chip", aria_pressed=pressed,
                  title="Select; Shift adds, Alt subtracts")  # fmt: skip


def legend(colouring: Colouring, name: str) -> str:
    """Return what the colours of the points mean; a value is a button that selects its samples."""
    if colouring.limits is not None:
        return _scale(colouring, colouring.limits, name)
    counts = colouring.counts()
    listed = np.argsort(-counts, kind="stable")[:MOST_LISTED]
    items = "".join(
        button("value", colouring.values[n],
               f"{dot(colouring.colours[n])}{escape(colouring.labels[n])}"
               f"<small>{counts[n]:,}</small>", "chip", title="Select; Shift adds, Alt subtracts")
        for n in sorted(listed.tolist()) if counts[n]
    )  # fmt: skip
    left = int((counts > 0).sum()) - len(listed)
    more = f"<small>and {left:,} more</small>" if left > 0 else ""
    return (
        f'<div class="chips" role="group" aria-label="{escape(name)}"><small>'
        f"{escape(name.replace('_', ' '))}</small>{items}{more}</div>"
    )


def _scale(colouring: Colouring, limits: tuple[float, float], name: str) -> str:
    steps = colouring.colours[:-1]
    stops = ",".join(steps)
    ticks = "".join(f"<span>{v:.3g}</span>" for v in np.linspace(*limits, 5))
    return (
        f'<div class="colour-bar wide" role="img" aria-label="{escape(name)} from '
        f'{limits[0]:.3g} to {limits[1]:.3g}"><i>{escape(name)}</i>'
        f'<div class="strip" style="background:linear-gradient(90deg,{stops})"></div>'
        f'<div class="ticks">{ticks}</div></div>'
    )


def looks(
    modes: Mapping[str, str],
    mode: str,
    bar: str,
    blend: float | None,
    fields: Sequence[Choice],
    more: Sequence[Choice],
) -> str:
    """Return how images are drawn.

    Parameters
    ----------
    modes, mode : mapping of str to str, str
        Image modes, and the chosen one.
    bar : str
        The colour bar, HTML already.
    blend : float or None
        Opacity of overlays; None where there are none.
    fields, more : sequences of Choice
        Selectors that are always seen, and those that are unfolded.
    """
    mix = "" if blend is None else slider("blend", "Blend", blend, 0, 1, 0.05)
    seen, folded = (
        "".join(select(c) for c in part if len(c.options) > 1) for part in (fields, more)
    )
    return (
        f'<div class="looks">{segments("mode", modes, mode, "Image mode")}{bar}</div>'
        f'<details class="folded"><summary>More</summary><div class="fields">{mix}{folded}</div>'
        f'</details><div class="fields">{seen}</div>'
    )


def colour_bar(cmap: str, limit: float | None) -> str:
    """Return the colour map with ticks in units of relevance, or of each image's largest."""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in palette(cmap)[::15])
    end = 1.0 if limit is None else limit
    ends = (-end, -end / 2, 0.0, end / 2, end) if CMAPS[cmap].signed else (0.0, end / 2, end)
    ticks = "".join(f"<span>{_tick(v, limit)}</span>" for v in ends)
    unit = "of each image's largest" if limit is None else "relevance"
    told = attributes(role="img", aria_label=f"Colour bar of {cmap}, {unit}", title=unit)
    return (
        f'<div class="colour-bar"{told}>'
        f'<div class="strip" style="background:linear-gradient(90deg,{stops})"></div>'
        f'<div class="ticks">{ticks}</div></div>'
    )


def _tick(value: float, limit: float | None) -> str:
    sign = "−" if value < 0 else ""
    if limit is None:
        return f"{sign}max" if abs(value) == 1 else f"{sign}½" if value else "0"
    return f"{sign}{abs(value):.2g}"


def names(values: Sequence[Any]) -> dict[Any, str]:
    """Return values as the options of a selector."""
    return {value: str(value) for value in values}
