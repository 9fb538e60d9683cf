"""The one data schema: names of dimensions, variables and attributes, and the check of a Dataset.

Everything that crosses between fxrelay, fxrelay_analysis and fxrelay_viz is an xarray object with
these names. This module imports no torch.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

import numpy as np
import xarray as xr

VERSION: Final = 1

# dimensions
SAMPLE: Final = "sample"
TARGET: Final = "target"
CHANNEL: Final = "channel"
Y: Final = "y"
X: Final = "x"
TOKEN: Final = "token"
FEATURE: Final = "feature"
CLASS: Final = "class"

# variables of an attribution Dataset
RELEVANCE: Final = "relevance"
OUTPUT: Final = "output"
PREDICTION: Final = "prediction"
LABEL: Final = "label"
INPUT: Final = "input"
RELEVANCE_AT: Final = "relevance_at_"
SINK: Final = "sink_"

# dimensions and variables of an analysis DataTree (one group per category, and RANKING)
COMPONENT: Final = "component"
AXIS: Final = "axis"
N_CLUSTERS: Final = "n_clusters"
CATEGORY: Final = "category"
RANKING: Final = "ranking"
EMBEDDING: Final = "embedding_"
CLUSTERING: Final = "clustering_"
EIGENVALUE: Final = "eigenvalue"
SUSPICION: Final = "suspicion"
CLUSTER: Final = "cluster"

# attributes
SCHEMA_VERSION: Final = "schema_version"
COMPOSITE: Final = "composite"
MODEL: Final = "model"
MODEL_DIGEST: Final = "model_digest"
VERSIONS: Final = "versions"
CREATED: Final = "created"

#: name -> (long_name, unit), set once when a Dataset is made; plots read them.
VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    RELEVANCE: ("relevance of the input", "output units"),
    OUTPUT: ("model output", "1"),
    PREDICTION: ("predicted class", "class index"),
    LABEL: ("true class", "class index"),
    TARGET: ("explained output", "class index"),
    INPUT: ("model input", "1"),
    SAMPLE: ("sample id", "1"),
    CLASS: ("class name", "1"),
    EIGENVALUE: ("eigenvalue of the normalised Laplacian", "1"),
    SUSPICION: ("suspicion of a Clever Hans strategy", "separability of a continuum"),
    "degree": ("weight of a sample's edges", "1"),
    "n_connected": ("connected components of the graph", "1"),
    "eigengap": ("step to the next eigenvalue", "1"),
    "embedding_spectral": ("spectral embedding", "1"),
    "embedding_tsne": ("t-SNE of the spectral embedding", "1"),
    "clustering_kmeans": ("cluster by k-means, 0 the largest", "cluster index"),
    "feature": ("preprocessed relevance", "1"),
    "cluster_size": ("samples in the cluster", "1"),
    "separability": ("separability of the cluster", "separability of a continuum"),
    "isolation": ("edges of the cluster for each one that leaves it", "1"),
    "silhouette": ("mean silhouette of the cluster", "1"),
    "surplus": ("greatest rise of mean relevance over the rest", "1"),
    "prototype": ("sample id of the cluster's medoid", "1"),
    "n_samples": ("samples of the category", "1"),
    "chosen_n_clusters": ("clusters of the most telling clustering", "1"),
    "suspicious_cluster": ("most suspicious cluster", "cluster index"),
    "suspicious_size": ("samples in the most suspicious cluster", "1"),
    "flagged": ("suspicion at or above the threshold", "1"),
    "analysed": ("category with enough samples", "1"),
}  # fmt: skip


class SchemaError(ValueError):
    """A Dataset that does not follow the schema; the text lists every fault and its remedy."""


def describe(ds: xr.Dataset) -> xr.Dataset:
    """Return a copy of `ds` whose known variables carry ``long_name`` and ``units``."""
    out = ds.copy()
    for name in map(str, out.variables):
        known, prefix = VARIABLES.get(name), name.partition("_at_")
        if known is not None:
            long_name, units = known
        elif prefix[1]:
            long_name, units = f"{prefix[0]} at {prefix[2]}", "output units"
        elif name.startswith(SINK):
            long_name, units = f"relevance absorbed by {name.removeprefix(SINK)}", "output units"
        else:
            continue
        known_attrs = {"long_name": long_name, "units": units}
        if out[name].dtype.kind in "mM":
            del known_attrs["units"]  # files keep the unit of a date there
        out[name].attrs = known_attrs | out[name].attrs
    return out


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` unchanged if it follows the schema.

    Parameters
    ----------
    ds : Dataset
        An attribution Dataset, dims (sample, ...).

    Raises
    ------
    SchemaError
        Names every fault at once and says how to mend each.
    """
    faults = [text for check in CHECKS for text in check(ds)]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise SchemaError(
            f"validate: the Dataset does not follow schema version {VERSION}:\n{lines}"
        )
    return ds


def _has_relevance(ds: xr.Dataset) -> list[str]:
    if RELEVANCE in ds.data_vars:
        return []
    found = ", ".join(map(str, ds.data_vars)) or "none"
    return [f"needs the variable '{RELEVANCE}'; got {found}. Rename yours with ds.rename(...)."]


def _leads_with_sample(ds: xr.Dataset) -> list[str]:
    names = [n for n in (RELEVANCE, OUTPUT, PREDICTION, LABEL, TARGET, INPUT) if n in ds]
    wrong = {n: ds[n].dims for n in names if ds[n].dims[:1] != (SAMPLE,)}
    return [
        f"'{name}' needs '{SAMPLE}' as its first dimension; got {dims}. "
        f"Use ds.rename(...) or ds.transpose('{SAMPLE}', ...)."
        for name, dims in wrong.items()
    ]


def _names_every_sample(ds: xr.Dataset) -> list[str]:
    if SAMPLE not in ds.dims:
        return []
    if SAMPLE not in ds.coords:
        return [
            f"needs sample ids as the coordinate '{SAMPLE}'; got none. "
            f"Use ds.assign_coords({SAMPLE}=range(ds.sizes['{SAMPLE}']))."
        ]
    ids = ds[SAMPLE].to_index()
    if ids.is_unique:
        return []
    twice = ids[ids.duplicated()].unique()[:3].tolist()
    return [
        f"'{SAMPLE}' ids need to be unique; got {twice} more than once. Use ds.drop_duplicates()."
    ]


def _known_dimensions(ds: xr.Dataset) -> list[str]:
    if RELEVANCE not in ds.data_vars:
        return []
    dims = tuple(d for d in ds[RELEVANCE].dims if d not in (SAMPLE, TARGET))
    if dims in LAYOUTS:
        return []
    allowed = " or ".join(str(layout) for layout in LAYOUTS)
    return [
        f"'{RELEVANCE}' needs ('{SAMPLE}', ['{TARGET}',] ...) with {allowed}; got {dims}. "
        "Rename with ds.rename(...)."
    ]


def _numeric(ds: xr.Dataset) -> list[str]:
    kinds = {RELEVANCE: "f", OUTPUT: "f", PREDICTION: "iu", LABEL: "iu", TARGET: "iu"}
    words = {"f": "floating point", "iu": "integer"}
    return [
        f"'{name}' needs to be {words[kind]}; got {ds[name].dtype}. Use .astype(...)."
        for name, kind in kinds.items()
        if name in ds and ds[name].dtype.kind not in kind
    ]


def _finite(ds: xr.Dataset) -> list[str]:
    if RELEVANCE not in ds.data_vars or ds[RELEVANCE].chunks is not None:
        return []  # a lazy Dataset was checked when its shards were written
    relevance = ds[RELEVANCE]
    if relevance.dtype.kind != "f" or relevance.dims[:1] != (SAMPLE,) or not relevance.size:
        return []
    bad = ~np.isfinite(relevance.values).reshape(relevance.sizes[SAMPLE], -1).all(axis=1)
    if not bad.any():
        return []
    return [
        f"'{RELEVANCE}' needs to be finite; got NaN or infinity in {int(bad.sum())} of {bad.size} "
        f"samples, first at position {int(np.argmax(bad))}. Drop them with ds.isel({SAMPLE}=...)."
    ]


def _labels_in_range(ds: xr.Dataset) -> list[str]:
    if OUTPUT not in ds or CLASS not in ds[OUTPUT].dims:
        return []
    n, out = ds.sizes[CLASS], []
    for name in (PREDICTION, LABEL, TARGET):
        if name in ds and ds[name].dtype.kind in "iu" and ds[name].size:
            low, high = int(ds[name].min()), int(ds[name].max())
            if low < 0 or high >= n:
                out.append(f"'{name}' needs values in 0..{n - 1}; got {low}..{high}. Mend the ids.")
    return out


#: what may follow (sample, [target]) in `relevance`
LAYOUTS: Final[tuple[tuple[Hashable, ...], ...]] = (
    (CHANNEL, Y, X), (CHANNEL, X), (TOKEN,), (TOKEN, FEATURE), (FEATURE,),
)  # fmt: skip

CHECKS: Final[tuple[Callable[[xr.Dataset], list[str]], ...]] = (
    _has_relevance, _leads_with_sample, _names_every_sample, _known_dimensions, _numeric,
    _finite, _labels_in_range,
)  # fmt: skip
