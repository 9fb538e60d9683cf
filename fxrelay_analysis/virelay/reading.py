"""From a project of ViRelAy to an attribution Dataset and an analysis DataTree."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fxrelay.schema import (
    CHANNEL,
    CLASS,
    INPUT,
    LABEL,
    OUTPUT,
    PREDICTION,
    RANKING,
    RELEVANCE,
    SAMPLE,
    X,
    Y,
    describe,
    validate,
)
from fxrelay_analysis.virelay import attributions as parts
from fxrelay_analysis.virelay.analyses import read_category
from fxrelay_analysis.virelay.attributions import FLAGS, Attributions, opened
from fxrelay_analysis.virelay.images import Images, labels_in_names
from fxrelay_analysis.virelay.projects import IMAGES, Project, open_project
from fxrelay_analysis.virelay.stored import Stored, lazy

Array = np.ndarray[Any, Any]
#: position of a sample in the project's dataset: what its files call a sample by
POSITION: Final = "index"
#: classes of samples that have several, bool (sample, class)
MULTI_HOT: Final = "label_multi_hot"
#: class that the path of an image tells
BY_PATH: Final = "label_by_path"
NOBODY: Final = np.empty(0, str)
#: attribute of the Dataset <- key of the project file
FACTS: Final = {
    "project": "name", "model": "model", "dataset": "dataset.name",
    "attribution_method": "attributions.attribution_method",
    "attribution_strategy": "attributions.attribution_strategy",
}  # fmt: skip


def read_project(path: str | Path, method: str | None = None) -> tuple[xr.Dataset, xr.DataTree]:
    """Read a project of ViRelAy, with the analysis of one of its methods.

    Parameters
    ----------
    path : path
        The project's YAML file.
    method : str, optional
        One of `methods`; default the first.

    Returns
    -------
    Dataset
        `relevance`, `input` (sample, channel, y, x), `label`, `prediction` (sample,), `output`
        (sample, class), and the coordinates `class`, `sample`, `index` (sample,). Sample ids are
        the names of a group of samples, the paths of images, or else the indices of the project.
        Where files have several labels a sample, `label_multi_hot` (sample, class) has them,
        `label` is the first, and left out if any sample has none. The class that an image's path
        tells is `label_by_path`. Arrays of more than 256 MiB are
        read as they are used. Relevance or inputs with their channels last are turned.
    DataTree
        A group per category: embeddings, ascending eigenvalues, clusterings. Those whose names end
        in "-<number>" and share their numbers are one, with the dimension `n_clusters`; true/false
        ones are variables of the samples. There is no ranking: ViRelAy has none.

    Raises
    ------
    ValueError
        If a file cannot be read; names it and every key that is at fault.
    """
    project = open_project(path)
    chosen = _method(project, method)
    found = Attributions.of(project)
    inputs = _inputs(project, found.index)
    ids = inputs.ids if len(inputs.ids) else found.names if len(found.names) else found.index
    ds = _labelled(project, found, inputs, ids)
    tree = _tree(project, chosen, found, ids)
    facts = {name: str(project.value(key)) for name, key in FACTS.items()}
    return validate(describe(ds.assign_attrs(facts, analysis_method=chosen))), tree


def _method(project: Project, method: str | None) -> str:
    if method is not None and method not in project.analyses:
        raise ValueError(
            f"{project.path}: needs a method among {', '.join(project.analyses)}; got {method!r}."
        )
    return next(iter(project.analyses), "") if method is None else method


class _Inputs(NamedTuple):
    """The inputs of the samples, their ids where they have names, and what paths tell of them."""

    array: Any
    ids: Array
    label: Array | None = None


def _inputs(project: Project, index: Array) -> _Inputs:
    if project.value("dataset.type") == IMAGES:
        images = Images.of(project)
        _require_known(project, index, len(images))
        paths = np.array(images.names)[index]
        return _Inputs(lazy(images, index), paths, labels_in_names(project, paths.tolist()))
    path = project.file(project.value("dataset.path"))
    with opened(path) as file:
        if "data" not in file:
            raise ValueError(f"{path}: needs 'data'; got {', '.join(file) or 'nothing'}. Write it.")
        stored = Stored.of(file, path, "data")
    _require_known(project, index, len(stored))
    return _Inputs(lazy(stored, index), np.array(stored.names)[index] if stored.names else NOBODY)


def _require_known(project: Project, index: Array, n: int) -> None:
    beyond = index[(index < 0) | (index >= n)]
    if len(beyond):
        raise ValueError(
            f"{project.path}: needs attributions of samples 0..{n - 1}, which the dataset has; got "
            f"{beyond[:5].tolist()}{' ...' if len(beyond) > 5 else ''}. Mend 'index'."
        )


def _labelled(project: Project, found: Attributions, inputs: _Inputs, ids: Array) -> xr.Dataset:
    relevance = _image(found.array(parts.ATTRIBUTION), found.sources[0].path, parts.ATTRIBUTION)
    where = project.file(project.value("dataset.path"))
    ds = xr.Dataset(
        {RELEVANCE: relevance}, {SAMPLE: ids, POSITION: (SAMPLE, found.index)}
    )  # fmt: skip
    given = _image(inputs.array, where, "data")
    own = [d if given.sizes[d] == ds.sizes[d] else f"{d}_{INPUT}" for d in (CHANNEL, Y, X)]
    ds[INPUT] = given.rename(dict(zip((CHANNEL, Y, X), own, strict=True)))
    ds = ds.assign({flag: (SAMPLE, np.asarray(a)) for flag in FLAGS
                    if (a := found.array(flag)) is not None and a.ndim == 1})  # fmt: skip
    if inputs.label is not None:
        ds[BY_PATH] = (SAMPLE, inputs.label)
    return _classified(ds, project, np.asarray(found.array(parts.LABEL)),
                       np.asarray(found.array(parts.PREDICTION)))  # fmt: skip


def _image(array: Any, path: Path, key: str) -> xr.DataArray:
    """Return (sample, channel, y, x) of an array (sample, [channel], y, x) or channels last."""
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: needs numbers (sample, channel, y, x) in '{key}'; got {array.dtype} of shape "
            f"{array.shape}. Only images have a place in these files."
        )
    channel, y, x = array.shape[1:]
    if x < min(channel, y):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    return xr.DataArray(array, dims=(SAMPLE, CHANNEL, Y, X))


def _classified(ds: xr.Dataset, project: Project, label: Array, scores: Array) -> xr.Dataset:
    """Add what is known of the classes; labels and scores are (n,) or (n, 1) or (n, classes)."""
    label, scores = (a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in (label, scores))
    several = label.ndim == 2
    known = [*project.labels.names, -1]
    top = [max(known), -1 if several or not label.size else int(label.max())]
    n = scores.shape[1] if scores.ndim == 2 else max(top) + 1
    if several and label.shape[1] != n:
        raise ValueError(
            f"{project.path}: needs labels and predictions of the same classes; got "
            f"{label.shape[1]} and {n} of them. Mend the attribution files."
        )
    ds = ds.assign_coords({CLASS: project.labels.class_names(n)})
    if scores.ndim == 2:
        ds[OUTPUT] = ((SAMPLE, CLASS), scores.astype(np.promote_types(scores.dtype, np.float32)))
        ds[PREDICTION] = (SAMPLE, scores.argmax(axis=1).astype(np.int64))
    elif scores.dtype.kind in "iu":
        ds[PREDICTION] = (SAMPLE, scores.astype(np.int64))
    else:
        ds["score"] = (SAMPLE, scores)
    if several:
        ds[MULTI_HOT] = ((SAMPLE, CLASS), label.astype(bool))
        label = label.argmax(axis=1) if label.any(axis=1).all() else label[:, :0]
    return ds.assign({LABEL: (SAMPLE, label.astype(np.int64))}) if label.ndim == 1 else ds


def _tree(project: Project, method: str, found: Attributions, ids: Array) -> xr.DataTree:
    groups: dict[str, xr.Dataset] = {}
    for path in project.analyses.get(method, []):
        with opened(path) as file:
            for key in file:
                new = read_category(path, key, file[key])
                groups[key] = _with(groups[key], new, path) if key in groups else new
    names = [project.labels.name_of(key) for key in groups]
    nodes = {
        f"/{_group_name(name, key, names)}": _identified(ds, name, found.index, ids, project)
        for name, (key, ds) in zip(names, groups.items(), strict=True)
    }
    note = {"category": LABEL, "analysis_method": method}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=note)} | nodes)


def _with(first: xr.Dataset, second: xr.Dataset, path: Path) -> xr.Dataset:
    """Add what a later file knows of a category; what is known counts."""
    if not np.array_equal(first[SAMPLE], second[SAMPLE]):
        raise ValueError(
            f"{path}: needs the same samples in '{first.attrs['key']}/index' as the file before; "
            f"got {second.sizes[SAMPLE]} and {first.sizes[SAMPLE]}, which differ. Give the method "
            "another name."
        )
    fresh = second[[name for name in second.data_vars if name not in first]]
    clash = {d: f"{d}_{path.stem}" for d in fresh.sizes
             if d in first.sizes and not fresh[d].equals(first[d])}  # fmt: skip
    return first.assign(fresh.rename(clash).data_vars)


def _group_name(name: str, key: str, names: list[str]) -> str:
    plain = name and "/" not in name and names.count(name) == 1 and name != RANKING
    return name if plain else key


def _identified(
    ds: xr.Dataset, name: str, index: Array, ids: Array, project: Project
) -> xr.Dataset:
    """Replace indices by sample ids."""
    wanted = ds[SAMPLE].values
    place = np.minimum(np.searchsorted(index, wanted), len(index) - 1)
    unknown = wanted[index[place] != wanted]
    if len(unknown):
        raise ValueError(
            f"{project.path}: needs attributions of every analysed sample; category "
            f"'{ds.attrs['key']}' has {len(unknown)} without, such as {unknown[:5].tolist()}. Add "
            "the file that has them to attributions.sources."
        )
    return ds.assign_coords({SAMPLE: ids[place]}).assign_attrs(category=name or ds.attrs["key"])
