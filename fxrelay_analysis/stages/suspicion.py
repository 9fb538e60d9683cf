"""What the clusters of a category tell: isolation, surplus, and the verdict: suspicion."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import CLUSTER, N_CLUSTERS, SUSPICION
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.fisher import SEPARABILITY, VALLEY
from fxrelay_analysis.stages.graph import GRAPH, matrix
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.sweeps import need_same_samples
from fxrelay_analysis.stages.validity import SIZE, per_cluster

Array = np.ndarray[Any, Any]
ISOLATION: Final = "isolation"
SURPLUS: Final = "surplus"


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
    """Judge a category by its most separable cluster that is a mode of its own.

    Suspicion is the greatest separability (see `fisher`) over all clusters of the sweep, where a
    cluster without a valley around it (`valley` above `level`) counts 1 at most: 1 is what a cut
    through a category with a single strategy can reach. From `threshold` on the category is
    flagged. Clean categories have lesser modes of their own (sevens with and without a bar): among
    digits they reach 2.8. `benchmarks/artefacts.py` tells how often more is reached without an
    artefact and with one, and chose `level` and `threshold`. A cluster of fewer than about 16
    samples cannot have a significant valley.
    Both sides of a cut are equally separable: the one with the greater surplus is named.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Mapping[str, Variables]] = {
        "scores": dict.fromkeys((SEPARABILITY, VALLEY), (N_CLUSTERS, CLUSTER))
    }
    level = param.Number(
        0.01, bounds=(0, 1), doc="Greatest p-value of the valley around a cluster that counts."
    )
    threshold = param.Number(3.0, bounds=(0, None), doc="Suspicion from which on to flag.")

    @staticmethod
    def compute(
        scores: xr.Dataset,
        size: xr.DataArray,
        surplus: xr.DataArray,
        *,
        level: float,
        threshold: float,
    ) -> xr.Dataset:
        """Return `suspicion`, `flagged`, `chosen_n_clusters`, `suspicious_cluster` and its size."""
        size = variable(size, SIZE, "suspicion").transpose(N_CLUSTERS, CLUSTER)
        surplus = variable(surplus, SURPLUS, "suspicion").transpose(N_CLUSTERS, CLUSTER)
        count, reached = size.values, np.nan_to_num(scores[SEPARABILITY].values)
        own = scores[VALLEY].values <= level
        value = np.where(own, reached, np.minimum(reached, 1.0))
        best = value.max()
        equal = np.argwhere(value >= best * (1 - 1e-6)) if best > 0 else [(0, 0)]
        row, cluster = min(map(tuple, equal), key=lambda at: (at[0], -surplus.values[at]))
        ds = xr.Dataset(
            {
                SUSPICION: float(best),
                "flagged": bool(best >= threshold > 0),
                "chosen_n_clusters": np.int32(size[N_CLUSTERS].values[row]),
                "suspicious_cluster": np.int32(cluster if best > 0 else -1),
                "suspicious_size": np.int32(count[row, cluster] if best > 0 else 0),
            },
            attrs={"level": level, "threshold": threshold},
        )
        return ds.assign({name: labelled(ds[name], str(name)) for name in ds.data_vars})


def _isolation(weights: csr_array, member: Array) -> float:
    inside = member.astype(np.float64)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    cut = float(inside @ (weights @ (1 - inside)))
    volume = min(float(degree @ inside), float(degree @ (1 - inside)))
    return volume / cut if cut > 0 else volume
