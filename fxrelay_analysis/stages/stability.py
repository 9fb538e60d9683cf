"""Whether a clustering comes again when only a part of the samples is clustered."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTERING, SAMPLE
from fxrelay_analysis.stage import Stage, resolve, variable
from fxrelay_analysis.stages.cluster import kmeans, spectral_clustering
from fxrelay_analysis.stages.density import dbscan, hdbscan
from fxrelay_analysis.stages.hierarchy import agglomerative
from fxrelay_analysis.stages.mixture import gaussian_mixture
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.sweeps import Sweep, clustering_of, need_same_samples, sweep_of
from fxrelay_analysis.stages.validity import cluster_array, width

Array = np.ndarray[Any, Any]
STABILITY: Final = "stability"
STABILITY_SPREAD: Final = "stability_spread"
CLUSTER_STABILITY: Final = "cluster_stability"
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
        default=None,
        objects=[None, *CLUSTERINGS],
        doc="Clustering that is repeated. None: the one that the clustering's name tells.",
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
        method: str | None,
        parameters: dict[str, Any],
        n_draws: int,
        share: float,
        replace: bool,
        seed: int,
    ) -> xr.Dataset:
        """Return `stability` ([sweep]), `stability_spread`, `cluster_stability` ([sweep], cluster).

        `stability_spread` ([sweep]) is the standard deviation over draws. NaN where there is no
        such cluster, or no draw had a sample of it.

        Raises
        ------
        ValueError
            If points and clustering do not fit, the method is not known or another than the
            clustering's, or a draw is too small for it.
        """
        array = checked(variable(embedding, SPECTRAL, "stability"), "stability")
        found = clustering_of(clustering, "stability")
        need_same_samples(array, found, "stability")
        sweep = sweep_of(found, "stability")
        again = _repeated(array, found, sweep, _method(found, method), parameters)
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


def _draws(n: int, count: int, share: float, replace: bool, seed: int) -> Iterator[Array]:
    random, size = np.random.default_rng(seed), max(2, round(share * n))
    return (np.sort(random.choice(n, min(size, n), replace=replace)) for _ in range(count))


def _method(found: xr.DataArray, given: str | None) -> str:
    name = str(found.name)
    told = [m for m in CLUSTERINGS if f"{name}_".startswith(f"{CLUSTERING}{m}_")]
    method = given or next(iter(told), None)
    if method is None or (told and method not in told):
        raise ValueError(
            f"stability: needs the method that made the clustering, one of "
            f"{', '.join(CLUSTERINGS)}; got method={given!r} for {name!r}. Name it."
        )
    return method


def _repeated(
    array: xr.DataArray, found: xr.DataArray, sweep: Sweep, method: str, parameters: dict[str, Any]
) -> Callable[[Array], Array]:
    """Return a function: positions of a draw -> its labels (n, columns), as `found` was swept."""
    stage, dims = CLUSTERINGS[method], list(sweep.shape)
    known = [name for name in stage.param if name in dims]
    if len(sweep.labels) != len(array) or len(dims) > 1 or len(known) != len(dims):
        raise ValueError(
            f"stability: needs a clustering of the {len(array)} samples by one parameter of "
            f"{method}; got dims {found.dims} of shape {found.shape}. Pass what was clustered."
        )
    values = {name: found[name].values.tolist() for name in dims}
    given = resolve(stage, dict(parameters) | values)

    def again(rows: Array) -> Array:
        try:
            result = stage.compute(array.isel({SAMPLE: rows}), **given)
        except ValueError as error:
            raise ValueError(
                f"stability: needs draws that {method} can cluster; got one of {len(rows)} of "
                f"{len(array)} samples. Raise share, or leave it out. ({error})"
            ) from error
        return sweep_of(result, "stability").labels

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
