"""Arrays in HDF5 files that are read as they are used, of both forms: one array, or one a sample.

A file is opened for each read and closed after it: nothing stays open, and what is here can be
sent to another process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
#: arrays up to this many bytes are read at once
IN_MEMORY: Final = 2**28
#: bytes of one chunk of a lazy array
CHUNK: Final = 2**24


@dataclass(frozen=True)
class Stored:
    """An array (sample, ...) in a file.

    Attributes
    ----------
    path, key : Path, str
        Where it is.
    names : tuple of str
        Members of the group, in order, for arrays that are stored sample by sample; else empty.
    shape, dtype : of the whole
    """

    path: Path
    key: str
    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, file: Any, path: Path, key: str) -> "Stored":
        """Find an array in an open file; raise where samples of a group differ in shape or type."""
        import h5py

        item = file[key]
        if isinstance(item, h5py.Dataset):
            return cls(path, key, (), item.shape, item.dtype)
        names = tuple(item)  # HDF5's order, by name: so are they counted
        kinds = {(item[name].shape, item[name].dtype) for name in names}
        if len(kinds) != 1:
            got = ", ".join(f"{dtype} {shape}" for shape, dtype in sorted(kinds, key=str)) or "none"
            raise ValueError(
                f"{path}: needs samples of one shape and type in '{key}'; got {got}. "
                "Write them in one form."
            )
        ((shape, dtype),) = kinds
        return cls(path, key, names, (len(names), *shape), dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the whole in bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        """Read a part."""
        import h5py

        with h5py.File(self.path, "r") as file:
            item = file[self.key]
            if not self.names:
                return np.asarray(item[index])
            rows, *rest = index if isinstance(index, tuple) else (index,)
            read = [item[name][()] for name in np.asarray(self.names)[rows]]
            return np.array(read, self.dtype)[(slice(None), *rest)]


def lazy(stored: Any, rows: Array | None = None) -> Any:
    """Return an array as it is read: a dask array where it is large; `rows` in their order."""
    if stored.nbytes <= IN_MEMORY:
        whole: Array = np.asarray(stored[:])
        return whole if rows is None else whole[rows]
    import dask.array as da

    step = max(1, int(CHUNK * len(stored) // stored.nbytes))
    array = da.from_array(stored, chunks=(step, *stored.shape[1:]), lock=False, asarray=False)
    same = rows is None or np.array_equal(rows, np.arange(len(stored)))
    return array if same else array[rows]


def joined(parts: Sequence[Any]) -> Any:
    """Return arrays one after the other, lazy where one is."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    import dask.array as da

    return da.concatenate(parts)
