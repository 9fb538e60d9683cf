"""Mean maps of sets of samples, and the difference of two."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.category import Category, suffixed
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.pictures import Picture, layout, one_target
from fxrelay_viz.reading import read

#: how the analysis calls the means of a variable
MEAN: Final = "mean_"
#: a mean is taken over so many samples, in runs of neighbours that are evenly spread over the set:
#: neighbours lie in one file, and opening files is what takes the time
MOST: Final = 96
RUN: Final = 12


def mean_picture(
    source: Explanations,
    positions: np.ndarray,
    variable: str = schema.RELEVANCE,
    target: int = 0,
    most: int = MOST,
) -> Picture | None:
    """Return the mean relevance and the mean input of samples.

    Parameters
    ----------
    source : Explanations
    positions : int array, shape (n,)
        Of the samples in the Dataset.
    variable : str
        One of ``source.shown``.
    target : int
    most : int, >= 1
        Of more samples runs of 12 neighbours are taken, evenly spread over the set.

    Returns
    -------
    Picture or None
        None for no samples, or inputs that have no mean (texts) and differ in shape.
    """
    if not len(positions):
        return None
    relevance, data = _Sum(), _Sum()
    words: Any = None
    for run in runs(np.sort(positions), most):
        for picture in source.read_pictures(run.tolist(), variable, target):
            relevance.add(picture.relevance)
            data.add(picture.input)
            words = picture.words if words is None else words
    mean = relevance.mean()
    is_image = mean is not None and schema.Y in mean.dims
    return None if mean is None else Picture(mean, data.mean(), None if is_image else words)


def runs(positions: np.ndarray, most: int) -> list[np.ndarray]:
    """Return all positions in runs of 12, or evenly spread runs of `most` positions in all."""
    starts = np.arange(0, len(positions), RUN)
    if len(positions) > most:
        starts = np.linspace(0, max(len(positions) - RUN, 0), max(1, most // RUN)).astype(int)
    return [positions[start : start + min(RUN, most)] for start in starts]


def weighted(pictures: Sequence[Picture], weights: Sequence[float]) -> Picture:
    """Return the weighted mean of pictures of one shape, over the first's input."""
    total = float(sum(weights))
    mean = sum((p.relevance * (w / total) for p, w in zip(pictures, weights, strict=True)), 0.0)
    return Picture(xr.DataArray(mean), pictures[0].input, pictures[0].words)


def difference(first: Picture, second: Picture) -> Picture:
    """Return the relevance of the first minus that of the second, over the first's input."""
    return Picture(first.relevance - second.relevance, first.input, first.words)


class _Sum:
    """A running sum of arrays of one shape; others, and texts, have no mean."""

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None
        self._dims: tuple[Any, ...] = ()
        self._count = 0
        self._possible = True

    def add(self, values: xr.DataArray | None) -> None:
        """Add one array."""
        if values is None or values.dtype.kind not in "fiu" or _are_ids(values):
            self._possible = False
        elif self._sum is None:
            self._sum, self._dims = values.values.astype(np.float64), values.dims
        else:
            self._sum += values.values
        self._count += 1

    def mean(self) -> xr.DataArray | None:
        """Return the mean, or None where there is none."""
        if self._sum is None or not self._possible:
            return None
        return xr.DataArray(self._sum / self._count, dims=self._dims)


def _are_ids(values: xr.DataArray) -> bool:
    return values.dtype.kind in "iu" and schema.TOKEN in values.dims


def known_means(
    category: Category,
    clustering: str,
    k: Any,
    variable: str = schema.RELEVANCE,
    target: int = 0,
) -> dict[int, Picture]:
    """Return the mean picture of each cluster that the analysis made, as `stages.mean_maps` does.

    Parameters
    ----------
    category : Category
    clustering : str
    k : number or ""
        Which of a sweep of clusterings.
    variable, target
        As for `mean_picture`.

    Returns
    -------
    mapping of cluster to Picture
        Empty where the analysis has no such means.
    """
    group = xr.Dataset() if category.group is None else category.group
    found = group.get(suffixed(group, MEAN + variable, clustering))
    if found is None or schema.CLUSTER not in found.dims:
        return {}
    if schema.N_CLUSTERS in found.dims:
        if schema.N_CLUSTERS not in found.coords or k not in found[schema.N_CLUSTERS].values:
            return {}
        found = found.sel({schema.N_CLUSTERS: k})
    means = read(one_target(found, target)).rename(variable)
    plain = layout(means.isel({schema.CLUSTER: 0}))
    if plain is None:
        return {}
    ids = means[schema.CLUSTER].values if schema.CLUSTER in means.coords else range(len(means))
    maps = means.transpose(schema.CLUSTER, ...).values
    return {
        int(cluster): Picture(xr.DataArray(one, dims=plain))
        for cluster, one in zip(ids, maps, strict=True)
        if np.isfinite(one).all()
    }


def mean_pictures(
    source: Explanations, positions: np.ndarray, labels: np.ndarray, clusters: Sequence[int],
    variable: str = schema.RELEVANCE, target: int = 0,
) -> dict[int, Picture]:  # fmt: skip
    """Return the mean picture of each cluster.

    Parameters
    ----------
    source : Explanations
    positions, labels : int arrays, shape (n,)
        Where each sample stands in the Dataset, and its cluster.
    clusters : sequence of int
    variable, target
        As for `mean_picture`.
    """
    means = {c: mean_picture(source, positions[labels == c], variable, target) for c in clusters}
    return {c: picture for c, picture in means.items() if picture is not None}
