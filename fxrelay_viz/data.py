"""What the viewer shows: an attribution Dataset and an analysis DataTree, read under one lock.

netCDF4 crashes when two threads read at once, so every read of lazy data goes through `read`.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay.heatmap import input_limits
from fxrelay_analysis.store import NETCDF

#: pictures up to this many bytes are held in memory, larger ones are read as they are shown
IN_MEMORY: Final = 512 * 2**20
#: so many samples read from disk are remembered
REMEMBERED: Final = 512

_IMAGE: Final = (schema.SAMPLE, schema.CHANNEL, schema.Y, schema.X)


def read(data: Any) -> Any:
    """Load lazy xarray data in this thread, while no other thread reads."""
    with NETCDF:
        return data.compute(scheduler="synchronous")


@dataclass(frozen=True, eq=False)
class Category:
    """The analysis of one category, in memory.

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
        Any other variable per sample.
    note : str
        Why the category was not analysed; its samples then lie on a line.
    """

    name: str
    positions: np.ndarray
    ids: np.ndarray
    embeddings: Mapping[str, np.ndarray]
    clusterings: Mapping[str, Mapping[Any, np.ndarray]]
    eigenvalues: np.ndarray | None = None
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    note: str = ""

    def points(self, embedding: str, x: int, y: int) -> np.ndarray:
        """Return two axes of an embedding, shape (n, 2)."""
        points = _pick(self.embeddings, embedding, f"category {self.name}", "embedding")
        axes = [axis for axis in (x, y) if axis not in range(points.shape[1])]
        if axes:
            raise ValueError(
                f"category {self.name}: needs axes in 0..{points.shape[1] - 1} of {embedding}; got "
                f"{axes}. Choose others."
            )
        return points[:, [x, y]]

    def clusters(self, clustering: str, k: Any) -> np.ndarray:
        """Return the cluster id of every sample, shape (n,)."""
        sweep = _pick(self.clusterings, clustering, f"category {self.name}", "clustering")
        return _pick(sweep, k, f"clustering {clustering}", "number of clusters")


@dataclass(frozen=True)
class Rank:
    """One row of the class ranking; what the analysis did not say is None."""

    name: str
    suspicion: float | None = None
    n_samples: int | None = None
    n_clusters: int | None = None
    cluster: int | None = None
    cluster_size: int | None = None
    flagged: bool = False


#: field of a rank -> names of its column in the ranking, the last one found counts
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "suspicion": (schema.SUSPICION,),
    "n_samples": ("n_samples",),
    "n_clusters": ("chosen_n_clusters", schema.N_CLUSTERS),
    "cluster": ("suspicious_cluster", "cluster"),
    "cluster_size": ("suspicious_size", "cluster_size"),
    "flagged": ("flagged",),
}


class Project:
    """A Dataset and its analysis, opened once per process and shared by all sessions.

    Parameters
    ----------
    ds : Dataset
        Attribution Dataset, `relevance` with dims (sample, [target,] channel, y, x).
    tree : DataTree
        A group per category and the group `ranking`.

    Raises
    ------
    ValueError
        If the two do not fit together; names every category that is at fault.
    """

    def __init__(self, ds: xr.Dataset, tree: xr.DataTree) -> None:
        self.ds = ds.isel({schema.TARGET: 0}) if schema.TARGET in ds.dims else ds
        self.tree = tree
        self.ranking = _ranking(tree)
        self.index = self.ds[schema.SAMPLE].to_index()
        _check(self.ds, tree, self.ranking)
        self._categories: dict[str, Category] = {}
        self._lock = threading.Lock()
        self._remembered: dict[int, dict[str, np.ndarray]] = {}
        named = [n for n in (schema.INPUT, schema.RELEVANCE) if n in self.ds]
        self._pictures = self.ds[named].reset_coords(drop=True)
        if self._pictures.nbytes <= IN_MEMORY:
            self._pictures = read(self._pictures)

    @property
    def has_input(self) -> bool:
        """Whether the Dataset carries the model inputs."""
        return schema.INPUT in self._pictures

    @cached_property
    def input_range(self) -> tuple[float, float]:
        """Input values shown black and white, guessed once from the first samples."""
        first = range(min(64, len(self.index)))
        return input_limits(np.stack([picture[schema.INPUT] for picture in self.pictures(first)]))

    @cached_property
    def classes(self) -> list[str]:
        """Class names; class indices where the Dataset has none."""
        if schema.CLASS in self.ds.coords:
            return [str(name) for name in self.ds[schema.CLASS].values]
        return [str(n) for n in range(self.ds.sizes.get(schema.CLASS, 0))]

    @cached_property
    def variables(self) -> Mapping[str, np.ndarray]:
        """Every variable with one value per sample of the Dataset."""
        names = [str(n) for n, v in self.ds.variables.items() if v.dims == (schema.SAMPLE,)]
        out = {n: read(self.ds[n]).values for n in names if n != schema.SAMPLE}
        if schema.LABEL in out and schema.PREDICTION in out:
            out["correct"] = out[schema.LABEL] == out[schema.PREDICTION]
        return {name: values for name, values in out.items() if values.dtype.kind in "iufbUOST"}

    def class_name(self, index: Any) -> str:
        """Return the name of a class index."""
        n = int(index)
        return self.classes[n] if 0 <= n < len(self.classes) else str(n)

    def rank(self, name: str) -> Rank:
        """Return the row of a category."""
        return next(rank for rank in self.ranking if rank.name == name)

    def category(self, name: str) -> Category:
        """Return a category, read on first use.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self._categories:
            names = [rank.name for rank in self.ranking]
            if name not in names:
                raise ValueError(
                    f"viewer: needs a category of the analysis; got {name!r}. "
                    f"Choose one of {', '.join(names[:20])}."
                )
            self._categories[name] = _category(name, read(self.tree[name].to_dataset()), self.index)
        return self._categories[name]

    def pictures(self, positions: Iterable[int]) -> list[dict[str, np.ndarray]]:
        """Return input and relevance of samples, each of shape (channel, y, x).

        All that are missing are read at once; the last few hundred are remembered.
        """
        wanted = [int(p) for p in positions]
        missing = sorted(set(wanted) - self._remembered.keys())
        found = {p: self._remembered[p] for p in wanted if p in self._remembered}
        if missing:
            block = read(self._pictures.isel({schema.SAMPLE: missing}))
            arrays = {str(name): block[name].transpose(*_IMAGE).values for name in block}
            found |= {p: {k: v[n] for k, v in arrays.items()} for n, p in enumerate(missing)}
            with self._lock:
                kept = list((self._remembered | found).items())[-REMEMBERED:]
                self._remembered = dict(kept)
        return [found[p] for p in wanted]

    def facts(self, position: int) -> dict[str, str]:
        """Return what is known of one sample, as text, ids first."""
        out = {schema.SAMPLE: str(self.index[position])}
        for name, values in self.variables.items():
            value = values[position]
            is_class = name in (schema.LABEL, schema.PREDICTION, schema.TARGET)
            plain = f"{value:.4g}" if values.dtype.kind == "f" else str(value)
            out[name] = self.class_name(value) if is_class else plain
        return out


def _pick(table: Mapping[Any, Any], key: Any, where: str, what: str) -> Any:
    if key in table:
        return table[key]
    raise ValueError(
        f"{where}: needs a known {what}; got {key!r}. "
        f"Choose one of {', '.join(map(str, table)) or 'none'}."
    )


def _ranking(tree: xr.DataTree) -> tuple[Rank, ...]:
    groups = [str(name) for name in tree.children if name != schema.RANKING]
    if schema.RANKING not in tree.children:
        return tuple(Rank(name) for name in groups)
    table = read(tree[schema.RANKING].to_dataset())
    columns = {
        field: table[name].values
        for field, names in COLUMNS.items()
        for name in names
        if name in table and table[name].dims == (schema.CATEGORY,)
    }
    ranks = {}
    for n, name in enumerate(map(str, table[schema.CATEGORY].values)):
        ranks[name] = Rank(name, **{field: _cell(values[n]) for field, values in columns.items()})
    out = [rank for name, rank in ranks.items() if name in groups]
    return (*out, *(Rank(name) for name in groups if name not in ranks))


def _cell(value: Any) -> Any:
    plain = value.item()
    missing = isinstance(plain, (int, float)) and (plain == -1 or plain != plain)
    return None if missing else plain


def _check(ds: xr.Dataset, tree: xr.DataTree, ranking: Sequence[Rank]) -> None:
    dims = ds[schema.RELEVANCE].dims if schema.RELEVANCE in ds else ()
    if set(dims) != set(_IMAGE):
        raise ValueError(
            f"viewer: needs 'relevance' with dimensions {_IMAGE}; got {dims}. "
            "Only images can be shown so far."
        )
    if not ranking:
        raise ValueError(
            "viewer: needs an analysis with at least one category; got none. "
            "Run fxrelay_analysis.spray(ds) first."
        )
    index = ds[schema.SAMPLE].to_index()
    strangers = {r.name: _unknown(tree[r.name].to_dataset(), index) for r in ranking}
    wrong = [f"{name} ({n})" for name, n in strangers.items() if n]
    if wrong:
        raise ValueError(
            f"viewer: needs every analysed sample in the Dataset; got unknown ids in "
            f"{', '.join(wrong)}. Open the Dataset that the analysis was made from."
        )


def _unknown(group: xr.Dataset, index: Any) -> int:
    return int((index.get_indexer(group[schema.SAMPLE].values) < 0).sum())


def _category(name: str, group: xr.Dataset, index: Any) -> Category:
    ids = group[schema.SAMPLE].values
    embeddings, clusterings, scores = {}, {}, {}
    for key, values in group.data_vars.items():
        text = str(key)
        if values.dims[:1] != (schema.SAMPLE,):
            continue
        if text.startswith(schema.EMBEDDING) and values.ndim == 2 and values.shape[1] > 1:
            embeddings[text.removeprefix(schema.EMBEDDING)] = values.values.astype(np.float32)
        elif text.startswith(schema.CLUSTERING):
            clusterings[text.removeprefix(schema.CLUSTERING)] = _sweep(values)
        elif values.ndim == 1:
            scores[text] = values.values
    eigenvalues = group[schema.EIGENVALUE].values if schema.EIGENVALUE in group else None
    positions = index.get_indexer(ids)
    note = str(group.attrs.get("not_analysed", "" if embeddings else "no embedding"))
    if not embeddings:
        line = np.arange(len(ids), dtype=np.float32)
        embeddings = {"index": np.stack([line, np.zeros_like(line)], axis=1)}
    return Category(name, positions, ids, embeddings, clusterings, eigenvalues, scores, note)


def _sweep(values: xr.DataArray) -> dict[Any, np.ndarray]:
    if values.ndim == 1:
        return {"": values.values.astype(int)}
    dim = values.dims[1]
    keys = values[dim].values.tolist() if dim in values.coords else range(values.shape[1])
    return {key: values.values[:, n].astype(int) for n, key in enumerate(keys)}
