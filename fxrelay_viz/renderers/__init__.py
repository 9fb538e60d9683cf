"""The table of renderers: how a sample is drawn, chosen by the dimensions of its relevance.

A row draws a thumbnail, what stands under the pointer, and the large view; all three are pure
functions of the sample and the look. Pixels become PNG, drawings SVG.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from fxrelay import schema
from fxrelay_viz.pictures import Picture
from fxrelay_viz.renderers.features import features
from fxrelay_viz.renderers.images import image, video
from fxrelay_viz.renderers.look import MODES, SIZES, Look
from fxrelay_viz.renderers.scene import Scene, pixels, svg
from fxrelay_viz.renderers.signals import signal
from fxrelay_viz.renderers.tokens import tokens

Drawing = np.ndarray | Scene
Draw = Callable[[Picture, Look, tuple[float, float]], Drawing]


@dataclass(frozen=True)
class Renderer:
    """How samples of one kind are drawn.

    Attributes
    ----------
    layouts : tuple of tuple of str
        Dimensions of relevance, without samples and targets.
    thumbnail, hover, large : callable
        Picture, look and range of the inputs to pixels or a drawing.
    modes : tuple of str
        The keys of `MODES` that make sense with an input.
    wide : bool
        Whether thumbnails are about twice as wide as high, and large views fill the width.
    mean : str
        The key of `MODES` that tells most of the mean of several samples.
    """

    layouts: tuple[tuple[str, ...], ...]
    thumbnail: Draw
    hover: Draw
    large: Draw
    modes: tuple[str, ...] = ("input", "heatmap", "overlay")
    wide: bool = True
    mean: str = "heatmap"


RENDERERS: Final[Mapping[str, Renderer]] = {
    "image": Renderer(
        ((schema.CHANNEL, schema.Y, schema.X),), image, image, image, tuple(MODES), False,
    ),
    "video": Renderer(
        ((schema.CHANNEL, schema.TIME, schema.Y, schema.X),), video, video, video, tuple(MODES),
    ),
    "signal": Renderer(((schema.CHANNEL, schema.X),), signal, signal, signal),
    "tokens": Renderer(
        ((schema.TOKEN,), (schema.TOKEN, schema.FEATURE)), tokens, tokens, tokens,
    ),
    "features": Renderer(
        ((schema.FEATURE,),), features, features, features, mean="overlay",
    ),
}  # fmt: skip


def kind_of(layout: tuple[str, ...]) -> str:
    """Return the key in `RENDERERS` for a layout of relevance.

    Raises
    ------
    ValueError
        For a layout without renderer; names those that have one.
    """
    for kind, row in RENDERERS.items():
        if layout in row.layouts:
            return kind
    known = [str(layout) for row in RENDERERS.values() for layout in row.layouts]
    raise ValueError(
        f"viewer: needs relevance with dimensions {', '.join(known)}; got {layout}. "
        "Rename them with ds.rename(...)."
    )


def draw(picture: Picture, look: Look, input_range: tuple[float, float]) -> Drawing:
    """Draw a sample by the row of its layout, in the view of the look's size."""
    row = RENDERERS[kind_of(tuple(str(d) for d in picture.relevance.dims))]
    function: Draw = getattr(row, SIZES[look.size])
    return function(picture, look, input_range)


def encode(drawing: Drawing, size: int) -> tuple[bytes, str]:
    """Return a drawing as bytes and their content type.

    Pixels keep their size, or are reduced to twice `size` where they are larger; the browser
    enlarges them.
    """
    if isinstance(drawing, Scene):
        return svg(drawing), "image/svg+xml"
    picture = Image.fromarray(np.ascontiguousarray(drawing))
    if max(picture.size) > 2 * size:
        picture.thumbnail((2 * size, 2 * size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=1)
    return out.getvalue(), "image/png"


def raster(drawing: Drawing) -> np.ndarray:
    """Return a drawing as pixels, uint8 array of shape (y, x, 3)."""
    return pixels(drawing) if isinstance(drawing, Scene) else drawing
