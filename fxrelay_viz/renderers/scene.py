"""A drawing of boxes, lines and texts, written as SVG for the browser or as pixels for a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK: Final = "#1d2330"
SOFT: Final = "#6b7280"
RULE: Final = "#d9dce2"
#: width of a character, as a share of the size of the font
ADVANCE: Final = 0.61
FONT: Final = "DejaVu Sans Mono, Menlo, Consolas, monospace"
ANCHORS: Final = {"start": "lm", "middle": "mm", "end": "rm"}


@dataclass(frozen=True)
class Box:
    """A filled rectangle; positions are in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(frozen=True)
class Line:
    """An open line through points (x, y)."""

    points: Sequence[tuple[float, float]]
    colour: str = INK
    width: float = 1.0


@dataclass(frozen=True)
class Text:
    """Text whose middle in height lies at y, and whose start, middle or end lies at x."""

    x: float
    y: float
    text: str
    fill: str = INK
    size: float = 12.0
    anchor: str = "start"


@dataclass(frozen=True)
class Scene:
    """A drawing: its size in pixels and its shapes, the last on top."""

    width: int
    height: int
    shapes: tuple[Box | Line | Text, ...]


def svg(scene: Scene) -> bytes:
    """Write a scene as SVG; every text is escaped, and nothing in it runs or loads anything."""
    inner = "".join(_element(shape) for shape in scene.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{scene.width}" height="{scene.height}" '
        f'viewBox="0 0 {scene.width} {scene.height}" font-family="{FONT}">'
        f'<rect width="100%" height="100%" fill="#fff"/>{inner}</svg>'
    ).encode()


def pixels(scene: Scene) -> np.ndarray:
    """Draw a scene, uint8 array of shape (height, width, 3)."""
    page = Image.new("RGB", (scene.width, scene.height), "#ffffff")
    pen = ImageDraw.Draw(page)
    for shape in scene.shapes:
        if isinstance(shape, Box):
            right, below = shape.x + shape.width, shape.y + shape.height
            pen.rectangle((shape.x, shape.y, right, below), fill=shape.fill)
        elif isinstance(shape, Line):
            pen.line([*shape.points], fill=shape.colour, width=max(1, round(shape.width)))
        else:
            font = ImageFont.load_default(shape.size)
            text = visible(shape.text)
            pen.text((shape.x, shape.y), text, shape.fill, font, ANCHORS[shape.anchor])
    return np.asarray(page)


def ink_on(colour: str) -> str:
    """Return black or white, whichever is easier to read on the colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else "#ffffff"


def visible(text: str) -> str:
    """Return a text without characters that no document may hold."""
    return "".join(c if c.isprintable() else "�" for c in text)


def shortened(text: str, most: int) -> str:
    """Cut a text to a number of characters, with an ellipsis."""
    return text if len(text) <= most else f"{text[: max(most - 1, 0)]}…"


def _element(shape: Any) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:.4g}" y="{shape.y:.4g}" width="{shape.width:.4g}" '
            f'height="{shape.height:.4g}" fill="{escape(shape.fill)}"/>'
        )
    if isinstance(shape, Line):
        points = " ".join(f"{x:.5g},{y:.5g}" for x, y in shape.points)
        return (
            f'<polyline points="{points}" fill="none" stroke="{escape(shape.colour)}" '
            f'stroke-width="{shape.width:.3g}"/>'
        )
    return (
        f'<text x="{shape.x:.5g}" y="{shape.y:.5g}" fill="{escape(shape.fill)}" '
        f'font-size="{shape.size:.3g}" text-anchor="{shape.anchor}" '
        f'dominant-baseline="central" xml:space="preserve">{escape(visible(shape.text))}</text>'
    )
