"""The analysis of one category, read as it is looked at, and its row in the ranking."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from fxrelay import schema
from fxrelay_viz.merging import MERGE_TREE, Merges
from fxrelay_viz.nearby import Nearby
from fxrelay_viz.reading import Lazy, read

Frame = tuple[str, int, int]
#: so many spatial indices are kept for each category
FRAMES: Final = 4


@dataclass(frozen=True, eq=False)
class Category:
    """The analysis of one category; every array is read on first use and shared by all sessions.

    Attributes
    ----------
    name : str
    positions, ids : arrays, shape (n,)
        Of its samples in the Dataset.
    embeddings : mapping of name to float array, shape (n, d)
    clusterings : mapping of name to mapping of number of clusters to int array, shape (n,)
        -1 is noise; a clustering that is no sweep has the one key "".
    eigenvalues : float array or None
    scores : mapping of name to array, shape (n,)
        Any other variable per sample of the analysis.
    note : str
        Why the category was not analysed; its samples then lie on a line.
    columns : mapping of name to array, shape (n,)
        What the Dataset and the notes know of its samples.
    classes : sequence of str
        Names of the classes.
    group : Dataset or None
        All that the analysis says of the category, perhaps not read yet.
    """

    name: str
    positions: np.ndarray
    ids: np.ndarray
    embeddings: Mapping[str, np.ndarray]
    clusterings: Mapping[str, Mapping[Any, np.ndarray]]
    eigenvalues: np.ndarray | None = None
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    note: str = ""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: Sequence[str] = ()
    group: xr.Dataset | None = None
    _near: dict[Frame, Nearby] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @cached_property
    def merges(self) -> Merges | None:
        """The tree of merges of an agglomerative clustering, where the analysis has it."""
        return None if self.group is None else Merges.of(self.group, len(self.ids))

    def points(self, embedding: str, x: int, y: int) -> np.ndarray:
        """Return two axes of an embedding, shape (n, 2)."""
        return self.nearby((embedding, x, y)).points

    def nearby(self, frame: Frame) -> Nearby:
        """Return the spatial index of (embedding, x, y), built once and shared."""
        with self._lock:
            if frame not in self._near:
                self._near[frame] = Nearby(self._axes(*frame))
                for old in list(self._near)[:-FRAMES]:
                    del self._near[old]
            return self._near[frame]

    def nearest(
        self, frame: Frame, at: tuple[float, float], spans: tuple[float, float], reach: float
    ) -> int | None:
        """Return the sample next to a place of the plot, as `Nearby.nearest` does."""
        return self.nearby(frame).nearest(at, spans, reach)

    def clusters(self, clustering: str, k: Any) -> np.ndarray:
        """Return the cluster id of every sample, shape (n,)."""
        sweep = pick(self.clusterings, clustering, f"category {self.name}", "clustering")
        out: np.ndarray = pick(sweep, k, f"clustering {clustering}", "number of clusters")
        return out

    def spectrum(self, clustering: str) -> np.ndarray:
        """Return the eigenvalues of the graph that a clustering is of; empty where unknown."""
        if self.group is not None:
            name = suffixed(self.group, schema.EIGENVALUE, clustering)
            if name != schema.EIGENVALUE:
                out: np.ndarray = read(self.group[name]).values
                return out
        return np.zeros(0) if self.eigenvalues is None else self.eigenvalues

    def outside(self, clustering: str, k: Any, clusters: Sequence[int]) -> np.ndarray:
        """Return which samples are in none of these clusters, bool array of shape (n,)."""
        if not clusters:
            return np.ones(len(self.ids), dtype=bool)
        return ~np.isin(self.clusters(clustering, k), clusters)

    def column(self, name: str) -> np.ndarray:
        """Return a variable of the samples, from the analysis or else the Dataset, shape (n,)."""
        table = self.scores if name in self.scores else self.columns
        out: np.ndarray = pick(table, name, f"category {self.name}", "variable")
        return out

    @cached_property
    def places(self) -> pd.Index:
        """Where an id is found, by hash: `places.get_indexer(ids)`, -1 for strangers."""
        return pd.Index(self.ids)

    def _axes(self, embedding: str, x: int, y: int) -> np.ndarray:
        points = pick(self.embeddings, embedding, f"category {self.name}", "embedding")
        axes = [axis for axis in (x, y) if axis not in range(points.shape[1])]
        if axes:
            raise ValueError(
                f"category {self.name}: needs axes in 0..{points.shape[1] - 1} of {embedding}; got "
                f"{axes}. Choose others."
            )
        out: np.ndarray = points[:, [x, y]]
        return out


@dataclass(frozen=True)
class Rank:
    """One row of the class ranking; what the analysis did not say is None.

    `clustering` is the one that `cluster` is of, without the prefix of its variable; `threshold` is
    the suspicion from which on classes are flagged.
    """

    name: str
    suspicion: float | None = None
    n_samples: int | None = None
    n_clusters: int | None = None
    cluster: int | None = None
    cluster_size: int | None = None
    flagged: bool = False
    clustering: str | None = None
    threshold: float | None = None


#: field of a rank -> names of its column in the ranking, the last one found counts
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "suspicion": (schema.SUSPICION,),
    "n_samples": ("n_samples",),
    "n_clusters": ("chosen_n_clusters", schema.N_CLUSTERS),
    "cluster": ("suspicious_cluster", "cluster"),
    "cluster_size": ("suspicious_size", "cluster_size"),
    "flagged": ("flagged",),
    "clustering": ("suspicious_clustering",),
}


def pick(table: Mapping[Any, Any], key: Any, where: str, what: str) -> Any:
    """Return ``table[key]``.

    Raises
    ------
    ValueError
        If it is not there; names what is.
    """
    if key in table:
        return table[key]
    raise ValueError(
        f"{where}: needs a known {what}; got {key!r}. "
        f"Choose one of {', '.join(map(str, list(table)[:20])) or 'none'}."
    )


def suffixed(group: xr.Dataset, name: str, clustering: str) -> str:
    """Return the variable `name` of an analysis that a clustering belongs to.

    Of several embeddings side by side, what was made of one of them has its suffix:
    `cluster_size_equalized` and `eigenvalue_equalized` belong to `kmeans_equalized`.
    """
    names = (f"{name}{end}" for end in endings(clustering))
    return next((found for found in names if found in group), name)


def endings(clustering: str) -> list[str]:
    """Return what may be the suffix of a clustering, the longest first."""
    return [clustering[at:] for at, letter in enumerate(clustering) if letter == "_"]


def ranks(groups: list[str], table: xr.Dataset | None) -> tuple[Rank, ...]:
    """Return a rank per category, in the order of the ranking; those that it leaves out last.

    Parameters
    ----------
    groups : list of str
        All categories.
    table : Dataset or None
        The ranking, dim category.
    """
    if table is None:
        return tuple(Rank(name) for name in groups)
    columns = {
        field: table[name].values
        for field, names in COLUMNS.items()
        for name in names
        if name in table and table[name].dims == (schema.CATEGORY,)
    }
    threshold = table.attrs.get("threshold")
    found = {
        str(name): Rank(
            str(name),
            **{field: _cell(v[n]) for field, v in columns.items()},
            threshold=None if threshold is None else float(threshold),
        )
        for n, name in enumerate(table[schema.CATEGORY].values)
    }
    known = set(groups)
    listed = [rank for name, rank in found.items() if name in known]
    return (*listed, *(Rank(name) for name in groups if name not in found))


def _cell(value: Any) -> Any:
    plain = value.item()
    missing = plain in (-1, "") or plain != plain
    return None if missing else plain


def category(
    name: str,
    group: xr.Dataset,
    positions: np.ndarray,
    columns: Mapping[str, np.ndarray],
    classes: Sequence[str] = (),
) -> Category:
    """Make a category of its group; nothing but ids and eigenvalues is read.

    Parameters
    ----------
    name : str
    group : Dataset
        dims (sample, ...).
    positions : int array, shape (n,)
        Of its samples in the Dataset.
    columns : mapping of name to array, shape (n,)
    classes : sequence of str
    """
    ids = read(group[schema.SAMPLE]).values
    embeddings, clusterings, scores = {}, {}, {}
    for key, values in group.data_vars.items():
        text = str(key)
        if values.dims[:1] != (schema.SAMPLE,):
            continue
        if text.startswith(schema.EMBEDDING) and values.ndim == 2 and values.shape[1] > 1:
            embeddings[text.removeprefix(schema.EMBEDDING)] = _floats(values)
        elif text.startswith(schema.CLUSTERING):
            clusterings[text.removeprefix(schema.CLUSTERING)] = _sweep(values)
        elif values.ndim == 1:
            scores[text] = _loaded(values)
    if "merge_left" in group:
        clusterings[MERGE_TREE] = lambda: _cuts(group, len(ids))
    eigenvalues = read(group[schema.EIGENVALUE]).values if schema.EIGENVALUE in group else None
    note = str(group.attrs.get("not_analysed", "" if embeddings else "no embedding"))
    if not embeddings:
        embeddings = {"index": lambda: _line(len(ids))}
    return Category(
        name, positions, ids, Lazy(embeddings), Lazy(clusterings), eigenvalues, Lazy(scores), note,
        columns, classes, group,
    )  # fmt: skip


def _cuts(group: xr.Dataset, n: int) -> Mapping[Any, np.ndarray]:
    merges = Merges.of(group, n)
    return {"": np.zeros(n, np.int32)} if merges is None else merges.clusterings()


def _line(n: int) -> np.ndarray:
    line = np.arange(n, dtype=np.float32)
    return np.stack([line, np.zeros_like(line)], axis=1)


def _floats(values: xr.DataArray) -> Any:
    return lambda: read(values).values.astype(np.float32)


def _loaded(values: xr.DataArray) -> Any:
    return lambda: read(values).values


def _sweep(values: xr.DataArray) -> Any:
    if values.ndim == 1:
        return lambda: {"": read(values).values.astype(np.int32)}

    def sweep() -> dict[Any, np.ndarray]:
        found = read(values)
        dim = found.dims[1]
        keys = found[dim].values.tolist() if dim in found.coords else range(found.shape[1])
        columns = np.ascontiguousarray(found.values.T.astype(np.int32))
        return dict(zip(keys, columns, strict=True))

    return sweep
