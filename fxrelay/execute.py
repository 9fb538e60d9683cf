"""Where work runs: one protocol for shards of attribution and categories of analysis.

An executor has two methods, ``map`` and ``close``, and is a context manager. Results come back in
the order of the items whatever the executor, so what is computed never depends on where. This
module imports no torch.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """What ``attribute_dataset`` and ``spray`` ask of the place where they run."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items."""
        ...

    def close(self) -> None:
        """Give back what the executor holds."""
        ...


class _Context:
    def close(self) -> None:
        """Hold nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Serial(_Context):
    """Run in this process, one item after the other."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item."""
        return map(function, items)


class Processes(_Context):
    """Run in `workers` fresh processes on this machine.

    Parameters
    ----------
    workers : int, at least 1
        Number of processes. Functions and items travel by pickle.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"Processes: needs workers >= 1; got {workers}. Use Serial() for one.")
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items."""
        return self._pool.map(function, items)

    def close(self) -> None:
        """End the processes; items that have not started are dropped."""
        self._pool.shutdown(cancel_futures=True)


class Dask(_Context):
    """Run on a ``dask.distributed`` cluster.

    Parameters
    ----------
    client : distributed.Client
        The caller owns it; ``close`` leaves it open.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items."""
        for future in self._client.map(function, list(items), pure=False):
            yield future.result()


def executor(workers: int = 1) -> Serial | Processes:
    """Return `Serial` for one worker, `Processes` for more."""
    return Serial() if workers == 1 else Processes(workers)
