"""A dendrogram that is cut by a click at a level."""

from collections.abc import Callable, Sequence
from html import escape

from fxrelay_viz.markup.basics import button
from fxrelay_viz.merging import Joint


def dendrogram(
    joints: Sequence[Joint],
    bands: Sequence[tuple[int, float, float]],
    k: int | None,
    colour: Callable[[int], str],
) -> str:
    """Return the top of a tree of merges; a click between two merges cuts it there.

    Parameters
    ----------
    joints : sequence of Joint
    bands : sequence of (k, low, high)
        Heights, in 0..1, between which a cut gives k clusters.
    k : int or None
        Number of clusters that is shown; None where another clustering is.
    colour : callable
        Sample to the colour of its cluster, or "".
    """
    lines = "".join(_joint(one, k, colour) for one in joints)
    levels = "".join(_band(n, low, high, n == k) for n, low, high in bands)
    return (
        f'<h2>Merge tree</h2><div class="dendrogram" role="group" '
        f'aria-label="Merge tree; choose where to cut it"><svg viewBox="0 0 100 100" '
        f'preserveAspectRatio="none" aria-hidden="true">{lines}</svg>{levels}</div>'
    )


def _joint(one: Joint, k: int | None, colour: Callable[[int], str]) -> str:
    above = k is None or one.apart < k
    first, last = one.ends
    bar = f"M{100 * first.x:.1f} {_y(one.y)}H{100 * last.x:.1f}"
    out = _path(bar, "" if above else colour(first.sample))
    for end in one.ends:
        leg = f"M{100 * end.x:.1f} {_y(one.y)}V{_y(end.y)}"
        out += _path(leg, "" if k is None else colour(end.sample))
    return out


def _path(line: str, colour: str) -> str:
    style = f' style="stroke:{escape(colour)}"' if colour else ""
    return f'<path d="{line}"{style}/>'


def _y(height: float) -> str:
    return f"{100 - 98 * height:.1f}"


def _band(k: int, low: float, high: float, on: bool) -> str:
    told = f"Cut into {k} clusters"
    style = f"bottom:{98 * low:.2f}%;height:{98 * (high - low):.2f}%"
    return button("cut", k, "", title=told, aria_label=told, style=style,
                  aria_pressed=str(on).lower())  # fmt: skip
