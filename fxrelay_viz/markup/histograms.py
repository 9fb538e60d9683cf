"""Histograms that are brushed, or clicked, to keep a range or a value of a variable."""

from collections.abc import Sequence
from html import escape

import numpy as np

from fxrelay_viz.insight import Histogram
from fxrelay_viz.markup.basics import Choice, button, select

#: a smaller share in the selection is drawn on a scale of its own
SMALL = 0.2


def histograms(shown: Sequence[Histogram], more: Choice) -> str:
    """Return histograms side by side, and a selector for another one."""
    charts = "".join(_chart(one) for one in shown)
    return f'<div class="histograms">{charts}<div class="more">{select(more)}</div></div>'


def _chart(one: Histogram) -> str:
    most = max(int(one.everything.max(initial=0)), 1)
    is_small = one.selected.sum() < SMALL * one.everything.sum()
    part = max(int(one.selected.max(initial=0)), 1) if is_small else most
    shares = one.everything / most, one.selected / part
    close = button("histogram-close", one.name, "×", "icon", aria_label=f"Close {one.name}")
    missing = f" <small>({one.missing:,} missing)</small>" if one.missing else ""
    body = _listed(one, *shares) if one.edges is None else _brushed(one, one.edges, *shares)
    return (
        f'<figure class="histogram"><figcaption><span>{escape(one.name)}{missing}</span>{close}'
        f"</figcaption>{body}</figure>"
    )


def _brushed(one: Histogram, edges: np.ndarray, every: np.ndarray, chosen: np.ndarray) -> str:
    low, high = edges[0], edges[-1]
    told = f"Histogram of {one.name} from {low:.3g} to {high:.3g}. Drag to keep a range."
    return (
        f'<svg data-do="brush" data-value="{escape(one.name)}" viewBox="0 0 100 40" role="img" '
        f'aria-label="{escape(told)}" preserveAspectRatio="none"><title>{escape(told)}</title>'
        f"{_bars(every, 'every')}{_bars(chosen, 'chosen')}"
        f'<rect class="shade" x="0" y="0" width="0" height="40"/></svg>'
        f'<div class="ticks"><span>{low:.3g}</span><span>{high:.3g}</span></div>'
    )


def _bars(shares: np.ndarray, kind: str) -> str:
    wide = 100 / max(len(shares), 1)
    parts = (
        f"M{n * wide:.2f} 40v{-40 * share:.2f}h{wide * 0.92:.2f}v{40 * share:.2f}z"
        for n, share in enumerate(shares.tolist()) if share > 0
    )  # fmt: skip
    return f'<path class="{kind}" d="{"".join(parts)}"/>'


def _listed(one: Histogram, every: np.ndarray, chosen: np.ndarray) -> str:
    columns = zip(one.values, one.labels, one.everything, one.selected, every, chosen, strict=True)
    bars = "".join(
        button(
            "bar", f"{value} {one.name}",
            f'<i class="every" style="height:{100 * share:.0f}%"></i>'
            f'<i class="chosen" style="height:{100 * part:.0f}%"></i>',
            title=f"{label}: {inside:,} of {count:,}", aria_label=f"Keep {one.name} {label}",
        )
        for value, label, count, inside, share, part in columns
    )  # fmt: skip
    first, last = (escape(one.labels[n]) if one.labels else "" for n in (0, -1))
    return (
        f'<div class="bars" role="group" aria-label="{escape(one.name)}">{bars}</div>'
        f'<div class="ticks"><span>{first}</span><span>{last}</span></div>'
    )
