"""Feature tables (feature): the strongest features as bars, with their names and values."""

from typing import Final

import numpy as np

from fxrelay_viz.explanations import Picture
from fxrelay_viz.renderers.colours import colours, end, strip
from fxrelay_viz.renderers.look import HOVER, LARGE, THUMBNAIL, Look
from fxrelay_viz.renderers.scene import ADVANCE, INK, RULE, SOFT, Box, Line, Scene, Text, shortened

#: size of the view -> width of the page, height of a row, rows at most, size of the font
PAGES: Final = {
    THUMBNAIL: (192, 12, 8, 9.0), HOVER: (320, 16, 10, 11.0), LARGE: (560, 22, 24, 13.0),
}  # fmt: skip
GAP: Final = 4


def features(picture: Picture, look: Look, input_range: tuple[float, float]) -> Scene:
    """Draw the features with most relevance, strongest first; as a row of cells for a heatmap."""
    values = picture.relevance.values.astype(np.float64).ravel()
    width, row, most, size = PAGES[look.size]
    if look.mode == "heatmap":
        return Scene(width, 40, tuple(strip(values, look, GAP, GAP, width - 2 * GAP, 32)))
    order = np.argsort(-np.abs(values), kind="stable")[:most]
    largest = end(values, look)
    fills = colours(values, Look(**(look.__dict__ | {"limit": largest})))
    left = width * (0.5 if look.size == LARGE else 0.45)
    shapes: list = []
    for place, n in enumerate(order):
        y = GAP + place * row
        name = shortened(_name(picture, int(n)), int((left - 3 * GAP) / (size * ADVANCE)))
        shapes.append(Text(GAP, y + row / 2, name, INK, size))
        if look.mode != "input":
            shapes += _bar(values[n] / largest, fills[n], left, width, y, row)
    middle = (left + width - GAP) / 2
    if look.mode != "input":
        bottom = GAP + len(order) * row
        shapes.append(Line(((middle, GAP), (middle, bottom)), RULE))
    return Scene(width, 2 * GAP + len(order) * row, tuple(shapes))


def _name(picture: Picture, n: int) -> str:
    name = str(n + 1)
    if picture.words is not None and n < len(picture.words):
        name = str(picture.words[n])
    if picture.input is None or picture.input.dtype.kind not in "biuf":
        return name
    return f"{name} = {picture.input.values.ravel()[n]:.4g}"


def _bar(
    share: float, fill: str, left: float, width: float, y: float, row: float
) -> list[Box | Line]:
    middle, half = (left + width - GAP) / 2, (width - GAP - left) / 2
    length = float(np.clip(abs(share), 0, 1)) * half
    x = middle - length if share < 0 else middle
    below = y + row - 2
    corners = ((x, y + 1), (x + length, y + 1), (x + length, below), (x, below), (x, y + 1))
    return [Box(x, y + 1, length, row - 3, fill), Line(corners, SOFT, 0.6)]
