"""How odd each sample is among the others: by neighbours, by spread, by likelihood."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stages.cluster import solving
from fxrelay_analysis.stages.graph import NEAR, near_of
from fxrelay_analysis.stages.mixture import CONVERGED
from fxrelay_analysis.stages.nearest import nearest
from fxrelay_analysis.stages.points import Points, PointStage, dataset, points
from fxrelay_analysis.stages.sweeps import by_id, need_same_samples

Array = np.ndarray[Any, Any]
#: score of each row (n,), and facts about how it was found
Scored = tuple[Array, dict[str, int]]
#: beginning of the names of what is returned
OUTLIER: Final = "outlier_"
RANK: Final = "outlier_rank_"
#: least reach of a neighbourhood over the greatest
TINY: Final = 1e-10
#: share of the greatest variance below which there is none
FLAT: Final = 1e-12
#: parts of the samples, each scored by the mixture of the others
FOLDS: Final = 5
#: most steps of the mixture's solver
STEPS: Final = 1000


class Near(NamedTuple):
    """Positions of the nearest neighbours (n, k), nearest first, and their distances."""

    rows: Array
    distance: Array


def _knn(x: Array, near: Near, **_: Any) -> Scored:
    return near.distance.mean(axis=1), {}


def _lof(x: Array, near: Near, **_: Any) -> Scored:
    """Reach is max(d(p, o), distance of o's last neighbour); density is 1 over its mean."""
    reach = np.maximum(near.distance, near.distance[near.rows, -1]).mean(axis=1)
    reach = np.maximum(reach, TINY * (reach.max() or 1.0))  # duplicates lie in any density
    return reach * (1 / reach[near.rows]).mean(axis=1), {}


def _mahalanobis(x: Array, near: Near, **_: Any) -> Scored:
    """Along the principal axes, of the samples or of the features, whichever are fewer.

    With l the squared lengths of n centred rows in d dimensions along them and m their mean
    variance, the shrunk variances are (1 - w) l / n + w m, where w d (sum l^2 / n^2 / d - m^2) =
    (sum |x|^4 / n - sum l^2 / n^2) / n, 1 at most (Ledoit and Wolf 2004, section 3.2).
    """
    from scipy.linalg import eigh

    x = x - x.mean(axis=0)
    n, d = x.shape
    length, axes = eigh(x @ x.T if d > n else x.T @ x)
    length = np.maximum(length, 0)
    along = np.square(axes) * length if d > n else np.square(x @ axes)
    mean, fourth = length.sum() / n / d, np.square(length).sum() / n**2
    apart, noise = fourth - d * mean**2, (np.square(along.sum(axis=1)).sum() / n - fourth) / n
    weight = min(noise / apart, 1.0) if apart > FLAT * fourth and noise > 0 else 0.0
    spread = (1 - weight) * length / n + weight * mean
    kept = spread > FLAT * spread.max()
    return np.sqrt((along[:, kept] / spread[kept]).sum(axis=1)), {}


def _mixture(
    x: Array, near: Near, *, order: Array, n_components: int, reg_covar: float, seed: int
) -> Scored:
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import KFold

    kind = "full" if len(x) > 2 * n_components * x.shape[1] else "diag"
    scaled, unlikely, ended = (x / (x.std() or 1.0))[order], np.empty(len(x)), True
    for known, held in KFold(min(FOLDS, len(x)), shuffle=True, random_state=seed).split(scaled):
        distinct = len(np.unique(scaled[known], axis=0))
        model = GaussianMixture(
            min(n_components, distinct), covariance_type=kind, reg_covar=reg_covar, max_iter=STEPS,
            random_state=seed,
        ).fit(scaled[known])  # fmt: skip
        unlikely[order[held]] = -model.score_samples(scaled[held])
        ended = ended and model.converged_
    return unlikely, {CONVERGED: int(ended)}


#: name -> score of each row, higher is odder
METHODS: Final[dict[str, Callable[..., Scored]]] = {
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
    diagonal. The parts go by sample ids: the order of samples changes nothing. The rank is the
    share of samples that are less odd, equal ones counting half: 0.99 is odder than 99 %.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {"near": NEAR}
    methods = param.ListSelector(
        default=list(METHODS), objects=list(METHODS), doc="Scores to compute."
    )
    n_neighbours = param.Integer(
        10, bounds=(1, None), doc="Neighbours of knn and lof; fewer where there are fewer samples."
    )
    n_components = param.Integer(
        4,
        bounds=(1, None),
        doc="Normal distributions of the mixture; at most a tenth of samples, and distinct ones.",
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
        whatever distance, the first `n_neighbours` of them. The attribute `converged` of
        `outlier_mixture` is 1 where its solver ended before its last step.

        Raises
        ------
        ValueError
            If there are fewer than 3 samples, a value is not finite, or `near` is of others.
        """
        given = points(features, "outliers", unit_rows)
        x, n = given.scaled(), len(given.rows)
        if n < 3:
            raise ValueError(f"outliers: needs 3 or more samples; got {n}. Leave it out.")
        found = _near(given, near, min(n_neighbours, n - 1), NEEDS_NEAR & set(methods))
        order = by_id(given.ids[SAMPLE].values) if given.ids else np.arange(n)
        options = {"n_components": max(1, min(n_components, n // 10)), "reg_covar": reg_covar,
                   "order": order, "seed": seed}  # fmt: skip
        with solving():
            scores = {name: METHODS[name](x, found, **options) for name in methods}
        out = {OUTLIER + n: _per_sample(score, facts) for n, (score, facts) in scores.items()}
        out |= {RANK + n: _per_sample(_ranks(score), {}) for n, (score, _) in scores.items()}
        return dataset(out, given.ids)


def _per_sample(values: Array, facts: dict[str, int]) -> xr.DataArray:
    return xr.DataArray(values, dims=(SAMPLE,), attrs=facts)


def _near(given: Points, near: xr.Dataset | None, k: int, wanted: set[str]) -> Near:
    """Return the first k neighbours, those given or the nearest; none where nobody asks."""
    if not wanted:
        return Near(np.zeros((len(given.rows), 0), int), np.zeros((len(given.rows), 0)))
    if near is None:
        return Near(*nearest(given.scaled(), k))
    need_same_samples(given.labelled(), near, "outliers", "neighbours")
    return Near(*(part[:, :k] for part in near_of(near, "outliers")))


def _ranks(scores: Array) -> Array:
    """Return the share of samples that are less odd; equal ones count half."""
    from scipy.stats import rankdata

    share: Array = (rankdata(scores) - 0.5) / len(scores)
    return share
