"""The files of a store: one immutable netCDF4 file per result, named by key and content.

``<stage>/<kk>/<key>-<content>.nc``: both digests stand in the name, so that what a result is can
be known without reading it. It is checked when it is read; what does not match counts as missing.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from xxhash import xxh3_128

from fxrelay_analysis import canonical, netcdf
from fxrelay_analysis.digesting import digest
from fxrelay_analysis.inputs import Labelled
from fxrelay_analysis.packing import facts, pack, unpack

Key = dict[str, Any]
SUFFIX: Final = ".nc"
#: seconds after which a temporary file is nobody's: no writer takes that long
STRAY: Final = 3600.0
#: share of the allowed bytes that is left when room is made: looking at all files costs time
LEFT: Final = 0.9


def key_digest(key: Key) -> str:
    """Return the digest of a key, which is canonical and in one order as it is made."""
    return xxh3_128(canonical.text(key).encode()).hexdigest()


class Entry(NamedTuple):
    """A file and the digest of the result in it."""

    path: Path
    digest: str


class Pruned(NamedTuple):
    """What was removed and what is left."""

    n_removed: int
    bytes_removed: int
    n_left: int
    bytes_left: int


class Shelf:
    """Files of results in a folder, at most `max_bytes` of them."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._bytes: int | None = None  # of all files, as far as this process knows

    def place(self, label: str, key: str) -> Path:
        """Return the folder of the results with that key."""
        return self.folder / label / key[:2]

    def find(self, label: str, key: str) -> Entry | None:
        """Return the file with that key; it counts as used from now on."""
        place, start = self.place(label, key), f"{key}-"
        try:
            names = sorted(n for n in os.listdir(place) if n.startswith(start))
        except OSError:
            return None
        for name in names:
            if name.endswith(SUFFIX) and _touch(place / name):
                return Entry(place / name, name.removesuffix(SUFFIX)[len(start) :])
        return None

    def read(self, entry: Entry, key: Key) -> Labelled | None:
        """Return the result, or None where the file is gone, damaged or another key's."""
        try:
            text, groups = netcdf.read(entry.path)
            meta = facts(text)
            same = canonical.text(meta["key"]) == canonical.text(key)
            return unpack(meta, groups) if same and meta["digest"] == entry.digest else None
        except Exception:  # whatever a damaged file raises, it counts as missing
            return None

    def write(
        self, label: str, key: str, full: Key, result: Labelled, flush: bool
    ) -> tuple[Entry, Labelled | None]:
        """Write a result, wait for the disk where `flush` says so, and return what readers get.

        Only what netCDF might change is read back for that.
        """
        value = digest(result)
        entry = Entry(self.place(label, key) / f"{key}-{value}{SUFFIX}", value)
        packed = pack(result, {"key": full, "digest": value})
        netcdf.write(entry.path, packed.text, packed.groups, flush=flush)
        if not netcdf.lasting(packed.groups):
            return entry, self.read(entry, full)
        arrays = {name: values for name, (_, values) in packed.groups["/"].items()}
        with suppress(Exception):  # as in `read`: not even a sound file could be read
            return entry, unpack(facts(packed.text), {"/": arrays})
        return entry, None

    def make_room(self, entry: Entry) -> None:
        """Remove what was used least recently where `entry` made too many bytes."""
        if self.max_bytes is None or not entry.path.exists():
            return
        if self._bytes is None:
            self._bytes = sum(status.st_size for _, status in self._files())
        else:
            self._bytes += entry.path.stat().st_size
        if self._bytes > self.max_bytes:
            self.prune(None, None, int(self.max_bytes * LEFT))

    def keys(self, label: str) -> Iterator[Key]:
        """Yield the keys of all results under a label that can be read."""
        for path in sorted((self.folder / label).glob(f"*/*{SUFFIX}")):
            try:
                yield dict(facts(netcdf.text(path))["key"])
            except Exception:  # damaged or foreign: as good as missing
                continue

    def prune(self, label: str | None, age: float | None, most: int | None) -> Pruned:
        """Remove stray temporary files and results; see `Store.prune`."""
        now = time.time()
        for path in self.folder.rglob(f".*{SUFFIX}.*.tmp"):
            _remove_if(path, lambda status: now - status.st_mtime > STRAY)
        files = list(self._files())
        chosen = [f for f in files if label is None or f[0].parts[-3] == label]
        if age is None and most is None and label is None:
            chosen = []
        if age is not None:
            chosen = [f for f in chosen if now - f[1].st_atime > age]
        if most is not None:
            chosen = _oldest(chosen, sum(f[1].st_size for f in chosen) - most)
        gone = {path: f.st_size for path, f in chosen if _remove_if(path, lambda _: True)}
        left = [f.st_size for path, f in files if path not in gone]
        self._bytes = sum(left)
        return Pruned(len(gone), sum(gone.values()), len(left), self._bytes)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob(f"*/??/*-*{SUFFIX}"):
            try:
                yield path, path.stat()
            except OSError:  # another process removed it
                continue


def _oldest(
    files: list[tuple[Path, os.stat_result]], too_many: int
) -> list[tuple[Path, os.stat_result]]:
    """Return the files that were used least recently, until `too_many` bytes are reached."""
    chosen = []
    for path, status in sorted(files, key=lambda f: (f[1].st_atime_ns, f[0])):
        if too_many <= 0:
            break
        chosen.append((path, status))
        too_many -= status.st_size
    return chosen


def _touch(path: Path) -> bool:
    """Set the time of last use to now; tell whether the file is there."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    except OSError:  # a folder that may only be read
        return True
    return True


def _remove_if(path: Path, condition: Any) -> bool:
    try:
        if not condition(path.stat()):
            return False
        path.unlink()
    except OSError:  # another process was quicker, or it may not be removed
        return False
    return True
