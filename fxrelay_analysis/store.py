"""Memory for pure stages: a result is looked up by the content that it was computed from."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from fxrelay.files import writable_folder
from fxrelay_analysis import canonical
from fxrelay_analysis.digesting import digest
from fxrelay_analysis.explaining import differences, flat
from fxrelay_analysis.inputs import Labelled, need_labelled
from fxrelay_analysis.known import Known
from fxrelay_analysis.netcdf import NETCDF as NETCDF
from fxrelay_analysis.shelf import Entry, Key, Pruned, Shelf, key_digest
from fxrelay_analysis.stage import Stage, resolve, signature

Compute = Callable[[], Labelled]
Worth = Callable[[float, int], bool]
#: how often a damaged file is looked for again; it cannot be removed where only reading is allowed
ATTEMPTS: Final = 3


class Damaged(Exception):
    """A file that was there did not hold what its name says; it is removed."""


class Held:
    """A result by its digest; its content is read, and checked, when it is asked for.

    Parameters
    ----------
    digest : str or callable
        The digest, or what tells it when it is asked for.
    value : callable, or Dataset, DataArray, DataTree
        What reads the content, or the content.
    """

    def __init__(self, digest: str | Callable[[], str], value: Compute | Labelled) -> None:
        self._digest, self._value = digest, value

    @property
    def digest(self) -> str:
        """The digest of the content."""
        if not isinstance(self._digest, str):
            self._digest = self._digest()
        return self._digest

    @property
    def value(self) -> Any:
        """The content, a Dataset, DataArray or DataTree.

        Raises
        ------
        Damaged
            If its file is gone or damaged.
        """
        if not isinstance(self._value, Labelled):
            self._value = self._value()
        return self._value


class Store:
    """Results of stages in a folder, one immutable netCDF4 file each.

    The key of a result is the digest of the stage's name, its version and code, all parameters
    (defaults resolved) and the content of its inputs. A result that comes from the store is
    read-only and known by its digest, so a chain of stages never hashes it again; once anything
    about it was changed, its content is digested anew. A damaged file counts as missing.

    Parameters
    ----------
    path : path or None
        The folder, made when missing; None computes every time.
    max_bytes : int, optional
        Size of all files from which on those used least recently are removed, until nine tenths
        are left; by default none are. Several processes may exceed it together for a while.

    Raises
    ------
    OSError
        If the folder cannot be written.
    ValueError
        If `max_bytes` is negative.
    """

    def __init__(self, path: str | Path | None, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"Store: needs max_bytes >= 0; got {max_bytes}. None is no limit.")
        self.path = None if path is None else writable_folder(path, "Store")
        self.max_bytes = max_bytes
        self._shelf = None if self.path is None else Shelf(self.path, max_bytes)
        self._known = Known()

    def __reduce__(self) -> tuple[type["Store"], tuple[Path | None, int | None]]:
        return Store, (self.path, self.max_bytes)

    def cache(self, stage: type[Stage]) -> Callable[..., Any]:
        """Return `stage` with memory: same call, same result, computed once.

        Raises
        ------
        TypeError
            If `stage` is not a stage: functions have no declared version and no parameters.
        """
        _check_stage(stage, "cache")
        if self._shelf is None:
            return stage

        def remembered(*inputs: Labelled, **parameters: Any) -> Labelled:
            need_labelled(stage.__name__, inputs)
            held = [self.hold(item) for item in inputs]
            for _ in range(ATTEMPTS):
                with suppress(Damaged):  # the file is gone now
                    return self.result(stage, held, parameters).value
            return stage(*inputs, **parameters)

        remembered.__name__, remembered.__doc__ = stage.__name__, stage.__doc__
        return remembered

    def explain(self, stage: type[Stage], *inputs: Labelled, **parameters: Any) -> str:
        """Return hit or miss as text and, for a miss, what differs from the nearest entry."""
        _check_stage(stage, "explain")
        label = signature(stage)
        need_labelled(stage.__name__, inputs)
        key = stage_key(stage, [self._known.digest(item) for item in inputs], parameters)
        return self.tell(label, stage.__name__, key)

    def tell(self, name: str, label: str, key: Key) -> str:
        """Return hit or miss for a key as text and, for a miss, what differs from the nearest."""
        if self._shelf is None:
            return f"miss: {name}: Store(None) keeps nothing"
        found = self._shelf.find(label, key_digest(key))
        if found and self._shelf.read(found, key) is not None:
            return f"hit: {name}: {found.path.stem}"
        if found:
            return f"miss: {name}: its entry {found.path.stem} is damaged"
        entries = [entry for entry in self._shelf.keys(label) if flat(entry)]
        if not entries:
            return f"miss: {name}: no entry of this stage"
        lines = min((differences(entry, key) for entry in entries), key=len)
        return "\n".join([f"miss: {name}: the nearest of {len(entries)} entries differs", *lines])

    def prune(
        self,
        *,
        max_bytes: int | None = None,
        older_than: float | timedelta | None = None,
        stage: type[Stage] | str | None = None,
    ) -> Pruned:
        """Remove results, and temporary files that a killed process left an hour ago or more.

        Safe while other processes read and write: what they hold open stays readable, and what
        they then miss they compute.

        Parameters
        ----------
        max_bytes : int, optional
            Remove those used least recently until no more are left.
        older_than : float (seconds) or timedelta, optional
            Only those that were not used for so long.
        stage : stage or its name, optional
            Only results of this stage; whole runs are kept under ``pipeline``.

        Returns
        -------
        Pruned
            Numbers and bytes of what was removed and is left. Without any argument only
            temporary files go.

        Raises
        ------
        ValueError
            If a bound is negative.
        """
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        if min(max_bytes or 0, age or 0) < 0:
            raise ValueError(
                f"Store.prune: needs max_bytes and older_than >= 0; got {max_bytes} and {age}."
            )
        if self._shelf is None:
            return Pruned(0, 0, 0, 0)
        label = stage.__name__ if isinstance(stage, type) else stage
        return self._shelf.prune(label, age, max_bytes)

    def hold(self, item: Labelled) -> Held:
        """Return an object of the caller's with its digest."""
        return Held(lambda: self._known.digest(item), item)

    def result(
        self,
        stage: type[Stage],
        inputs: Sequence[Held],
        parameters: Mapping[str, Any],
        worth: Worth | None = None,
        key: Key | None = None,
    ) -> Held:
        """Return the result of a stage, looked up or else computed.

        Parameters
        ----------
        stage : stage
        inputs : Held results
        parameters : mapping
        worth : callable, optional
            Tells from seconds and bytes whether a result is worth a file; by default every one is.
            Where it is given, it is a step of a run that is kept as a whole, and nobody waits
            until it is on the disk.
        key : key, optional
            Its key with whatever inputs, where it is known.
        """
        if self._shelf is None:
            return self.hold(stage(*[item.value for item in inputs], **parameters))
        key = key or stage_key(stage, (), parameters)
        key = key | {"inputs": [item.digest for item in inputs]}
        if (found := self.recall(stage.__name__, key)) is not None:
            return found
        values = [item.value for item in inputs]
        start = time.perf_counter()
        result = stage(*values, **parameters)
        if worth is not None and not worth(time.perf_counter() - start, result.nbytes):
            return self.hold(result)
        return self.keep(stage.__name__, key, result, flush=worth is None)

    def recall(self, label: str, key: Key) -> Held | None:
        """Return what is kept under a key, not read yet, or None."""
        entry = None if self._shelf is None else self._shelf.find(label, key_digest(key))
        return Held(entry.digest, lambda: self._read(entry, key)) if entry else None

    def keep(self, label: str, key: Key, result: Labelled, flush: bool = True) -> Held:
        """Write a result; warn, and return it as it is, where that is not possible."""
        if self._shelf is None:
            return self.hold(result)
        problem = "its content does not survive the file"
        try:
            entry, value = self._shelf.write(label, key_digest(key), key, result, flush)
            if value is not None and digest(value) == entry.digest:
                self._shelf.make_room(entry)
                return Held(entry.digest, self._known.add(value, entry.digest))
            entry.path.unlink()
        except Exception as error:  # a full disk or an odd type must not cost the result
            problem = str(error)
        warnings.warn(
            f"Store: needs to write {label} to {str(self.path)!r}; got: {problem}. The result is "
            "returned but not kept. Free some space or change what the stage returns.",
            stacklevel=4,
        )
        return self.hold(result)

    def _read(self, entry: Entry, key: Key) -> Labelled:
        result = None if self._shelf is None else self._shelf.read(entry, key)
        if result is None:
            with suppress(OSError):
                entry.path.unlink()
            raise Damaged(str(entry.path))
        return self._known.add(result, entry.digest)


def stage_key(stage: type[Stage], inputs: Sequence[str], parameters: Mapping[str, Any]) -> Key:
    """Return the key of a result: all that it depends on.

    Parameters
    ----------
    stage : stage
    inputs : digests of the inputs
    parameters : mapping of those that are not at their default
    """
    return {
        "stage": signature(stage),
        "version": stage.version,
        "code": stage.code(),
        "parameters": {k: canonical.encode(v) for k, v in resolve(stage, dict(parameters)).items()},
        "inputs": list(inputs),
    }


def _check_stage(stage: Any, where: str) -> None:
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        raise TypeError(
            f"Store.{where}: needs a stage (a subclass of stages.Stage); got {stage!r}. "
            "Wrap your function in one: it declares a version and its parameters."
        )
