"""Signals (channel, x): a row per channel, its line over bands in the colours of relevance."""

from typing import Final

import numpy as np

from fxrelay import schema
from fxrelay_viz.pictures import Picture
from fxrelay_viz.renderers.colours import end, strip
from fxrelay_viz.renderers.look import HOVER, LARGE, THUMBNAIL, Look
from fxrelay_viz.renderers.scene import INK, SOFT, Line, Scene, Text, shortened

#: size of the view -> width of the page, height of a row, rows at most, all in pixels
PAGES: Final = {THUMBNAIL: (192, 96, 3), HOVER: (320, 120, 4), LARGE: (640, 110, 16)}
GAP: Final = 4


def signal(picture: Picture, look: Look, input_range: tuple[float, float]) -> Scene:
    """Draw the channels with most relevance, in their order, on one scale."""
    relevance = picture.relevance.transpose(schema.CHANNEL, schema.X).values.astype(np.float64)
    lines = None
    if picture.input is not None and picture.input.ndim == 2 and look.mode != "heatmap":
        lines = picture.input.transpose(schema.CHANNEL, schema.X).values.astype(np.float64)
    width, height, most = PAGES[look.size]
    rows = np.sort(np.argsort(-np.abs(relevance).max(axis=1), kind="stable")[:most])
    if look.size != LARGE:
        height = max(12, (height - GAP) // len(rows))
    scaled = Look(**(look.__dict__ | {"limit": end(relevance, look)}))
    shapes: list = []
    for place, channel in enumerate(rows):
        y = GAP + place * height
        if look.mode != "input":
            shapes += strip(relevance[channel], scaled, 0, y, width, height - GAP)
        if lines is not None:
            shapes.append(_line(lines[channel], width, y, height - GAP))
        if look.size == LARGE and picture.words is not None and channel < len(picture.words):
            name = shortened(str(picture.words[channel]), 40)
            shapes.append(Text(4, y + 8, name, SOFT, 11))
    return Scene(width, GAP + len(rows) * height, tuple(shapes))


def _line(values: np.ndarray, width: int, y: float, height: float) -> Line:
    """Return the line of a channel; a long one by the extremes of each pixel."""
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    if len(finite) > 2 * width:
        edges = np.linspace(0, len(finite), width + 1).astype(int)[:-1]
        low, high = np.minimum.reduceat(finite, edges), np.maximum.reduceat(finite, edges)
        x = np.repeat((np.arange(width) + 0.5), 2)
        finite = np.stack([low, high], axis=1).ravel()
    else:
        x = (np.arange(len(finite)) + 0.5) * width / len(finite)
    low, spread = finite.min(), np.ptp(finite) or 1.0
    points = zip(x.tolist(), (y + height - (finite - low) / spread * height).tolist(), strict=True)
    return Line(tuple(points), INK, 1.2)
