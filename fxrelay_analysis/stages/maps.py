"""Maps as images: resize, rescale, smooth, crop to where relevance is, histogram.

Resizing and smoothing are linear and work along one dimension after the other, so each is a matrix
(new length, old length) made once by scipy.ndimage and multiplied with all samples at a time.
"""

from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, SAMPLE, X, Y
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.preprocess import blocks, checked, replaced
from fxrelay_analysis.stages.windows import smallest

Array = np.ndarray[Any, Any]
BIN: Final = "bin"
HISTOGRAM: Final = "histogram"
ORDER: Final = "Degree of the spline between pixels: 0 nearest, 1 linear, 3 cubic."
ANTIALIAS: Final = "Smooth before shrinking, with sigma = (old / new - 1) / 2 pixels."
#: what lies beyond the edge -> the name that scipy gives it
EDGES: Final = {"mirror": "reflect", "repeat": "nearest", "zero": "constant", "wrap": "wrap"}


class Resampled(Stage):
    """A stage that resamples maps by splines."""

    order = param.Integer(1, bounds=(0, 5), doc=ORDER)
    antialias = param.Boolean(True, doc=ANTIALIAS)
    conserve = param.Boolean(
        False, doc="Multiply by the ratio of areas: totals stay (exactly for constant maps)."
    )


class resize(Resampled):
    """Resample maps to a given height and width.

    The edges of the image stay where they are, and what lies beyond repeats the last pixel.
    """

    version: ClassVar[int] = 1
    height = param.Integer(100, bounds=(1, None), doc="New pixels along y, where there is y.")
    width = param.Integer(100, bounds=(1, None), doc="New pixels along x, where there is x.")

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset,
        *,
        height: int,
        width: int,
        order: int,
        antialias: bool,
        conserve: bool,
    ) -> xr.DataArray:
        """Return the dims that came in, y of `height` and x of `width`.

        Raises
        ------
        ValueError
            If there is neither y nor x.
        """
        array = _mapped(relevance, "resize")
        return _resized(array, {Y: height, X: width}, order, antialias, conserve)


class rescale(Resampled):
    """Resample maps to a share of their height and width, at least one pixel."""

    version: ClassVar[int] = 1
    scale = param.Number(
        0.5, bounds=(0, 64), inclusive_bounds=(False, True), doc="New length over old."
    )

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset,
        *,
        scale: float,
        order: int,
        antialias: bool,
        conserve: bool,
    ) -> xr.DataArray:
        """Return the dims that came in, y and x of round(scale times their length).

        Raises
        ------
        ValueError
            If there is neither y nor x.
        """
        array = _mapped(relevance, "rescale")
        sizes = {str(d): max(1, round(scale * n)) for d, n in array.sizes.items() if d in (Y, X)}
        return _resized(array, sizes, order, antialias, conserve)


class smooth(Stage):
    """Blur maps by a Gaussian: relevance of single pixels becomes that of their surroundings."""

    version: ClassVar[int] = 1
    sigma = param.Number(
        1.0, bounds=(0, None), doc="Standard deviation of the Gaussian in pixels; cut at 4 sigma."
    )
    edge = param.Selector(
        default="mirror", objects=list(EDGES), doc="What lies beyond the edge; mirror keeps totals."
    )

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, sigma: float, edge: str) -> xr.DataArray:
        """Return the dims that came in.

        Raises
        ------
        ValueError
            If there is neither y nor x.
        """
        array = _mapped(relevance, "smooth")
        values = array.values
        for axis in (array.get_axis_num(dim) for dim in (Y, X) if dim in array.dims):
            values = _along(values, gaussian(values.shape[axis], sigma, EDGES[edge]), axis)
        return array.copy(data=values)


class crop_to_mass(Stage):
    """Cut each map to the smallest window that holds a share of its magnitude, resampled.

    The window is the rectangle of least area with at least `share` of the sum of absolute relevance
    over all channels; of several, the one that holds most. Where it was and how large is in the
    coordinates `crop_y`, `crop_x`, `crop_height`, `crop_width`. A map without any relevance
    keeps its whole frame.
    """

    version: ClassVar[int] = 1
    share = param.Number(
        0.9, bounds=(0, 1), inclusive_bounds=(False, True), doc="Share of magnitude in the window."
    )
    height = param.Integer(32, bounds=(1, None), doc="Pixels along y that it is resampled to.")
    width = param.Integer(32, bounds=(1, None), doc="Pixels along x that it is resampled to.")
    order = param.Integer(1, bounds=(0, 5), doc=ORDER)

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset, *, share: float, height: int, width: int, order: int
    ) -> xr.DataArray:
        """Return the dims that came in, y of `height` and x of `width`.

        Raises
        ------
        ValueError
            If y and x are not the last dimensions.
        """
        array = checked(relevance, "crop_to_mass")
        if array.dims[-2:] != (Y, X):
            raise ValueError(
                f"crop_to_mass: needs '{Y}' and '{X}' as the last dimensions; got {array.dims}. "
                f"Use .transpose(..., '{Y}', '{X}')."
            )
        mass = np.abs(array.values).reshape(len(array), -1, *array.shape[-2:]).sum(axis=1)
        found = [smallest(m, share) for m in mass]
        out = np.empty((*array.shape[:-2], height, width), array.dtype)
        for i, (top, left, tall, wide) in enumerate(found):
            window = array.values[i, ..., top : top + tall, left : left + wide]
            rows, columns = spline(tall, height, order, True), spline(wide, width, order, True)
            out[i] = rows.astype(out.dtype) @ window @ columns.T.astype(out.dtype)
        names = ("crop_y", "crop_x", "crop_height", "crop_width")
        where = {n: (SAMPLE, v) for n, v in zip(names, np.transpose(found), strict=True)}
        return replaced(array, out, {Y, X}).assign_coords(where)


class histogram(Stage):
    """Count how much relevance of which size a sample has, in bins that all samples share.

    Shared bins make histograms comparable. Values beyond `low` and `high` are counted in the first
    and last bin. Where all values are equal, the bins reach 0.5 to either side.
    """

    version: ClassVar[int] = 1
    bins = param.Integer(32, bounds=(1, None), doc="Number of bins of equal width.")
    low = param.Number(None, allow_None=True, doc="Lower end; by default the least value.")
    high = param.Number(None, allow_None=True, doc="Upper end; by default the greatest value.")
    per_channel = param.Boolean(True, doc="One histogram per channel, where there are channels.")
    density = param.Boolean(True, doc="Divide counts by their sum and the width of a bin.")

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset,
        *,
        bins: int,
        low: float | None,
        high: float | None,
        per_channel: bool,
        density: bool,
    ) -> xr.DataArray:
        """Return `histogram`, dims (sample, [channel], bin), bins labelled by their centres.

        Raises
        ------
        ValueError
            If `low` is not below `high`.
        """
        array = checked(relevance, "histogram")
        kept = [SAMPLE, CHANNEL] if per_channel and CHANNEL in array.dims else [SAMPLE]
        values = array.transpose(*kept, ...).values
        values = values.reshape(*values.shape[: len(kept)], -1)
        least, most = _ends(values, low, high)
        edges = np.linspace(least, most, bins + 1)
        counts = _counts(values.reshape(-1, values.shape[-1]), edges)
        if density:
            counts = counts / (values.shape[-1] * (edges[1] - edges[0]))
        coords: dict[str, Any] = {name: array[name] for name in kept if name in array.coords}
        coords[BIN] = (BIN, (edges[:-1] + edges[1:]) / 2)
        out = counts.reshape(*values.shape[:-1], bins)
        note = {} if density else {"long_name": "values in the bin", "units": "1"}
        return labelled(xr.DataArray(out, coords, (*kept, BIN), attrs=note), HISTOGRAM)


@lru_cache(maxsize=256)
def spline(old: int, new: int, order: int, antialias: bool) -> Array:
    """Return the matrix (new, old) that resamples a line; its rows have sum one."""
    from scipy import ndimage

    lines = np.eye(old)
    if antialias and new < old:
        lines = ndimage.gaussian_filter1d(lines, (old / new - 1) / 2, axis=0, mode="nearest")
    grown = [ndimage.zoom(line, new / old, order=order, mode="nearest", grid_mode=True)
             for line in lines.T]  # fmt: skip
    return np.stack(grown, axis=1)


@lru_cache(maxsize=64)
def gaussian(length: int, sigma: float, mode: str, cut: float = 4.0) -> Array:
    """Return the matrix (length, length) of a Gaussian along a line, cut at `cut` sigma."""
    from scipy import ndimage

    if sigma == 0:
        return np.eye(length)
    matrix: Array = ndimage.gaussian_filter1d(
        np.eye(length), sigma, axis=0, mode=mode, truncate=cut
    )
    return matrix


def _mapped(relevance: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    array = checked(relevance, where)
    if not {Y, X} & set(array.dims):
        raise ValueError(
            f"{where}: needs the dimension '{Y}' or '{X}'; got {array.dims}. Leave this stage out "
            "or .rename(...) the dimensions that are space."
        )
    return array


def _resized(
    array: xr.DataArray, sizes: dict[str, int], order: int, antialias: bool, conserve: bool
) -> xr.DataArray:
    values, sizes = array.values, {d: n for d, n in sizes.items() if d in array.dims}
    for dim, new in sizes.items():
        axis = array.get_axis_num(dim)
        old = values.shape[axis]
        matrix = spline(old, new, order, antialias)
        values = _along(values, matrix * (old / new) if conserve else matrix, axis)
    return replaced(array, values, set(sizes))


def _along(values: Array, matrix: Array, axis: int) -> Array:
    """Multiply `matrix` along an axis, in the precision of the values."""
    turned = np.moveaxis(values, axis, -1) @ matrix.T.astype(values.dtype)
    return np.ascontiguousarray(np.moveaxis(turned, -1, axis))


def _ends(values: Array, low: float | None, high: float | None) -> tuple[float, float]:
    least = float(values.min()) if low is None else float(low)
    most = float(values.max()) if high is None else float(high)
    if least == most and low is None and high is None:
        return least - 0.5, most + 0.5
    if not least < most:
        raise ValueError(
            f"histogram: needs low < high; got {least:g} and {most:g}. Widen the range."
        )
    return least, most


def _counts(rows: Array, edges: Array) -> Array:
    """Count the values of each row (n, d) between the edges: (n, bins)."""
    bins = len(edges) - 1
    out = np.empty((len(rows), bins))
    for part in blocks(rows):
        place = np.searchsorted(edges, rows[part], side="right") - 1
        place = np.clip(place, 0, bins - 1) + bins * np.arange(len(place))[:, None]
        out[part] = np.bincount(place.ravel(), minlength=len(place) * bins).reshape(-1, bins)
    return out
