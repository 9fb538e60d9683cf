"""One canonical text for parameters and attributes, and the way back.

Every value has exactly one text, and different values (``True``, ``1``, ``1.0``, ``"1"``) have
different texts. JSON's own scalars and lists stand for themselves; everything else is an object
with a single key, its tag. What has no row in `CODECS` is refused, never guessed.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

Json = Any
#: dtype characters of long doubles, whose bytes are in part undefined
PADDED: Final = "gG"
#: what a date of another calendar consists of, beside that
FIELDS: Final = ("has_year_zero", "year", "month", "day", "hour", "minute", "second", "microsecond")
ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


class Codec(NamedTuple):
    """How one kind of value becomes JSON; `decode` is None where there is no way back."""

    kind: type
    tag: str
    encode: Callable[[Any], Json]
    decode: Callable[[Json], Any] | None


class _IsDate(type):
    def __instancecheck__(cls, value: object) -> bool:
        return type(value).__module__.partition(".")[0] == "cftime" and hasattr(value, "calendar")


class cftime(metaclass=_IsDate):
    """Dates of the calendars of cftime, a package that who has such dates has imported."""


def encode(value: object) -> Json:
    """Return the canonical JSON structure of a parameter or attribute value.

    Raises
    ------
    TypeError
        If the type (or that of something inside) has no exact text: functions, arbitrary objects.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [encode(item) for item in value]
    for codec in CODECS:
        if isinstance(value, codec.kind):
            return {codec.tag: codec.encode(value)}
    allowed = ", ".join(codec.kind.__name__ for codec in CODECS)
    raise TypeError(
        f"digest: needs None, bool, int, float, str, list, {allowed} or an xarray object; got "
        f"{type(value).__module__}.{type(value).__qualname__}. Pass plain values instead."
    )


def decode(data: Json) -> Any:
    """Return the value whose canonical structure is `data`.

    Raises
    ------
    ValueError
        If the structure does not stand for a value that can be made again.
    """
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    (tag, content), *rest = data.items()
    way_back = {codec.tag: codec.decode for codec in CODECS}.get(tag)
    if rest or way_back is None:
        raise ValueError(f"decode: needs a tag with a way back; got {sorted(data)}.")
    return way_back(content)


def text(data: Json) -> str:
    """Return the one JSON text of a canonical structure."""
    return ENCODER.encode(data)


def _pairs(mapping: Mapping[Any, Any]) -> Json:
    return sorted(([encode(k), encode(v)] for k, v in mapping.items()), key=text)


def _array(values: np.ndarray[Any, Any]) -> Json:
    odd = values.dtype.kind == "V" or values.dtype.char in PADDED
    if odd or isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"digest: needs plain arrays; got {type(values).__name__} of {values.dtype}. "
            "Pass fields, data and mask one by one, and long doubles as float64."
        )
    if values.dtype.kind in "OT":
        return [values.dtype.kind, list(values.shape), [encode(v) for v in values.ravel().tolist()]]
    return [values.dtype.str, list(values.shape), values.tobytes().hex()]


def _array_back(content: Json) -> np.ndarray[Any, Any]:
    kind, shape, body = content
    if kind not in ("O", "T"):
        return np.frombuffer(bytes.fromhex(body), kind).reshape(shape).copy()
    out = np.empty(len(body), object)
    out[:] = [decode(item) for item in body]
    return out.astype(np.dtypes.StringDType() if kind == "T" else object).reshape(shape)


def _date(value: Any) -> Json:
    return [value.calendar, *(encode(getattr(value, name)) for name in FIELDS)]


def _date_back(content: Json) -> Any:
    from cftime import datetime

    calendar, has_year_zero, *fields = content
    return datetime(*fields, calendar=calendar, has_year_zero=has_year_zero)


CODECS: Final = (
    Codec(np.generic, "scalar", lambda v: _array(np.asarray(v)), lambda c: _array_back(c)[()]),
    Codec(np.ndarray, "array", _array, _array_back),
    Codec(Enum, "enum", lambda v: [type(v).__module__, type(v).__qualname__, v.name,
                                   encode(v.value)], None),
    Codec(bytes, "bytes", bytes.hex, bytes.fromhex),
    Codec(tuple, "tuple", lambda v: [encode(i) for i in v], lambda c: tuple(map(decode, c))),
    Codec(range, "range", lambda v: [v.start, v.stop, v.step], lambda c: range(*c)),
    Codec(slice, "slice", lambda v: [encode(i) for i in (v.start, v.stop, v.step)],
          lambda c: slice(*map(decode, c))),
    Codec(cftime, "cftime", _date, _date_back),
    Codec(Mapping, "dict", _pairs, lambda c: {decode(k): decode(v) for k, v in c}),
)  # fmt: skip
