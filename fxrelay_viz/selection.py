"""A selection is sample positions plus the recipe that made it; links and files carry the recipe.

A recipe is a tuple of steps, applied in order. Each step takes a set of samples by its kind (a box,
a lasso, clusters, samples) and joins it to what is selected so far by its operation.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import param

from fxrelay_viz.data import Category
from fxrelay_viz.geometry import in_box, in_polygon, simplify

VERSION: Final = 1
#: no corner lies farther out, so that products of coordinates stay finite
FAR: Final = 1e100

Operation = Callable[[np.ndarray, np.ndarray], np.ndarray]

OPERATIONS: Final[Mapping[str, Operation]] = {
    "replace": lambda old, new: new,
    "add": lambda old, new: old | new,
    "subtract": lambda old, new: old & ~new,
    "intersect": lambda old, new: old & new,
}


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
        Where the value lives: (embedding, x, y) of a geometry, (clustering, k) of clusters.
    value : tuple
        Corners (x, y) of a box or lasso, cluster ids, or sample ids.
    """

    operation: str
    kind: str
    frame: tuple[Any, ...] = ()
    value: tuple[Any, ...] = ()

    def mask(self, category: Category) -> np.ndarray:
        """Return the set of this step alone, a bool array of shape (samples of the category,)."""
        return KINDS[self.kind](category, self.frame, self.value)


Recipe = tuple[Step, ...]


def _box(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return in_box(category.points(*frame), np.asarray(value, dtype=float))


def _lasso(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return in_polygon(category.points(*frame), np.asarray(value, dtype=float))


def _clusters(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return np.isin(category.clusters(*frame), np.asarray(value))


def _samples(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    wanted = set(value)
    return np.fromiter((i in wanted for i in category.ids.tolist()), dtype=bool)


def _everything(category: Category, frame: tuple[Any, ...], value: tuple[Any, ...]) -> np.ndarray:
    return np.ones(len(category.ids), dtype=bool)


KINDS: Final[Mapping[str, Callable[[Category, tuple[Any, ...], tuple[Any, ...]], np.ndarray]]] = {
    "box": _box,
    "lasso": _lasso,
    "clusters": _clusters,
    "samples": _samples,
    "everything": _everything,
}


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
        default="replace", objects=list(OPERATIONS), doc="How the next gesture joins."
    )

    def __init__(self, **params: Any) -> None:
        self._past: list[Recipe] = []
        super().__init__(**params)

    @property
    def undoable(self) -> bool:
        """Whether there is a step back."""
        return bool(self._past)

    def push(self, step: Step) -> None:
        """Join a step; a replacing step makes what was before it forgettable, except to `undo`."""
        self._past.append(self.recipe)
        self.recipe = (step,) if step.operation == "replace" else (*self.recipe, step)

    def clear(self) -> None:
        """Select nothing; can be undone."""
        if self.recipe:
            self._past.append(self.recipe)
            self.recipe = ()

    def undo(self) -> None:
        """Take the last step back."""
        if self._past:
            self.recipe = self._past.pop()

    def reset(self, recipe: Recipe = ()) -> None:
        """Start afresh, without a past: another category was opened, or a link."""
        self._past.clear()
        self.recipe = recipe


def _rounded(corners: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(f"{x:.5g}"), float(f"{y:.5g}")) for x, y in corners)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _valid(row: tuple[Any, ...]) -> bool:
    if len(row) != 4 or not all(isinstance(part, list) for part in row[2:]):
        return False
    operation, kind, frame, value = row
    if not all(isinstance(name, str) for name in (operation, kind)):
        return False
    if operation not in OPERATIONS or kind not in KINDS:
        return False
    if kind in ("box", "lasso"):
        return _frame(frame) and _corners(value) and (kind == "lasso" or len(value) == 2)
    scalars = all(isinstance(v, (str, int, float)) for v in (*frame, *value))
    return scalars and len(frame) == (2 if kind == "clusters" else 0)


def _frame(frame: list[Any]) -> bool:
    if len(frame) != 3 or not isinstance(frame[0], str):
        return False
    return all(isinstance(axis, int) for axis in frame[1:])


def _corners(value: list[Any]) -> bool:
    return all(
        isinstance(corner, list)
        and len(corner) == 2
        and all(isinstance(v, (int, float)) and abs(v) < FAR for v in corner)
        for corner in value
    )
