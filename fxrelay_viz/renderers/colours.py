"""Colours and bars of relevance along one axis."""

from typing import Final

import numpy as np

from fxrelay.heatmap import heatmap, limits
from fxrelay_viz.renderers.look import Look
from fxrelay_viz.renderers.scene import Box

#: no strip has more cells, longer rows are averaged
CELLS: Final = 240


def colours(values: np.ndarray, look: Look) -> list[str]:
    """Return a colour for each value, shape (n,), as hexadecimal text."""
    rgb = heatmap(values[None, :], look.cmap, **look.scale)[0]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb.tolist()]


def end(values: np.ndarray, look: Look) -> float:
    """Return the magnitude at the end of the colour map."""
    low, high = limits(values.reshape(1, -1), look.cmap, **look.scale)
    return float(max(abs(low.item()), abs(high.item())))


def strip(
    values: np.ndarray, look: Look, x: float, y: float, width: float, height: float
) -> list[Box]:
    """Return a row of coloured cells for values of shape (n,), averaged where there are many."""
    values = binned(values, CELLS)
    cell = width / max(len(values), 1)
    return [
        Box(x + n * cell, y, cell + 0.3, height, colour)
        for n, colour in enumerate(colours(values, look))
    ]


def binned(values: np.ndarray, most: int) -> np.ndarray:
    """Average neighbours until at most so many values are left."""
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).astype(int)[:-1]
    sizes = np.diff([*edges, len(values)])
    out: np.ndarray = np.add.reduceat(values.astype(np.float64), edges) / sizes
    return out
