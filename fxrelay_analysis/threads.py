"""One thread for linear algebra, whichever thread asks: sums in one order, so equal bits."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller(n_modules: int) -> ThreadpoolController:
    """Return who limits the libraries that are loaded; looking for them takes milliseconds."""
    return ThreadpoolController()


def _limited(user_api: str) -> Any:
    """Return a limit of one thread on the libraries of a kind, loaded by what is imported now."""
    return _controller(len(sys.modules)).limit(limits=1, user_api=user_api)


class _Blas:
    """The limit of BLAS, which is the whole process's: set by the first, lifted by the last."""

    def __init__(self) -> None:
        self._lock, self._users, self._seen = threading.Lock(), 0, 0
        self._limits: list[Any] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0 or len(sys.modules) != self._seen:  # libraries may have come
                self._seen = len(sys.modules)
                self._limits.append(_limited("blas"))
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            while self._users == 0 and self._limits:
                self._limits.pop().restore_original_limits()


_BLAS = _Blas()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread within the block, in as many threads as enter it.

    Limits of BLAS hold for the process: threads that each set and restore them would lift them
    for one another. Those of OpenMP hold for the thread that sets them.
    """
    with _BLAS, _limited("openmp"):
        yield
