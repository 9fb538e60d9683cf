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
import param

from fxrelay_viz.category import Category
from fxrelay_viz.geometry import simplify
from fxrelay_viz.kinds import KINDS

VERSION: Final = 1
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
