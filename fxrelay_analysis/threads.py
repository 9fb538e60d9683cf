"""One thread for linear algebra, whichever thread asks: sums in one order, so equal bits.

Where a step has pieces that do not depend on each other, the other threads take these (`pieces`):
the bits are the same on any number of them.
"""

import multiprocessing
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from fxrelay.execute import Serial, Threads


@lru_cache(maxsize=1)
def _controller(n_modules: int) -> ThreadpoolController:
    """Return who limits the libraries that are loaded; looking for them takes milliseconds."""
    return ThreadpoolController()


def _limited(user_api: str) -> Any:
    """Return a limit of one thread on the libraries of a kind, loaded by what is imported now."""
    return _controller(len(sys.modules)).limit(limits=1, user_api=user_api)


def _threads() -> int:
    """Return how many threads every BLAS may take now."""
    found = _controller(len(sys.modules)).info()
    return min((lib["num_threads"] for lib in found if lib["user_api"] == "blas"), default=1)


class _Blas:
    """The limit of BLAS, which is the whole process's: set by the first, lifted by the last."""

    def __init__(self) -> None:
        self._lock, self._users, self._seen = threading.Lock(), Counter[int](), 0
        self._limits: list[Any] = []
        self._threads = 1

    def free(self) -> int:
        """Return how many threads each of those who limited BLAS may take in its place."""
        with self._lock:
            return self._threads // max(1, len(self._users))

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._threads = _threads()
            if not self._users or len(sys.modules) != self._seen:  # libraries may have come
                self._seen = len(sys.modules)
                self._limits.append(_limited("blas"))
            self._users[threading.get_ident()] += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users[threading.get_ident()] -= 1
            self._users += Counter()  # who left is not counted
            while not self._users and self._limits:
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


def pieces(worth: bool = True) -> Serial | Threads:
    """Return where to run independent pieces of a step: in the threads that BLAS had, or here.

    So many threads as the user lets BLAS have (``OMP_NUM_THREADS``, threadpoolctl), shared by those
    who compute at once; one in a worker process, beside which others run.

    Parameters
    ----------
    worth : bool
        Whether the pieces are large enough for threads.
    """
    if not worth or multiprocessing.parent_process() is not None:
        return Serial()
    free = _BLAS.free()
    return Threads(free, _limited_openmp) if free > 1 else Serial()


def _limited_openmp() -> None:
    _limited("openmp")  # as long as the thread lives
