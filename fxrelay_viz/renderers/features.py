"""Feature tables (feature): the strongest features as bars, with their names and values."""

from typing import Final

import numpy as np

from fxrelay_viz.pictures import Picture
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
    axis = _Axis(left, width - GAP, values[order])
    shapes: list = []
    for place, n in enumerate(order):
        y = GAP + place * row
        name = _name(picture, int(n), look.size != THUMBNAIL)
        name = shortened(name, int((left - 3 * GAP) / (size * ADVANCE)))
        shapes.append(Text(GAP, y + row / 2, name, INK, size))
        if look.mode != "input":
            shapes += _bar(axis.bar(values[n] / largest), fills[n], y, row)
    if look.mode != "input":
        bottom = GAP + len(order) * row
        shapes.append(Line(((axis.zero, GAP), (axis.zero, bottom)), RULE))
    return Scene(width, 2 * GAP + len(order) * row, tuple(shapes))


class _Axis:
    """Where zero lies between left and right: at an end where all values have one sign."""

    def __init__(self, left: float, right: float, values: np.ndarray) -> None:
        below, above = bool((values < 0).any()), bool((values > 0).any())
        self.length = (right - left) / (2 if below and above else 1)
        self.zero = left + self.length if below else left

    def bar(self, share: float) -> tuple[float, float]:
        """Return where the bar of a share in -1..1 starts, and its length."""
        length = min(abs(share), 1.0) * self.length
        return (self.zero - length if share < 0 else self.zero), length


def _name(picture: Picture, n: int, with_value: bool) -> str:
    name = str(n + 1)
    if picture.words is not None and n < len(picture.words):
        name = str(picture.words[n])
    if not with_value or picture.input is None or picture.input.dtype.kind not in "biuf":
        return name
    return f"{name} = {picture.input.values.ravel()[n]:.4g}"


def _bar(place: tuple[float, float], fill: str, y: float, row: float) -> list[Box | Line]:
    (x, length), below = place, y + row - 2
    corners = ((x, y + 1), (x + length, y + 1), (x + length, below), (x, below), (x, y + 1))
    return [Box(x, y + 1, length, row - 3, fill), Line(corners, SOFT, 0.6)]
