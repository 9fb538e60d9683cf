"""What stands around an open category, and the ranking that leads to it."""

import json
from typing import Any, Final

import numpy as np

from fxrelay import schema
from fxrelay_viz import markup
from fxrelay_viz.exporting import FORMATS
from fxrelay_viz.images import Look
from fxrelay_viz.markup import Choice
from fxrelay_viz.reasons import ranked
from fxrelay_viz.session import Session
from fxrelay_viz.views.looks import mode_of, style_of

RANKS: Final = 12
#: images in a row of the ranking; drawings are wider
STRIP: Final = 8
STRIP_WIDE: Final = 3
#: name in the state -> label of its selector
DATA: Final = {"project": "Project", "method": "Attribution", "analysis": "Analysis"}


def header(session: Session) -> str:
    """Return the bar at the top."""
    name = session.state.category
    flagged = bool(name) and session.project.rank(name).flagged
    chosen = [
        Choice(label, "set", {n: n for n in getattr(session.workspace, f"{key}_names")(within)},
               getattr(session.project, "name" if key == "project" else key), key)
        for key, label in DATA.items()
        for within in [session.state.project]
    ]  # fmt: skip
    formats = {key: row.label for key, row in FORMATS.items()}
    return markup.header(name, flagged, chosen, session.query, formats)


def message(session: Session) -> str:
    """Return what went wrong last."""
    return markup.message(session.message)


def status(session: Session) -> str:
    """Return what made the data."""
    attrs, project = session.project.ds.attrs, session.project
    made = {
        "project": project.name,
        "samples": f"{len(project.index):,}",
        "model": str(attrs.get(schema.MODEL, "")),
        "attribution": project.method,
        "composite": str(attrs.get(schema.COMPOSITE, "")),
        "analysis": project.analysis,
        "versions": _versions(attrs.get(schema.VERSIONS, "")),
        "created": str(attrs.get(schema.CREATED, ""))[:16].replace("T", " "),
    }
    known = project.tree.attrs
    more = {
        "model digest": str(attrs.get(schema.MODEL_DIGEST, "")),
        "steps left out": str(known.get("left_out", "")).replace("\n", ", "),
        "steps that failed here": _failed(session),
    }
    return markup.status(made, more, str(known.get("recipe", "")))


def _failed(session: Session) -> str:
    """Return why steps of the analysis failed in the open category, or ""."""
    if not session.state.category or session.category.group is None:
        return ""
    return str(session.category.group.attrs.get("failed", ""))


def _versions(value: Any) -> str:
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return str(value)
    return ", ".join(f"{k} {v}" for k, v in read.items()) if isinstance(read, dict) else str(value)


def ranking(session: Session) -> str:
    """Return the ranking, with the first images of each odd cluster."""
    if session.state.category:
        return ""
    found = [r for r in session.project.ranking if session.query.casefold() in r.name.casefold()]
    page = session.ranking_page
    images = {
        r.name: _odd_images(session, r.name) for r in found[page * RANKS : (page + 1) * RANKS]
    }
    return markup.ranking(
        session.project.ranking, images, page, RANKS, session.query, style_of(session)
    )


def _odd_images(session: Session, name: str) -> list[str]:
    project, rank = session.project, session.project.rank(name)
    category = project.category(name)
    name, every = ranked(category, rank), np.arange(len(category.ids))
    if name:
        every = np.flatnonzero(category.clusters(name, rank.n_clusters) == rank.cluster)
    most = STRIP_WIDE if "wide" in style_of(session) else STRIP
    positions = category.positions[every[:most]]
    return [session.pictures.address(int(p), Look(mode_of(session))) for p in positions]
