"""How odd each sample is among the others: by neighbours, by spread, by likelihood."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from fxrelay.schema import SAMPLE
from fxrelay_analysis.stages.points import PointStage, dataset, points

Array = np.ndarray[Any, Any]
#: beginning of the names of what is returned
OUTLIER: Final = "outlier_"
RANK: Final = "outlier_rank_"
#: parts of the samples, each scored by the mixture of the others
FOLDS: Final = 5


def _knn(x: Array, *, n_neighbours: int, **_: Any) -> Array:
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=n_neighbours).fit(x)
    away: Array = near.kneighbors()[0].mean(axis=1)
    return away


def _lof(x: Array, *, n_neighbours: int, **_: Any) -> Array:
    from sklearn.neighbors import LocalOutlierFactor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many duplicates: their factor is 1
        found: Array = -LocalOutlierFactor(n_neighbours).fit(x).negative_outlier_factor_
    return found


def _mahalanobis(x: Array, **_: Any) -> Array:
    from sklearn.covariance import LedoitWolf

    squared = LedoitWolf().fit(x).mahalanobis(x)
    return np.sqrt(np.maximum(squared, 0))


def _mixture(x: Array, *, n_components: int, reg_covar: float, seed: int, **_: Any) -> Array:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import KFold

    kind = "full" if len(x) > 2 * n_components * x.shape[1] else "diag"
    model = GaussianMixture(
        n_components, covariance_type=kind, reg_covar=reg_covar, random_state=seed
    )
    scaled, unlikely = x / (x.std() or 1.0), np.empty(len(x))
    folds = KFold(min(FOLDS, len(x)), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than parts
        for known, held in folds.split(scaled):
            unlikely[held] = -model.fit(scaled[known]).score_samples(scaled[held])
    return unlikely


#: name -> score of each row, higher is odder
METHODS: Final[dict[str, Callable[..., Array]]] = {
    "knn": _knn, "lof": _lof, "mahalanobis": _mahalanobis, "mixture": _mixture,
}  # fmt: skip


class outliers(PointStage):
    r"""Score how odd each sample is; in every score higher is odder.

    ``knn`` is the mean distance to the nearest neighbours (Angiulli and Pizzuti 2002). ``lof`` is
    the local outlier factor, about 1 within a cluster of any density (Breunig et al. 2000).
    ``mahalanobis`` is :math:`\sqrt{(x - m)^T S^{-1} (x - m)}` with the covariance shrunk as by
    Ledoit and Wolf (2004). ``mixture`` is minus the log-likelihood under normal distributions,
    fitted without the sample: to the other four fifths, data scaled to variance 1; with full
    covariances where there are more than twice as many samples as features in each, else
    diagonal. The rank is the share of samples that are less odd, equal ones counting half: 0.99
    is odder than 99 %.
    """

    version: ClassVar[int] = 1
    methods = param.ListSelector(
        default=list(METHODS), objects=list(METHODS), doc="Scores to compute."
    )
    n_neighbours = param.Integer(
        10, bounds=(1, None), doc="Neighbours of knn and lof; fewer where there are fewer samples."
    )
    n_components = param.Integer(
        4, bounds=(1, None), doc="Normal distributions of the mixture; at most a tenth of samples."
    )
    reg_covar = param.Number(
        1e-3,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        doc="What is added to each variance of the mixture, on data of variance 1.",
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the mixture.")

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        methods: list[str],
        n_neighbours: int,
        n_components: int,
        reg_covar: float,
        unit_rows: bool | None,
        seed: int,
    ) -> xr.Dataset:
        """Return `outlier_<method>` and `outlier_rank_<method>`, dims (sample,).

        Raises
        ------
        ValueError
            If there are fewer than 3 samples, or a value is not finite.
        """
        given = points(features, "outliers", unit_rows)
        x, n = given.scaled(), len(given.rows)
        if n < 3:
            raise ValueError(f"outliers: needs 3 or more samples; got {n}. Leave it out.")
        options = {"n_neighbours": min(n_neighbours, n - 1), "reg_covar": reg_covar, "seed": seed,
                   "n_components": max(1, min(n_components, n // 10))}  # fmt: skip
        with threadpool_limits(1):
            scores = {name: METHODS[name](x, **options) for name in methods}
        out: dict[str, Any] = {OUTLIER + name: (SAMPLE, score) for name, score in scores.items()}
        out |= {RANK + name: (SAMPLE, _ranks(score)) for name, score in scores.items()}
        return dataset(out, given.ids)


def _ranks(scores: Array) -> Array:
    """Return the share of samples that are less odd; equal ones count half."""
    share: Array = (rankdata(scores) - 0.5) / len(scores)
    return share
