"""Clusterings into given numbers of clusters, as one sweep with a dimension for the number."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTERING, N_CLUSTERS, SAMPLE
from fxrelay_analysis.stage import Counts, Stage, labelled
from fxrelay_analysis.stages.points import Points, PointStage, points
from fxrelay_analysis.stages.starts import kmeans_fits
from fxrelay_analysis.stages.vectors import unit
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
KMEANS: Final = CLUSTERING + "kmeans"
SPECTRAL_CLUSTERING: Final = CLUSTERING + "spectral_clustering"
LEADING: Final = "leading"  # attribute: 1 if k clusters were sought in the first k components
LEADING_DOC: Final = "Of a spectral embedding, seek k clusters in the first k components only."


class Reals(Counts):
    """A number, or several (a list or tuple): the values of a sweep, each above `low`."""

    def _validate(self, val: Any) -> None:
        values = [val] if isinstance(val, (int, float)) else val
        fine = isinstance(values, (list, tuple)) and len(values) > 0
        if not fine or any(type(v) not in (int, float) or not v > self.low for v in values):
            raise ValueError(
                f"{self.name!r} must be a number > {self.low} or a list or tuple of such, not "
                f"{val!r}."
            )

    @staticmethod
    def settle(value: Any) -> list[Any]:
        """Return the one form of a sweep's values: a list of floats."""
        return [float(value)] if isinstance(value, (int, float)) else list(map(float, value))


class Clustering(PointStage):
    """A stage that seeks given numbers of clusters among points."""

    n_clusters = Counts(range(2, 9), low=1, doc="Numbers of clusters: an integer or several.")


class kmeans(Clustering):
    """Cluster by k-means for every number of clusters asked for.

    Clusters are numbered by size, 0 the largest. Of a spectral embedding, k clusters are sought in
    the first k components (`leading`), with rows of unit length (Ng, Jordan and Weiss 2001, step
    4). Fewer distinct points than clusters give fewer clusters. Where all k are sought among the
    same rows, the first k of the centres drawn for the largest k start them (`kmeans_fits`).
    """

    version: ClassVar[int] = 3
    leading = param.Boolean(True, doc=LEADING_DOC)
    n_starts = param.Integer(8, bounds=(1, None), doc="Random starts; the best result is kept.")
    init = param.Selector(
        default="k-means++",
        objects=["k-means++", "random"],
        doc="Starting centres: far from each other, or any samples.",
    )
    n_iterations = param.Integer(300, bounds=(1, None), doc="Most steps of one start.")
    tolerance = param.Number(
        1e-4,
        bounds=(0, None),
        doc="Step of the centres, in spreads of the data, that ends a start.",
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the starts.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_clusters: list[int],
        leading: bool,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.DataArray:
        """Return `clustering_kmeans`, dims (sample, n_clusters), int32.

        Raises
        ------
        ValueError
            If there are fewer samples than clusters, or a value is not finite.
        """
        given = points(embedding, "kmeans", unit_rows)
        counts = checked_counts(n_clusters, len(given.rows), "kmeans")
        with solving():
            labels = [
                fit.labels_
                for ks, x in shared(given, counts, leading)
                for fit in kmeans_fits(x, ks, **options)
            ]
        return swept(labels, given.ids, KMEANS, N_CLUSTERS, counts, leading)


class spectral_clustering(Stage):
    """Cut a graph into k clusters by the first k components of its spectral embedding.

    kmeans seeks clusters among the rows, of unit length (Ng, Jordan and Weiss 2001). cluster_qr
    assigns by a pivoted QR decomposition, without a seed (Damle, Minden and Ying 2019). discretize
    seeks the nearest matrix of memberships (Yu and Shi 2003).
    """

    version: ClassVar[int] = 1
    n_clusters = Counts(range(2, 9), low=1, doc=Clustering.param.n_clusters.doc)
    assign = param.Selector(
        default="kmeans",
        objects=["kmeans", "cluster_qr", "discretize"],
        doc="How rows of components become clusters.",
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of kmeans and discretize.")

    @staticmethod
    def compute(
        spectrum: xr.DataArray | xr.Dataset, *, n_clusters: list[int], assign: str, seed: int
    ) -> xr.DataArray:
        """Return `clustering_spectral_clustering`, dims (sample, n_clusters), int32.

        Raises
        ------
        ValueError
            If there are fewer samples or components than clusters, or a value is not finite.
        """
        given = points(spectrum, "spectral_clustering")
        counts = checked_counts(n_clusters, len(given.rows), "spectral_clustering")
        if max(counts) > given.rows.shape[1]:
            raise ValueError(
                f"spectral_clustering: needs as many components as clusters, {max(counts)}; got "
                f"{given.rows.shape[1]}. Raise n_components of the embedding or lower n_clusters."
            )
        with solving():
            labels = [ASSIGN[assign](given.rows[:, :k], seed) for k in counts]
        return swept(labels, given.ids, SPECTRAL_CLUSTERING, N_CLUSTERS, counts, leading=True)


def checked_counts(counts: list[int], n_samples: int, where: str, least: int = 1) -> list[int]:
    """Return the numbers of clusters of a sweep.

    Raises
    ------
    ValueError
        If there are fewer samples than clusters, or than `least`.
    """
    if max(*counts, least) > n_samples:
        raise ValueError(
            f"{where}: needs at least as many samples as clusters, {max(*counts, least)}; got "
            f"{n_samples}. Lower n_clusters."
        )
    return counts


def shared(
    given: Points, counts: Sequence[int], leading: bool
) -> Iterator[tuple[Sequence[int], Array]]:
    """Yield numbers of clusters and the rows (n, d) among which all of them are sought."""
    if leading and given.spectral:
        yield from (([k], given.first(k)) for k in counts)
    else:
        yield counts, given.scaled()


def parts(given: Points, counts: Sequence[int], leading: bool) -> Iterator[tuple[int, Array]]:
    """Yield k and the rows (n, d) among which k clusters are sought."""
    return ((k, x) for ks, x in shared(given, counts, leading) for k in ks)


@contextmanager
def solving() -> Iterator[None]:
    """Run one thread, for results that depend on nothing else; solvers do not warn.

    What they would say is in the result: clusters that are missing, or `converged`.
    """
    import sklearn.cluster  # noqa: F401 - what solvers load is there before threads are limited
    from sklearn.exceptions import ConvergenceWarning

    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def swept(
    labels: Sequence[Array],
    ids: dict[str, xr.DataArray],
    name: str,
    dim: str,
    values: Sequence[Any],
    leading: bool = False,
) -> xr.DataArray:
    """Return labels (n,) of each value of a sweep as one array (sample, dim), numbered by size."""
    return numbered([by_size(column) for column in labels], ids, name, dim, values, leading)


def numbered(
    labels: Sequence[Array],
    ids: dict[str, xr.DataArray],
    name: str,
    dim: str,
    values: Sequence[Any],
    leading: bool,
) -> xr.DataArray:
    """Return labels (n,) of each value of a sweep as one array (sample, dim), int32.

    The attribute `leading` tells scores among which components k clusters were sought.
    """
    columns = np.stack(labels, axis=1).astype(np.int32)
    coords, note = ids | {dim: list(values)}, {LEADING: int(leading)}
    return labelled(xr.DataArray(columns, coords, (SAMPLE, dim), attrs=note), name)


def by_size(labels: Array) -> Array:
    """Return labels (n,) renumbered by size, 0 the largest, int32; noise, below 0, is -1.

    Equal sizes are in order of first appearance.
    """
    inside = labels >= 0
    order = size_order(labels[inside], int(labels.max(initial=-1)) + 1)
    out = np.full(len(labels), -1, np.int32)
    out[inside] = np.argsort(order)[labels[inside]]
    return out


def size_order(labels: Array, k: int) -> Array:
    """Return the clusters 0..k-1 of labels (n,) from the largest to the smallest."""
    first = np.full(k, len(labels))
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # the last one written stays
    return np.lexsort((first, -np.bincount(labels, minlength=k)))


def _by_kmeans(vectors: Array, seed: int) -> Array:
    labels: Array = kmeans_fits(unit(vectors), [vectors.shape[1]], n_starts=8, seed=seed)[0].labels_
    return labels


def _by_qr(vectors: Array, _: int) -> Array:
    from sklearn.cluster._spectral import cluster_qr  # public only behind an eigensolver

    return cluster_qr(vectors)


def _discretized(vectors: Array, seed: int) -> Array:
    from sklearn.cluster._spectral import discretize  # public only behind an eigensolver

    return discretize(vectors, random_state=seed)


#: assign -> labels (n,) from the first k eigenvectors (n, k) and a seed
ASSIGN: Final[dict[str, Callable[[Array, int], Array]]] = {
    "kmeans": _by_kmeans,
    "cluster_qr": _by_qr,
    "discretize": _discretized,
}
