"""Mixtures of normal distributions: soft clusters with a likelihood."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.stages.cluster import (
    LEADING_DOC,
    Clustering,
    checked_counts,
    parts,
    size_order,
    solving,
    swept,
)
from fxrelay_analysis.stages.points import dataset, points

Array = np.ndarray[Any, Any]
MIXTURE: Final = CLUSTERING + "gaussian_mixture"
RESPONSIBILITY: Final = "responsibility"
LOG_LIKELIHOOD: Final = "log_likelihood"
CONVERGED: Final = "converged"
BIC: Final = "bic"
AIC: Final = "aic"


class gaussian_mixture(Clustering):
    """Fit mixtures of normal distributions, one for every number of components asked for.

    log p(x) = log sum_c w_c N(x; m_c, S_c). Components are numbered by the samples that belong to
    them most, 0 the largest. BIC and AIC (smaller is better) compare numbers of components on the
    same data: so, unlike in k-means, `leading` is off by default. (Bishop 2006, section 9.2;
    Schwarz 1978; as prototypes of predictions: Dreyer et al. 2024.)
    """

    version: ClassVar[int] = 1
    leading = param.Boolean(False, doc=LEADING_DOC)
    covariance = param.Selector(
        default="full",
        objects=["full", "tied", "diag", "spherical"],
        doc="Covariance of a component: any, one for all, diagonal, or a multiple of identity.",
    )
    reg_covar = param.Number(
        1e-6, bounds=(0, None), doc="What is added to every variance, in squared units of the data."
    )
    n_starts = param.Integer(4, bounds=(1, None), doc="Starts; the likeliest result is kept.")
    init_params = param.Selector(
        default="kmeans",
        objects=["kmeans", "k-means++", "random", "random_from_data"],
        doc="How a start assigns the samples.",
    )
    n_iterations = param.Integer(200, bounds=(1, None), doc="Most steps of one start.")
    tolerance = param.Number(
        1e-3, bounds=(0, None), doc="Rise of the mean log-likelihood that ends a start."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the starts.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: Any,
        covariance: str,
        n_starts: int,
        n_iterations: int,
        tolerance: float,
        leading: bool,
        unit_rows: bool | None,
        seed: int,
        **options: Any,
    ) -> xr.Dataset:
        """Return `clustering_gaussian_mixture`, `responsibility`, `log_likelihood`, `bic`, `aic`.

        `converged` tells whether the kept start ended before `n_iterations`. Where a sweep has
        mixtures with fewer components, NaN fills `responsibility`.

        Raises
        ------
        ValueError
            If there are fewer samples than components (or than 2), a value is not finite, or a
            covariance is singular.
        """
        given = points(embedding, "gaussian_mixture", unit_rows)
        counts = checked_counts(n_clusters, len(given.rows), "gaussian_mixture", least=2)
        steps = {"n_init": n_starts, "max_iter": n_iterations, "tol": tolerance}
        with solving():
            fits = [
                _fit(x, k, covariance_type=covariance, random_state=seed, **steps, **options)
                for k, x in parts(given, counts, leading)
            ]
        return _together(fits, given.ids, counts, leading)


class Fit(NamedTuple):
    """A mixture of k components: responsibilities (n, k), log-likelihood (n,), criteria."""

    responsibility: Array
    log_likelihood: Array
    bic: float
    aic: float
    converged: bool


def _fit(x: Array, k: int, **options: Any) -> Fit:
    from sklearn.mixture import GaussianMixture

    try:
        model = GaussianMixture(k, **options).fit(x)
    except ValueError as error:
        raise ValueError(
            f"gaussian_mixture: needs covariances that are not singular; got {k} components where "
            f"one is. Raise reg_covar={options['reg_covar']}, or use covariance='diag'."
        ) from error
    share = model.predict_proba(x)
    order = size_order(share.argmax(axis=1), k)
    values = model.score_samples(x), model.bic(x), model.aic(x), bool(model.converged_)
    return Fit(share[:, order], *values)


def _together(
    fits: Sequence[Fit], ids: dict[str, xr.DataArray], counts: Sequence[int], leading: bool
) -> xr.Dataset:
    share = np.full((len(fits[0].responsibility), len(counts), max(counts)), np.nan)
    for row, fit in enumerate(fits):
        share[:, row, : counts[row]] = fit.responsibility
    labels = [fit.responsibility.argmax(axis=1) for fit in fits]
    likelihood = np.stack([fit.log_likelihood for fit in fits], axis=1)
    return dataset(
        {
            MIXTURE: swept(labels, ids, MIXTURE, N_CLUSTERS, counts, leading),
            RESPONSIBILITY: ((SAMPLE, N_CLUSTERS, CLUSTER), share),
            LOG_LIKELIHOOD: ((SAMPLE, N_CLUSTERS), likelihood),
            BIC: ((N_CLUSTERS,), [fit.bic for fit in fits]),
            AIC: ((N_CLUSTERS,), [fit.aic for fit in fits]),
            CONVERGED: ((N_CLUSTERS,), [fit.converged for fit in fits]),
        },
        ids | {CLUSTER: np.arange(max(counts))},
    )
