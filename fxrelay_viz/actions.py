"""What a person can do, by name: what a control reports, and what happens then."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from fxrelay_viz.merging import MERGE_TREE
from fxrelay_viz.selection import GESTURES, Step
from fxrelay_viz.session import Session
from fxrelay_viz.state import CLUSTER, usual_embedding

#: so many samples nearby are selected at once
NEAR: Final = 12
#: so many histograms stand side by side
MOST_HISTOGRAMS: Final = 4

Action = Callable[[Session, str, str], Any]


def act(session: Session, do: str, value: str = "", how: str = "") -> None:
    """Do what a control says; see `ACTIONS`."""
    with session.together():
        if do != "hold":
            session.message = ""
        if do in ACTIONS:
            ACTIONS[do](session, value, how)


def _set(session: Session, value: str, how: str) -> None:
    """Set the choice `how` of the state to one of its options, given as text."""
    known = session.state.param.values()
    if how in known and how != "name":
        session.choose(how, _as(session, how, value))


def _as(session: Session, name: str, text: str) -> Any:
    if name == "k":
        sweep = session.category.clusterings.get(session.state.clustering, {})
        return next((k for k in sweep if str(k) == text), None)
    kind = type(session.state.param[name].default)
    return kind(text) if kind in (int, float) else text


def _hold(session: Session, value: str, how: str) -> None:
    session.held = value if value in GESTURES else ""


def _cluster(session: Session, value: str, how: str) -> None:
    session.join("clusters", (session.state.clustering, session.state.k), (int(value),), how)


def _hide(session: Session, value: str, how: str) -> None:
    """Hide a cluster, or show it again; with Shift show no other one."""
    if how == "add":
        _only(session, value, "")
    else:
        session.state.hidden = sorted({int(value)} ^ set(session.state.hidden))


def _only(session: Session, value: str, how: str) -> None:
    """Hide every other cluster; show all again where they are hidden already."""
    found = np.unique(session.category.clusters(session.state.clustering, session.state.k))
    others = [c for c in found.tolist() if c != int(value)]
    session.state.hidden = [] if session.state.hidden == others else others


def _cut(session: Session, value: str, how: str) -> None:
    """Cut the merge tree into so many clusters."""
    k = int(value)
    if k in session.category.clusterings.get(MERGE_TREE, {}):
        session.state.param.update(clustering=MERGE_TREE, k=k, hidden=[])


def _axes(session: Session, value: str, how: str) -> None:
    """Draw two axes of the embedding, "ACROSS UP"."""
    x, y = (int(axis) for axis in value.split())
    if {x, y} <= set(range(session.category.embeddings[session.state.embedding].shape[1])):
        session.state.param.update(x=x, y=y)


def _odd(session: Session, value: str, how: str) -> None:
    """Select the flagged cluster in the clustering that was ranked."""
    for step in session.odd():
        clustering, k = step.frame
        shown = usual_embedding(session.category, clustering, session.state.embedding)
        session.state.param.update(clustering=clustering, k=k, hidden=[], embedding=shown)
        session.selection.push(step)


def _value(session: Session, value: str, how: str) -> None:
    """Select the samples of one value of what colours the points."""
    name = session.state.colour_by
    if name == CLUSTER:
        _cluster(session, value, how)
        return
    kinds = np.unique(session.category.column(name)).tolist()
    found = next((v for v in kinds if str(v) == value), None)
    if found is not None:
        session.join("values", (name,), (found,), how)


def _find(session: Session, value: str, how: str) -> None:
    if not session.state.category:
        session.param.update(query=value, ranking_page=0)
        return
    session.query = value
    if value.strip():
        session.join("found", (), (value.strip(),), how or "replace")
    else:
        session.selection.clear()


def _brush(session: Session, value: str, how: str) -> None:
    """Keep the samples between two shares of a histogram's width."""
    low, high, name = value.split(" ", 2)
    edges = limits(session.category.column(name))
    ends = tuple(edges[0] + float(share) * (edges[1] - edges[0]) for share in (low, high))
    rounded = tuple(float(f"{end:.6g}") for end in ends)
    session.join("range", (name,), rounded, how or _narrowing(session))


def _bar(session: Session, value: str, how: str) -> None:
    """Keep the samples of one value of a histogram, "VALUE NAME"."""
    text, _, name = value.rpartition(" ")
    kinds = np.unique(session.category.column(name)).tolist()
    found = [v for v in kinds if str(v) == text]
    if found:
        session.join("values", (name,), tuple(found), how or _narrowing(session))


def _narrowing(session: Session) -> str:
    """Return how a histogram joins: it narrows a selection down, or makes the first one."""
    return "intersect" if session.mask.any() else "replace"


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest finite value; (0, 1) where there is none."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)


def _histogram(session: Session, value: str, how: str) -> None:
    chosen = [name for name in session.state.histograms if name != value]
    if value in session.category.columns or value in session.category.scores:
        session.state.histograms = [*chosen, value][-MOST_HISTOGRAMS:]


def _histogram_close(session: Session, value: str, how: str) -> None:
    session.state.histograms = [name for name in session.state.histograms if name != value]


def _compare(session: Session, value: str, how: str) -> None:
    """Put a cluster beside another one: the one before it, or the largest other."""
    pair = [int(value), *[c for c in session.state.compared if c != int(value)]]
    session.state.param.update(compared=pair[:2], tab="compare")


def _beside(session: Session, value: str, how: str) -> None:
    place = int(how)
    pair = [*session.state.compared, -1, -1][:2]
    pair[place] = int(value)
    session.state.compared = pair


def _step(session: Session, value: str, how: str) -> None:
    """Show the sample before or after, in the order of the grid."""
    every = session.shown
    at = np.flatnonzero(every == session.focus)
    place = (int(at[0]) + int(value)) % len(every) if len(at) else 0
    session.show(int(every[place]))
    session.state.page = place // session.state.page_size


def _show(session: Session, value: str, how: str) -> None:
    session.show(int(value) if value else None)


def _near(session: Session, value: str, how: str) -> None:
    chosen = session.category.ids[int(value)].item()
    session.join("neighbours", (session.state.embedding,), (chosen, NEAR), how)


def _tag(session: Session, value: str, how: str) -> None:
    session.project.notes.tag([session.state.sample], value.strip())
    session.touch("notes")


def _untag(session: Session, value: str, how: str) -> None:
    session.project.notes.tag([session.state.sample], value, on=False)
    session.touch("notes")


def _tag_selection(session: Session, value: str, how: str) -> None:
    session.project.notes.tag(session.category.ids[session.mask].tolist(), value.strip())
    session.touch("notes")


def _note(session: Session, value: str, how: str) -> None:
    session.project.notes.note(session.state.sample, value)
    session.touch("notes")


def _keep(session: Session, value: str, how: str) -> None:
    session.project.notes.keep(value.strip(), session.share())
    session.touch("notes")


def _open_kept(session: Session, value: str, how: str) -> None:
    session.restore(session.project.notes.selections[value]["link"])


def _open_note(session: Session, value: str, how: str) -> None:
    ids = session.category.ids.astype(str)
    session.show(int(np.flatnonzero(ids == value)[0]))


def _forget(session: Session, value: str, how: str) -> None:
    session.project.notes.forget(value)
    session.touch("notes")


#: what a control reports -> what happens, with its value and how
ACTIONS: Final[Mapping[str, Action]] = {
    "home": lambda s, value, how: s.open(""),
    "open": lambda s, value, how: s.open(value),
    "ranking-page": lambda s, value, how: setattr(s, "ranking_page", int(value)),
    "dismiss": lambda s, value, how: None,
    "set": _set,
    "mode": lambda s, value, how: s.choose("mode", value),
    "tab": lambda s, value, how: s.choose("tab", value),
    "k": lambda s, value, how: _set(s, value, "k"),
    "target": lambda s, value, how: s.choose("target", int(value)),
    "variable": lambda s, value, how: s.choose("variable", value),
    "method": lambda s, value, how: s.choose("method", value),
    "blend": lambda s, value, how: s.choose("blend", float(value)),
    "selection-mode": lambda s, value, how: setattr(s.selection, "mode", value),
    "hold": _hold,
    "undo": lambda s, value, how: s.selection.undo(),
    "redo": lambda s, value, how: s.selection.redo(),
    "invert": lambda s, value, how: s.selection.invert(),
    "clear": lambda s, value, how: s.selection.clear(),
    "escape": lambda s, value, how: s.selection.clear(),
    "everything": lambda s, value, how: s.selection.push(Step("replace", "everything")),
    "cluster": _cluster,
    "hide": _hide,
    "only": _only,
    "show-all": lambda s, value, how: setattr(s.state, "hidden", []),
    "odd": _odd,
    "cut": _cut,
    "axes": _axes,
    "value": _value,
    "find": _find,
    "brush": _brush,
    "bar": _bar,
    "histogram": _histogram,
    "histogram-close": _histogram_close,
    "compare": _compare,
    "beside": _beside,
    "shuffle": lambda s, value, how: s.state.param.update(order="random", seed=s.state.seed + 1),
    "page": lambda s, value, how: setattr(s.state, "page", int(value)),
    "show": _show,
    "step": _step,
    "near": _near,
    "tag": _tag,
    "untag": _untag,
    "tag-selection": _tag_selection,
    "note": _note,
    "keep": _keep,
    "open-kept": _open_kept,
    "open-note": _open_note,
    "forget": _forget,
    "share": lambda s, value, how: s.share(),
}
