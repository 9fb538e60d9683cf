"""Whether a clustering comes again: under resampling, and against data without clusters."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import N_CLUSTERS, SAMPLE
from fxrelay_analysis.stage import Counts, Stage, resolve, variable
from fxrelay_analysis.stages.cluster import (
    LEADING_DOC,
    Clustering,
    checked_counts,
    kmeans,
    parts,
    solving,
    spectral_clustering,
)
from fxrelay_analysis.stages.density import dbscan, hdbscan
from fxrelay_analysis.stages.hierarchy import agglomerative
from fxrelay_analysis.stages.mixture import gaussian_mixture
from fxrelay_analysis.stages.points import dataset, points
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.sweeps import Sweep, sweep_of
from fxrelay_analysis.stages.validity import cluster_array, clustering_of, width

Array = np.ndarray[Any, Any]
STABILITY: Final = "stability"
STABILITY_SPREAD: Final = "stability_spread"
CLUSTER_STABILITY: Final = "cluster_stability"
GAP: Final = "gap"
GAP_ERROR: Final = "gap_error"
#: method -> clustering that is repeated
CLUSTERINGS: Final[Mapping[str, type[Stage]]] = {
    stage.__name__: stage
    for stage in (kmeans, gaussian_mixture, spectral_clustering, agglomerative, dbscan, hdbscan)
}


class stability(Stage):
    """Cluster random parts of the samples again, and compare with the clustering of all.

    The adjusted Rand index compares on the samples that were drawn: 1 is the same clustering, 0
    what chance gives. A cluster is as stable as the mean over draws of the greatest Jaccard
    similarity |A & B| / |A | B| with a cluster of the draw: below 0.6 it should not be trusted,
    from 0.85 on it is highly stable. (Hennig 2007, section 3; Hubert and Arabie 1985.)
    """

    version: ClassVar[int] = 1
    method = param.Selector(
        default="kmeans", objects=list(CLUSTERINGS), doc="Clustering that is repeated."
    )
    parameters = param.Dict(
        {}, doc="Its parameters as the clustering was made, that of the sweep left out."
    )
    n_draws = param.Integer(20, bounds=(1, None), doc="How many parts are drawn.")
    share = param.Number(
        0.8,
        bounds=(0, 1),
        inclusive_bounds=(False, True),
        doc="Share of the samples in one part, at least 2 samples.",
    )
    replace = param.Boolean(
        False, doc="Draw with replacement (with share 1 the bootstrap); else each sample once."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the draws.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        clustering: xr.DataArray | xr.Dataset,
        *,
        method: str,
        parameters: dict[str, Any],
        n_draws: int,
        share: float,
        replace: bool,
        seed: int,
    ) -> xr.Dataset:
        """Return `stability` ([sweep]), `stability_spread`, `cluster_stability` ([sweep], cluster).

        `stability_spread` ([sweep]) is the standard deviation over draws.

        Raises
        ------
        ValueError
            If points and clustering do not fit, or a draw is too small for the clustering.
        """
        array = checked(variable(embedding, SPECTRAL, "stability"), "stability")
        found = clustering_of(clustering, "stability")
        sweep = sweep_of(found, "stability")
        again = _repeated(array, found, sweep, method, parameters)
        rand, jaccard = [], []
        for rows in _draws(len(array), n_draws, share, replace, seed):
            labels = again(rows)
            rand.append([_rand(a, b) for a, b in zip(sweep.labels[rows].T, labels.T, strict=True)])
            jaccard.append(_similar(sweep, rows, labels))
        spread = np.std(rand, axis=0)
        ds = sweep.array(np.mean(rand, axis=0), (), {}, STABILITY).to_dataset()
        return ds.assign(
            {
                STABILITY_SPREAD: sweep.array(spread, (), {}, STABILITY_SPREAD),
                CLUSTER_STABILITY: cluster_array(sweep, _known_mean(jaccard), CLUSTER_STABILITY),
            }
        )


class gap_statistic(Clustering):
    """Compare the spread within k clusters with that in data without any.

    gap(k) = mean_b log W_kb - log W_k, W the squared distances to the means of k-means; reference
    b is uniform in the box of the samples along their principal axes. `gap_error` is
    sd_b (1 + 1/B)^1/2; the least k with gap(k) >= gap(k+1) - gap_error(k+1) is suggested.
    (Tibshirani, Walther and Hastie 2001, section 3.)
    """

    version: ClassVar[int] = 1
    n_clusters = Counts(range(1, 9), low=1, doc=Clustering.param.n_clusters.doc)
    n_references = param.Integer(10, bounds=(2, None), doc="Data sets without clusters.")
    n_starts = param.Integer(4, bounds=(1, None), doc="Random starts of k-means.")
    leading = param.Boolean(True, doc=LEADING_DOC)
    seed = param.Integer(0, bounds=(0, None), doc="Seed of references and starts.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: Any,
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
        gaps, errors = [], []
        with solving():
            for k, x in parts(given, counts, leading):
                own = _log_spread(x, k, n_starts, seed)
                others = [
                    _log_spread(_box(x, random), k, n_starts, seed) for _ in range(n_references)
                ]
                gaps.append(np.mean(others) - own)
                errors.append(np.std(others) * np.sqrt(1 + 1 / n_references))
        return dataset(
            {GAP: ((N_CLUSTERS,), gaps), GAP_ERROR: ((N_CLUSTERS,), errors)}, {N_CLUSTERS: counts}
        )


def _draws(n: int, count: int, share: float, replace: bool, seed: int) -> Iterator[Array]:
    random, size = np.random.default_rng(seed), max(2, round(share * n))
    return (np.sort(random.choice(n, min(size, n), replace=replace)) for _ in range(count))


def _repeated(
    array: xr.DataArray, found: xr.DataArray, sweep: Sweep, method: str, parameters: dict[str, Any]
) -> Any:
    """Return a function: positions of a draw -> its labels (n, columns), as `found` was swept."""
    stage, dims = CLUSTERINGS[method], list(sweep.shape)
    known = [name for name in stage.param if name in dims]
    if len(sweep.labels) != len(array) or len(dims) > 1 or len(known) != len(dims):
        raise ValueError(
            f"stability: needs a clustering of the {len(array)} samples by one parameter of "
            f"{method}; got dims {found.dims} of shape {found.shape}. Name the method that it has."
        )
    values = {name: found[name].values.tolist() for name in dims}
    given = resolve(stage, dict(parameters) | values)

    def again(rows: Array) -> Array:
        result = stage.compute(array.isel({SAMPLE: rows}), **given)
        return sweep_of(clustering_of(result, "stability"), "stability").labels

    return again


def _rand(a: Array, b: Array) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(a, b))


def _known_mean(draws: list[Array]) -> Array:
    """Return the mean over draws of what is not NaN; NaN where nothing is known."""
    values = np.array(draws)
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(0))


def _similar(sweep: Sweep, rows: Array, labels: Array) -> Array:
    """Return the greatest Jaccard similarity (columns, clusters); NaN where none was drawn."""
    out = np.full((labels.shape[1], width(sweep)), np.nan)
    for column, (was, now) in enumerate(zip(sweep.labels[rows].T, labels.T, strict=True)):
        for cluster in range(int(was.max()) + 1):
            member = was == cluster
            if member.any():
                both = [
                    ((now == c) & member).sum() / ((now == c) | member).sum()
                    for c in range(now.max() + 1)
                ]
                out[column, cluster] = max(both, default=0.0)
    return out


def _box(x: Array, random: np.random.Generator) -> Array:
    """Return uniform points (n, d) in the box of x along its principal axes."""
    centre = x.mean(axis=0)
    axes = np.linalg.svd(x - centre, full_matrices=False)[2]
    along = (x - centre) @ axes.T
    drawn: Array = random.uniform(along.min(axis=0), along.max(axis=0), along.shape) @ axes
    return drawn


def _log_spread(x: Array, k: int, n_starts: int, seed: int) -> float:
    from sklearn.cluster import KMeans

    spread = KMeans(k, n_init=n_starts, random_state=seed).fit(x).inertia_
    return float(np.log(max(spread, np.finfo(np.float64).tiny)))
