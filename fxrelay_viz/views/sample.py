"""Images of the selection, of the sample under the pointer, and of one sample in large."""

from dataclasses import replace
from typing import Final

import numpy as np

from fxrelay import schema
from fxrelay_viz import insight, markup
from fxrelay_viz.images import HOVER, LARGE, Look
from fxrelay_viz.markup import Card, Detail
from fxrelay_viz.reading import read
from fxrelay_viz.renderers.look import MODES
from fxrelay_viz.session import Session
from fxrelay_viz.state import CLUSTER
from fxrelay_viz.views.colours import cluster_colours
from fxrelay_viz.views.looks import look_of, mode_of, modes, renderer, scale_of, style_of

NEIGHBOURS: Final = 8
TOP: Final = 5
MOST_STRIP: Final = 12


def grid(session: Session) -> str:
    """Return a page of the selection; of the whole category while nothing is selected."""
    page, members = session.page
    look = look_of(session, limit=scale_of(session))
    if not session.gallery.served:  # data URIs: all pictures are read at once
        session.project.pictures(session.category.positions[members], look.variable, look.target)
    cards = [card(session, int(n), look) for n in members]
    return markup.grid(
        cards, page, len(session.shown), session.state.page_size, style_of(session),
        what=_what(session), is_random=session.state.order == "random",
    )  # fmt: skip


def _what(session: Session) -> str:
    if session.mask.any():
        return "Selection"
    return "Shown clusters" if session.state.hidden else "Whole class"


def card(session: Session, member: int, look: Look) -> Card:
    """Return the image of a sample of the category."""
    colours, position = cluster_colours(session), int(session.category.positions[member])
    told = session.project.facts(position)
    return Card(
        address=session.pictures.address(position, look),
        value=str(member),
        caption=told[schema.SAMPLE],
        title=", ".join(f"{name} {value}" for name, value in told.items()),
        colour=colours.colours[colours.codes[member]],
    )


def preview(session: Session) -> str:
    """Return the sample under the pointer."""
    if session.over is None:
        return markup.preview(None)
    told = session.project.facts(int(session.category.positions[session.over]))
    colours = cluster_colours(session)
    cluster = colours.labels[colours.codes[session.over]]
    lines = [f"cluster {cluster}" if session.state.clustering else ""]
    lines += [f"{name} {told[name]}" for name in (schema.LABEL, schema.PREDICTION) if name in told]
    look = look_of(session, HOVER)
    wrong = told.get("correct") == "False"
    return markup.preview(
        card(session, session.over, look), [x for x in lines if x], wrong, style_of(session),
        _beside(session, session.over),
    )  # fmt: skip


def _beside(session: Session, member: int) -> str:
    """Return the address of the plain image, where something else is drawn of it; or ""."""
    is_small = not renderer(session).wide
    if not is_small or "input" not in modes(session) or mode_of(session) in ("input", "side"):
        return ""
    position = int(session.category.positions[member])
    return session.pictures.address(position, look_of(session, HOVER, "input"))


def detail(session: Session) -> str:
    """Return one sample in large."""
    if session.focus is None:
        return markup.detail(Detail(), style_of(session))
    member = session.focus
    position = int(session.category.positions[member])
    told = _facts(session, member, position)
    wrong = (schema.PREDICTION,) if told.pop("correct", "") == "False" else ()
    notes, name = session.project.notes, session.category.ids[member].item()
    one = Detail(
        value=str(member),
        name=f"Sample {told.pop(schema.SAMPLE)}",
        images=_images(session, position),
        known=told,
        wrong=wrong,
        classes=_classes(session, position),
        targets=_targets(session, position),
        layers=_layers(session, position),
        neighbours=_neighbours(session, member),
        methods=_methods(session, name),
        tags=[tag for tag, ids in notes.tags.items() if name in ids],
        note=notes.notes.get(name, ""),
    )
    return markup.detail(one, style_of(session))


def _facts(session: Session, member: int, position: int) -> dict[str, str]:
    told = session.project.facts(position)
    category, colours = session.category, cluster_colours(session)
    told |= {
        name.replace("_", " "): f"{values[member]:.4g}"
        for name, values in category.scores.items()
        if values.dtype.kind in "fiu"
    }
    if session.state.clustering:
        told[CLUSTER] = colours.labels[colours.codes[member]]
    return told


def _images(session: Session, position: int) -> dict[str, str]:
    shown = [mode for mode in modes(session) if mode != "side"]
    if renderer(session).wide:  # one below the other: the one that tells most comes first
        shown.reverse()
    address = session.pictures.address
    return {MODES[mode]: address(position, look_of(session, LARGE, mode)) for mode in shown}


def _classes(session: Session, position: int) -> list[tuple[str, float, float]]:
    """Return the largest outputs: class, value, share of the largest."""
    output = session.project.ds.get(schema.OUTPUT)
    if output is None or output.dims != (schema.SAMPLE, schema.CLASS):
        return []
    values = read(output[{schema.SAMPLE: position}]).values
    best = np.argsort(-values)[:TOP]
    top = float(values[best[0]])
    return [
        (session.project.class_name(n), float(values[n]), float(values[n]) / top if top > 0 else 0)
        for n in best
    ]


def _targets(session: Session, position: int) -> list[Card]:
    explained = session.project.explanations
    if len(explained.targets) < 2:
        return []
    look = look_of(session, mode="heatmap")
    return [
        Card(session.pictures.address(position, replace(look, target=n)), str(n),
             explained.target_name(position, n))
        for n in range(min(len(explained.targets), MOST_STRIP))
    ]  # fmt: skip


def _layers(session: Session, position: int) -> list[Card]:
    names = session.project.explanations.shown
    if len(names) < 2:
        return []
    look = look_of(session, mode="heatmap")
    return [
        Card(session.pictures.address(position, replace(look, variable=name)), name,
             name.removeprefix(schema.RELEVANCE_AT))
        for name in names[:MOST_STRIP]
    ]  # fmt: skip


def _neighbours(session: Session, member: int) -> list[Card]:
    points = session.category.embeddings[session.state.embedding]
    near = insight.neighbours(points, member, NEIGHBOURS)
    return [card(session, int(n), look_of(session)) for n in near]


def _methods(session: Session, name: object) -> list[Card]:
    """Return the same sample explained by every other attribution of the project."""
    chosen, out = session.state, []
    for method in session.workspace.method_names(chosen.project):
        other = session.workspace.get(chosen.project, method, session.project.analysis)
        position = other.position(name)
        if method != session.project.method and position is not None:
            look = Look(mode_of(session), chosen.cmap, blend=chosen.blend)
            out.append(Card(session.gallery.of(other).address(position, look), method, method))
    return out
