"""Analysis files: a group per category, in the form of the specification and the one in use.

The form in use has arrays ``cluster/<name>`` and ``embedding/<name>``, with eigenvalues as an
attribute. The specification has groups ``clustering/<name>`` and ``embedding/<name>`` with the
array ``root``, eigenvalues beside it, and prototypes ``prototype/<kind>/root`` of a clustering.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay.schema import (
    AXIS,
    CLUSTER,
    CLUSTERING,
    COMPONENT,
    EIGENVALUE,
    EMBEDDING,
    N_CLUSTERS,
    SAMPLE,
    describe,
)

Array = np.ndarray[Any, Any]
#: groups in which clusterings are found
CLUSTERINGS: Final = ("cluster", "clustering")
#: name of a clustering that is one of a sweep
NUMBERED: Final = re.compile(r"(.+)-(\d+)")
#: beginning of the name of what stands for a cluster, by kind
PROTOTYPE_OF: Final = "prototype_"


def read_category(path: Path, key: str, group: Any) -> xr.Dataset:
    """Return a category, dim sample: positions in the attributions, embeddings, clusterings.

    Raises
    ------
    ValueError
        Names the file and every key that is missing, of the wrong shape or not numbers.
    """
    index = _array(group, "index")
    if index is None or index.ndim != 1 or index.dtype.kind not in "iu":
        got = "none" if index is None else f"{index.dtype} of shape {index.shape}"
        raise ValueError(f"{path}: needs '{key}/index', integers (n,); got {got}. Write it.")
    ds = xr.Dataset(coords={SAMPLE: index.astype(np.int64)}, attrs={"key": key})
    wrong: list[str] = []
    embeddings = dict(_members(group, ("embedding",), len(index), 2, wrong))
    clusterings = dict(_members(group, CLUSTERINGS, len(index), 1, wrong))
    if wrong:
        lines = "\n".join(f"  - {key}/{text}" for text in wrong)
        raise ValueError(f"{path}: needs arrays of {len(index)} samples; got:\n{lines}\nMend them.")
    ds = ds.assign(_embeddings(embeddings)).assign(_clusterings(clusterings))
    return describe(ds)


def _array(group: Any, name: str) -> Array | None:
    """Return an array of a group, or the `root` of a group of that name."""
    import h5py

    item = group.get(name)
    if isinstance(item, h5py.Group):
        item = item.get("root")
    return item[()] if isinstance(item, h5py.Dataset) else None


def _members(
    group: Any, places: tuple[str, ...], n: int, ndim: int, wrong: list[str]
) -> Iterator[tuple[str, tuple[Array, Any]]]:
    """Yield name, array and where it comes from; say what is wrong with the others."""
    for place in places:
        for name in group.get(place, {}):
            array = _array(group[place], name)
            if array is None:
                wrong.append(f"{place}/{name}: no array")
            elif array.ndim != ndim or len(array) != n or array.dtype.kind not in "biuf":
                wrong.append(f"{place}/{name}: {array.dtype} of shape {array.shape}")
            else:
                yield name, (array, group[place][name])


def _eigenvalues(item: Any) -> Array | None:
    found = item.attrs.get(EIGENVALUE)
    if found is None and hasattr(item, "keys"):
        found = _array(item, EIGENVALUE)
    return None if found is None else np.asarray(found, np.float64)


def _embeddings(members: Mapping[str, tuple[Array, Any]]) -> dict[str, Any]:
    """Return the embeddings as variables; the first with eigenvalues has the dim component."""
    spectra = {n: e for n, (a, item) in members.items()
               if (e := _eigenvalues(item)) is not None and len(e) == a.shape[1]}  # fmt: skip
    first = "spectral" if "spectral" in spectra else next(iter(spectra), None)
    out: dict[str, Any] = {}
    for name, (array, item) in members.items():
        dim = COMPONENT if name == first else AXIS if array.shape[1] == 2 else f"{AXIS}_{name}"
        if name in spectra:
            order = np.argsort(spectra[name], kind="stable")  # files begin with the greatest
            array = array[:, order]
            values = EIGENVALUE if name == first else f"{EIGENVALUE}_{name}"
            out[values] = (dim, spectra[name][order])
        out[EMBEDDING + name] = ((SAMPLE, dim), array, _origin(item))
    return out


def _origin(item: Any) -> dict[str, Any]:
    """Return what an embedding says of the one that it was made of."""
    base = item.attrs.get("embedding", b"")
    if not base and hasattr(item, "get") and item.get("base") is not None:
        base = item["base"].name.rsplit("/", 1)[-1]
    text = base.decode() if isinstance(base, bytes) else str(base)
    return {"base": text} if text else {}


def _clusterings(members: Mapping[str, tuple[Array, Any]]) -> dict[str, Any]:
    """Return clusterings as variables; those numbered alike are one with the dim n_clusters."""
    flags = {n: a for n, (a, _) in members.items() if a.dtype.kind == "b"}
    labels = {n: a.astype(np.int32) for n, (a, _) in members.items() if n not in flags}
    out: dict[str, Any] = {name: (SAMPLE, a) for name, a in flags.items()}
    sweeps: dict[str, dict[int, str]] = {}
    for name in labels:
        if (match := NUMBERED.fullmatch(name)) is not None:
            sweeps.setdefault(match[1], {})[int(match[2])] = name
    counts = next((sorted(found) for found in sweeps.values()), [])
    for base, found in sweeps.items():
        if sorted(found) == counts and base not in labels:
            columns = np.stack([labels.pop(found[k]) for k in counts], axis=1)
            out[CLUSTERING + base] = ((SAMPLE, N_CLUSTERS), columns)
    if any(N_CLUSTERS in v[0] for v in out.values()):
        out[N_CLUSTERS] = (N_CLUSTERS, counts)
    out |= {CLUSTERING + name: (SAMPLE, a) for name, a in labels.items()}
    return out | _prototypes(members)


def _prototypes(members: Mapping[str, tuple[Array, Any]]) -> dict[str, Any]:
    """Return what stands for the clusters of a clustering, an array each."""
    out: dict[str, Any] = {}
    for name, (_, item) in members.items():
        kinds = item.get("prototype", {}) if hasattr(item, "get") else {}
        for kind in kinds:
            array = _array(kinds, kind)
            if array is not None and array.ndim:
                rest = tuple(f"axis_{i}_{kind}_{name}" for i in range(1, array.ndim))
                out[f"{PROTOTYPE_OF}{kind}_{name}"] = ((f"{CLUSTER}_{name}", *rest), array)
    return out
