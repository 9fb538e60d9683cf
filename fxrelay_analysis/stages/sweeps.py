"""A clustering as columns: whatever its sweep is called, one column of labels for each setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay.schema import CLUSTER, CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.stage import labelled

Array = np.ndarray[Any, Any]
#: what a clustering calls samples that belong to no cluster
NOISE: Final = -1


@dataclass(frozen=True)
class Sweep:
    """Labels of every setting of a clustering.

    Attributes
    ----------
    labels : int array (n, columns)
        Clusters 0, 1, ..., `NOISE` for samples in none.
    shape : mapping of sweep dimension to its size
        Empty for a clustering that is no sweep.
    coords : mapping of name to DataArray
        Coordinates of the sweep.
    sample : DataArray (sample,)
        Ids, or positions where there are none.
    """

    labels: Array
    shape: Mapping[Any, int]
    coords: Mapping[Any, xr.DataArray]
    sample: xr.DataArray

    @property
    def clusters(self) -> Array:
        """Every cluster that occurs anywhere, ascending; `NOISE` is one where it does."""
        low = NOISE if (self.labels == NOISE).any() else 0
        return np.arange(low, int(self.labels.max(initial=0)) + 1)

    @property
    def counts(self) -> list[int]:
        """How many clusters each setting was to have, or has where no `n_clusters` tells."""
        found = [int(labels.max()) + 1 for labels in self.labels.T]
        if N_CLUSTERS not in self.coords or self.coords[N_CLUSTERS].dtype.kind not in "iu":
            return found
        told = self.coords[N_CLUSTERS]
        sizes = [self.shape[d] for d in self.shape]
        places = np.meshgrid(*(np.arange(n) for n in sizes), indexing="ij")
        at = dict(zip(self.shape, places, strict=True))
        whole = told.values[at[N_CLUSTERS]] if told.ndim else np.full(sizes, told.item())
        return [int(n) for n in whole.ravel()]

    def array(
        self, values: Array, dims: Sequence[str], coords: Mapping[Any, Any], name: str
    ) -> xr.DataArray:
        """Return `values` (columns, ...) with the sweep's dimensions before `dims`."""
        folded = values.reshape((*self.shape.values(), *values.shape[1:]))
        every = dict(self.coords) | dict(coords)
        return labelled(xr.DataArray(folded, every, (*self.shape, *dims)), name)

    def per_cluster(self, values: Array, name: str) -> xr.DataArray:
        """Return `values` (columns, clusters) with the dimensions of the sweep and cluster."""
        return self.array(values, (CLUSTER,), {CLUSTER: self.clusters}, name)


def sweep_of(data: xr.DataArray | xr.Dataset, where: str) -> Sweep:
    """Return a clustering (sample, ...), or the only one of a Dataset, as columns.

    Raises
    ------
    ValueError
        If it is empty, sample is not its first dimension, or labels are not integers >= -1.
    """
    clustering = clustering_of(data, where)
    fine = clustering.dims[:1] == (SAMPLE,) and clustering.size > 0
    if not fine or clustering.dtype.kind not in "iub":
        got = f"dims {clustering.dims} of shape {clustering.shape}, {clustering.dtype}"
        raise ValueError(
            f"{where}: needs a clustering of integers with '{SAMPLE}' as its first dimension; got "
            f"{got}. Pass a variable such as ds['clustering_kmeans']."
        )
    labels = clustering.values.reshape(len(clustering), -1).astype(np.int64)
    if labels.min() < NOISE:
        raise ValueError(
            f"{where}: needs cluster labels >= {NOISE} ({NOISE} is no cluster); got "
            f"{int(labels.min())}. Renumber them."
        )
    coords = {n: c for n, c in clustering.coords.items() if SAMPLE not in c.dims}
    shape = {d: clustering.sizes[d] for d in clustering.dims[1:]}
    return Sweep(labels, shape, coords, clustering[SAMPLE].reset_coords(drop=True))


def clustering_of(data: xr.DataArray | xr.Dataset, where: str) -> xr.DataArray:
    """Return a clustering, or the only one of a Dataset.

    Raises
    ------
    ValueError
        If a Dataset has none or several.
    """
    if not isinstance(data, xr.Dataset):
        return data
    named = [name for name in data.data_vars if str(name).startswith(CLUSTERING)]
    if len(named) != 1:
        raise ValueError(
            f"{where}: needs a clustering, or a Dataset with one variable '{CLUSTERING}...'; got "
            f"{', '.join(map(str, named)) or 'none'}. Pass the variable itself."
        )
    return data[named[0]]


def need_same_samples(
    data: xr.DataArray | xr.Dataset,
    other: xr.DataArray | xr.Dataset,
    where: str,
    what: str = "clustering",
) -> None:
    """Raise a ValueError if data and `other` have other samples, or in another order."""
    n, wanted = data.sizes.get(SAMPLE, 0), other.sizes.get(SAMPLE, 0)
    named = SAMPLE in data.coords and SAMPLE in other.coords
    if n == wanted and not (named and (data[SAMPLE].values != other[SAMPLE].values).any()):
        return
    got = f"other '{SAMPLE}' ids, or another order of them" if n == wanted else f"{n}"
    raise ValueError(
        f"{where}: needs the {wanted} samples of the {what} in its order; got {got}. Select them "
        f"with .sel({SAMPLE}={what}.{SAMPLE})."
    )


def matched(array: xr.DataArray, sweep: Sweep, where: str) -> xr.DataArray:
    """Return an array's rows of the samples of a clustering.

    Raises
    ------
    ValueError
        If it lacks some of them, or is no array with sample as its first dimension.
    """
    if not isinstance(array, xr.DataArray) or array.dims[:1] != (SAMPLE,):
        got = array.dims if isinstance(array, xr.DataArray) else type(array).__name__
        raise ValueError(
            f"{where}: needs an array with '{SAMPLE}' as its first dimension; got {got}. Pass a "
            f"variable, or use .transpose('{SAMPLE}', ...)."
        )
    ids = array[SAMPLE].to_index()
    place = ids.get_indexer(sweep.sample.to_index()) if ids.is_unique else np.array([-1])
    if (place < 0).any():
        raise ValueError(
            f"{where}: needs every sample of the clustering once; got an array of {len(ids)} that "
            f"lacks {int((place < 0).sum())} of {len(sweep.labels)}. Give both the same "
            f"'{SAMPLE}' ids."
        )
    return array if np.array_equal(place, np.arange(len(ids))) else array.isel({SAMPLE: place})


def by_id(ids: Array) -> Array:
    """Return positions that sort samples by the text of their ids.

    What a seed draws from samples in this order does not depend on how they came.
    """
    return np.argsort(ids.astype(str), kind="stable")
