"""From an attribution Dataset and an analysis DataTree to a project that ViRelAy opens."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
import yaml

from fxrelay.files import writable_folder, write_atomically
from fxrelay.schema import (
    CHANNEL,
    CLASS,
    CLUSTERING,
    COMPONENT,
    EIGENVALUE,
    EMBEDDING,
    INPUT,
    LABEL,
    MODEL,
    N_CLUSTERS,
    OUTPUT,
    PREDICTION,
    RANKING,
    RELEVANCE,
    SAMPLE,
    TARGET,
    X,
    Y,
)
from fxrelay_analysis.store import NETCDF
from fxrelay_analysis.virelay import attributions as parts
from fxrelay_analysis.virelay.reading import MULTI_HOT

Array = np.ndarray[Any, Any]
PROJECT, DATASET, ATTRIBUTIONS, ANALYSIS, LABELS = (
    "project.yaml", "dataset.h5", "attribution.h5", "analysis.h5", "label-map.json",
)  # fmt: skip
#: dims of what is written
IMAGE: Final = (SAMPLE, CHANNEL, Y, X)
#: samples that are written at once
BLOCK: Final = 256


def write_project(
    ds: xr.Dataset,
    tree: xr.DataTree,
    folder: str | Path,
    *,
    name: str = "fxrelay",
    dataset: str = "dataset",
    method: str = "spectral",
) -> Path:
    """Write a project that ViRelAy opens: HDF5 files, a label map, and the project file.

    Samples are known by their position in `ds`; ids go into the arrays ``id``, which `read_project`
    reads and ViRelAy passes over. Categories that are classes have the class index, eight digits,
    as their key. Sweeps become one clustering for each setting: ``kmeans-02``, ``dbscan-eps=0.5``.
    Eigenvalues and their vectors are written greatest first, as ViRelAy's plot counts them. Scores
    of clusters and the ranking have no place in these files.

    Parameters
    ----------
    ds : Dataset
        `relevance`, `input` (sample, channel, y, x), `label`, and `output` (sample, class) or
        `prediction` (sample,), of which the one-hot vector is written.
    tree : DataTree
        From `spray`.
    folder : path
        Made when missing; files of an earlier call are replaced, each at once, the project last.
    name, dataset, method : str
        What the project, the dataset and the analysis method are called.

    Returns
    -------
    Path
        The project file.

    Raises
    ------
    ValueError
        Names every variable that is missing or has other dims, and every unknown sample.
    OSError
        If the folder cannot be written.
    """
    _check(ds, tree)
    root = writable_folder(folder, "write_project")
    n_classes = _n_classes(ds)
    words = _words(ds, n_classes)
    _write(root / DATASET, lambda file: _samples(file, ds, {"data": INPUT}, n_classes))
    _write(root / ATTRIBUTIONS, lambda file: _attributions(file, ds, n_classes))
    _write(root / ANALYSIS, lambda file: _analyses(file, ds, tree, words))
    entries = [{"index": i, "word_net_id": key, "name": n} for i, (n, key) in enumerate(words)]
    _text(root / LABELS, json.dumps(entries, indent=1, ensure_ascii=False))
    content = _project(ds, name, dataset, method)
    return _text(root / PROJECT, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _check(ds: xr.Dataset, tree: xr.DataTree) -> None:
    wrong = [f"no '{n}'" for n in (RELEVANCE, INPUT) if n not in ds]
    wrong += [f"'{n}' with dims {ds[n].dims}" for n in (RELEVANCE, INPUT)
              if n in ds and _plain_dims(ds[n]) != IMAGE]  # fmt: skip
    wrong += [f"no '{LABEL}'"] * (LABEL not in ds and MULTI_HOT not in ds)
    wrong += [f"neither '{OUTPUT}' nor '{PREDICTION}'"] * (
        OUTPUT not in ds and PREDICTION not in ds
    )
    ids = ds.indexes[SAMPLE] if SAMPLE in ds.indexes else ds[SAMPLE].to_index()
    wrong += ["sample ids that are not unique"] * (not ids.is_unique)
    for key, group in _groups(tree) if ids.is_unique else ():
        unknown = int((ids.get_indexer(group[SAMPLE].to_index()) < 0).sum())
        wrong += [f"category {key!r} with {unknown} samples that the Dataset lacks"] * bool(unknown)
    if wrong:
        raise ValueError(
            f"write_project: needs images with their relevance, inputs, labels and predictions, "
            f"and an analysis of the same samples; got {'; '.join(wrong)}. Add what is missing; "
            f"pick one target with ds.isel({TARGET}=0)."
        )


def _plain_dims(array: xr.DataArray) -> tuple[str, ...]:
    """Return dims, those of inputs of another size without their ending."""
    return tuple(str(d).removesuffix(f"_{INPUT}") for d in array.dims)


def _groups(tree: xr.DataTree) -> Iterator[tuple[str, xr.Dataset]]:
    for key, node in tree.children.items():
        if key != RANKING and SAMPLE in node.coords:
            yield str(key), node.to_dataset(inherit=False)


def _n_classes(ds: xr.Dataset) -> int:
    if CLASS in ds.sizes:
        return int(ds.sizes[CLASS])
    return 1 + max(int(_read(ds[n]).max()) for n in (LABEL, PREDICTION) if n in ds)


def _words(ds: xr.Dataset, n: int) -> list[tuple[str, str]]:
    """Return name and key of each class."""
    names = ds[CLASS].values if CLASS in ds.coords else np.arange(n)
    keys = ds["word_net_id"].values if "word_net_id" in ds else [f"{i:08d}" for i in range(n)]
    return [(str(name), str(key)) for name, key in zip(names, keys, strict=True)]


def _write(path: Path, fill: Callable[[Any], None]) -> None:
    import h5py

    def write(temporary: Path) -> None:
        with h5py.File(temporary, "w") as file:
            fill(file)

    write_atomically(path, write)


def _text(path: Path, content: str) -> Path:
    return write_atomically(path, lambda temporary: temporary.write_text(content, encoding="utf-8"))


def _samples(file: Any, ds: xr.Dataset, images: Mapping[str, str], n_classes: int) -> None:
    """Write images block by block, labels and ids."""
    for key, variable in images.items():
        array = ds[variable]
        out = file.create_dataset(key, array.shape, np.float32)
        for start in range(0, len(array), BLOCK):
            out[start : start + BLOCK] = _read(array.isel({SAMPLE: slice(start, start + BLOCK)}))
    small = np.uint16 if n_classes <= 2**16 else np.uint32
    label = ds[MULTI_HOT].astype(bool) if MULTI_HOT in ds else ds[LABEL].astype(small)
    file[parts.LABEL] = _read(label)
    ids = ds[SAMPLE].values
    file[parts.ID] = ids if ids.dtype.kind in "iuf" else np.array(ids.astype(str), object)


def _read(array: xr.DataArray) -> Array:
    """Return values, of lazy arrays on this thread alone."""
    with NETCDF:
        values: Array = array.compute(scheduler="synchronous").values
    return values


def _attributions(file: Any, ds: xr.Dataset, n_classes: int) -> None:
    _samples(file, ds, {parts.ATTRIBUTION: RELEVANCE}, n_classes)
    if OUTPUT in ds:
        scores = _read(ds[OUTPUT]).reshape(ds.sizes[SAMPLE], -1)
    else:
        scores = np.arange(n_classes) == _read(ds[PREDICTION])[:, None]
    file[parts.PREDICTION] = scores.astype(np.float32)


def _analyses(file: Any, ds: xr.Dataset, tree: xr.DataTree, words: list[tuple[str, str]]) -> None:
    ids, variable = ds[SAMPLE].to_index(), str(tree.attrs.get("category", LABEL))
    classes = _read(ds[variable]) if variable in ds else None
    for name, group in _groups(tree):
        rows = ids.get_indexer(group[SAMPLE].to_index())
        known = None if classes is None or not len(rows) else classes[rows[0]]
        out = file.create_group(_key(str(group.attrs.get("category", name)), known, words) or name)
        out["index"] = rows.astype(np.uint32)
        for variable in map(str, group.data_vars):
            if variable.startswith(EMBEDDING):
                _embedding(out, group, variable)
            elif variable.startswith(CLUSTERING):
                for key, labels in _settings(group[variable]):
                    out[f"cluster/{key}"] = labels.astype(np.int32)
            elif group[variable].dtype == bool and group[variable].dims == (SAMPLE,):
                out[f"cluster/{variable}"] = group[variable].values


def _key(category: str, known: Any, words: list[tuple[str, str]]) -> str | None:
    """Return the key of a category that is a class.

    Several classes may have one name, so the class `known` of its samples counts first.
    """
    if isinstance(known, np.integer) and 0 <= known < len(words) and words[known][0] == category:
        return words[known][1]
    keys = [key for name, key in words if name == category]
    return keys[0] if len(keys) == 1 else None


def _embedding(out: Any, group: xr.Dataset, variable: str) -> None:
    array, name = group[variable].values, variable.removeprefix(EMBEDDING)
    own = EIGENVALUE if group[variable].dims[1] == COMPONENT else f"{EIGENVALUE}_{name}"
    key = f"embedding/{name}"
    if own not in group:
        out[key] = array.astype(np.float32)
    else:
        out[key] = array[:, ::-1].astype(np.float32)
        out[key].attrs[EIGENVALUE] = group[own].values[::-1].astype(np.float32)
    base = group[variable].attrs.get("base")
    if base is not None:
        out[key].attrs["embedding"] = str(base)


def _settings(clustering: xr.DataArray) -> Iterator[tuple[str, Array]]:
    """Yield the labels of each setting of a sweep, and what it is called."""
    name = str(clustering.name).removeprefix(CLUSTERING)
    dims = clustering.dims[1:]
    for place in np.ndindex(*clustering.shape[1:]):
        at = clustering[(slice(None), *place)]
        words = [_setting(str(d), at[d].item() if d in at.coords else i)
                 for d, i in zip(dims, place, strict=True)]  # fmt: skip
        yield "-".join([name, *words]), at.values


def _setting(dim: str, value: Any) -> str:
    return f"{value:02d}" if dim == N_CLUSTERS else f"{dim}={value}"


def _project(ds: xr.Dataset, name: str, dataset: str, method: str) -> dict[str, Any]:
    follows = PREDICTION in ds and TARGET in ds and np.array_equal(ds[TARGET], ds[PREDICTION])
    strategy = "predicted_label" if follows else "true_label"
    return {"project": {
        "name": name,
        "model": str(ds.attrs.get(MODEL, "model")),
        "label_map": LABELS,
        "dataset": {"name": dataset, "type": "hdf5", "path": DATASET},
        "attributions": {
            "attribution_method": str(ds.attrs.get("attribution_method", "relevance")),
            "attribution_strategy": str(ds.attrs.get("attribution_strategy", strategy)),
            "sources": [ATTRIBUTIONS],
        },
        "analyses": [{"analysis_method": method, "sources": [ANALYSIS]}],
    }}  # fmt: skip
