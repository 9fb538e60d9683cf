"""A selection is sample positions plus the recipe that made it; links and files carry the recipe.

A recipe is a tuple of steps, applied in order. Each step takes a set of samples by its kind (a box,
a lasso, clusters, values of a variable, ...) and joins it to what is selected so far by its
operation.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import param

from fxrelay_viz.category import Category, pick
from fxrelay_viz.geometry import in_box, in_polygon, simplify
from fxrelay_viz.searching import search

VERSION: Final = 1
#: no corner lies farther out, so that products of coordinates stay finite
FAR: Final = 1e100

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]

OPERATIONS: Final[Mapping[str, Operation]] = {
    "replace": lambda old, new: new,
    "add": lambda old, new: old | new,
    "subtract": lambda old, new: old & ~new,
    "intersect": lambda old, new: old & new,
    "toggle": lambda old, new: old ^ new,
}
#: the operations that gestures choose from; "toggle" with everything inverts
GESTURES: Final = ("replace", "add", "subtract", "intersect")
#: so many steps back are remembered
HISTORY: Final = 200


@dataclass(frozen=True)
class Step:
    """One gesture: which set of samples, and how it joins the selection.

    Attributes
    ----------
    operation : str
        A name in `OPERATIONS`.
    kind : str
        A name in `KINDS`.
    frame : tuple
        Where the value lives: (embedding, x, y) of a geometry, (clustering, k) of clusters,
        (variable,) of values and ranges, (embedding,) of neighbours.
    value : tuple
        Corners (x, y) of a box or lasso, cluster ids, sample ids, values, (low, high) of a range,
        (id, number) of neighbours, or the text that finds.
    """

    operation: str
    kind: str
    frame: tuple[Any, ...] = ()
    value: tuple[Any, ...] = ()

    def mask(self, category: Category) -> np.ndarray:
        """Return the set of this step alone, a bool array of shape (samples of the category,)."""
        return KINDS[self.kind].mask(category, self.frame, self.value)


Recipe = tuple[Step, ...]


def _box(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return in_box(category.points(*frame), np.asarray(value, dtype=float))


def _lasso(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return in_polygon(category.points(*frame), np.asarray(value, dtype=float))


def _clusters(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return np.isin(category.clusters(*frame), np.asarray(value))


def _samples(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    mask = np.zeros(len(category.ids), dtype=bool)
    found = category.places.get_indexer(pd.Index(list(value))) if value else np.zeros(0, dtype=int)
    mask[found[found >= 0]] = True
    return mask


def _values(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    values = category.column(frame[0])
    wanted = value if values.dtype.kind in "iufb" else tuple(map(str, value))
    return np.isin(values if values.dtype.kind in "iufb" else values.astype(str), wanted)


def _range(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    values = category.column(frame[0])
    if values.dtype.kind not in "iufb":
        raise ValueError(
            f"selection: needs a variable of numbers for a range; got {frame[0]!r}. "
            "Choose its values instead."
        )
    out: np.ndarray = (values >= value[0]) & (values <= value[1])
    return out


def _neighbours(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    points = pick(category.embeddings, frame[0], f"category {category.name}", "embedding")
    mask = _samples(category, (), value[:1])
    if mask.any():
        distance = np.linalg.norm(points - points[mask.argmax()], axis=1)
        count = min(int(value[1]) + 1, len(points))
        mask[np.argpartition(distance, count - 1)[:count]] = True
    return mask


def _found(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return search(category, str(value[0]))


def _everything(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return np.ones(len(category.ids), dtype=bool)


Mask = Callable[[Category, tuple[Any, ...], tuple[Any, ...]], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A way to name samples: how it is read, and what its frame and value have to be.

    Attributes
    ----------
    mask : callable
        (category, frame, value) to a bool array of shape (n,).
    frame, value : callable
        Whether a list that was read from JSON will do.
    """

    mask: Mask
    frame: Callable[[list[Any]], bool]
    value: Callable[[list[Any]], bool]


def _nothing(part: list[Any]) -> bool:
    return not part


def _scalars(part: list[Any]) -> bool:
    return all(isinstance(v, (str, int, float)) for v in part)


def _name(part: list[Any]) -> bool:
    return len(part) == 1 and isinstance(part[0], str)


def _numbers(part: list[Any]) -> bool:
    return all(isinstance(v, (int, float)) and abs(v) < FAR for v in part)


def _axes(part: list[Any]) -> bool:
    return _name(part[:1]) and len(part) == 3 and all(type(axis) is int for axis in part[1:])


def _corners(part: list[Any]) -> bool:
    return all(isinstance(c, list) and len(c) == 2 and _numbers(c) for c in part)


KINDS: Final[Mapping[str, Kind]] = {
    "box": Kind(_box, _axes, lambda part: len(part) == 2 and _corners(part)),
    "lasso": Kind(_lasso, _axes, _corners),
    "clusters": Kind(_clusters, lambda part: len(part) == 2 and _scalars(part), _scalars),
    "samples": Kind(_samples, _nothing, _scalars),
    "values": Kind(_values, _name, _scalars),
    "range": Kind(_range, _name, lambda part: len(part) == 2 and _numbers(part)),
    "neighbours": Kind(
        _neighbours, _name,
        lambda part: len(part) == 2 and _scalars(part) and type(part[1]) is int and part[1] > 0,
    ),
    "found": Kind(_found, _nothing, _name),
    "everything": Kind(_everything, _nothing, _nothing),
}  # fmt: skip


def apply(recipe: Recipe, category: Category) -> np.ndarray:
    """Return the selected samples as a bool array of shape (samples of the category,)."""
    mask = np.zeros(len(category.ids), dtype=bool)
    for step in recipe:
        mask = OPERATIONS[step.operation](mask, step.mask(category))
    return mask


def box(operation: str, frame: tuple[Any, ...], bounds: tuple[float, ...]) -> Step:
    """Make the step of a box from (left, bottom, right, top), rounded as it will be shared."""
    left, bottom, right, top = bounds
    return Step(operation, "box", frame, _rounded([(left, bottom), (right, top)]))


def lasso(operation: str, frame: tuple[Any, ...], corners: np.ndarray) -> Step:
    """Make the step of a lasso, simplified and rounded as it will be shared."""
    return Step(operation, "lasso", frame, _rounded(simplify(np.asarray(corners, dtype=float))))


def to_json(recipe: Recipe) -> str:
    """Write a recipe as JSON with its version."""
    steps = [[s.operation, s.kind, s.frame, s.value] for s in recipe]
    return json.dumps({"version": VERSION, "steps": steps}, separators=(",", ":"))


def from_json(text: str) -> Recipe:
    """Read a recipe that `to_json` wrote.

    Raises
    ------
    ValueError
        If it is no such JSON; names every step that cannot be read.
    """
    try:
        read = json.loads(text)
        rows = [tuple(row) for row in read["steps"]]
        version = read["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(
            f"selection: needs JSON with 'version' and 'steps'; got {text[:60]!r}. "
            "Copy the link or file again."
        ) from None
    if version != VERSION:
        raise ValueError(
            f"selection: needs version {VERSION}; got {version!r}. "
            "Open it with the fxrelay that wrote it."
        )
    wrong = [f"{n}: {str(row)[:60]}" for n, row in enumerate(rows) if not _valid(row)]
    if wrong:
        raise ValueError(
            f"selection: needs steps [operation, kind, frame, value] with operation in "
            f"{tuple(OPERATIONS)} and kind in {tuple(KINDS)}; got {'; '.join(wrong[:5])}. "
            "Copy the link or file again."
        )
    return tuple(Step(o, k, _frozen(frame), _frozen(value)) for o, k, frame, value in rows)


class Selection(param.Parameterized):
    """The current recipe with its history."""

    recipe = param.Parameter(default=(), doc="Steps that make the selection.")
    mode = param.Selector(
        default="replace", objects=list(GESTURES), doc="How the next gesture joins."
    )

    def __init__(self, **params: Any) -> None:
        self._past: list[Recipe] = []
        self._next: list[Recipe] = []
        super().__init__(**params)

    @property
    def undoable(self) -> bool:
        """Whether there is a step back."""
        return bool(self._past)

    @property
    def redoable(self) -> bool:
        """Whether a step was taken back and nothing else done since."""
        return bool(self._next)

    def push(self, step: Step) -> None:
        """Join a step; a replacing step makes what was before it forgettable, except to `undo`."""
        self._go((step,) if step.operation == "replace" else (*self.recipe, step))

    def invert(self) -> None:
        """Select what is not selected."""
        self.push(Step("toggle", "everything"))

    def clear(self) -> None:
        """Select nothing; can be undone."""
        if self.recipe:
            self._go(())

    def undo(self) -> None:
        """Take the last step back."""
        if self._past:
            self._next.append(self.recipe)
            self.recipe = self._past.pop()

    def redo(self) -> None:
        """Do again what was taken back last."""
        if self._next:
            self._past.append(self.recipe)
            self.recipe = self._next.pop()

    def reset(self, recipe: Recipe = ()) -> None:
        """Start afresh, without a past: another category was opened, or a link."""
        self._past.clear()
        self._next.clear()
        self.recipe = recipe

    def _go(self, recipe: Recipe) -> None:
        self._past = [*self._past[1 - HISTORY :], self.recipe]
        self._next.clear()
        self.recipe = recipe


def _rounded(corners: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(f"{x:.5g}"), float(f"{y:.5g}")) for x, y in corners)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _valid(row: tuple[Any, ...]) -> bool:
    if len(row) != 4 or not all(isinstance(part, list) for part in row[2:]):
        return False
    operation, kind, frame, value = row
    if not (isinstance(operation, str) and isinstance(kind, str)):
        return False
    known = operation in OPERATIONS and kind in KINDS
    return known and KINDS[kind].frame(frame) and KINDS[kind].value(value)
