"""Clusterings by density, which leave noise out: DBSCAN and HDBSCAN."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTERING, SAMPLE
from fxrelay_analysis.stage import Counts
from fxrelay_analysis.stages.cluster import Reals, solving, swept
from fxrelay_analysis.stages.glosh import glosh
from fxrelay_analysis.stages.outliers import OUTLIER
from fxrelay_analysis.stages.points import (
    METRIC_DOC,
    ROW_METRICS,
    PointStage,
    dataset,
    measured,
    need_samples,
    points,
)

Array = np.ndarray[Any, Any]
DBSCAN: Final = CLUSTERING + "dbscan"
HDBSCAN: Final = CLUSTERING + "hdbscan"
EPS: Final = "eps"
MIN_CLUSTER_SIZE: Final = "min_cluster_size"
CORE: Final = "core"
PROBABILITY: Final = "probability"
ODD: Final = OUTLIER + "hdbscan"


class dbscan(PointStage):
    """Cluster samples that lie densely, for every distance `eps` asked for.

    A core sample has `min_samples` samples within `eps`, itself included; core samples within
    `eps` of each other share a cluster, as do the others within `eps` of one. What is left is
    noise, -1. Clusters are numbered by size, 0 the largest. (Ester et al. 1996.)
    """

    version: ClassVar[int] = 1
    eps = Reals(
        0.5, low=0, doc="Distances within which samples are close: a number or several, > 0."
    )
    min_samples = param.Integer(5, bounds=(1, None), doc="Samples that make a place dense.")
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        eps: list[float],
        min_samples: int,
        metric: str,
        unit_rows: bool | None,
    ) -> xr.Dataset:
        """Return `clustering_dbscan` int32 and `core`, dims (sample, eps).

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        from sklearn.cluster import DBSCAN as Solver

        given = points(embedding, "dbscan", unit_rows)
        x, kind = measured(given, metric, "dbscan")
        core = np.zeros((len(x), len(eps)), bool)
        labels = []
        with solving():
            for column, value in enumerate(eps):
                fit = Solver(eps=value, min_samples=min_samples, metric=kind, n_jobs=1).fit(x)
                core[fit.core_sample_indices_, column] = True
                labels.append(fit.labels_)
        found = swept(labels, given.ids, DBSCAN, EPS, eps)
        return dataset({DBSCAN: found, CORE: ((SAMPLE, EPS), core)}, given.ids)


class hdbscan(PointStage):
    """Cluster samples that lie densely at any scale, for every least size asked for.

    Noise is -1; clusters are numbered by size, 0 the largest. `probability` tells how central a
    sample is in its cluster, 0 for noise, and `outlier_hdbscan` (GLOSH) how far out it is: 0 for
    who leaves its cluster last as distances shrink, towards 1 for who leaves it early. (Campello,
    Moulavi and Sander 2013; Campello et al. 2015.)
    """

    version: ClassVar[int] = 2
    min_cluster_size = Counts(5, low=2, doc="Least samples of a cluster: an integer or several.")
    min_samples = param.Integer(
        None,
        bounds=(1, None),
        allow_None=True,
        doc="Neighbours within the core distance, itself included; None: min_cluster_size.",
    )
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)
    cluster_selection_method = param.Selector(
        default="eom", objects=["eom", "leaf"], doc="Most persistent clusters, or the finest."
    )
    cluster_selection_epsilon = param.Number(
        0.0, bounds=(0, None), doc="Clusters closer than this are not split."
    )
    max_cluster_size = param.Integer(
        None, bounds=(2, None), allow_None=True, doc="Most samples of a cluster, with eom."
    )
    alpha = param.Number(
        1.0,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        doc="Divides distances before clusters are joined.",
    )
    allow_single_cluster = param.Boolean(False, doc="Whether all samples may be one cluster.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        min_cluster_size: list[int],
        metric: str,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.Dataset:
        """Return `clustering_hdbscan` int32, `probability`, `outlier_hdbscan`.

        All have dims (sample, min_cluster_size).

        Raises
        ------
        ValueError
            If there are fewer samples than `min_cluster_size` or `min_samples`, or a value is not
            finite.
        """
        from sklearn.cluster import HDBSCAN as Solver

        given = points(embedding, "hdbscan", unit_rows)
        least = max(*min_cluster_size, options["min_samples"] or 2)
        need_samples(given, least, "hdbscan", "Lower min_cluster_size and min_samples.")
        x, kind = measured(given, metric, "hdbscan")
        with solving():
            fits = [
                Solver(min_cluster_size=size, metric=kind, n_jobs=1, copy=True, **options).fit(x)
                for size in min_cluster_size
            ]
        labels = [fit.labels_ for fit in fits]
        found = swept(labels, given.ids, HDBSCAN, MIN_CLUSTER_SIZE, min_cluster_size)
        share = np.stack([fit.probabilities_ for fit in fits], axis=1)
        odd = np.stack([_odd(f, n) for f, n in zip(fits, min_cluster_size, strict=True)], axis=1)
        dims = (SAMPLE, MIN_CLUSTER_SIZE)
        known = {PROBABILITY: (dims, np.where(found.values < 0, 0, share)), ODD: (dims, odd)}
        return dataset({HDBSCAN: found, **known}, given.ids)


def _odd(fit: Any, least: int) -> Array:
    tree = fit._single_linkage_tree_  # public only as a picture
    return glosh(tree["left_node"], tree["right_node"], tree["value"], least)
