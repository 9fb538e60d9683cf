"""Where a key stands in a TOML text."""

import re
from collections.abc import Sequence


def line_of(text: str, keys: Sequence[str | int]) -> int:
    """Return the number of the line with a key, 1 the first.

    Parameters
    ----------
    text : str
        TOML.
    keys : sequence
        Path to the key: names of tables, and positions in arrays of tables. Where its last part
        is written in a way that is not recognised, the line of the last part that is counts.
    """
    at, found = 0, 0
    for previous, key in zip(["", *keys], keys, strict=False):
        place = _array(text, str(previous), key) if isinstance(key, int) else _key(text, key, at)
        if place is not None:
            found, at = place
    return text.count("\n", 0, found) + 1


def _key(text: str, key: str, start: int) -> tuple[int, int] | None:
    pattern = rf"(?m)(?:^|[\[.{{,])[ \t]*[\"']?(?P<key>{re.escape(key)})[\"']?[ \t]*[=.\]]"
    found = re.compile(pattern).search(text, start)
    return (found.start("key"), found.end("key")) if found else None


def _array(text: str, name: str, position: int) -> tuple[int, int] | None:
    heads = list(
        re.finditer(rf"(?m)^[ \t]*\[\[[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*\]\]", text)
    )
    return heads[position].span() if position < len(heads) else None
