"""Tags and notes of samples and selections, in one JSON file beside the data.

The file is written whole or not at all, and never while another session or process writes it: every
change is made to the newest content under a lock. The data itself is never written.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from fxrelay.files import write_atomically

VERSION: Final = 1
TAGS: Final = "tags"
NOTE: Final = "note"
LONGEST_TAG: Final = 64
LONGEST_NOTE: Final = 10_000
#: a file of notes that is larger is not read
MOST_BYTES: Final = 256 * 2**20
#: how long another process may write, in seconds
PATIENCE: Final = 10.0

Content = dict[str, Any]
EMPTY: Final[Mapping[str, Any]] = {
    "version": VERSION, "revision": 0, "tags": {}, "notes": [], "selections": {}, "links": {},
}  # fmt: skip


class Notes:
    """What people wrote about samples and selections.

    Parameters
    ----------
    path : Path or None
        The file, made with the first note; None keeps notes as long as the process lives.

    Attributes
    ----------
    problem : str
        Why the file cannot be read; it is then left as it is, and nothing is written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.problem = path, ""
        self._lock = threading.RLock()
        self._stamp: tuple[int, int] | None = None
        self._content: Content = _copy(EMPTY)
        self.refresh()

    def refresh(self) -> bool:
        """Read the file again where another process changed it; return whether it did."""
        with self._lock:
            stamp = self._stamp_now()
            if self.path is None or stamp == self._stamp:
                return False
            try:
                self._content, self.problem = _parse(self.path), ""
            except (OSError, ValueError) as error:
                self.problem = f"notes: {error}"
            self._stamp = stamp
            return True

    @property
    def revision(self) -> int:
        """Number of changes so far; rises with each."""
        return int(self._content["revision"])

    @property
    def tags(self) -> dict[str, list[Any]]:
        """Ids of the samples that carry each tag."""
        return {name: list(ids) for name, ids in sorted(self._content["tags"].items())}

    @property
    def notes(self) -> dict[Any, str]:
        """Note by sample id."""
        return dict(map(tuple, self._content["notes"]))

    @property
    def selections(self) -> dict[str, dict[str, str]]:
        """Kept selections by name: link, note, and when each was kept."""
        return {name: dict(facts) for name, facts in self._content["selections"].items()}

    @property
    def links(self) -> dict[str, str]:
        """Long links by their short key."""
        return dict(self._content["links"])

    def tag(self, ids: Iterable[Any], tag: str, on: bool = True) -> None:
        """Give samples a tag, or take it away.

        Parameters
        ----------
        ids : iterable of sample ids
        tag : str, 1 to 64 characters
        on : bool

        Raises
        ------
        ValueError
            For a tag that is empty or too long, or has a comma or a control character.
        OSError
            If the file cannot be written.
        """
        name = tag.strip()
        if not 0 < len(name) <= LONGEST_TAG or "," in name or not name.isprintable():
            raise ValueError(
                f"tag: needs 1 to {LONGEST_TAG} printable characters without comma; got "
                f"{tag[:80]!r}. Shorten it."
            )
        chosen = _plain(ids)

        def change(content: Content) -> None:
            old = content["tags"].get(name, [])
            gone = set(chosen)
            kept = list(dict.fromkeys([*old, *chosen])) if on else [i for i in old if i not in gone]
            content["tags"][name] = kept
            if not kept:
                del content["tags"][name]

        self._edit(change)

    def note(self, sample: Any, text: str) -> None:
        """Write the note of a sample; an empty one takes it away.

        Raises
        ------
        ValueError
            If it is longer than 10,000 characters.
        OSError
            If the file cannot be written.
        """
        text = _checked_note(text)
        (key,) = _plain([sample])

        def change(content: Content) -> None:
            others = [pair for pair in content["notes"] if pair[0] != key]
            content["notes"] = [*others, [key, text]] if text else others

        self._edit(change)

    def keep(self, name: str, link: str, note: str = "") -> None:
        """Keep a selection under a name, as its link, with a note.

        Raises
        ------
        ValueError, OSError
            As `tag` and `note`.
        """
        if not 0 < len(name.strip()) <= LONGEST_TAG or not name.isprintable():
            raise ValueError(
                f"selection: needs a name of 1 to {LONGEST_TAG} printable characters; got "
                f"{name[:80]!r}. Choose another."
            )
        facts = {"link": link, "note": _checked_note(note), "kept": _now()}
        self._edit(lambda content: content["selections"].update({name.strip(): facts}))

    def forget(self, name: str) -> None:
        """Forget a kept selection."""
        self._edit(lambda content: content["selections"].pop(name, None))

    def keep_link(self, key: str, link: str) -> None:
        """Keep a long link under a short key."""
        if self._content["links"].get(key) != link:
            self._edit(lambda content: content["links"].update({key: link}))

    def _edit(self, change: Callable[[Content], Any]) -> None:
        with self._lock:
            if self.path is None:
                self._content = _changed(self._content, change)
                return
            try:
                with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=PATIENCE):
                    self._write(self.path, change)
            except Timeout as error:
                raise OSError(
                    f"notes: {str(self.path)!r} was being written by another process for "
                    f"{PATIENCE:.0f} s. Try again."
                ) from error
            except OSError as error:
                if error.strerror is None:  # says by itself what is wrong
                    raise
                raise OSError(
                    f"notes: needs to write {str(self.path)!r}; got {error.strerror}. Make the "
                    "folder writable, or open a copy of the project."
                ) from error

    def _write(self, path: Path, change: Callable[[Content], Any]) -> None:
        self.refresh()
        if self.problem:
            raise OSError(f"{self.problem} Mend or move the file; it is left as it is.")
        changed = _changed(self._content, change)
        text = json.dumps(changed, indent=1, ensure_ascii=False)
        write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
        self._content, self._stamp = changed, self._stamp_now()

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            facts = None if self.path is None else self.path.stat()
        except OSError:
            return None
        return None if facts is None else (facts.st_mtime_ns, facts.st_size)


class Noted(Mapping[str, np.ndarray]):
    """Tags and notes as variables of samples: ``tags`` (names joined by commas) and ``note``.

    Parameters
    ----------
    notes : Notes
    ids : array, shape (n,)
    """

    def __init__(self, notes: Notes, ids: np.ndarray) -> None:
        self._notes, self._ids = notes, ids

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in (TAGS, NOTE):
            raise KeyError(name)
        texts: dict[Any, str] = {}
        if name == NOTE:
            texts = self._notes.notes
        else:
            for tag, ids in self._notes.tags.items():
                for i in ids:
                    texts[i] = f"{texts[i]}, {tag}" if i in texts else tag
        return self._spread(texts)

    def __iter__(self) -> Iterator[str]:
        has = {TAGS: self._notes.tags, NOTE: self._notes.notes}
        return iter([name for name, any_ in has.items() if any_])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self._ids)

    def _spread(self, texts: Mapping[Any, str]) -> np.ndarray:
        out = np.full(len(self._ids), "", dtype=f"<U{max(map(len, texts.values()), default=1)}")
        places = self._index.get_indexer(pd.Index(list(texts)))
        for place, text in zip(places, texts.values(), strict=True):
            if place >= 0:
                out[place] = text
        return out


def notes_beside(path: Path) -> Path:
    """Return the file of notes that stands beside a folder or file of data."""
    return path.with_name(f"{path.stem if path.suffix else path.name}.notes.json")


def _copy(content: Mapping[str, Any]) -> Content:
    copied: Content = json.loads(json.dumps(content))
    return copied


def _changed(content: Content, change: Callable[[Content], Any]) -> Content:
    out = _copy(content)
    change(out)
    return out | {"revision": out["revision"] + 1, "changed": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(ids: Iterable[Any]) -> list[Any]:
    return [i.item() if isinstance(i, np.generic) else i for i in ids]


def _checked_note(text: str) -> str:
    if len(text) > LONGEST_NOTE:
        raise ValueError(
            f"note: needs {LONGEST_NOTE:,} characters or fewer; got {len(text):,}. Shorten it."
        )
    return text.strip()


def _parse(path: Path) -> Content:
    if not path.exists():
        return _copy(EMPTY)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{str(path)!r} is larger than {MOST_BYTES // 2**20} MB.")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}).") from None
    if not isinstance(read, dict) or read.get("version") != VERSION or not _is_sound(read):
        raise ValueError(f"{str(path)!r} is no file of notes of version {VERSION}.")
    return _copy(EMPTY) | read


def _is_sound(read: Mapping[str, Any]) -> bool:
    texts = (int, str, float)
    tags, notes = read.get("tags", {}), read.get("notes", [])
    kept, links = read.get("selections", {}), read.get("links", {})
    return (
        isinstance(read.get("revision", 0), int)
        and isinstance(tags, dict)
        and all(isinstance(ids, list) and all(isinstance(i, texts) for i in ids)
                for ids in tags.values())
        and isinstance(notes, list)
        and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], texts)
                and isinstance(p[1], str) for p in notes)
        and isinstance(kept, dict)
        and all(isinstance(facts, dict) and all(isinstance(t, str) for t in facts.values())
                for facts in kept.values())
        and isinstance(links, dict)
        and all(isinstance(link, str) for link in links.values())
    )  # fmt: skip
