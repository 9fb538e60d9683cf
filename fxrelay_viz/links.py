"""State and recipe as the short text of a link, at most 2 kB whatever is selected.

A link of up to `MOST_LINK` characters carries the recipe itself (``v1-...``). A longer one is kept
by the server and stands for itself by a digest (``r1-...``): it can be opened as long as the server
runs, and for good once it was shared, because sharing writes it into the notes beside the data.
"""

import base64
import binascii
import hashlib
import json
import threading
import zlib
from typing import Any, Final

from fxrelay_viz import selection
from fxrelay_viz.notes import Notes
from fxrelay_viz.state import ViewState

VERSION: Final = 1
#: longer links are replaced by a reference; with the address a link then stays below 2 kB
MOST_LINK: Final = 1800
#: no link or file needs more than this; a longer one is refused before it is read
MOST_BYTES: Final = 4 * 2**20
#: so many long links are remembered by a server
REMEMBERED: Final = 1000
_NAMES: Final = frozenset(name for name in ViewState.param if name != "name")


class Links:
    """Long links by their digest: in memory, and in the notes once they were shared.

    Parameters
    ----------
    notes : Notes
    """

    def __init__(self, notes: Notes | None = None) -> None:
        self._notes = Notes(None) if notes is None else notes
        self._kept: dict[str, str] = {}
        self._lock = threading.Lock()

    def short(self, link: str) -> str:
        """Return the link, or a reference to it where it is too long."""
        if len(link) <= MOST_LINK:
            return link
        key = hashlib.sha256(link.encode()).hexdigest()[:24]
        with self._lock:
            self._kept[key] = link
            for old in list(self._kept)[:-REMEMBERED]:
                del self._kept[old]
        return f"r{VERSION}-{key}"

    def share(self, link: str) -> str:
        """Return the short link, and make sure that it can be opened by another server too.

        Raises
        ------
        OSError
            If the notes cannot be written; the link then works as long as this server runs.
        """
        short = self.short(link)
        if short != link:
            self._notes.keep_link(short.partition("-")[2], link)
        return short

    def full(self, link: str) -> str:
        """Return the link that a reference stands for; others as they are.

        Raises
        ------
        ValueError
            If the reference is unknown here.
        """
        prefix, _, key = link.partition("-")
        if prefix != f"r{VERSION}":
            return link
        self._notes.refresh()
        found = self._kept.get(key) or self._notes.links.get(key)
        if found is None:
            raise ValueError(
                f"link: needs a selection that is kept here; got {link[:40]!r}, which was made by "
                "a server that has ended. Ask for it to be shared again, or for the exported file."
            )
        return found


def encode(state: ViewState, recipe: selection.Recipe, links: Links | None = None) -> str:
    """Write state and recipe as the text of a link; long ones as a reference kept in `links`."""
    small = chosen(state)
    text = json.dumps(
        {"version": VERSION, "state": small, "selection": json.loads(selection.to_json(recipe))},
        separators=(",", ":"),
    )
    packed = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    link = f"v{VERSION}-{packed}" if small or recipe else ""
    return link if links is None else links.short(link)


def chosen(state: ViewState) -> dict[str, Any]:
    """Return the values of a state that are not the defaults."""
    default = ViewState.param
    values = {k: v for k, v in state.param.values().items() if k != "name"}
    return {k: v for k, v in values.items() if v != default[k].default}


def decode(link: str, links: Links | None = None) -> tuple[dict[str, Any], selection.Recipe]:
    """Read what `encode` wrote.

    Returns
    -------
    values : dict
        Parameters of `ViewState`; unknown ones are left out.
    recipe : tuple of Step

    Raises
    ------
    ValueError
        If the text is damaged, too long, of another version, or a reference that is unknown here.
    """
    if not link:
        return {}, ()
    content = _unpack((links or Links()).full(link))
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(
            f"link: needs version {VERSION}; got {link[:40]!r}. "
            "Open it with the fxrelay that made it."
        )
    return checked(content, "link", "Copy it again.")


def checked(
    content: dict[str, Any], where: str, remedy: str
) -> tuple[dict[str, Any], selection.Recipe]:
    """Return state and recipe of what was read from JSON; unknown parts are left out.

    Raises
    ------
    ValueError
        Names the value that is out of range, or the step that cannot be read.
    """
    recipe = selection.from_json(json.dumps(content.get("selection")))
    values = content.get("state")
    known = {k: v for k, v in (values if isinstance(values, dict) else {}).items() if k in _NAMES}
    plain = {"k": (int, float, str), "sample": (int, str, float, type(None))}
    try:
        ViewState(**known)
        for name, types in plain.items():
            if name in known and not isinstance(known[name], types):
                raise ValueError(f"{name}={str(known[name])[:40]}, neither a number nor a text")
    except ValueError as error:
        raise ValueError(f"{where}: needs values in range; got {error}. {remedy}") from None
    return known, recipe


def _unpack(link: str) -> Any:
    prefix, _, packed = link.partition("-")
    try:
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        text = zlib.decompressobj().decompress(raw, MOST_BYTES)
        if prefix.startswith("v") and len(text) < MOST_BYTES:
            return json.loads(text)
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        pass
    raise ValueError(
        f"link: needs the whole text after 'view='; got {link[:40]!r} ({len(link)} characters), "
        "which is damaged or cut off. Copy it again."
    )
