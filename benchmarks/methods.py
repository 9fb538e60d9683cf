"""What ranks the classes of the artefact benchmark: spray, parts of it, and others."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay_analysis import Store, spray, stages
from fxrelay_analysis.pipeline import Parameters, Pipeline, Step
from fxrelay_analysis.presets import EQUALIZED, SPRAY

Tree = xr.DataTree

#: the default of `spray`, without what does not decide the verdict
WHOLE: Final = SPRAY.only("verdict")


def ours(
    ds: xr.Dataset, store: Store, pipeline: Pipeline = WHOLE, parameters: Parameters | None = None
) -> Tree:
    """Return what `spray` finds."""
    return spray(ds, store=store, pipeline=pipeline, parameters=parameters, progress=False)


def of(*judgements: str) -> Pipeline:
    """Return the default with these judgements alone."""
    return WHOLE.extend(Step("verdict", stages.verdict, judgements)).only("verdict")


def alone() -> Pipeline:
    """Return the default in which no class is compared with others."""
    fishers = [step for step in WHOLE.steps if step.stage is stages.fisher]
    return WHOLE.extend(*(replace(step, inputs=step.inputs[:2]) for step in fishers))


def both(step: str, **parameters: Any) -> Parameters:
    """Return parameters of a step in both metrics."""
    return {step: parameters, f"{step}_{EQUALIZED}": parameters}


def chance(ds: xr.Dataset, store: Store) -> Tree:
    """Return the classes in a random order, and a random half of each as its cluster."""
    random = np.random.default_rng(int(np.abs(ds["relevance"].values).sum()))

    def judge(embedded: xr.Dataset, found: xr.DataArray) -> tuple[float, int, int]:
        found[:] = random.integers(0, 2, found.shape)
        return random.random(), 2, 0

    return _per_class(ds, store, judge, range(2, 3))


def plain(ds: xr.Dataset, store: Store) -> Tree:
    """SpRAy as published, at most 5 clusters, ranked by Fisher's ratio in the embedding."""
    return _per_class(ds, store, _fisher_of_embedding, range(2, 6))


def eigengap(ds: xr.Dataset, store: Store) -> Tree:
    """SpRAy as published; the largest eigengap ranks, and says how many clusters."""
    return _per_class(ds, store, _gap, range(2, 9))


def _per_class(ds: xr.Dataset, store: Store, judge: Callable[..., Any], counts: range) -> Tree:
    groups = {}
    for name in np.unique(ds["label"]):
        part = ds["relevance"][ds["label"].values == name]
        near = store.cache(stages.neighbours)(store.cache(stages.preprocess)(part, power=1.0))
        graph = store.cache(stages.affinity)(near)
        embedded = store.cache(stages.spectral_embedding)(graph)
        found = stages.kmeans(embedded, n_clusters=counts)
        score, k, cluster = judge(embedded, found)
        groups[str(name)] = xr.Dataset(
            {"clustering_kmeans": found, "suspicious_clustering": "kmeans",
             "chosen_n_clusters": k, "suspicious_cluster": cluster, "suspicion": score,
             "flagged": False}
        )  # fmt: skip
    order = sorted(groups, key=lambda name: -float(groups[name]["suspicion"]))
    ranking = xr.Dataset(
        {"suspicion": ("category", [float(groups[n]["suspicion"]) for n in order]),
         "flagged": ("category", [False] * len(order))}, {"category": order},
    )  # fmt: skip
    return Tree.from_dict({"/ranking": ranking} | {f"/{n}": group for n, group in groups.items()})


def _fisher_of_embedding(embedded: xr.Dataset, found: xr.DataArray) -> tuple[float, int, int]:
    """Return the greatest Fisher ratio of a cluster along its linear discriminant, and which."""
    best = (0.0, 2, 0)
    for k in found["n_clusters"].values:
        x = embedded["embedding_spectral"].values[:, :k]
        for cluster in range(int(found.sel(n_clusters=k).max()) + 1):
            member = found.sel(n_clusters=k).values == cluster
            shift = x[member].mean(axis=0) - x[~member].mean(axis=0)
            within = np.cov(np.where(member[:, None], x - x[member].mean(axis=0),
                                     x - x[~member].mean(axis=0)).T, bias=True)  # fmt: skip
            ridge = 1e-3 * np.trace(within) / k * np.eye(k)
            share = member.mean()
            ratio = share * (1 - share) * shift @ np.linalg.solve(within + ridge, shift)
            best = max(best, (float(ratio), int(k), cluster))
    return best


def _gap(embedded: xr.Dataset, found: xr.DataArray) -> tuple[float, int, int]:
    """Return the largest gap after 2 or more eigenvalues, and the smallest cluster there."""
    gaps = stages.eigengap(embedded).values[1 : 1 + found.sizes["n_clusters"]]
    k = int(np.argmax(gaps)) + 2
    return float(gaps.max()), k, int(found.sel(n_clusters=k).max())


#: name -> what ranks the classes, and whether it looks at relevance or at the images themselves
METHODS: Final[Mapping[str, tuple[Callable[[xr.Dataset, Store], Tree], str]]] = {
    "spray": (ours, "maps"),
    "classes not compared": (partial(ours, pipeline=alone()), "maps"),
    "relevance as it is only": (partial(ours, pipeline=of("suspicion")), "maps"),
    "equalized only": (partial(ours, pipeline=of(f"suspicion_{EQUALIZED}")), "maps"),
    "without valleys": (partial(ours, parameters=both("suspicion", level=1.0)), "maps"),
    "k up to 5": (partial(ours, parameters=both("kmeans", n_clusters=range(2, 6))), "maps"),
    "plain SpRAy, Fisher, k up to 5": (plain, "maps"),
    "plain SpRAy, eigengap": (eigengap, "maps"),
    "spray on the images": (ours, "images"),
    "random order": (chance, "maps"),
}
