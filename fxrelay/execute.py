"""Where work runs: one protocol for shards of attribution and categories of analysis.

An executor has two methods, ``map`` and ``close``, and is a context manager. Results come back in
the order of the items whatever the executor, so what is computed never depends on where. This
module imports no torch.
"""

import multiprocessing
import pickle
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
#: items that wait at a worker for each one that it works on: more would only fill memory
AHEAD: Final = 2


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

    workers: Final = 1

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item."""
        return map(function, items)


class Processes(_Context):
    """Run in `workers` fresh processes on this machine.

    Parameters
    ----------
    workers : int, at least 1
        Number of processes. Functions and items travel by pickle, a few items ahead of the work.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"Processes: needs workers >= 1; got {workers}. Use Serial() for one.")
        context = multiprocessing.get_context("spawn")
        self._workers = workers
        self._pool = ProcessPoolExecutor(workers, mp_context=context)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items.

        Raises
        ------
        RuntimeError
            If a worker dies; what workers finished and wrote before stays.
        """
        work = Guarded(function)
        try:
            yield from _in_order(
                lambda item: self._pool.submit(work, item), items, self._workers * AHEAD
            )
        except BrokenProcessPool as error:
            raise RuntimeError(
                "Processes: needs workers that live; one was killed, perhaps for want of memory, "
                "or could not start. Use fewer workers, and call again: what is kept is not made "
                "again."
            ) from error

    def close(self) -> None:
        """End the processes; items that have not started are dropped."""
        self._pool.shutdown(cancel_futures=True)


class Threads(_Context):
    """Run in `workers` threads of this process: for functions that mostly leave Python.

    Parameters
    ----------
    workers : int, at least 1
        Number of threads, and of items that are on their way at once or wait to be taken: when an
        item starts, whoever takes the results is done with those of `workers` items before.
    begin : callable
        Called in each thread before its first item.
    """

    def __init__(self, workers: int, begin: Callable[[], object] = lambda: None) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, initializer=begin)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items."""
        return _in_order(lambda item: self._pool.submit(function, item), items, self.workers)

    def close(self) -> None:
        """End the threads; items that have not started are dropped."""
        self._pool.shutdown(cancel_futures=True)


class Dask(_Context):
    """Run on a ``dask.distributed`` cluster.

    Parameters
    ----------
    client : distributed.Client or str
        A client, which the caller owns and ``close`` leaves open, or the address of a scheduler.
    """

    def __init__(self, client: Any) -> None:
        self._owned = isinstance(client, str)
        if self._owned:
            from distributed import Client

            client = Client(client)
        self._client = client

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` for each item, in the order of the items."""
        work = self._client.scatter(Guarded(function), broadcast=True, hash=False)
        workers = max(1, sum(self._client.nthreads().values()))
        yield from _in_order(lambda item: self._submit(work, item), items, workers * AHEAD)

    def _submit(self, work: Any, item: Any) -> Any:
        data = self._client.scatter(_Boxed(item), hash=False)
        return self._client.submit(_unboxed, work, data, pure=False)

    def close(self) -> None:
        """Close the client if it was made here."""
        if self._owned:
            self._client.close()


@dataclass(frozen=True)
class Guarded(Generic[Item, Result]):
    """A function whose errors travel: one that pickle cannot carry comes as its text."""

    function: Callable[[Item], Result]

    def __call__(self, item: Item) -> Result:
        """Return ``function(item)``."""
        try:
            return self.function(item)
        except Exception as error:
            if _travels(error):
                raise
            story = "".join(traceback.format_exception(error))
            raise RuntimeError(f"{type(error).__name__}: {error}\n\n{story}") from None


@dataclass(frozen=True)
class _Boxed:
    """An item that a cluster takes for one thing, whatever it holds."""

    item: Any


def executor(workers: int = 1, scheduler: str | None = None) -> Serial | Processes | Dask:
    """Return where to run.

    Parameters
    ----------
    workers : int
        `Serial` for one, `Processes` for more.
    scheduler : str, optional
        Address of a dask scheduler: `Dask` on its workers.
    """
    if scheduler is not None:
        return Dask(scheduler)
    return Serial() if workers == 1 else Processes(workers)


def _unboxed(work: Callable[[Any], Any], boxed: _Boxed) -> Any:
    return work(boxed.item)


def _travels(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _in_order(submit: Callable[[Item], Any], items: Iterable[Item], most: int) -> Iterator[Any]:
    """Yield the results of items in their order, with at most `most` of them on their way."""
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
