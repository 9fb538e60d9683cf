"""Mixtures of normal distributions: soft clusters with a likelihood."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.stages.cluster import (
    LEADING_DOC,
    Clustering,
    checked_counts,
    numbered,
    parts,
    size_order,
    solving,
)
from fxrelay_analysis.stages.points import dataset, need_features, points

Array = np.ndarray[Any, Any]
MIXTURE: Final = CLUSTERING + "gaussian_mixture"
RESPONSIBILITY: Final = "responsibility"
LOG_LIKELIHOOD: Final = "log_likelihood"
CONVERGED: Final = "converged"
BIC: Final = "bic"
AIC: Final = "aic"
#: parameter -> what scikit-learn calls it, where names differ
SPELLED: Final[Mapping[str, str]] = {
    "covariance": "covariance_type",
    "n_starts": "n_init",
    "n_iterations": "max_iter",
    "tolerance": "tol",
    "seed": "random_state",
}


class Mixture(Clustering):
    """A stage that fits mixtures of normal distributions."""

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


class gaussian_mixture(Mixture):
    """Fit mixtures of normal distributions, one for every number of components asked for.

    log p(x) = log sum_c w_c N(x; m_c, S_c). Components are numbered by the samples that belong to
    them most, 0 the largest. BIC and AIC (smaller is better) compare numbers of components on the
    same data: so, unlike in k-means, `leading` is off by default. (Bishop 2006, section 9.2;
    Schwarz 1978; as prototypes of predictions: Dreyer et al. 2024.)
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(embedding: xr.DataArray | xr.Dataset, **options: Any) -> xr.Dataset:
        """Return `clustering_gaussian_mixture`, `responsibility`, `log_likelihood`, `bic`, `aic`.

        `converged` tells whether the kept start ended before `n_iterations`. Where a sweep has
        mixtures with fewer components, NaN fills `responsibility`.

        Raises
        ------
        ValueError
            If there are fewer samples than components (or than 2), a value is not finite, or a
            covariance is singular.
        """
        return _mixtures(embedding, embedding, "gaussian_mixture", **options)


class extend_mixture(Mixture):
    """Tell what Gaussian mixtures of some samples say of new ones: which component, how likely.

    The mixtures are those that `gaussian_mixture` fits with the same parameters, so nothing of
    them needs to be kept.
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset, new: xr.DataArray | xr.Dataset, **options: Any
    ) -> xr.Dataset:
        """Return what `gaussian_mixture` does, of `new` by the mixtures fitted to `embedding`.

        NaN likewise stands for components that a mixture does not have.

        Raises
        ------
        ValueError
            As `gaussian_mixture` does, and if the features differ in number.
        """
        return _mixtures(embedding, new, "extend_mixture", **options)


class Fit(NamedTuple):
    """A mixture of k components: responsibilities (m, k), log-likelihood (m,), criteria."""

    responsibility: Array
    log_likelihood: Array
    bic: float
    aic: float
    converged: bool


def _mixtures(
    embedding: Any,
    new: Any,
    where: str,
    *,
    n_clusters: list[int],
    leading: bool,
    unit_rows: bool | None,
    **options: Any,
) -> xr.Dataset:
    given, other = points(embedding, where, unit_rows), points(new, where, unit_rows)
    counts = checked_counts(n_clusters, len(given.rows), where, least=2)
    need_features(other, given.rows.shape[1], where)
    steps = {SPELLED.get(name, name): value for name, value in options.items()}
    with solving():
        pairs = zip(parts(given, counts, leading), parts(other, counts, leading), strict=True)
        fits = [_fit(x, y, k, where, steps) for (k, x), (_, y) in pairs]
    return _together(fits, other.ids, counts, leading)


def _fit(x: Array, y: Array, k: int, where: str, steps: dict[str, Any]) -> Fit:
    """Return what the mixture of k components of x (n, d) says of y (m, d)."""
    from sklearn.mixture import GaussianMixture

    try:
        model = GaussianMixture(k, **steps).fit(x)
    except ValueError as error:
        raise ValueError(
            f"{where}: needs covariances that are not singular; got {k} components where one is. "
            f"Raise reg_covar={steps['reg_covar']}, or use covariance='diag'."
        ) from error
    order = size_order(model.predict(x), k)
    criteria = float(model.bic(x)), float(model.aic(x)), bool(model.converged_)
    return Fit(model.predict_proba(y)[:, order], model.score_samples(y), *criteria)


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
            MIXTURE: numbered(labels, ids, MIXTURE, N_CLUSTERS, counts, leading),
            RESPONSIBILITY: ((SAMPLE, N_CLUSTERS, CLUSTER), share),
            LOG_LIKELIHOOD: ((SAMPLE, N_CLUSTERS), likelihood),
            BIC: ((N_CLUSTERS,), [fit.bic for fit in fits]),
            AIC: ((N_CLUSTERS,), [fit.aic for fit in fits]),
            CONVERGED: ((N_CLUSTERS,), [fit.converged for fit in fits]),
        },
        ids | {CLUSTER: np.arange(max(counts))},
    )
