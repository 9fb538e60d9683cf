"""How many clusters? Every criterion beside the others, with what it suggests."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import COMPONENT, N_CLUSTERS
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.gap import GAP, GAP_ERROR
from fxrelay_analysis.stages.mixture import AIC, BIC
from fxrelay_analysis.stages.points import dataset
from fxrelay_analysis.stages.separation import (
    CALINSKI_HARABASZ,
    DAVIES_BOULDIN,
    MEAN_SILHOUETTE,
)
from fxrelay_analysis.stages.stability import STABILITY
from fxrelay_analysis.stages.validity import EIGENGAP

Array = np.ndarray[Any, Any]
CRITERION: Final = "criterion"
SCORE: Final = "score"
SUGGESTED: Final = "suggested_n_clusters"
VOTES: Final = "votes"


class Criterion(NamedTuple):
    """A row of `CRITERIA`: where the least is best, `sign` is -1."""

    sign: int = 1
    pick: Callable[[Array, Array], int] = lambda values, _: int(np.nanargmax(values))


def _first_within_error(gap: Array, error: Array) -> int:
    """Return where gap(k) >= gap(k + 1) - error(k + 1) first; the last where nowhere."""
    fine = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
    return int(fine[0]) if len(fine) else len(gap) - 1


def _last_greatest(values: Array, _: Array) -> int:
    """Return the last place of the greatest value: groups of stable clusters are stable as well."""
    return int(np.flatnonzero(values >= values.max() - 1e-9)[-1])


#: variable -> how it suggests a number of clusters
CRITERIA: Final[Mapping[str, Criterion]] = {
    EIGENGAP: Criterion(),
    MEAN_SILHOUETTE: Criterion(),
    CALINSKI_HARABASZ: Criterion(),
    DAVIES_BOULDIN: Criterion(-1),
    BIC: Criterion(-1),
    AIC: Criterion(-1),
    STABILITY: Criterion(pick=_last_greatest),
    GAP: Criterion(pick=_first_within_error),
}


class choose_n_clusters(Stage):
    """Put all scores of a sweep over numbers of clusters side by side, with the k each suggests.

    eigengap, silhouette, Calinski-Harabasz and stability suggest the k of their greatest value,
    Davies-Bouldin, BIC and AIC that of their least, the gap statistic the least k that is within
    its error of the next. The eigengap is read at the k of the other scores where there are any.
    Of equal values the least k counts; for stability the greatest, as groups of stable clusters
    are stable as well.
    """

    version: ClassVar[int] = 1
    least = param.Integer(2, bounds=(1, None), doc="Least number of clusters that is suggested.")

    @staticmethod
    def compute(*scores: xr.DataArray | xr.Dataset, least: int) -> xr.Dataset:
        """Return `score` (criterion, n_clusters), `suggested_n_clusters` (criterion), `votes`.

        `votes` (n_clusters) counts the criteria that suggest k. NaN fills scores that a criterion
        does not have, and 0 stands for no suggestion; scores may be infinite, as given.

        Raises
        ------
        ValueError
            If there is no score, or one of several clusterings.
        """
        found = _by_name(scores)
        names = [name for name in CRITERIA if name in found]
        if not names:
            raise ValueError(
                f"choose_n_clusters: needs scores with dim '{N_CLUSTERS}' among "
                f"{', '.join(CRITERIA)}; got none. Pass the results of silhouette, stability, ..."
            )
        swept = [name for name in names if name != EIGENGAP] or names
        counts = np.unique(np.concatenate([_counts(found[name]) for name in swept]))
        table = np.stack([_at(found[name], counts) for name in names])
        error = _at(found[GAP_ERROR], counts) if GAP_ERROR in found else np.zeros(len(counts))
        chosen = [
            _suggestion(CRITERIA[n], row, error, counts, least)
            for n, row in zip(names, table, strict=True)
        ]
        return dataset(
            {
                SCORE: ((CRITERION, N_CLUSTERS), table),
                SUGGESTED: ((CRITERION,), np.array(chosen, np.int32)),
                VOTES: ((N_CLUSTERS,), np.array([chosen.count(k) for k in counts], np.int32)),
            },
            {CRITERION: names, N_CLUSTERS: counts},
        )


def _by_name(scores: tuple[xr.DataArray | xr.Dataset, ...]) -> dict[str, xr.DataArray]:
    """Return every variable of the scores that counts clusters, by name."""
    sets = [s.data_vars if isinstance(s, xr.Dataset) else {s.name: s} for s in scores]
    every: dict[str, xr.DataArray] = {}
    for name, array in (item for named in sets for item in named.items()):
        if str(name) in CRITERIA and str(name) in every:
            raise ValueError(
                f"choose_n_clusters: needs each score once; got '{name}' of several clusterings. "
                "Choose for one clustering at a time."
            )
        every[str(name)] = array
    wanted = {EIGENGAP: (COMPONENT,)} | dict.fromkeys([*CRITERIA, GAP_ERROR][1:], (N_CLUSTERS,))
    return {name: array for name, array in every.items() if array.dims == wanted.get(name)}


def _counts(score: xr.DataArray) -> Array:
    """Return the numbers of clusters that a score is of."""
    swept = N_CLUSTERS in score.dims
    counts: Array = score[N_CLUSTERS].values if swept else 1 + np.arange(score.size)
    return counts


def _at(score: xr.DataArray, counts: Array) -> Array:
    """Return the values of a score at numbers of clusters, NaN where it has none."""
    values = dict(zip(_counts(score).tolist(), score.values.tolist(), strict=True))
    return np.array([values.get(k, np.nan) for k in counts.tolist()])


def _suggestion(row: Criterion, values: Array, error: Array, counts: Array, least: int) -> int:
    usable = np.flatnonzero(~np.isnan(values) & (counts >= least))
    if not len(usable):
        return 0
    return int(counts[usable[row.pick(row.sign * values[usable], error[usable])]])
