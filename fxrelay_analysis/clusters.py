"""The clusters of all categories in one table, the most suspicious first."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fxrelay.schema import CATEGORY, CLUSTER, CLUSTERING, N_CLUSTERS, RANKING, SUSPICION, describe
from fxrelay_analysis.stages.fisher import SEPARABILITY, VALLEY
from fxrelay_analysis.stages.suspicion import SURPLUS, counted, suspicion

Array = np.ndarray[Any, Any]
#: dimension of the table
RANK: Final = "rank"
SHARE: Final = "share"


class Found(NamedTuple):
    """A cluster: who belongs to it (n,), and what is said of it by name."""

    member: Array
    facts: dict[str, Any]


def accused_clustering(group: xr.Dataset) -> xr.DataArray:
    """Return the clustering (sample,) of a category in which its most suspicious cluster is.

    Raises
    ------
    ValueError
        If the group of the category has no verdict.
    """
    if "suspicious_clustering" not in group:
        raise ValueError(
            "accused_clustering: needs the group of a category with `suspicious_clustering`; got "
            f"{', '.join(map(str, group.data_vars)) or 'no variables'}. Look at its attribute "
            "`not_analysed`, or let the pipeline end in the stage verdict (or suspicion)."
        )
    found = group[CLUSTERING + str(group["suspicious_clustering"].item())]
    return found.sel({N_CLUSTERS: int(group["chosen_n_clusters"])})


def accused(group: xr.Dataset) -> xr.DataArray:
    """Return which samples of a category are in its most suspicious cluster, bool (sample,).

    Raises
    ------
    ValueError
        If the group of the category has no verdict.
    """
    return accused_clustering(group) == int(group["suspicious_cluster"])


def rank_clusters(
    tree: xr.DataTree,
    *,
    clustering: str = "kmeans",
    overlap: float = 0.5,
    level: float = suspicion.level,
) -> xr.Dataset:
    """Return the distinct clusters of all categories, most suspicious first.

    Suspicion is the separability of the cluster, 1 at most where its valley is not significant.
    A sweep finds the same samples again and again: of clusters of one category that share more
    than `overlap`, only the most suspicious is told.

    Parameters
    ----------
    tree : DataTree
        From `spray`.
    clustering : str
        Which one: ``kmeans`` stands for `clustering_kmeans`, and for those with a suffix beside
        it, ``clustering_kmeans_equalized``, with the scores of the same suffix.
    overlap : float
        Greatest Jaccard similarity of clusters that are told, in [0, 1].
    level : float
        Greatest p-value of the valley around a cluster, in [0, 1]; as of `stages.suspicion`.

    Returns
    -------
    Dataset
        dim `rank`: `category`, `clustering`, `n_clusters`, `cluster`, `suspicion`, `share` (of the
        category's samples), and whatever all categories have of each cluster: `separability`,
        `valley`, `cluster_size`, `silhouette`, `prototype`, `purity_prediction`, ...

    Raises
    ------
    ValueError
        If no category has such a clustering with `separability`, or `overlap` is out of bounds.
    """
    groups = {str(name): g.to_dataset() for name, g in tree.children.items() if name != RANKING}
    rows = [
        found.facts
        for name, group in groups.items()
        for found in _distinct(list(_clusters(name, group, clustering, level)), overlap)
    ]
    if not rows or not 0 <= overlap <= 1:
        raise ValueError(
            f"rank_clusters: needs categories with '{CLUSTERING}{clustering}' and '{SEPARABILITY}' "
            f"of it, and overlap in [0, 1]; got {len(rows)} such clusters in {len(groups)} "
            f"categories, and {overlap}. Run spray, or name another clustering."
        )
    rows.sort(key=lambda facts: -facts[SUSPICION])
    names = [name for name in rows[0] if all(name in row for row in rows)]
    columns = {name: (RANK, np.array([row[name] for row in rows])) for name in names}
    return describe(xr.Dataset(columns, {RANK: np.arange(len(rows))}))


def _clusters(name: str, group: xr.Dataset, clustering: str, level: float) -> Iterator[Found]:
    base = CLUSTERING + clustering
    endings = [v.removeprefix(base) for v in map(str, group.data_vars) if v.startswith(base)]
    suffixes = [suffix for suffix in endings if SEPARABILITY + suffix in group]
    for suffix in suffixes:
        variable = base + suffix
        labels, table = group[variable], group[SEPARABILITY + suffix]
        known = _scores(group, table.dims, suffix, suffixes)
        for at in zip(*np.nonzero(table.notnull().values), strict=True):
            here = {d: int(i) for d, i in zip(table.dims, at, strict=True)}
            place = table.isel(here)
            member = labels.values[(slice(None), *at[:-1])] == place[table.dims[-1]].item()
            scores = {score: group[score + suffix].values[at] for score in known}
            facts = {
                CATEGORY: str(group.attrs.get(CATEGORY, name)),
                "clustering": variable.removeprefix(CLUSTERING),
                N_CLUSTERS: _count(place, labels.values[(slice(None), *at[:-1])]),
                CLUSTER: place[table.dims[-1]].item(),
                SUSPICION: float(counted(place.values, scores.get(VALLEY, 1.0), level)),
                SHARE: float(member.mean()),
            }
            yield Found(member, facts | scores)


def _scores(
    group: xr.Dataset, dims: tuple[Any, ...], suffix: str, suffixes: list[str]
) -> list[str]:
    """Return the names, without their suffix, of all that is told of each cluster."""
    others = tuple(s for s in suffixes if s and s != suffix)
    named = [str(v) for v, array in group.data_vars.items() if array.dims == dims]
    mine = [v for v in named if v.endswith(suffix) and not (others and v.endswith(others))]
    return [v.removesuffix(suffix) for v in mine]


def _count(place: xr.DataArray, labels: Array) -> int:
    """Return the number of clusters that were sought, or found where no coordinate tells."""
    told = [c for n, c in place.coords.items() if str(n).startswith(N_CLUSTERS)]
    return int(told[0]) if told else int(labels.max()) + 1


def _distinct(found: list[Found], overlap: float) -> list[Found]:
    """Return clusters of one category without those that a more suspicious one stands for."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (-f.facts[SUSPICION], -f.facts.get(SURPLUS, 0.0))):
        if all(_jaccard(one.member, other.member) <= overlap for other in kept):
            kept.append(one)
    return kept


def _jaccard(a: Array, b: Array) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
