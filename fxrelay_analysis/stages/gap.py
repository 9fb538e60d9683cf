"""How much closer the samples of k clusters are than in data without clusters."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import N_CLUSTERS
from fxrelay_analysis.stage import Counts
from fxrelay_analysis.stages.cluster import LEADING_DOC, Clustering, checked_counts, shared, solving
from fxrelay_analysis.stages.points import dataset, points
from fxrelay_analysis.stages.starts import kmeans_fits

Array = np.ndarray[Any, Any]
GAP: Final = "gap"
GAP_ERROR: Final = "gap_error"


class gap_statistic(Clustering):
    """Compare the spread within k clusters with that in data without any.

    gap(k) = mean_b log W_kb - log W_k, W the squared distances to the means of k-means; reference
    b is uniform in the box of the samples along their principal axes, the same for all k that are
    sought among the same rows. `gap_error` is sd_b (1 + 1/B)^1/2; the least k with
    gap(k) >= gap(k+1) - gap_error(k+1) is suggested. (Tibshirani, Walther and Hastie 2001,
    section 3.)
    """

    version: ClassVar[int] = 2
    n_clusters = Counts(range(1, 9), low=1, doc=Clustering.param.n_clusters.doc)
    n_references = param.Integer(10, bounds=(2, None), doc="Data sets without clusters.")
    n_starts = param.Integer(4, bounds=(1, None), doc="Random starts of k-means.")
    leading = param.Boolean(True, doc=LEADING_DOC)
    seed = param.Integer(0, bounds=(0, None), doc="Seed of references and starts.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: list[int],
        n_references: int,
        n_starts: int,
        leading: bool,
        unit_rows: bool | None,
        seed: int,
    ) -> xr.Dataset:
        """Return `gap` and `gap_error`, dim n_clusters.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters, or a value is not finite.
        """
        given = points(embedding, "gap_statistic", unit_rows)
        counts = checked_counts(n_clusters, len(given.rows), "gap_statistic")
        random = np.random.default_rng(seed)
        gaps, errors = list[float](), list[float]()
        with solving():
            for ks, x in shared(given, counts, leading):
                boxes = (_box(x, random) for _ in range(n_references))
                others = np.array([_log_spread(box, ks, n_starts, seed) for box in boxes])
                gaps.extend(others.mean(axis=0) - _log_spread(x, ks, n_starts, seed))
                errors.extend(others.std(axis=0) * np.sqrt(1 + 1 / n_references))
        return dataset(
            {GAP: ((N_CLUSTERS,), gaps), GAP_ERROR: ((N_CLUSTERS,), errors)}, {N_CLUSTERS: counts}
        )


def _box(x: Array, random: np.random.Generator) -> Array:
    """Return uniform points (n, d) in the box of x along its principal axes."""
    centre = x.mean(axis=0)
    axes = np.linalg.svd(x - centre, full_matrices=False)[2]
    along = (x - centre) @ axes.T
    drawn: Array = random.uniform(along.min(axis=0), along.max(axis=0), along.shape) @ axes
    return drawn


def _log_spread(x: Array, counts: Sequence[int], n_starts: int, seed: int) -> Array:
    """Return log W (counts,)."""
    fits = kmeans_fits(x, counts, n_starts=n_starts, seed=seed)
    spread = [max(fit.inertia_, np.finfo(np.float64).tiny) for fit in fits]
    return np.log(np.array(spread))
