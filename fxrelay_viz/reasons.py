"""Why a cluster is flagged: what the analysis found, as facts that a person can weigh."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.category import Category, Rank
from fxrelay_viz.reading import read

#: what a score of a cluster says, by its variable
MEANINGS: Final[Mapping[str, str]] = {
    schema.SUSPICION: "how far the most separate small cluster stands off, against the most that "
    "samples of one mode reach; above the threshold the class is flagged",
    "separability": "variance between this cluster and the rest over the variance within, against "
    "the most that samples of one mode reach",
    "valley": "chance that samples of one mode leave so deep a gap around the cluster",
    "isolation": "edges of the neighbour graph that stay in the cluster for each one that leaves",
    "silhouette": "1 is far from other clusters, 0 between two, below 0 in the wrong one",
    "surplus": "how much more relevance one place gets here than in the rest of the class",
    "cluster_size": "a strategy that few samples share is easily missed by looking at examples",
}
#: variables of the clusters that are no scores
NO_SCORES: Final = ("prototype",)


@dataclass(frozen=True)
class Reason:
    """A fact that speaks for or against a cluster: what, how much, and what that means."""

    name: str
    value: str
    meaning: str = ""


def why(category: Category, rank: Rank, cluster: int | None = None, k: Any = None) -> list[Reason]:
    """Return what the analysis says of a cluster, by default of the most suspicious one.

    Parameters
    ----------
    category : Category
    rank : Rank
        Its row of the ranking.
    cluster : int, optional
    k : number, optional
        Which of a sweep of clusterings; by default the one that was ranked.

    Returns
    -------
    list of Reason
        The verdict on the class first, then every score of the cluster that the analysis made, with
        its median over the other clusters.
    """
    chosen = rank.cluster if cluster is None else cluster
    out = []
    if rank.suspicion is not None:
        verdict = "flagged" if rank.flagged else "not flagged"
        out.append(Reason(schema.SUSPICION, f"{rank.suspicion:.3g}, {verdict}",
                          MEANINGS[schema.SUSPICION]))  # fmt: skip
    if chosen is None or category.group is None:
        return out
    size = None if rank.cluster_size is None or chosen != rank.cluster else rank.cluster_size
    if size is not None and "cluster_size" not in category.group:
        out.append(Reason("cluster_size", f"{size:,}", MEANINGS["cluster_size"]))
    return [*out, *_scores(category, chosen, rank.n_clusters if k is None else k)]


def _scores(category: Category, cluster: int, k: Any) -> Iterator[Reason]:
    group = category.group if category.group is not None else xr.Dataset()
    sizes = per_cluster(category, "cluster_size", k)
    for name in map(str, group.data_vars):
        values = None if name in NO_SCORES else per_cluster(category, name, k)
        if values is None or values.dtype.kind not in "iuf":
            continue
        numbers = values.astype(np.float64)
        if sizes is not None and len(sizes) == len(numbers):
            numbers[sizes <= 0] = np.nan
        if cluster >= len(numbers) or not np.isfinite(numbers[cluster]):
            continue
        rest = np.delete(numbers, cluster)
        rest = rest[np.isfinite(rest)]
        other = f" (others {np.median(rest):,.3g})" if len(rest) else ""
        label = str(group[name].attrs.get("long_name", name))
        yield Reason(label, f"{numbers[cluster]:,.3g}{other}", MEANINGS.get(name, ""))


def per_cluster(category: Category, name: str, k: Any) -> np.ndarray | None:
    """Return a variable with the dimension cluster alone, for one value of its sweep."""
    if category.group is None or name not in category.group:
        return None
    variable = category.group[name]
    sweep = [d for d in variable.dims if d != schema.CLUSTER]
    if schema.CLUSTER not in variable.dims or len(sweep) > 1:
        return None
    if sweep:
        keys = variable[sweep[0]].values.tolist() if sweep[0] in variable.coords else []
        if k not in keys:
            return None
        variable = variable.isel({sweep[0]: keys.index(k)})
    values: np.ndarray = read(variable).values
    return values
