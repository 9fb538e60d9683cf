"""One thread for linear algebra, whichever thread asks: sums in one order, so equal bits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits


class _Blas:
    """The limit of BLAS, which is the whole process's: set by the first, lifted by the last."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limit = threadpool_limits(1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


_BLAS = _Blas()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and OpenMP to one thread within the block, in as many threads as enter it.

    Limits of BLAS hold for the process: threads that each set and restore them would lift them
    for one another. Those of OpenMP hold for the thread that sets them.
    """
    with _BLAS, threadpool_limits(1, user_api="openmp"):
        yield
