"""What a person asks next of samples and clusters: pure functions, plain data out.

Neighbours, histograms, gaps in the spectrum, prototypes and comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fxrelay_viz.category import Category, suffixed
from fxrelay_viz.explanations import CLASSED
from fxrelay_viz.reasons import has_scores, per_cluster

#: a variable of numbers is counted in so many bins
BINS: Final = 30
#: a variable with more different values is no list of values
MOST_VALUES: Final = 40


@dataclass(frozen=True, eq=False)
class Histogram:
    """How a variable is spread over all samples and over the selected ones.

    Attributes
    ----------
    name : str
    edges : float array, shape (bins + 1,), or None
        Of the bins; None where values are listed.
    labels : tuple of str
        The values in their order, or the ranges of the bins.
    values : tuple
        What the labels stand for: values, or (low, high).
    everything, selected : int arrays, shape (bins,)
    missing : int
        Samples without a number.
    """

    name: str
    edges: np.ndarray | None
    labels: tuple[str, ...]
    values: tuple[Any, ...]
    everything: np.ndarray
    selected: np.ndarray
    missing: int = 0


def histogram(
    name: str, values: np.ndarray, mask: np.ndarray, classes: Sequence[str] = (), bins: int = BINS
) -> Histogram:
    """Count a variable over all samples and over the selected ones.

    Parameters
    ----------
    name : str
        Of the variable; class indices are named by `classes`.
    values : array, shape (n,)
        Numbers are counted in bins of equal width; texts, booleans, and up to 40 different
        integers by value, the most frequent 40 of texts.
    mask : bool array, shape (n,)
    classes : sequence of str
    bins : int, >= 1

    Returns
    -------
    Histogram
    """
    if values.dtype.kind in "iub" or values.dtype.kind not in "f":
        plain = values.astype(str) if values.dtype.kind not in "iub" else values
        found, codes = np.unique(plain, return_inverse=True)
        if len(found) <= MOST_VALUES or plain.dtype.kind == "U":
            return _listed(name, found, codes, mask, classes)
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    low, high = (numbers[finite].min(), numbers[finite].max()) if finite.any() else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    everything = np.histogram(numbers[finite], edges)[0]
    selected = np.histogram(numbers[finite & mask], edges)[0]
    ranges = tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    labels = tuple(f"{a:.3g} to {b:.3g}" for a, b in ranges)
    missing = int((~finite).sum())
    return Histogram(name, edges, labels, ranges, everything, selected, missing)


def _listed(
    name: str, found: np.ndarray, codes: np.ndarray, mask: np.ndarray, classes: Sequence[str]
) -> Histogram:
    everything = np.bincount(codes, minlength=len(found))
    selected = np.bincount(codes[mask], minlength=len(found))
    kept = np.sort(np.argsort(-everything, kind="stable")[:MOST_VALUES])
    values = tuple(found[kept].tolist())
    named = name in CLASSED and len(classes) > 0
    labels = tuple(
        classes[v] if named and 0 <= v < len(classes) else str(v) or "none" for v in values
    )
    return Histogram(name, None, labels, values, everything[kept], selected[kept])


def neighbours(points: np.ndarray, position: int, k: int) -> np.ndarray:
    """Return the nearest samples, nearest first, without the sample itself.

    Parameters
    ----------
    points : float array, shape (n, d)
        The whole embedding, or features.
    position : int
    k : int, >= 0

    Returns
    -------
    int array, shape (min(k, n - 1),)
    """
    distance = np.linalg.norm(points - points[position], axis=1)
    distance[position] = np.inf
    distance = np.nan_to_num(distance, nan=np.inf)
    k = max(0, min(k, len(points) - 1))
    if not k:
        return np.zeros(0, dtype=int)
    near = np.argpartition(distance, k - 1)[:k]
    out: np.ndarray = near[np.argsort(distance[near], kind="stable")]
    return out


def eigengaps(values: np.ndarray, most: int = 3) -> list[tuple[int, float]]:
    """Return numbers of clusters that the spectrum suggests, the widest gap first.

    Parameters
    ----------
    values : float array, shape (m,)
        Eigenvalues of the normalised Laplacian, ascending.
    most : int, >= 0

    Returns
    -------
    list of (k, gap)
        A gap after the k-th smallest value speaks for k clusters; one cluster is none.

    Notes
    -----
    von Luxburg 2007, A tutorial on spectral clustering, section 8.3.
    """
    gaps = np.diff(np.asarray(values, dtype=float))[1:]
    order = np.argsort(-gaps, kind="stable")[:most]
    return [(int(n) + 2, float(gaps[n])) for n in order if gaps[n] > 0]


def prototypes(
    category: Category, clustering: str, k: Any, embedding: str, count: int = 1
) -> dict[int, np.ndarray]:
    """Return the samples that stand for each cluster: its medoid, then the next to its mean.

    The medoid that the analysis names comes first where it named one.

    Parameters
    ----------
    category : Category
    clustering, k : str, number or ''
    embedding : str
        Distances are measured in all of its axes.
    count : int, >= 1
        Samples for each cluster.

    Returns
    -------
    mapping of cluster to int array
        Positions in the category.
    """
    points, labels = category.embeddings[embedding], category.clusters(clustering, k)
    named = _named_prototypes(category, clustering, k)
    out = {}
    for cluster in np.unique(labels[labels >= 0]).tolist():
        members = np.flatnonzero(labels == cluster)
        away = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
        order = members[np.argsort(away, kind="stable")[: count + 1]].tolist()
        first = [named[cluster]] if cluster in named and named[cluster] in members else []
        out[int(cluster)] = np.array(list(dict.fromkeys([*first, *order]))[:count], dtype=int)
    return out


def _named_prototypes(category: Category, clustering: str, k: Any) -> dict[int, int]:
    if category.group is None or not has_scores(category, clustering, k):
        return {}
    ids = per_cluster(category, suffixed(category.group, "prototype", clustering), k)
    if ids is None:
        return {}
    places = category.places.get_indexer(ids)
    return {n: int(place) for n, place in enumerate(places) if place >= 0}


@dataclass(frozen=True, eq=False)
class Difference:
    """How two sets of samples differ in one variable.

    Attributes
    ----------
    name : str
    first, second : str
        Medians of numbers; else the most frequent value and its share.
    distance : float, 0 to 1
        Kolmogorov-Smirnov distance of numbers, total variation distance of values: 0 for the same
        spread, 1 where the two have nothing in common.
    """

    name: str
    first: str
    second: str
    distance: float


def compare(
    category: Category, first: np.ndarray, second: np.ndarray, names: Sequence[str] = ()
) -> list[Difference]:
    """Compare two sets of samples in every variable, the most different variable first.

    Parameters
    ----------
    category : Category
    first, second : bool arrays, shape (n,)
    names : sequence of str
        Variables; by default all of the Dataset and the analysis.

    Returns
    -------
    list of Difference
        Empty where one of the sets is.
    """
    if not first.any() or not second.any():
        return []
    every = names or list(dict.fromkeys([*category.columns, *category.scores]))
    rows = [_difference(category, name, first, second) for name in every]
    return sorted(rows, key=lambda row: -row.distance)


def _difference(category: Category, name: str, first: np.ndarray, second: np.ndarray) -> Difference:
    values = category.column(name)
    if values.dtype.kind == "f":
        x, y = (np.sort(values[m][np.isfinite(values[m])]) for m in (first, second))
        if not len(x) or not len(y):
            return Difference(name, "none", "none", 0.0)
        every = np.concatenate([x, y])
        steps = [np.searchsorted(part, every, "right") / len(part) for part in (x, y)]
        gap = float(abs(steps[0] - steps[1]).max())
        return Difference(name, f"{np.median(x):.4g}", f"{np.median(y):.4g}", gap)
    kinds = values if values.dtype.kind in "iub" else values.astype(str)
    found, codes = np.unique(kinds, return_inverse=True)
    shares = [np.bincount(codes[m], minlength=len(found)) / m.sum() for m in (first, second)]
    a, b = (_most(found, share, name, category.classes) for share in shares)
    return Difference(name, a, b, float(abs(shares[0] - shares[1]).sum() / 2))


def _most(found: np.ndarray, share: np.ndarray, name: str, classes: Sequence[str]) -> str:
    best = int(share.argmax())
    text = str(found[best])
    if name in CLASSED and text.isdecimal() and int(text) < len(classes):
        text = classes[int(text)]
    return f"{text} ({share[best]:.0%})"
