"""Plain text that people read: aligned tables, versions. This module imports no torch."""

import importlib.metadata
from collections.abc import Sequence
from functools import cache


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as left-aligned columns, the first underlined."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def unique(name: str, taken: set[str]) -> str:
    """Return the name, numbered where it is taken; it is taken from now on."""
    free, i = name, 0
    while free in taken:
        i += 1
        free = f"{name}_{i}"
    taken.add(free)
    return free


@cache
def versions(*packages: str) -> str:
    """Return the versions of packages, as one line."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
