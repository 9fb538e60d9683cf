"""One explicit mapping from value to colour, the same in the plot, the buttons and the legend."""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fxrelay.heatmap import palette

NOISE: Final = -1
GREY: Final = "#a3a9b4"
CATEGORIES: Final = (
    "#3b6fb6", "#e07b28", "#3f9b57", "#c8403f", "#8d62b5", "#8a6350", "#d873b0", "#5b9ea6",
    "#b8a22c", "#33508a", "#f0a765", "#86c48f", "#e98d87", "#b79ad6", "#5f7d28", "#a5325f",
    "#17808c", "#d9b45b", "#6b4fa0", "#4cb3d9",
)  # fmt: skip
#: dark to light, even in lightness, for values on a continuous scale
SEQUENTIAL: Final = "440154,31688e,35b779,fde725"
#: integers with more values than this are shown on a continuous scale
MOST_CATEGORIES: Final = 40
#: shades of the continuous scale
SHADES: Final = 32


@dataclass(frozen=True, eq=False)
class Colouring:
    """Values turned into colours: a code per sample into a table of colours and labels.

    Attributes
    ----------
    codes : int array, shape (n,)
        Into `colours`, `labels` and `values`.
    colours : tuple of str
        Hexadecimal.
    labels : tuple of str
    values : tuple
        What the labels stand for.
    limits : (float, float) or None
        Ends of a continuous scale; None for categories.
    """

    codes: np.ndarray
    colours: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[Any, ...]
    limits: tuple[float, float] | None = None

    def counts(self, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the number of samples (in the mask) of every entry."""
        codes = self.codes if mask is None else self.codes[mask]
        return np.bincount(codes, minlength=len(self.colours))


def colouring(
    values: np.ndarray, name: Callable[[Any], str] = str, domain: Sequence[Any] | None = None
) -> Colouring:
    """Choose colours for the values of a variable.

    Parameters
    ----------
    values : array, shape (n,)
        Text, booleans and few integers get one colour each, numbers a continuous scale.
    name : callable
        Value to label.
    domain : sequence, optional
        All values that can occur, so that a colour means the same in every category.

    Returns
    -------
    Colouring
    """
    if values.dtype.kind == "O":  # text with gaps, for instance: it has no order of its own
        values = values.astype(str)
    few = values.dtype.kind in "iu" and len(np.unique(values)) <= MOST_CATEGORIES
    if domain is None and not few and values.dtype.kind not in "bOUST":
        return _continuous(values.astype(np.float64))
    found, codes = np.unique(values, return_inverse=True)
    every = sorted({*found.tolist(), *(domain if domain is not None else ())}, key=_order)
    proper = [value for value in every if not is_noise(value)]
    place = {value: n for n, value in enumerate(proper)}
    shown = tuple(found.tolist())
    colours = tuple(GREY if is_noise(v) else _colour(place[v]) for v in shown)
    labels = tuple("noise" if is_noise(v) else name(v) for v in shown)
    return Colouring(codes.astype(int), colours, labels, shown)


def is_noise(value: Any) -> bool:
    """Return whether the value is the cluster id of noise."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value == NOISE


def _continuous(values: np.ndarray) -> Colouring:
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 1.0)
    place = np.where(finite, values - low, 0) / ((high - low) or 1.0)
    codes = np.where(finite, np.rint(place * (SHADES - 1)), SHADES).astype(int)
    table = palette(SEQUENTIAL)[np.linspace(0, 255, SHADES).astype(int)]
    steps = tuple(float(v) for v in np.linspace(low, high, SHADES))
    colours = (*(_hex(colour / 255) for colour in table), GREY)
    labels = (*(f"{step:.3g}" for step in steps), "not a number")
    return Colouring(codes, colours, labels, (*steps, float("nan")), (float(low), float(high)))


def _colour(n: int) -> str:
    if n < len(CATEGORIES):
        return CATEGORIES[n]
    hue = (n * 0.618034) % 1.0  # golden angle: neighbours differ
    return _hex(np.array(colorsys.hls_to_rgb(hue, 0.45 + 0.15 * (n % 2), 0.55)))


def rgb(colours: Sequence[str]) -> np.ndarray:
    """Return hexadecimal colours as numbers 0..255, shape (n, 3)."""
    return np.array([[int(c[n : n + 2], 16) for n in (1, 3, 5)] for c in colours], dtype=np.uint8)


def _hex(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in colour)


def _order(value: Any) -> tuple[int, Any]:
    return (1, value) if isinstance(value, str) else (0, value)
