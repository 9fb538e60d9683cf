"""Relevance and inputs to RGB images: plain arrays in, uint8 arrays out.

Arrays are channel first; a batch has leading axes, which are kept. DataArrays are read by the names
of their dimensions. Relevance is summed over channels before it is coloured.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypedDict, Unpack, cast

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay.heatmap.cmaps import Cmap, palette, resolve

Array = np.ndarray | xr.DataArray

#: the usual value ranges of model inputs, each with the least maximum that speaks for it; the
#: first that holds the data is taken
RANGES: Final = ((0.0, 1.0, 0.0), (-1.0, 1.0, -1.0), (0.0, 255.0, 32.0))


class Scale(TypedDict, total=False):
    """Which relevance lies at the two ends of the colour map; every key may be left out.

    vmin, vmax : float
        Fixed ends, in relevance units.
    symmetric : bool
        True: from -m to m with m the largest magnitude. False: from the smallest to the largest
        value. By default symmetric for a signed map, else from 0 to the largest value.
    percentile : float, in (0, 100]
        Take this percentile for the largest, so that a few extreme pixels do not fade the rest.
    shared : bool
        One scale for the whole batch instead of one per image.
    """

    vmin: float | None
    vmax: float | None
    symmetric: bool | None
    percentile: float
    shared: bool


def heatmap(
    relevance: Array, cmap: str | Cmap = "bwr", *, level: float = 1.0, **scale: Unpack[Scale]
) -> np.ndarray:
    """Colour relevance.

    Parameters
    ----------
    relevance : array, shape (..., channel, y, x) or (y, x), or a DataArray with dims y and x
        Summed over channels.
    cmap : str or Cmap
        A name in `CMAPS`, or nodes such as ``00f,80:fff,f00``.
    level : float, > 0
        See `palette`.
    **scale
        See `Scale`: vmin, vmax, symmetric, percentile, shared.

    Returns
    -------
    uint8 array, shape (..., y, x, 3)
        A map that is zero everywhere gets the colour of zero.

    Raises
    ------
    ValueError
        For wrong shapes, relevance that is not finite, or limits out of order.
    """
    colours = palette(cmap, level)
    planes = _planes(relevance, "heatmap")
    return colours[np.rint(_unit(planes, *_ends(planes, cmap, scale)) * 255).astype(np.uint8)]


def limits(
    relevance: Array, cmap: str | Cmap = "bwr", **scale: Unpack[Scale]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the relevance at the two ends of the colour map, which is what a colour bar shows.

    Parameters
    ----------
    relevance, cmap, **scale
        As in `heatmap`.

    Returns
    -------
    (low, high) : float arrays, shape (..., 1, 1)
        They broadcast against the images; a map that is zero everywhere gets 1 for its largest.
    """
    return _ends(_planes(relevance, "limits"), cmap, scale)


def to_image(data: Array, *, vmin: float | None = None, vmax: float | None = None) -> np.ndarray:
    """Turn model inputs into RGB.

    Parameters
    ----------
    data : array, shape (..., channel, y, x) or (y, x), or a DataArray with dims y and x
        One channel (or any number but three, averaged) becomes grey. uint8 is taken as it is.
    vmin, vmax : float, optional
        Values shown black and white; `input_limits` of the data by default.

    Returns
    -------
    uint8 array, shape (..., y, x, 3)
    """
    planes = _ordered(data, "to_image")
    planes = planes if planes.ndim > 2 else planes[None]
    if planes.dtype != np.uint8:
        low, high = input_limits(planes)
        low, high = (low if vmin is None else vmin), (high if vmax is None else vmax)
        planes = _unit(planes.astype(np.float64), np.asarray(low), np.asarray(high)) * 255
    if planes.shape[-3] != 3:
        planes = planes.mean(axis=-3, keepdims=True)
    rgb = np.moveaxis(np.rint(planes).astype(np.uint8), -3, -1)
    return np.broadcast_to(rgb, (*rgb.shape[:-1], 3))


def input_limits(data: Array) -> tuple[float, float]:
    """Guess the value range of model inputs: [0, 1], [-1, 1], [0, 255], else what occurs."""
    values = np.asarray(data)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"to_image: needs finite values; got {int((~np.isfinite(values)).sum())} NaN or "
            f"infinity in {values.size}. Mend or drop these samples."
        )
    low, high = float(values.min()), float(values.max())
    fits = (r[:2] for r in RANGES if r[0] <= low and r[2] <= high <= r[1])
    return next(fits, (low, high))


def overlay(
    data: Array,
    relevance: Array,
    cmap: str | Cmap = "bwr",
    *,
    alpha: float = 0.9,
    blend: str = "relevance",
    input_range: tuple[float, float] | None = None,
    level: float = 1.0,
    **scale: Unpack[Scale],
) -> np.ndarray:
    """Lay a heatmap over the grey input.

    Parameters
    ----------
    data, relevance : array, shape (..., channel, y, x) or (y, x), or DataArrays
        Equal in y and x.
    cmap : str or Cmap
        A name in `CMAPS`, or nodes.
    alpha : float, in [0, 1]
        Opacity of the heatmap, where it is strongest.
    blend : {"relevance", "constant"}
        Opacity in proportion to the magnitude of relevance, or the same everywhere.
    input_range : (float, float), optional
        Input values shown black and white.
    level, **scale
        As in `heatmap`.

    Returns
    -------
    uint8 array, shape (..., y, x, 3)

    Raises
    ------
    ValueError
        For an unknown blend, alpha out of range, or sizes that differ.
    """
    if blend not in BLENDS or not 0 <= alpha <= 1:
        raise ValueError(
            f"overlay: needs alpha in [0, 1] and blend in {tuple(BLENDS)}; got {alpha} and "
            f"{blend!r}. Use alpha=0.9, blend='relevance'."
        )
    low, high = input_range or (None, None)
    grey = to_image(data, vmin=low, vmax=high).mean(axis=-1, keepdims=True)
    colours = heatmap(relevance, cmap, level=level, **scale)
    if grey.shape[:-1] != colours.shape[:-1]:
        raise ValueError(
            f"overlay: needs input and relevance of the same size; got {grey.shape[:-1]} and "
            f"{colours.shape[:-1]}. Resize one of them first."
        )
    planes = _planes(relevance, "overlay")
    weight = alpha * BLENDS[blend](planes, *_ends(planes, cmap, scale))[..., None]
    return np.rint(grey * (1 - weight) + colours * weight).astype(np.uint8)


def _by_relevance(planes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    top = np.maximum(abs(low), abs(high))
    return np.clip(abs(np.clip(planes, low, high)) / np.where(top > 0, top, 1), 0, 1)


def _constant(planes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.ones_like(planes)


BLENDS: Final[Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]]] = {
    "relevance": _by_relevance,
    "constant": _constant,
}


def _ordered(data: Array, where: str) -> np.ndarray:
    if isinstance(data, xr.DataArray):
        last = [d for d in (schema.CHANNEL, schema.Y, schema.X) if d in data.dims]
        if last[-2:] == [schema.Y, schema.X]:
            values = data.transpose(..., *last).values
            return values if schema.CHANNEL in last else values[..., None, :, :]
        raise ValueError(
            f"{where}: needs the dimensions '{schema.Y}' and '{schema.X}'; got {data.dims}. "
            "Rename yours with .rename(...)."
        )
    values = np.asarray(data)
    if values.ndim < 2 or 0 in values.shape:
        raise ValueError(
            f"{where}: needs an array (y, x) or (..., channel, y, x) with at least one pixel; got "
            f"shape {values.shape}. Add or drop axes."
        )
    return values


def _planes(data: Array, where: str) -> np.ndarray:
    values = _ordered(data, where).astype(np.float64)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"{where}: needs finite relevance; got {bad} NaN or infinity in {values.size} values. "
            "Drop these samples or use a rule with a stabilizer."
        )
    return cast(np.ndarray, values.sum(axis=-3) if values.ndim > 2 else values)


def _ends(planes: np.ndarray, cmap: str | Cmap, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    vmin, vmax, symmetric = scale.get("vmin"), scale.get("vmax"), scale.get("symmetric")
    percentile = scale.get("percentile", 100.0)
    _check_scale(vmin, vmax, percentile)
    axes = tuple(range(planes.ndim)) if scale.get("shared") else (-2, -1)
    fixed = [abs(end) for end in (vmin, vmax) if end is not None]
    if symmetric or (symmetric is None and resolve(cmap).signed):
        high = np.asarray(max(fixed)) if fixed else _top(abs(planes), percentile, axes)
        low = -high
    elif symmetric is None:
        high = _top(np.maximum(planes, 0), percentile, axes)
        low = np.zeros_like(high)
    else:
        high, low = _top(planes, percentile, axes), -_top(-planes, percentile, axes)
    low = low if vmin is None else np.asarray(float(vmin))
    high = high if vmax is None else np.asarray(float(vmax))
    return np.minimum(low, high), high


def _check_scale(vmin: float | None, vmax: float | None, percentile: float) -> None:
    if not 0 < percentile <= 100:
        raise ValueError(f"heatmap: needs percentile in (0, 100]; got {percentile}. Try 99.5.")
    if vmin is not None and vmax is not None and not vmin < vmax:
        raise ValueError(f"heatmap: needs vmin < vmax; got {vmin} and {vmax}. Swap them.")


def _top(planes: np.ndarray, percentile: float, axes: tuple[int, ...]) -> np.ndarray:
    most = planes.max(axis=axes, keepdims=True)
    top = most if percentile == 100 else np.percentile(planes, percentile, axes, keepdims=True)
    top = np.where((top <= 0) & (most > 0), most, top)  # a sparse map keeps its few pixels
    return np.where(top == 0, 1.0, top)


def _unit(planes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    span = np.where(high > low, high - low, 1.0)
    return cast(np.ndarray, np.clip((planes - low) / span, 0, 1))
