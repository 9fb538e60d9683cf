"""What the clusters of a category tell: isolation, surplus, suspicion, and the verdict."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import CLUSTER, N_CLUSTERS, SUSPICION
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Reference, Stage, labelled, variable
from fxrelay_analysis.stages.fisher import OTHERS, SEPARABILITY, VALLEY
from fxrelay_analysis.stages.graph import GRAPH, matrix
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.sweeps import need_same_samples
from fxrelay_analysis.stages.validity import SIZE, per_cluster

Array = np.ndarray[Any, Any]
ISOLATION: Final = "isolation"
SURPLUS: Final = "surplus"
#: compared with other categories or not -> suspicion that clean categories do not reach
THRESHOLDS: Final = {True: 2.0, False: 3.3}


class isolation(Stage):
    """Count the edges of each cluster for every one that leaves it: 1 / conductance.

    Conductance is cut(S, rest) / min(vol S, vol rest); a cluster without outgoing edges gets its
    volume. (von Luxburg 2007, section 5.)
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {"graph": GRAPH}

    @staticmethod
    def compute(graph: xr.Dataset, clustering: xr.DataArray) -> xr.DataArray:
        """Return `isolation`, dims (n_clusters, cluster); NaN where there is no such cluster."""
        need_same_samples(graph, clustering, "isolation")
        weights = matrix(graph, "isolation")
        return per_cluster(clustering, ISOLATION, lambda member, _: _isolation(weights, member))


class surplus(Stage):
    """Find how much relevance a cluster has where the rest has least: max_f (mean_in - mean_out).

    Of the two sides of a cut, the greater surplus tells which one has something that the other
    lacks.
    """

    version: ClassVar[int] = 1

    @staticmethod
    def compute(features: xr.DataArray, clustering: xr.DataArray) -> xr.DataArray:
        """Return `surplus`, dims (n_clusters, cluster); NaN where a cluster has no rest."""
        need_same_samples(features, clustering, "surplus")
        x = checked(features, "surplus").values

        def score(member: Array, _: Array) -> float:
            if member.all():
                return float("nan")
            return float((x[member].mean(axis=0) - x[~member].mean(axis=0)).max())

        return per_cluster(clustering, SURPLUS, score)


class suspicion(Stage):
    """Judge a clustering by its most separable cluster that is a mode of its own.

    Suspicion is the greatest separability (see `fisher`) over all clusters of the sweep, where a
    cluster without a valley around it (`valley` above `level`) counts 1 at most: 1 is what a cut
    through a category with a single strategy can reach. From `threshold` on the category is
    flagged. Clean categories have modes of their own too (sevens with and without a bar):
    `benchmarks/artefacts.py` tells how often they reach more, and chose `level` and `threshold`.
    A cluster of fewer than about 16 samples cannot have a significant valley. Where both sides of
    a cut are equally separable, the one with the greater surplus is named.
    """

    version: ClassVar[int] = 3
    needs: ClassVar[Mapping[str, Variables]] = {
        "scores": dict.fromkeys((SEPARABILITY, VALLEY), (N_CLUSTERS, CLUSTER))
    }
    level = param.Number(
        0.01, bounds=(0, 1), doc="Greatest p-value of the valley around a cluster that counts."
    )
    threshold = param.Number(
        None,
        bounds=(0, None),
        allow_None=True,
        doc="Suspicion from which on to flag. By default 2 where clusters were compared with "
        "other categories, else 3.3.",
    )
    clustering = Reference("kmeans", doc="What the clustering is called in the tree.")

    @staticmethod
    def compute(
        scores: xr.Dataset,
        size: xr.DataArray,
        surplus: xr.DataArray,
        *,
        level: float,
        threshold: float | None,
        clustering: str,
    ) -> xr.Dataset:
        """Return `suspicion`, `flagged`, and which cluster of which clustering is accused.

        These are `suspicious_clustering`, `chosen_n_clusters`, `suspicious_cluster` (-1: none) and
        `suspicious_size`. Attributes: `level` and the `threshold` that was used.
        """
        size = variable(size, SIZE, "suspicion").transpose(N_CLUSTERS, CLUSTER)
        surplus = variable(surplus, SURPLUS, "suspicion").transpose(N_CLUSTERS, CLUSTER)
        count, reached = size.values, np.nan_to_num(scores[SEPARABILITY].values)
        least = THRESHOLDS[bool(scores.attrs.get(OTHERS))] if threshold is None else threshold
        value = counted(reached, scores[VALLEY].values, level)
        best = value.max()
        equal = np.argwhere(value >= best * (1 - 1e-6)) if best > 0 else [(0, 0)]
        row, cluster = min(map(tuple, equal), key=lambda at: (at[0], -surplus.values[at]))
        ds = xr.Dataset(
            {
                SUSPICION: float(best),
                "flagged": bool(best >= least > 0),
                "suspicious_clustering": clustering,
                "chosen_n_clusters": np.int32(size[N_CLUSTERS].values[row]),
                "suspicious_cluster": np.int32(cluster if best > 0 else -1),
                "suspicious_size": np.int32(count[row, cluster] if best > 0 else 0),
            },
            attrs={"level": level, "threshold": least},
        )
        return ds.assign({name: labelled(ds[name], str(name)) for name in ds.data_vars})


def counted(separability: Array, valley: Array, level: float) -> Array:
    """Return what separabilities count: 1 at most where the valley is not significant."""
    return np.where(valley <= level, separability, np.minimum(separability, 1.0))


class verdict(Stage):
    """Take the greatest suspicion of several clusterings, the first one where they are equal."""

    version: ClassVar[int] = 1

    @staticmethod
    def compute(*judgements: xr.Dataset) -> xr.Dataset:
        """Return the judgement, as of `suspicion`.

        Raises
        ------
        ValueError
            If there is none, or one without a finite suspicion.
        """
        lacking = [i for i, ds in enumerate(judgements)
                   if SUSPICION not in ds or not np.isfinite(ds[SUSPICION])]  # fmt: skip
        if lacking or not judgements:
            raise ValueError(
                f"verdict: needs judgements with a finite '{SUSPICION}'; got none "
                + (f"in input {', '.join(map(str, lacking))}." if lacking else "at all.")
                + " Pass results of the stage suspicion."
            )
        return max(judgements, key=lambda ds: float(ds[SUSPICION])).copy()


def _isolation(weights: csr_array, member: Array) -> float:
    inside = member.astype(np.float64)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    cut = float(inside @ (weights @ (1 - inside)))
    volume = min(float(degree @ inside), float(degree @ (1 - inside)))
    return volume / cut if cut > 0 else volume
