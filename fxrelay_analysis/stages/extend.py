"""New samples on a map that exists: their coordinates and clusters, without making it again."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import param
import xarray as xr

from fxrelay.schema import FEATURE, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.components import (
    CENTRE,
    DIRECTION,
    DUAL,
    KERNEL_MEAN,
    KERNEL_PCA,
    PCA,
    evaluate,
)
from fxrelay_analysis.stages.crossing import (
    CROSS_METRICS,
    METRIC_DOC,
    closest,
    crossed,
)
from fxrelay_analysis.stages.distances import PRECOMPUTED
from fxrelay_analysis.stages.points import need_features, placed, points
from fxrelay_analysis.stages.preprocess import checked, ids
from fxrelay_analysis.stages.sweeps import NOISE, clustering_of, need_same_samples, sweep_of
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]


class extend_pca(Stage):
    """Project new samples onto the principal components of others: y = (x - m) V."""

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {
        "fitted": {PCA: (SAMPLE, None), CENTRE: (FEATURE,), DIRECTION: (None, FEATURE)}
    }

    @staticmethod
    def compute(fitted: xr.Dataset, new: xr.DataArray) -> xr.DataArray:
        """Return `embedding_pca` (sample, axis) of `new` (sample, feature) by the result of `pca`.

        Raises
        ------
        ValueError
            If the features differ in number, or a value is not finite.
        """
        known = fitted[PCA]
        given = points(new, "extend_pca", bool(known.attrs["unit_rows"]))
        need_features(given, fitted[CENTRE].size, "extend_pca")
        with one_thread():
            flat = (given.scaled() - fitted[CENTRE].values) @ fitted[DIRECTION].values.T
        return placed(flat, given.ids, str(known.dims[1]), PCA)


class extend_kernel_pca(Stage):
    """Project new samples onto the kernel principal components of others.

    y = (k - mean_k - mean k + mean K) a, k the kernel with the samples that were mapped. (Bengio
    et al. 2004, section 3.)
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {
        "fitted": {KERNEL_PCA: (SAMPLE, None), KERNEL_MEAN: (SAMPLE,), DUAL: (SAMPLE, None)}
    }

    @staticmethod
    def compute(fitted: xr.Dataset, features: xr.DataArray, new: xr.DataArray) -> xr.DataArray:
        """Return `embedding_kernel_pca` (sample, axis) of `new`.

        `fitted` is what `kernel_pca` made of `features`; of a precomputed kernel, `new` are the
        kernel's values (sample, other) with those.

        Raises
        ------
        ValueError
            If the features differ in number, or a value is not finite.
        """
        known = fitted[KERNEL_PCA]
        rule, mean = known.attrs, fitted[KERNEL_MEAN].values
        old = points(features, "extend_kernel_pca", bool(rule["unit_rows"]))
        given = points(new, "extend_kernel_pca", bool(rule["unit_rows"]))
        need_same_samples(features, known, "extend_kernel_pca", "map")
        need_features(given, old.rows.shape[1], "extend_kernel_pca")
        with one_thread():
            precomputed = rule["kernel"] == PRECOMPUTED
            kernel = given.rows if precomputed else evaluate(given.scaled(), old.scaled(), rule)
            centred = kernel - kernel.mean(axis=1, keepdims=True) - mean + mean.mean()
            flat = centred @ fitted[DUAL].values
        return placed(flat, given.ids, str(known.dims[1]), KERNEL_PCA)


class Nearest(Stage):
    """A stage that looks at the old samples nearest to a new one."""

    n_neighbours = param.Integer(5, bounds=(1, None), doc="Old samples that count.")
    metric = param.Selector(default="euclidean", objects=list(CROSS_METRICS), doc=METRIC_DOC)
    weights = param.Selector(
        default="distance",
        objects=["distance", "uniform"],
        doc="Whether the nearer count more, by 1 / distance, or all the same.",
    )


class extend_nearest(Nearest):
    """Place new samples on any map among the old samples that they are nearest to.

    y = sum_j w_j y_j / sum_j w_j over the nearest old samples, w = 1 / distance or 1. A new sample
    that equals an old one gets its place (with `weights` distance).
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(
        embedding: xr.DataArray,
        features: xr.DataArray,
        new: xr.DataArray,
        *,
        n_neighbours: int,
        metric: str,
        weights: str,
    ) -> xr.DataArray:
        """Return the map's variable, dims (sample, ...), of `new`; `embedding` is of `features`.

        Raises
        ------
        ValueError
            If numbers of samples or dims do not fit, or a value is not finite.
        """
        array = checked(embedding, "extend_nearest")
        if array.ndim != 2:
            raise ValueError(
                f"extend_nearest: needs a map with dims ('{SAMPLE}', axis); got {array.dims}. Pass "
                "a variable such as ds['embedding_tsne']."
            )
        need_same_samples(features, array, "extend_nearest", "map")
        place, share = _shares(features, new, n_neighbours, metric, weights, "extend_nearest")
        flat = np.einsum("mk,mkq->mq", share, array.values[place].astype(np.float64))
        return placed(flat, ids(new), str(array.dims[1]), str(array.name))


class extend_clustering(Nearest):
    """Give new samples the cluster that most of the old samples nearest to them are in.

    Votes weigh 1 / distance or 1; noise, -1, has votes too. Of equal sums the larger cluster wins.
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(
        clustering: xr.DataArray | xr.Dataset,
        features: xr.DataArray,
        new: xr.DataArray,
        *,
        n_neighbours: int,
        metric: str,
        weights: str,
    ) -> xr.DataArray:
        """Return the clustering's variable, dims (sample, [sweep]) int32, of `new`.

        Raises
        ------
        ValueError
            If numbers of samples or dims do not fit, or a value is not finite.
        """
        found = clustering_of(clustering, "extend_clustering")
        sweep = sweep_of(found, "extend_clustering")
        need_same_samples(features, found, "extend_clustering", "map")
        place, share = _shares(features, new, n_neighbours, metric, weights, "extend_clustering")
        columns = [_elected(labels[place], share) for labels in sweep.labels.T]
        values = np.stack(columns, axis=1).reshape(len(new), *found.shape[1:])
        coords = {n: c for n, c in found.coords.items() if SAMPLE not in c.dims} | ids(new)
        return xr.DataArray(values, coords, found.dims, found.name, found.attrs)


def _shares(
    features: xr.DataArray, new: xr.DataArray, k: int, metric: str, weights: str, where: str
) -> tuple[Array, Array]:
    """Return positions (m, k) of the nearest old samples and their weights (m, k), sum 1."""
    found = [closest(away, k) for _, away in crossed(features, new, metric, where)]
    place, distance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    same = distance == 0
    if weights == "uniform":
        weight = np.ones_like(distance)
    else:
        inverse = 1 / np.where(same, 1, distance)
        weight = np.where(same.any(axis=1, keepdims=True), same, inverse)
    return place, weight / weight.sum(axis=1, keepdims=True)


def _elected(votes: Array, share: Array) -> Array:
    """Return the label (m,) with the greatest sum of shares; noise last where equal."""
    names = np.unique(votes)
    names = np.concatenate([names[names != NOISE], names[names == NOISE]])
    sums = [np.where(votes == name, share, 0).sum(axis=1) for name in names]
    return names[np.argmax(np.round(sums, 12), axis=0)].astype(np.int32)
