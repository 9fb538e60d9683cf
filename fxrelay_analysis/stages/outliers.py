"""How odd each sample is among the others: by neighbours, by spread, by likelihood."""

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis.stages.distances import DISTANCE
from fxrelay_analysis.stages.graph import NEIGHBOUR
from fxrelay_analysis.stages.nearest import nearest
from fxrelay_analysis.stages.points import PointStage, dataset, points
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
#: beginning of the names of what is returned
OUTLIER: Final = "outlier_"
RANK: Final = "outlier_rank_"
#: least reach of a neighbourhood over the greatest
TINY: Final = 1e-10
#: parts of the samples, each scored by the mixture of the others
FOLDS: Final = 5


class Near(NamedTuple):
    """Positions of the nearest neighbours (n, k), nearest first, and their distances."""

    rows: Array
    distance: Array


def _knn(x: Array, near: Near, **_: Any) -> Array:
    away: Array = near.distance.mean(axis=1)
    return away


def _lof(x: Array, near: Near, **_: Any) -> Array:
    """Reach is max(d(p, o), distance of o's last neighbour); density is 1 over its mean."""
    reach = np.maximum(near.distance, near.distance[near.rows, -1]).mean(axis=1)
    reach = np.maximum(reach, TINY * (reach.max() or 1.0))  # duplicates lie in any density
    factor: Array = reach * (1 / reach[near.rows]).mean(axis=1)
    return factor


def _mahalanobis(x: Array, near: Near, **_: Any) -> Array:
    from sklearn.covariance import LedoitWolf

    squared = LedoitWolf().fit(x).mahalanobis(x)
    return np.sqrt(np.maximum(squared, 0))


def _mixture(x: Array, near: Near, *, n_components: int, reg_covar: float, seed: int) -> Array:
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


NEEDS_NEAR: Final = {"knn", "lof"}


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
        near: xr.Dataset | None = None,
        *,
        methods: list[str],
        n_neighbours: int,
        n_components: int,
        reg_covar: float,
        unit_rows: bool | None,
        seed: int,
    ) -> xr.Dataset:
        """Return `outlier_<method>` and `outlier_rank_<method>`, dims (sample,).

        With `near`, from `neighbours`, knn and lof use the neighbours that were found there, by
        whatever distance, the first `n_neighbours` of them.

        Raises
        ------
        ValueError
            If there are fewer than 3 samples, a value is not finite, or `near` is of others.
        """
        given = points(features, "outliers", unit_rows)
        x, n = given.scaled(), len(given.rows)
        if n < 3:
            raise ValueError(f"outliers: needs 3 or more samples; got {n}. Leave it out.")
        found = _near(x, near, min(n_neighbours, n - 1), NEEDS_NEAR & set(methods))
        options = {"n_components": max(1, min(n_components, n // 10)), "reg_covar": reg_covar,
                   "seed": seed}  # fmt: skip
        with one_thread():
            scores = {name: METHODS[name](x, found, **options) for name in methods}
        out: dict[str, Any] = {OUTLIER + name: (SAMPLE, score) for name, score in scores.items()}
        out |= {RANK + name: (SAMPLE, _ranks(score)) for name, score in scores.items()}
        return dataset(out, given.ids)


def _near(x: Array, near: xr.Dataset | None, k: int, wanted: set[str]) -> Near:
    """Return the first k neighbours, those given or the nearest; none where nobody asks."""
    if not wanted:
        return Near(np.zeros((len(x), 0), int), np.zeros((len(x), 0)))
    if near is None:
        return Near(*nearest(x, k))
    if near.sizes.get(SAMPLE) != len(x) or not {NEIGHBOUR, DISTANCE} <= set(near):
        raise ValueError(
            f"outliers: needs the neighbours of {len(x)} samples; got "
            f"{', '.join(map(str, near)) or 'nothing'} of {near.sizes.get(SAMPLE, 0)}. Use "
            "stages.neighbours(features)."
        )
    return Near(near[NEIGHBOUR].values[:, :k], near[DISTANCE].values[:, :k])


def _ranks(scores: Array) -> Array:
    """Return the share of samples that are less odd; equal ones count half."""
    from scipy.stats import rankdata

    share: Array = (rankdata(scores) - 0.5) / len(scores)
    return share
