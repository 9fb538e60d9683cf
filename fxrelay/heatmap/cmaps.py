"""Colour maps as one line of text each, and the small language that the lines are written in.

A map is a comma-separated list of nodes, each an optional hexadecimal index with a colon and a
hexadecimal colour: ``00f,80:fff,f00`` runs from blue through white (at index 0x80 = 128, which is
relevance zero) to red. Short forms double their digits (``8:`` is ``88:``, ``f00`` is ``ff0000``).
Indices run from 00 to ff and never decrease; the first node sits at 00 and the last at ff whatever
they say; nodes without an index are spaced evenly between their neighbours; a repeated index makes
a hard edge. Between nodes colours are interpolated linearly in RGB.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

Node = tuple[int, tuple[int, int, int]]


class Cmap(NamedTuple):
    """A colour map: its nodes as text, and whether its middle stands for relevance zero."""

    source: str
    signed: bool = True


CMAPS: Final[Mapping[str, Cmap]] = {
    # one colour to another: relevance starts at zero
    "gray": Cmap("000,fff", signed=False),
    "wred": Cmap("fff,f00", signed=False),
    "wblue": Cmap("fff,00f", signed=False),
    "hot": Cmap("000,f00,ff0,fff", signed=False),
    "cold": Cmap("000,00f,0ff", signed=False),
    # negative, zero at 0x80, positive
    "bwr": Cmap("00f,80:fff,f00"),
    "france": Cmap("0055a4,80:fff,ef4135"),
    "coldnhot": Cmap("0ff,00f,80:000,f00,ff0,fff"),
    "seismic": Cmap("0000d0,80:d0d0d0,d00000"),
    "coolio": Cmap("00d0d0,80:d0d0d0,d000d0"),
    "coleus": Cmap("00d000,80:d0d0d0,d000d0"),
    # the maps of ViRelAy, by its names
    "black-fire-red": Cmap("fff,40:0ff,60:00f,80:000,a0:f00,c0:ff0,fff"),
    "gray-red": Cmap("00f,80:ccc,f00"),
    "black-green": Cmap("00f,80:000,0f0"),
    "black-yellow": Cmap("00f,80:000,ff0"),
    "blue-white-red": Cmap("00f,80:fff,f00"),
    "afm-hot": Cmap("000,40:800000,80:ff8000,c0:ffff80,fff"),
    "jet": Cmap(
        "000080,1c:0000ff,20:0000ff,57:00dcfe,59:00e4f8,60:16ffe1,"
        "a3:eeff09,a6:f8f500,a8:feed00,e3:ff1300,e8:e80000,800000"
    ),
    "deep-seismic": Cmap("00004c,00f,80:fff,f00,800000"),
}

_NODE = re.compile(r"(?:([0-9a-f]{1,2}):)?([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)


def resolve(cmap: str | Cmap) -> Cmap:
    """Return the named colour map, or the one that the text spells (taken as signed).

    Raises
    ------
    ValueError
        If it is neither a name in `CMAPS` nor a valid list of nodes.
    """
    if isinstance(cmap, str):
        cmap = CMAPS.get(cmap) or Cmap(cmap)
    nodes(cmap.source)
    return cmap


def nodes(source: str) -> tuple[Node, ...]:
    """Read the nodes of a colour map.

    Parameters
    ----------
    source : str
        The map in the language of this module, at least two nodes.

    Returns
    -------
    tuple of (index, (red, green, blue))
        All in 0..255, indices not decreasing, from 0 to 255.

    Raises
    ------
    ValueError
        Names every node that cannot be read, or every index that decreases.
    """
    matches = [_NODE.fullmatch(part.strip()) for part in source.split(",")]
    unread = [p.strip() for p, match in zip(source.split(","), matches, strict=True) if not match]
    read = [match.groups() for match in matches if match]
    if unread or len(read) < 2:
        raise ValueError(
            f"colour map {source!r}: needs a name ({', '.join(CMAPS)}) or two or more nodes such "
            f"as '00f,80:fff,f00'; got {_fault(unread, len(read))}. Write each node as "
            "[index:]colour with 1 or 2, and 3 or 6, hexadecimal digits."
        )
    places = _spread([None if i is None else int(_double(i, 2), 16) for i, _ in read])
    _check_order(source, places)
    return tuple((i, _rgb(_double(c, 6))) for i, (_, c) in zip(places, read, strict=True))


def palette(cmap: str | Cmap = "bwr", level: float = 1.0) -> np.ndarray:
    """Return the 256 colours of a map.

    Parameters
    ----------
    cmap : str or Cmap
        A name in `CMAPS`, or nodes such as ``00f,80:fff,f00``.
    level : float, > 0
        The axis [-1, 1] is multiplied by it and clipped: above 1 colours saturate earlier, below 1
        only the middle of the map is used.

    Returns
    -------
    uint8 array, shape (256, 3)
        Red, green, blue.

    Raises
    ------
    ValueError
        If the map cannot be read or the level is not positive.
    """
    if not 0 < level < np.inf:
        raise ValueError(f"palette: needs level > 0; got {level}. Use 1.0 for the map as it is.")
    index, colour = zip(*nodes(resolve(cmap).source), strict=True)
    at = np.clip((np.arange(256) - 128.0) * level + 128.0, 0, 255)
    left = np.clip(np.searchsorted(index, at, side="right") - 1, 0, len(index) - 2)
    start, stop = np.take(index, left), np.take(index, left + 1)
    share = ((at - start) / np.maximum(stop - start, 1))[:, None]
    colours = np.asarray(colour, dtype=np.float64)
    return np.rint(colours[left] * (1 - share) + colours[left + 1] * share).astype(np.uint8)


def _fault(unread: list[str], count: int) -> str:
    return ", ".join(map(repr, unread)) if unread else f"{count} node"


def _double(digits: str, length: int) -> str:
    return digits if len(digits) == length else "".join(2 * digit for digit in digits)


def _rgb(digits: str) -> tuple[int, int, int]:
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _spread(places: list[int | None]) -> list[int]:
    known = {0: 0} | {n: i for n, i in enumerate(places) if i is not None and n > 0}
    known |= {0: 0, len(places) - 1: 255}
    stops = sorted(known)
    out = [0]
    for a, b in pairwise(stops):
        out += [known[a] + (known[b] - known[a]) * (n - a) // (b - a) for n in range(a + 1, b + 1)]
    return out


def _check_order(source: str, places: list[int]) -> None:
    falls = [f"{a:02x} before {b:02x}" for a, b in pairwise(places) if a > b]
    if falls:
        raise ValueError(
            f"colour map {source!r}: needs indices that do not decrease; got {', '.join(falls)}. "
            "Sort the nodes."
        )
