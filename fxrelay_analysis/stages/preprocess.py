"""From relevance to vectors that can be compared: reduce, pool, compress, normalise, flatten."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, FEATURE, RELEVANCE, SAMPLE, X, Y
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.norms import NORMS, normalized

Array = np.ndarray[Any, Any]
BLOCK: Final = 1 << 20  # bytes of samples that are worked on at once, and stay in the cache
#: operation -> how a whole block of pixels becomes one; the same where NaN marks what is not there
POOLS: Final[dict[str, tuple[Callable[..., Array], Callable[..., Array]]]] = {
    "sum": (np.sum, np.nansum),
    "mean": (np.mean, np.nanmean),
    "max": (np.max, np.nanmax),
    "min": (np.min, np.nanmin),
    "median": (np.median, np.nanmedian),
}
#: blocks along the longer side that `preprocess` leaves by default
BLOCKS: Final = 14


class channel_sum(Stage):
    """Sum relevance over the dimension channel, where there is one: one map per sample."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return dims (sample, y, x) from (sample, channel, y, x)."""
        array = checked(relevance, "channel_sum")
        if CHANNEL in array.dims:
            return array.reduce(_added, CHANNEL, keep_attrs=True)
        return array.copy()


class absolute(Stage):
    """Take the absolute value: how much, not for or against."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return the dims that came in."""
        return _keep(abs, checked(relevance, "absolute"))


class pool(Stage):
    """Reduce blocks of pixels to one, which forgives small shifts; sums keep the total.

    Where edges do not fill a block, the pixels that are there count, and no others: a sum is that
    of fewer pixels, a mean is over fewer. Data without the dimensions of a block pass unchanged.
    """

    version: ClassVar[int] = 2
    size = param.Integer(4, bounds=(1, None), doc="Side of a block in pixels.")
    width = param.Integer(
        None, bounds=(1, None), allow_None=True, doc="Pixels along x, where not `size`."
    )
    channels = param.Integer(1, bounds=(1, None), doc="Channels in a block.")
    operation = param.Selector(
        default="sum", objects=list(POOLS), doc="What a block becomes: sum, mean, max, min, median."
    )

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset,
        *,
        size: int,
        width: int | None,
        channels: int,
        operation: str,
    ) -> xr.DataArray:
        """Return the dims that came in, each shorter by its side of a block (rounded up)."""
        array, sides = checked(relevance, "pool"), {CHANNEL: channels, Y: size, X: width or size}
        lengths = [sides.get(str(dim), 1) for dim in array.dims]
        resized = {str(d) for d, side in zip(array.dims, lengths, strict=True) if side > 1}
        return replaced(array, _pooled(array.values, lengths, operation), resized).copy()


class compress(Stage):
    """Raise magnitudes to a power and keep signs: 0.5 tempers the few strongest pixels.

    With the l2 norm after it, power 0.5 makes Euclidean distance the Hellinger distance between
    distributions of relevance.
    """

    version: ClassVar[int] = 2
    power = param.Number(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), doc="Exponent of the magnitude."
    )

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, power: float) -> xr.DataArray:
        """Return sign(r) |r|^power, the dims that came in."""
        array = checked(relevance, "compress")
        return array.copy(data=_compressed(array.values, power)).copy()


class normalize(Stage):
    """Scale each sample to length one; a sample without any relevance stays zero.

    ``l1``, ``l2`` and ``max`` are norms. ``sum`` divides by the signed total T, so samples with a
    negative total change sign; where |T| is less than `guard` times the sum of magnitudes, that
    bound stands for it, with T's sign, because relevance that cancels has no total to share.
    ``standardize`` subtracts the sample's mean and divides by its standard deviation; constant
    samples become zero. ``none`` changes nothing.
    """

    version: ClassVar[int] = 2
    norm = param.Selector(default="l2", objects=list(NORMS), doc="Length of a sample, see above.")
    guard = param.Number(
        1e-3, bounds=(0, 1), doc="Least |total| for `sum`, as a share of the sum of magnitudes."
    )

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, norm: str, guard: float) -> xr.DataArray:
        """Return the dims that came in, unit 1."""
        array = checked(relevance, "normalize")
        out = array.copy(data=normalized(_rows(array.values), norm, guard).reshape(array.shape))
        return out.assign_attrs(_units(array, norm))


class flatten(Stage):
    """Lay all dimensions but sample out as one dimension feature."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return dims (sample, feature)."""
        array = checked(relevance, "flatten")
        return xr.DataArray(
            _rows(array.values), ids(array), (SAMPLE, FEATURE), array.name, array.attrs
        )


class preprocess(Stage):
    """Channel sum, pooling, compression, norm and flattening in one go: vectors to compare.

    Samples are worked on in blocks, so that no copy of all of them is made on the way. A norm
    bounds the result, so that float32 loses nothing but digits; with norm ``none`` the precision
    that came in stays.
    """

    version: ClassVar[int] = 3
    size = param.Integer(
        None,
        bounds=(1, None),
        allow_None=True,
        doc="Side of a block in pixels; by default the least that leaves 14 blocks a side at most.",
    )
    power = param.Number(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), doc=compress.param.power.doc
    )
    norm = param.Selector(default="l2", objects=list(NORMS), doc=normalize.param.norm.doc)
    guard = param.Number(1e-3, bounds=(0, 1), doc=normalize.param.guard.doc)
    single = param.Boolean(True, doc="Return float32 where a norm bounds the values.")

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset,
        *,
        size: int | None,
        power: float,
        norm: str,
        guard: float,
        single: bool,
    ) -> xr.DataArray:
        """Return dims (sample, feature), unit 1."""
        array = _real(relevance, "preprocess")
        side = size or -(-max(array.sizes.get(dim, 1) for dim in (Y, X)) // BLOCKS)
        lengths = [side if dim in (Y, X) else 1 for dim in array.dims if dim != CHANNEL]
        out, values = np.empty(0), array.values
        for rows in blocks(values):
            part = values[rows]
            if CHANNEL in array.dims:
                part = _added(part, array.dims.index(CHANNEL))
            if not np.isfinite(part).all():  # as no sum with NaN or infinity is
                _need_finite(array, "preprocess")
            part = _rows(_compressed(_pooled(part, lengths, "sum"), power))
            if rows.start == 0:
                kind = np.float32 if single and norm != "none" else part.dtype.newbyteorder("=")
                out = np.empty((len(array), part.shape[1]), kind)
            normalized(part, norm, guard, out[rows])
        attrs = array.attrs | _units(array, norm)
        whole = xr.DataArray(out, ids(array), (SAMPLE, FEATURE), array.name, attrs)
        return labelled(whole, FEATURE)


def checked(data: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    """Return `relevance` in memory, float32 or wider, sample first.

    Raises
    ------
    ValueError
        If it is empty, has no leading dimension sample, or is not finite real numbers.
    """
    array = _real(data, where)
    _need_finite(array, where)
    return array


def _real(data: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    array = variable(data, RELEVANCE, where)
    if array.dims[:1] != (SAMPLE,) or array.size == 0:
        raise ValueError(
            f"{where}: needs values with '{SAMPLE}' as their first dimension; got dims "
            f"{array.dims} of shape {array.shape}. Use .transpose('{SAMPLE}', ...)."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where}: needs real numbers; got {array.dtype}. Use .astype(...).")
    if array.dtype.kind != "f" or array.dtype == np.float16:  # sums of float16 overflow
        array = array.astype(np.promote_types(array.dtype, np.float32))
    return array


def _need_finite(array: xr.DataArray, where: str) -> None:
    values = array.values
    finite = [np.isfinite(values[rows]).reshape(-1, values[0].size).all(axis=1)
              for rows in blocks(values)]  # fmt: skip
    bad = ~np.concatenate(finite)
    if bad.any():
        raise ValueError(
            f"{where}: needs finite values; got NaN or infinity in {int(bad.sum())} of {bad.size} "
            f"samples, first at position {int(np.argmax(bad))}. Drop them with .isel({SAMPLE}=...)."
        )


def blocks(values: Array) -> Iterator[slice]:
    """Yield slices of samples of about `BLOCK` bytes each."""
    step = max(1, BLOCK * len(values) // max(1, values.nbytes))
    yield from (slice(start, start + step) for start in range(0, len(values), step))


def ids(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the coordinate sample, where there is one."""
    return {SAMPLE: array[SAMPLE]} if SAMPLE in array.coords else {}


def replaced(array: xr.DataArray, values: Array, resized: set[str]) -> xr.DataArray:
    """Return `values` with the labels of `array`, those along `resized` dimensions left out."""
    kept = {name: coord for name, coord in array.coords.items() if not resized & set(coord.dims)}
    return xr.DataArray(values, kept, array.dims, array.name, array.attrs)


def _keep(function: Callable[[Any], Any], array: xr.DataArray) -> xr.DataArray:
    return array.copy(data=function(array.values))


def _units(array: xr.DataArray, norm: str) -> dict[str, str]:
    return {"units": array.attrs.get("units", "1") if norm == "none" else "1"}


def _rows(values: Array) -> Array:
    """Return values (n, ...) as rows (n, d)."""
    return values.reshape(len(values), -1)


def _added(values: Array, axis: int) -> Array:
    """Return np.sum, term by term, along an axis before the last: with einsum in half the time."""
    last = values.ndim - 1
    if axis == last:
        return np.sum(values, axis)
    return np.einsum(values, range(last + 1), [a for a in range(last + 1) if a != axis])


def _compressed(values: Array, power: float) -> Array:
    return values if power == 1 else np.copysign(np.abs(values) ** power, values)


def _pooled(values: Array, lengths: Sequence[int], operation: str) -> Array:
    """Reduce blocks of so many elements along each axis."""
    if max(lengths) == 1:
        return values
    gaps = [-n % length for n, length in zip(values.shape, lengths, strict=True)]
    reduce = POOLS[operation][any(gaps)]
    if any(gaps):
        values = np.pad(values, [(0, gap) for gap in gaps], constant_values=np.nan)
    shape = [k for n, length in zip(values.shape, lengths, strict=True)
             for k in (n // length, length)]  # fmt: skip
    return reduce(values.reshape(shape), axis=tuple(range(1, len(shape), 2)))
