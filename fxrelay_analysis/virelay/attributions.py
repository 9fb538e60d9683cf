"""Attribution files: relevance, labels and predictions of samples that are known by index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fxrelay_analysis.virelay.projects import Project
from fxrelay_analysis.virelay.stored import Stored, joined, lazy

Array = np.ndarray[Any, Any]
ATTRIBUTION, LABEL, PREDICTION, INDEX = "attribution", "label", "prediction", "index"
#: where ids of another kind than the index are kept; ViRelAy passes over it
ID: Final = "id"
#: arrays that ViRelAy does not read, and their dims
FLAGS: Final = ("train",)


@dataclass(frozen=True)
class Source:
    """One attribution file: the sample index and the name of each row, and its arrays."""

    path: Path
    index: Array
    names: Array
    arrays: Mapping[str, Stored]

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Find the arrays of a file.

        Raises
        ------
        ValueError
            Names every array that is missing, or of another length than the attributions.
        """
        with opened(path) as file:
            missing = [key for key in (ATTRIBUTION, LABEL, PREDICTION) if key not in file]
            require(path, [f"no '{key}'" for key in missing])
            keys = [k for k in (ATTRIBUTION, LABEL, PREDICTION, *FLAGS) if k in file]
            arrays = {key: Stored.of(file, path, key) for key in keys}
            n = len(arrays[ATTRIBUTION])
            index = file[INDEX][()] if INDEX in file else np.arange(n)
            names = file[ID][()] if ID in file else np.array(arrays[ATTRIBUTION].names, object)
        sizes = {key: len(a) for key, a in arrays.items()} | {INDEX: len(index)}
        wrong = [f"'{key}' of {size} samples for {n}" for key, size in sizes.items() if size != n]
        if index.ndim != 1 or index.dtype.kind not in "iu" or len(np.unique(index)) != len(index):
            wrong.append(f"'{INDEX}' of {index.dtype}, {index.shape}: not one integer a sample")
        require(path, wrong)
        return cls(path, index.astype(np.int64), decoded(names), arrays)


@dataclass(frozen=True)
class Attributions:
    """All sources of a project together: the first file that has an index counts.

    Attributes
    ----------
    index : int array (n,)
        Sample indices, ascending.
    names : array (n,) or (0,)
        Ids, where the files have them.
    sources : sequence of Source
    place : tuple of int arrays (n,)
        Which source a sample comes from, and which row of it.
    """

    index: Array
    names: Array
    sources: Sequence[Source]
    place: tuple[Array, Array]

    @classmethod
    def of(cls, project: Project) -> "Attributions":
        """Find the attributions of a project.

        Raises
        ------
        ValueError
            Names every file whose samples have another shape or type.
        """
        sources = [Source.of(project.file(n)) for n in project.value("attributions.sources")]
        shapes = {key: sources[0].arrays[key].shape[1:] for key in sources[0].arrays}
        for source in sources[1:]:
            wrong = [
                f"'{key}' of {a.shape[1:]} a sample, {shapes[key]} in {sources[0].path}"
                for key, a in source.arrays.items()
                if key in shapes and a.shape[1:] != shapes[key]
            ]
            require(source.path, wrong)
        every = np.concatenate([s.index for s in sources])
        origin = np.repeat(np.arange(len(sources)), [len(s.index) for s in sources])
        row = np.concatenate([np.arange(len(s.index)) for s in sources])
        index, first = np.unique(every, return_index=True)
        named = all(len(s.names) for s in sources)
        names = np.concatenate([s.names for s in sources])[first] if named else np.empty(0, object)
        return cls(index, names, sources, (origin[first], row[first]))

    def array(self, key: str) -> Any:
        """Return an array of all samples, lazy where it is large; None where a source has none."""
        if any(key not in source.arrays for source in self.sources):
            return None
        origin, row = self.place
        parts = [lazy(s.arrays[key], row[origin == i]) for i, s in enumerate(self.sources)]
        order = np.argsort(origin, kind="stable")
        whole = joined(parts)
        if np.array_equal(order, np.arange(len(order))):
            return whole
        return whole[np.argsort(order, kind="stable")]


def opened(path: Path) -> Any:
    """Open an HDF5 file for reading.

    Raises
    ------
    ValueError
        If it is none; names it.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: needs an HDF5 file; got {error}. Write it anew.") from error


def require(path: Path, wrong: Sequence[str]) -> None:
    """Raise where anything is wrong with a file."""
    if wrong:
        raise ValueError(
            f"{path}: needs '{ATTRIBUTION}', '{LABEL}' and '{PREDICTION}' of the same samples; got "
            f"{'; '.join(wrong)}. Write what is named."
        )


def decoded(names: Array) -> Array:
    """Return names as text or numbers; HDF5 keeps text as bytes."""
    if names.dtype.kind in "OS" and len(names):
        return np.array([n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist()])
    return names
