"""Images (channel, y, x) and videos (channel, time, y, x) as pixels."""

from typing import Final

import numpy as np
import xarray as xr
from PIL import Image

from fxrelay import schema
from fxrelay.heatmap import grid, heatmap, limits, overlay, to_image
from fxrelay_viz.pictures import Picture
from fxrelay_viz.renderers.look import HOVER, THUMBNAIL, Look

Range = tuple[float, float]
#: frames in a strip, by the size of the view
FRAMES: Final = {THUMBNAIL: 4, HOVER: 6}
MOST_FRAMES: Final = 12


def image(picture: Picture, look: Look, input_range: Range) -> np.ndarray:
    """Draw an image in the mode of the look, uint8 array of shape (y, x, 3).

    The relevance of a layer is enlarged to the size of the input, where both are shown.
    """
    relevance = _planes(picture.relevance)
    data = None if picture.input is None else _planes(picture.input)
    if data is None or look.mode == "heatmap":
        return heatmap(relevance, look.cmap, **look.scale)
    plain = to_image(data, vmin=input_range[0], vmax=input_range[1])
    if look.mode == "input":
        return plain
    relevance = enlarged(relevance.sum(axis=0), plain.shape[:2])
    if look.mode == "side":
        return grid(np.stack([plain, heatmap(relevance, look.cmap, **look.scale)]), columns=2)
    return overlay(
        data, relevance, look.cmap, alpha=look.blend, input_range=input_range, **look.scale
    )


def video(picture: Picture, look: Look, input_range: Range) -> np.ndarray:
    """Draw frames side by side, on one scale, evenly chosen in time, uint8 array (y, x, 3)."""
    relevance = picture.relevance.transpose(schema.TIME, ...)
    count = min(FRAMES.get(look.size, MOST_FRAMES), relevance.sizes[schema.TIME])
    chosen = np.linspace(0, relevance.sizes[schema.TIME] - 1, count).round().astype(int)
    one = look if look.limit is not None else _with_limit(look, relevance)
    frames = [
        image(
            Picture(
                relevance.isel({schema.TIME: n}),
                None if picture.input is None else picture.input.isel({schema.TIME: n}),
            ),
            one,
            input_range,
        )
        for n in chosen
    ]
    return grid(np.stack(frames), columns=min(count, 4))


def enlarged(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolate a plane (y, x) linearly to another shape."""
    if plane.shape == tuple(shape):
        return plane
    small = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _planes(values: xr.DataArray) -> np.ndarray:
    out: np.ndarray = values.transpose(schema.CHANNEL, schema.Y, schema.X).values
    return out


def _with_limit(look: Look, relevance: xr.DataArray) -> Look:
    frames = relevance.transpose(schema.TIME, schema.CHANNEL, schema.Y, schema.X)
    _, high = limits(frames.values, look.cmap, percentile=look.percentile, shared=True)
    return Look(**(look.__dict__ | {"limit": float(high.item())}))
