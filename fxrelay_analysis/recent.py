"""Small files that were read a moment ago, as long as they are the same files."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

Content = TypeVar("Content")


class Recent(Generic[Content]):
    """Contents of the files that were read last, by name, size, time of writing and inode.

    Parameters
    ----------
    max_bytes : int
        Of all files; those used least recently are forgotten.
    max_file : int
        Of one file; larger ones are read every time.
    """

    def __init__(self, max_bytes: int, max_file: int) -> None:
        self.max_bytes, self.max_file = max_bytes, max_file
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], Content] = OrderedDict()

    def get(self, path: Path, read: Callable[[Path], Content]) -> Content:
        """Return what ``read(path)`` returns, or returned for this very file; do not change it."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = read(path)
        if status.st_size <= self.max_file:
            with self._lock:
                self._kept[key] = content
                while sum(key[1] for key in self._kept) > self.max_bytes:
                    self._kept.popitem(last=False)
        return content
