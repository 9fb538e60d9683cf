"""How images are drawn, as the state says."""

from collections.abc import Mapping
from typing import Any, Final

from fxrelay.heatmap import CMAPS
from fxrelay_viz import markup
from fxrelay_viz.images import Look
from fxrelay_viz.markup import Choice
from fxrelay_viz.pictures import layout
from fxrelay_viz.renderers import RENDERERS, Renderer, kind_of
from fxrelay_viz.renderers.look import MODES, THUMBNAIL
from fxrelay_viz.scales import scale_end
from fxrelay_viz.session import Session
from fxrelay_viz.state import ORDERS, SAMPLINGS, SCALES, oddness

PAGE_SIZES: Final = (12, 24, 48, 96)
#: so many selectors are always seen
SEEN: Final = 3


def modes(session: Session) -> dict[str, str]:
    """Return the image modes that the open data has."""
    if not session.project.has_input:
        return {"heatmap": MODES["heatmap"]}
    return {name: MODES[name] for name in renderer(session).modes}


def renderer(session: Session) -> Renderer:
    """Return the row of the table of renderers for what is drawn."""
    dims = layout(session.project.ds[session.state.variable])
    return RENDERERS[kind_of(dims or ())]


def style_of(session: Session) -> str:
    """Return the CSS classes of images: how small ones are enlarged, "wide" for drawings."""
    return session.state.sampling + " wide" * renderer(session).wide


def mode_of(session: Session) -> str:
    """Return the image mode, where the data has it."""
    known = modes(session)
    return session.state.mode if session.state.mode in known else next(iter(known))


def look_of(
    session: Session, size: int = THUMBNAIL, mode: str = "", limit: float | None = None
) -> Look:
    """Return how a sample is drawn."""
    chosen = session.state
    return Look(mode or mode_of(session), chosen.cmap, limit, size, chosen.variable, chosen.target,
                chosen.blend, chosen.percentile)  # fmt: skip


def scale_of(session: Session) -> float | None:
    """Return the relevance at the end of the colour map; None while every image has its own."""
    _, members = session.page
    return scale_end(session.state, session.project, session.category, members)


def looks(session: Session) -> str:
    """Return the controls of the grid."""
    chosen, known = session.state, modes(session)
    bar = markup.colour_bar(chosen.cmap, scale_of(session))
    blend = chosen.blend if mode_of(session) in ("overlay", "side") else None
    fields = _fields(session)
    return markup.looks(known, mode_of(session), bar, blend, fields[:SEEN], fields[SEEN:])


def _orders(session: Session) -> Mapping[str, str]:
    scored = bool(oddness(session.category))
    return {name: label for name, label in ORDERS.items() if name != "odd" or scored}


def _fields(session: Session) -> list[Choice]:
    chosen, explained = session.state, session.project.explanations
    tables: dict[str, tuple[str, Mapping[Any, str]]] = {
        "order": ("Order", _orders(session)),
        "scale": ("Scale", SCALES),
        "cmap": ("Colour map", {name: name for name in CMAPS}),
        "sampling": ("Pixels", SAMPLINGS),
        "percentile": ("Clip", {100.0: "no", 99.5: "0.5 %", 98.0: "2 %", 95.0: "5 %"}),
        "page_size": ("Images", {n: f"{n}" for n in PAGE_SIZES}),
        "target": ("Target", dict(enumerate(explained.targets))),
        "variable": ("Relevance at", {n: n.removeprefix("relevance_") for n in explained.shown}),
    }
    return [
        Choice(label, "set", options, getattr(chosen, name), name)
        for name, (label, options) in tables.items()
    ]
