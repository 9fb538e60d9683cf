"""Memory for pure stages: a result is looked up by the content that it was computed from."""

import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from fxrelay.files import writable_folder, write_netcdf
from fxrelay_analysis import canonical
from fxrelay_analysis.digesting import Content, content, digest
from fxrelay_analysis.packing import Labelled, facts, pack, unpack
from fxrelay_analysis.stage import Stage, resolve, signature

Key = dict[str, Any]
#: netCDF crashes when two threads of a process use it
NETCDF: Final = threading.Lock()


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

    Raises
    ------
    OSError
        If the folder cannot be written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else writable_folder(path, "Store")
        self._known = Known()

    def __reduce__(self) -> tuple[type["Store"], tuple[Path | None]]:
        return Store, (self.path,)

    def cache(self, stage: type[Stage]) -> Callable[..., Any]:
        """Return `stage` with memory: same call, same result, computed once.

        Raises
        ------
        TypeError
            If `stage` is not a stage: functions have no declared version and no parameters.
        """
        _check_stage(stage, "cache")
        if self.path is None:
            return stage

        def remembered(*inputs: Labelled, **parameters: Any) -> Labelled:
            key = self._key(stage, inputs, parameters)
            name = self._file(stage, digest(key))
            found = self._read(name, key)
            return self._compute(stage, inputs, parameters, name, key) if found is None else found

        remembered.__name__, remembered.__doc__ = stage.__name__, stage.__doc__
        return remembered

    def explain(self, stage: type[Stage], *inputs: Labelled, **parameters: Any) -> str:
        """Return hit or miss as text and, for a miss, what differs from the nearest entry."""
        _check_stage(stage, "explain")
        label = signature(stage)
        if self.path is None:
            return f"miss: {label}: Store(None) keeps nothing"
        key = self._key(stage, inputs, parameters)
        name = self._file(stage, digest(key))
        if self._read(name, key) is not None:
            return f"hit: {label}: {name.stem}"
        entries = [e for path in sorted(name.parent.glob("*.nc")) if (e := _stored_key(path))]
        if not entries:
            return f"miss: {label}: no entry of this stage"
        if key in entries:
            return f"miss: {label}: its entry {name.stem} is damaged"
        lines = min((_differences(entry, key) for entry in entries), key=len)
        return "\n".join([f"miss: {label}: the nearest of {len(entries)} entries differs", *lines])

    def _key(self, stage: type[Stage], inputs: tuple[Any, ...], parameters: dict[str, Any]) -> Key:
        _check_inputs(stage, inputs)
        return {
            "stage": signature(stage),
            "version": stage.version,
            "code": stage.code(),
            "parameters": {k: canonical.encode(v) for k, v in resolve(stage, parameters).items()},
            "inputs": [self._known.digest(item) for item in inputs],
        }

    def _file(self, stage: type[Stage], key: str) -> Path:
        if self.path is None:
            raise ValueError("Store: needs a folder; got None. Use Store(path).")
        return self.path / stage.__name__ / f"{key}.nc"

    def _read(self, name: Path, key: Key) -> Any:
        try:
            if not name.exists():
                return None
            with NETCDF:
                result, meta = unpack(name)
            same = canonical.text(meta["key"]) == canonical.text(key)
            intact = same and digest(result) == meta["digest"]
        except Exception:  # whatever a damaged file raises, it counts as missing
            return None
        return self._known.add(result, meta["digest"]) if intact else None

    def _compute(
        self, stage: type[Stage], inputs: tuple[Any, ...], parameters: Any, name: Path, key: Key
    ) -> Labelled:
        result = stage(*inputs, **parameters)
        problem = "its content does not survive the file"
        try:
            packed = pack(result, {"key": key, "digest": digest(result)})
            with NETCDF:
                write_netcdf(packed, name)
            found = self._read(name, key)
        except Exception as error:  # a full disk or an odd type must not cost the result
            found, problem = None, str(error)
        if found is not None:
            return found
        warnings.warn(
            f"Store: needs to write {stage.__name__} to {str(name)!r}; got: {problem}. The result "
            "is returned but not kept. Free some space or change what the stage returns.",
            stacklevel=3,
        )
        return result


class Known:
    """Digests of objects that this process got from a store, while they live and are unchanged."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], Content, str]] = {}

    def add(self, obj: Labelled, value: str) -> Labelled:
        """Remember the digest of `obj`, whose arrays are read-only."""
        here, entries = id(obj), self._entries
        text, arrays = content(obj)
        kept = [array if _locked(array) else np.array(array) for array in arrays]
        forget = weakref.ref(obj, lambda _: entries.pop(here, None))
        entries[here] = (forget, Content(text, kept), value)
        return obj

    def digest(self, obj: Labelled) -> str:
        """Return the digest of `obj`, without hashing it when it is known and unchanged."""
        known = self._entries.get(id(obj))
        if known is None or known[0]() is not obj:
            return digest(obj)
        text, arrays = content(obj)
        same = text == known[1].text and all(map(_same, known[1].arrays, arrays))
        return known[2] if same else digest(obj)


def _locked(array: Any) -> bool:
    """Tell whether nobody can ever write: the memory is that of a bytes object (or none)."""
    while isinstance(array, np.ndarray):
        if array.nbytes == 0:
            return True
        array = array.base
    return isinstance(array, bytes)


def _same(kept: Any, now: Any) -> bool:
    return kept is now if _locked(kept) else digest(kept) == digest(np.asarray(now))


def _stored_key(path: Path) -> Key | None:
    try:
        with NETCDF:
            key = dict(facts(path)["key"])
        _flat(key)
    except Exception:  # damaged or foreign: as good as missing
        return None
    return key


def _flat(key: Key) -> dict[str, str]:
    parts = {f"parameter {k}": v for k, v in key["parameters"].items()}
    parts |= {f"input {i}": v for i, v in enumerate(key["inputs"])}
    parts |= {name: key[name] for name in ("version", "code")}
    return {name: canonical.text(value) for name, value in parts.items()}


def _differences(entry: Key, key: Key) -> list[str]:
    old, new = _flat(entry), _flat(key)
    return [
        f"  {name}: stored {old.get(name, 'nothing')}, now {new.get(name, 'nothing')}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def _check_stage(stage: Any, where: str) -> None:
    if not (isinstance(stage, type) and issubclass(stage, Stage)):
        raise TypeError(
            f"Store.{where}: needs a stage (a subclass of stages.Stage); got {stage!r}. "
            "Wrap your function in one: it declares a version and its parameters."
        )


def _check_inputs(stage: type[Stage], inputs: tuple[Any, ...]) -> None:
    wrong = [type(i).__name__ for i in inputs if not isinstance(i, Labelled)]
    if wrong:
        raise TypeError(
            f"{stage.__name__}: needs Datasets, DataArrays or DataTrees as inputs; got "
            f"{', '.join(wrong)}. Wrap arrays as xarray.DataArray, pass the rest by name."
        )
