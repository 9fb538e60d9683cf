"""The ways to name samples: what each selects, and what its frame and value have to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from fxrelay_viz.category import Category, pick
from fxrelay_viz.geometry import in_box, in_polygon
from fxrelay_viz.searching import search

#: no corner lies farther out, so that products of coordinates stay finite
FAR: Final = 1e100


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
