"""From relevance to vectors that can be compared: reduce, pool, compress, normalise, flatten."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, FEATURE, RELEVANCE, SAMPLE, X, Y
from fxrelay_analysis.stage import Stage, labelled, variable


def _euclidean(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    power = np.frexp(np.abs(rows).max(axis=1, initial=0))[1]  # squares neither over- nor underflow
    scaled = np.ldexp(rows, -power[:, None])
    length: np.ndarray[Any, Any] = np.ldexp(np.sqrt(np.square(scaled).sum(axis=1)), power)
    return length


#: norm -> length of each row of an array (n, d)
NORMS: Final[dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]]] = {
    "l1": lambda rows: np.abs(rows).sum(axis=1),
    "l2": _euclidean,
    "max": lambda rows: np.abs(rows).max(axis=1, initial=0),
    "none": lambda rows: np.ones(len(rows), rows.dtype),
}


class channel_sum(Stage):
    """Sum relevance over the dimension channel, where there is one: one map per sample."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return dims (sample, y, x) from (sample, channel, y, x)."""
        array = checked(relevance, "channel_sum")
        if CHANNEL not in array.dims:
            return array.copy()
        return array.sum(CHANNEL, keep_attrs=True)


class absolute(Stage):
    """Take the absolute value: how much, not for or against."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return the dims that came in."""
        return _keep(abs, checked(relevance, "absolute"))


class pool(Stage):
    """Sum relevance over blocks of pixels, which forgives small shifts and keeps the total.

    Edges that do not fill a block are padded with zeros. Data without y and x pass unchanged.
    """

    version: ClassVar[int] = 1
    size = param.Integer(4, bounds=(1, None), doc="Side of a block in pixels.")

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, size: int) -> xr.DataArray:
        """Return dims (sample, ..., y, x), y and x shorter by `size`."""
        array = checked(relevance, "pool")
        window = {dim: size for dim in (Y, X) if dim in array.dims}
        if not window or size == 1:
            return array.copy()
        bare = array.drop_vars([name for name in (Y, X) if name in array.coords])
        return bare.coarsen(window, boundary="pad").sum(keep_attrs=True)


class compress(Stage):
    """Raise magnitudes to a power and keep signs: 0.5 tempers the few strongest pixels.

    With the l2 norm after it, power 0.5 makes Euclidean distance the Hellinger distance between
    distributions of relevance.
    """

    version: ClassVar[int] = 1
    power = param.Number(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), doc="Exponent of the magnitude."
    )

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, power: float) -> xr.DataArray:
        """Return sign(r) |r|^power, the dims that came in."""
        array = checked(relevance, "compress")
        return _keep(lambda r: np.sign(r) * np.abs(r) ** power, array)


class normalize(Stage):
    """Scale each sample to length one; a sample without any relevance stays zero."""

    version: ClassVar[int] = 1
    norm = param.Selector(
        default="l2", objects=list(NORMS), doc="Length of a sample: l1, l2, max, or none."
    )

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset, *, norm: str) -> xr.DataArray:
        """Return the dims that came in, unit 1."""
        array = checked(relevance, "normalize")
        length = NORMS[norm](array.values.reshape(array.sizes[SAMPLE], -1))
        scale = np.where(length > 0, length, 1).reshape(-1, *[1] * (array.ndim - 1))
        out = array.copy(data=array.values / scale.astype(array.dtype))
        return out.assign_attrs(units=array.attrs.get("units", "1") if norm == "none" else "1")


class flatten(Stage):
    """Lay all dimensions but sample out as one dimension feature."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(relevance: xr.DataArray | xr.Dataset) -> xr.DataArray:
        """Return dims (sample, feature)."""
        array = checked(relevance, "flatten")
        rows = array.values.reshape(array.sizes[SAMPLE], -1)
        ids = {SAMPLE: array[SAMPLE]} if SAMPLE in array.coords else {}
        return xr.DataArray(rows, ids, (SAMPLE, FEATURE), array.name, array.attrs)


class preprocess(Stage):
    """Channel sum, pooling, compression, norm and flattening in one go: vectors to compare."""

    version: ClassVar[int] = 1
    size = param.Integer(4, bounds=(1, None), doc=pool.param.size.doc)
    power = param.Number(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), doc=compress.param.power.doc
    )
    norm = param.Selector(default="l2", objects=list(NORMS), doc=normalize.param.norm.doc)

    @staticmethod
    def compute(
        relevance: xr.DataArray | xr.Dataset, *, size: int, power: float, norm: str
    ) -> xr.DataArray:
        """Return dims (sample, feature), unit 1."""
        pooled = pool.compute(channel_sum.compute(relevance), size=size)
        scaled = normalize.compute(compress.compute(pooled, power=power), norm=norm)
        return labelled(flatten.compute(scaled), FEATURE)


def checked(data: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    """Return `relevance` in memory, float32 or wider, sample first.

    Raises
    ------
    ValueError
        If it is empty, has no leading dimension sample, or is not finite real numbers.
    """
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
    bad = ~np.isfinite(array.values).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{where}: needs finite values; got NaN or infinity in {int(bad.sum())} of {bad.size} "
            f"samples, first at position {int(np.argmax(bad))}. Drop them with .isel({SAMPLE}=...)."
        )
    return array


def _keep(function: Callable[[Any], Any], array: xr.DataArray) -> xr.DataArray:
    return array.copy(data=function(array.values))
