"""Why a cluster is flagged: what the analysis found, as facts that a person can weigh."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.category import Category, Rank, suffixed
from fxrelay_viz.reading import read

SIZE: Final = "cluster_size"
#: variable of a cluster -> what it is called here, and what it says
MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    schema.SUSPICION: (
        "Suspicion",
        "how clearly the most separate cluster of the class stands apart from all else; 1 is the "
        "most that one strategy cut in two reaches",
    ),
    SIZE: (
        "Samples",
        "a strategy that few samples share is easily missed by looking at examples",
    ),
    "separability": (
        "Separability",
        "how clearly the explanations of this cluster differ from all others, in the direction "
        "that parts them best; 1 is the most that one strategy cut in two reaches",
    ),
    "valley": (
        "Chance of the gap",
        "how likely a gap this deep around the cluster is, if the class were one even crowd",
    ),
    "isolation": (
        "Neighbours inside",
        "so many of the most similar explanations lie in the cluster for each one outside",
    ),
    "silhouette": (
        "Silhouette",
        "1 is far from all other clusters, 0 between two, below 0 in the wrong one",
    ),
    "surplus": (
        "Surplus at one place",
        "how much more relevance some place gets here than in the rest of the class: what the "
        "cluster has and the others lack",
    ),
}
#: variables of the clusters that are no scores
NO_SCORES: Final = ("prototype",)
#: a smaller probability is written as less than this
LEAST: Final = 1e-4


@dataclass(frozen=True)
class Reason:
    """A fact that speaks for or against a cluster: what, how much, and what that means."""

    name: str
    value: str
    meaning: str = ""


@lru_cache(maxsize=256)
def scored(category: Category, k: Any) -> str:
    """Return the clustering into k that the scores of clusters are of, or "".

    That is the one whose sizes the analysis wrote down; where it did not, the first.
    """
    known = [name for name, sweep in category.clusterings.items() if k in sweep]
    sizes = per_cluster(category, SIZE, k)
    if sizes is None or len(known) < 2:
        return next(iter(known), "")
    wanted = np.sort(sizes[sizes > 0]).tolist()
    fitting = (
        name for name in known
        if np.sort(np.unique(category.clusters(name, k), return_counts=True)[1]).tolist() == wanted
    )  # fmt: skip
    return next(fitting, known[0])


def ranked(category: Category, rank: Rank) -> str:
    """Return the clustering that the ranking speaks of, or ""."""
    if rank.n_clusters in category.clusterings.get(rank.clustering or "", {}):
        return rank.clustering or ""
    return scored(category, rank.n_clusters)


def has_scores(category: Category, clustering: str, k: Any) -> bool:
    """Return whether the analysis scored the clusters of this clustering into k."""
    if category.group is None:
        return False
    own = suffixed(category.group, SIZE, clustering) != SIZE
    return own or clustering == scored(category, k)


def sentence(rank: Rank, name: str = "") -> str:
    """Return the verdict on a class in words.

    Parameters
    ----------
    rank : Rank
    name : str
        How the most suspicious cluster is called.
    """
    if rank.suspicion is None:
        return "The analysis did not rank this class."
    limit = f"; classes are flagged from {rank.threshold:g} on" if rank.threshold else ""
    if not name:
        return f"No cluster stands apart: suspicion {rank.suspicion:.2f}{limit}."
    size = ""
    if rank.cluster_size is not None and rank.n_samples:
        size = f", {rank.cluster_size:,} of {rank.n_samples:,} samples,"
    stands = (
        f"{name}{size} stands {rank.suspicion:.1f} times as clearly apart from all else as one "
        f"strategy cut in two can{limit}."
    )
    advice = (
        "Look at what its samples share and the others lack: if that does not belong to the class, "
        "the network has learnt a shortcut."
        if rank.flagged else "It is the most separate one, but nothing is out of the ordinary."
    )  # fmt: skip
    return f"{stands} {advice}"


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
        The verdict on the class first, then every score of the cluster that the analysis made.
    """
    chosen = rank.cluster if cluster is None else cluster
    out = []
    if rank.suspicion is not None:
        verdict = "flagged" if rank.flagged else "not flagged"
        name, meaning = MEANINGS[schema.SUSPICION]
        out.append(Reason(name, f"{rank.suspicion:.3g}, {verdict}", meaning))
    if chosen is None or category.group is None:
        return out
    size = None if rank.cluster_size is None or chosen != rank.cluster else rank.cluster_size
    if size is not None and SIZE not in category.group:
        name, meaning = MEANINGS[SIZE]
        out.append(Reason(name, f"{size:,}", meaning))
    name = ranked(category, rank)
    return [*out, *scores(category, name, rank.n_clusters if k is None else k, chosen)]


def scores(category: Category, clustering: str, k: Any, cluster: int) -> Iterator[Reason]:
    """Yield every score of a cluster, with its median over the other clusters."""
    group = category.group if category.group is not None else xr.Dataset()
    sizes = per_cluster(category, suffixed(group, SIZE, clustering), k)
    for name in _score_names(group):
        values = per_cluster(category, suffixed(group, name, clustering), k)
        if values is None or values.dtype.kind not in "iuf":
            continue
        numbers = values.astype(np.float64)
        if sizes is not None and len(sizes) == len(numbers):
            numbers[sizes <= 0] = np.nan
        if cluster >= len(numbers) or not np.isfinite(numbers[cluster]):
            continue
        rest = np.delete(numbers, cluster)
        rest = rest[np.isfinite(rest)]
        other = f" (others {_number(name, float(np.median(rest)))})" if len(rest) else ""
        label, meaning = MEANINGS.get(name, (str(group[name].attrs.get("long_name", name)), ""))
        yield Reason(label, f"{_number(name, float(numbers[cluster]))}{other}", meaning)


def _score_names(group: xr.Dataset) -> list[str]:
    """Return the scores of clusters, those that are known first, without suffixes."""
    known = tuple(f"{name}_" for name in (*MEANINGS, *NO_SCORES))
    others = [n for n in map(str, group.data_vars) if n not in MEANINGS and n not in NO_SCORES]
    return [*MEANINGS, *(n for n in others if not n.startswith(known))]


def _number(name: str, value: float) -> str:
    if name == "valley" and value < LEAST:
        return f"below {LEAST:g}"
    return f"{value:,.3g}" if name != SIZE else f"{value:,.0f}"


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
