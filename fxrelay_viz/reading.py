"""Reading lazily and safely: one lock for netCDF, values on demand, a folder of shards as one.

netCDF4 crashes when two threads read at once, so every read of lazy data goes through `read`, and
what `open_file` and `open_shards` return takes the lock by itself, in a notebook too.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from fxrelay import schema
from fxrelay_analysis.netcdf import NETCDF

#: file of a folder of shards that says how many there are
MANIFEST: Final = "manifest.json"
#: attributes of variables whose stored numbers are not their values
DECODED: Final = frozenset(
    ("scale_factor", "add_offset", "missing_value", "units_metadata", "calendar", "_Unsigned",
     "dtype", "flag_meanings")
)  # fmt: skip
#: what netCDF4 and HDF5 raise for damaged files, besides OSError
DAMAGE: Final = (RuntimeError, IndexError, KeyError, AttributeError)

_HELD: Final = threading.local()


@contextmanager
def alone() -> Iterator[None]:
    """Keep every other thread of the process from netCDF; may be nested."""
    if getattr(_HELD, "here", False):
        yield
        return
    with NETCDF:
        _HELD.here = True
        try:
            yield
        finally:
            _HELD.here = False


@contextmanager
def careful() -> Iterator[None]:
    """Read alone, and raise an OSError for a file that has vanished or is damaged."""
    with alone(), _faults("a file of the data", DAMAGE):
        yield


@contextmanager
def _faults(name: str, faults: tuple[type[Exception], ...]) -> Iterator[None]:
    """Raise an OSError that names the file for what a library reports of it."""
    try:
        yield
    except faults as error:
        raise OSError(
            f"viewer: {name} could not be read ({error}). Put it back, or open the project again."
        ) from error


def read(data: Any) -> Any:
    """Load lazy xarray data in this thread, while no other thread reads.

    Raises
    ------
    OSError
        If a file has vanished or is damaged.
    """
    with careful():
        return data.compute(scheduler="synchronous")


class Lazy(Mapping[Any, Any]):
    """Values by name, each made on first use and then kept; safe for several threads.

    Parameters
    ----------
    makers : mapping of name to callable
        Called without arguments, once.
    """

    def __init__(self, makers: Mapping[Any, Callable[[], Any]]) -> None:
        self._makers = dict(makers)
        self._made: dict[Any, Any] = {}
        self._lock = threading.RLock()

    def __getitem__(self, name: Any) -> Any:
        if name not in self._made:
            with self._lock:
                if name not in self._made:
                    self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[Any]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def open_file(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a netCDF file, or one group of it, as a lazy Dataset that holds no file open.

    Every read opens the file and closes it again: the netCDF library crashes where a file with
    texts is open twice in a process, and a file that was replaced is read anew.

    Parameters
    ----------
    path : Path
    group : str, optional

    Raises
    ------
    OSError
        If it is no netCDF file.
    """
    with careful(), xr.open_dataset(path, engine="netcdf4", group=group) as file:
        small = [n for n, v in file.variables.items() if not v.ndim or n in file.indexes]
        for name in small:
            file[name].load()
        found = file
    lazy = {
        str(name): _joined([path], max(v.shape[0], 1), v.shape[0], str(name), v, group)
        for name, v in found.variables.items()
        if name not in small
    }
    return found.assign(lazy).set_coords([str(name) for name in found.coords])


def open_shards(folder: Path) -> xr.Dataset:
    """Open a folder of shards as one lazy Dataset; only the sample ids are read.

    Reading a few samples opens the shards that hold them and reads no more than these samples.

    Parameters
    ----------
    folder : Path
        From `fxrelay.attribute_dataset`.

    Returns
    -------
    Dataset
        dims (sample, ...).

    Raises
    ------
    OSError
        If the manifest is damaged, or shards are missing; names the first of them.
    """
    n, size = _manifest(folder)
    files = [folder / f"shard-{i:06d}.nc" for i in range(-(-n // size))]
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(
            f"view: needs {len(files)} shards in {str(folder)!r}; {len(missing)} are missing "
            f"({', '.join(missing[:3])}). Run `fxrelay attribute` again: it makes only those."
        )
    first = open_file(files[0])
    with careful():
        of = first[schema.SAMPLE].dtype
        ids = np.concatenate([_values(f, schema.SAMPLE, (slice(None),), None, of) for f in files])
    joined = {
        str(name): _joined(files, size, n, str(name), v)
        for name, v in first.variables.items()
        if v.dims[:1] == (schema.SAMPLE,) and name != schema.SAMPLE
    }
    named = {schema.SAMPLE: (schema.SAMPLE, ids, first[schema.SAMPLE].attrs)}
    fixed = first.drop_vars([*joined, schema.SAMPLE])
    return fixed.assign_coords(named).assign(joined).set_coords(list(map(str, first.coords)))


def _manifest(folder: Path) -> tuple[int, int]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        n, size = int(manifest["samples"]), int(manifest["shard_size"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise OSError(
            f"view: needs {MANIFEST} with 'samples' and 'shard_size' in {str(folder)!r}; got "
            f"{type(error).__name__}: {error}. Run `fxrelay attribute` again."
        ) from error
    if n < 1 or size < 1:
        raise OSError(
            f"view: needs at least one sample in {str(folder)!r}; got {n} in shards of {size}. "
            "Run `fxrelay attribute` again."
        )
    return n, size


def _joined(
    files: Sequence[Path], per_file: int, n: int, name: str, like: xr.Variable,
    group: str | None = None,
) -> xr.Variable:  # fmt: skip
    array = _Joined(files, per_file, name, (n, *like.shape[1:]), like.dtype, group)
    return xr.Variable(like.dims, indexing.LazilyIndexedArray(array), like.attrs)


def _values(
    file: Path, name: str, key: tuple[Any, ...], group: str | None, dtype: np.dtype
) -> np.ndarray:
    """Read a part of a variable: the first index is a slice or ascending, without repeats."""
    with alone(), _faults(file.name, (OSError, *DAMAGE)):
        if h5py.is_hdf5(file):
            with h5py.File(file, "r") as opened:
                stored = opened[f"{group}/{name}" if group else name]
                if _is_plain(stored, key, dtype):
                    return np.asarray(stored[key])
        with xr.open_dataset(file, engine="netcdf4", group=group) as decoded:
            values: np.ndarray = decoded[name][key].values
            return values


def _is_plain(stored: Any, key: tuple[Any, ...], dtype: np.dtype) -> bool:
    """Whether numbers are stored as they are, so that HDF5 reads them, 20 times as fast to open."""
    if stored.dtype != dtype or DECODED & stored.attrs.keys():
        return False
    fill = np.asarray(stored.attrs.get("_FillValue", np.nan))
    no_fill = fill.dtype.kind == "f" and bool(np.isnan(fill).all())
    return no_fill and all(isinstance(part, slice) for part in key[1:])


class _Joined(BackendArray):
    """One variable along the first dimension of one or several files, for lazy indexing."""

    def __init__(
        self, files: Sequence[Path], per_file: int, name: str, shape: tuple[int, ...],
        dtype: np.dtype, group: str | None,
    ) -> None:  # fmt: skip
        self.files, self.per_file, self.name, self.group = files, per_file, name, group
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read an outer index, (samples, *rest), from the files that hold these samples."""
        samples, rest = np.arange(self.shape[0])[key[0]], key[1:]
        wanted = np.atleast_1d(samples)
        file = wanted // self.per_file
        parts = [(file == n, self._part(n, wanted[file == n], rest)) for n in np.unique(file)]
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        out = np.empty((len(wanted), *parts[0][1].shape[1:]), self.dtype)
        for members, values in parts:
            out[members] = values
        return out if samples.ndim else np.asarray(out[0])

    def _part(self, n: int, wanted: np.ndarray, rest: tuple[Any, ...]) -> np.ndarray:
        local, back = np.unique(wanted % self.per_file, return_inverse=True)
        whole = len(local) == local[-1] - local[0] + 1
        key = slice(int(local[0]), int(local[-1]) + 1) if whole else local
        values = _values(self.files[n], self.name, (key, *rest), self.group, self.dtype)
        return values[back]
