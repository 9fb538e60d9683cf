"""Parameter values in TOML: plain ones as they are, the rest as tables of one key, their tag.

TOML has no null, tuples, ranges or arrays with a dtype. What it lacks is written as
``{none = true}``, ``{tuple = [1, 2]}``, ``{range = [2, 9, 1]}`` ... (`canonical.CODECS`), so that
every value comes back as what it was.
"""

from collections.abc import Mapping
from typing import Any, Final

from fxrelay_analysis import canonical

NONE: Final = "none"
TAGS: Final = {NONE, *(codec.tag for codec in canonical.CODECS)}


def to_toml(value: Any) -> Any:
    """Return what stands for a value in TOML.

    Raises
    ------
    TypeError
        If the value has no exact text.
    """
    if isinstance(value, list):
        return [to_toml(item) for item in value]
    named = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if named and not (len(value) == 1 and set(value) <= TAGS):
        return {key: to_toml(item) for key, item in value.items()}
    return _without_null(canonical.encode(value))


def from_toml(data: Any) -> Any:
    """Return the value that TOML data stand for.

    Raises
    ------
    ValueError
        If a tag has a content that stands for nothing.
    """
    if isinstance(data, list):
        return [from_toml(item) for item in data]
    if isinstance(data, dict) and not (len(data) == 1 and set(data) <= TAGS):
        return {key: from_toml(item) for key, item in data.items()}
    try:
        return canonical.decode(_with_null(data))
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{data} stands for no value ({error})") from error


def _without_null(data: Any) -> Any:
    if data is None:
        return {NONE: True}
    if isinstance(data, list):
        return [_without_null(item) for item in data]
    return {k: _without_null(v) for k, v in data.items()} if isinstance(data, dict) else data


def _with_null(data: Any) -> Any:
    if data == {NONE: True}:
        return None
    if isinstance(data, list):
        return [_with_null(item) for item in data]
    return {k: _with_null(v) for k, v in data.items()} if isinstance(data, dict) else data
