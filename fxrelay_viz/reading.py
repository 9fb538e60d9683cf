"""Reading lazily and safely: one lock for netCDF, values on demand, a folder of shards as one.

netCDF4 crashes when two threads read at once, so every read of lazy data goes through `read`.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from fxrelay import schema
from fxrelay_analysis.store import NETCDF

#: file of a folder of shards that says how many there are
MANIFEST: Final = "manifest.json"


def read(data: Any) -> Any:
    """Load lazy xarray data in this thread, while no other thread reads.

    Raises
    ------
    OSError
        If a file has vanished or is damaged.
    """
    with NETCDF:
        try:
            return data.compute(scheduler="synchronous")
        except (RuntimeError, IndexError, KeyError) as error:  # netCDF4 and HDF5 report either
            raise OSError(
                f"viewer: a file of the data could not be read ({error}). "
                "Put it back, or open the project again."
            ) from error


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
    files = [folder / f"shard-{start:06d}.nc" for start in range(0, n, size)]
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(
            f"view: needs {len(files)} shards in {str(folder)!r}; {len(missing)} are missing "
            f"({', '.join(missing[:3])}). Run `fxrelay attribute` again: it makes only those."
        )
    with NETCDF:
        template = _template(files[0])
        ids = np.concatenate([_values(file, schema.SAMPLE, ...) for file in files])
    joined = {
        name: _joined(files, size, n, str(name), v)
        for name, v in template.variables.items()
        if v.dims[:1] == (schema.SAMPLE,) and name != schema.SAMPLE
    }
    fixed = template.drop_vars([*joined, schema.SAMPLE]).variables
    coords = {str(name) for name in template.coords} - {schema.SAMPLE}
    ds = xr.Dataset({**fixed, **joined}, coords={schema.SAMPLE: ids}, attrs=template.attrs)
    return ds.set_coords(sorted(coords & set(map(str, ds.variables))))


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


def _template(file: Path) -> xr.Dataset:
    with xr.open_dataset(file, engine="netcdf4") as shard:
        small = [name for name, v in shard.variables.items() if v.dims[:1] != (schema.SAMPLE,)]
        for name in small:
            shard[name].load()
        return shard


def _joined(files: Sequence[Path], size: int, n: int, name: str, like: xr.Variable) -> xr.Variable:
    array = _Joined(files, size, name, (n, *like.shape[1:]), like.dtype)
    return xr.Variable(like.dims, indexing.LazilyIndexedArray(array), like.attrs)


def _values(file: Path, name: str, key: Any) -> np.ndarray:
    with xr.open_dataset(file, engine="netcdf4") as shard:
        values: np.ndarray = shard[name][key].values
        return values


class _Joined(BackendArray):
    """One variable along all shards, for xarray's lazy indexing."""

    def __init__(
        self,
        files: Sequence[Path],
        per_file: int,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
    ) -> None:
        self.files, self.per_file, self.name = files, per_file, name
        self.shape, self.dtype = shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read an outer index, (samples, *rest), from the shards that hold these samples."""
        samples, rest = np.arange(self.shape[0])[key[0]], key[1:]
        wanted = np.atleast_1d(samples)
        shard = wanted // self.per_file
        parts = [
            (
                shard == n,
                _values(self.files[n], self.name, (wanted[shard == n] % self.per_file, *rest)),
            )
            for n in np.unique(shard)
        ]
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        out = np.empty((len(wanted), *parts[0][1].shape[1:]), self.dtype)
        for members, values in parts:
            out[members] = values
        return out if samples.ndim else out[0]
