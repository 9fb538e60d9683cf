"""Maps that flatten a surface or keep distances: LLE, Isomap, multidimensional scaling."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree, shortest_path

from fxrelay.schema import EMBEDDING
from fxrelay_analysis.stages.points import (
    METRIC_DOC,
    ROW_METRICS,
    PointStage,
    apart,
    embedded,
    need_samples,
    pairwise,
    points,
)
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
LLE: Final = EMBEDDING + "lle"
ISOMAP: Final = EMBEDDING + "isomap"
MDS: Final = EMBEDDING + "mds"
DENSE: Final = 600  # samples up to which LLE's dense solver is as quick
#: method of LLE -> least number of neighbours for q axes
LEAST_NEIGHBOURS: Final[dict[str, Callable[[int], int]]] = {
    "standard": lambda q: 1,
    "hessian": lambda q: q * (q + 3) // 2 + 1,
    "modified": lambda q: q,
    "ltsa": lambda q: q + 1,
}


class lle(PointStage):
    """Map the samples so that the same weights rebuild each from its neighbours.

    Locally linear embedding and its kin; the attribute ``error`` is the loss on the map. (Roweis
    and Saul 2000; hessian: Donoho and Grimes 2003; modified: Zhang and Wang 2007; ltsa: Zhang and
    Zha 2004.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(2, bounds=(1, None), doc="Axes.")
    n_neighbours = param.Integer(5, bounds=(1, None), doc="Neighbours of each sample.")
    method = param.Selector(default="standard", objects=list(LEAST_NEIGHBOURS), doc="Kind of LLE.")
    reg = param.Number(
        1e-3,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        doc="Share of the trace of the local covariance that is added to its diagonal.",
    )
    hessian_tol = param.Number(1e-4, bounds=(0, None), doc="Tolerance of method hessian.")
    modified_tol = param.Number(1e-12, bounds=(0, None), doc="Tolerance of method modified.")
    solver = param.Selector(
        default="auto",
        objects=["auto", "arpack", "dense"],
        doc="Eigenvalue solver; auto: dense up to 600 samples, arpack above if it succeeds.",
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of arpack's start.")

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        n_neighbours: int,
        solver: str,
        seed: int,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.DataArray:
        """Return `embedding_lle`, dims (sample, axis).

        Raises
        ------
        ValueError
            If there are too few samples or neighbours for the axes, a value is not finite, or no
            solver copes with the neighbours (duplicates).
        """
        from sklearn.manifold import LocallyLinearEmbedding as Solver

        given, q = points(features, "lle", unit_rows), options["n_components"]
        need_samples(given, max(n_neighbours, q + 1) + 1, "lle", "Lower n_neighbours.")
        _need_neighbours(options["method"], q, n_neighbours)
        tries = {"auto": ["arpack", "dense"][len(given.rows) <= DENSE :]}.get(solver, [solver])
        steps = {"n_neighbors": n_neighbours, "random_state": seed, "n_jobs": 1}
        with one_thread(), np.errstate(all="ignore"):
            for kind in tries:
                fit = _fitted(Solver(eigen_solver=kind, **steps, **options), given.scaled())
                if fit is not None:
                    loss = float(fit.reconstruction_error_)
                    return embedded(fit.embedding_, given.ids, "lle", error=loss)
        raise ValueError(
            f"lle: needs neighbours in general position for method='{options['method']}' and "
            f"solver='{tries[-1]}'; got a singular problem. Drop duplicates, use method='standard' "
            "or solver='dense'."
        )


class isomap(PointStage):
    """Map the samples so that distances are those along the graph of neighbours.

    Classical scaling of shortest paths. Parts of the graph without connection are joined by the
    shortest edges between them; the attribute ``n_connected`` tells how many there were. Memory
    O(n^2). (Tenenbaum, de Silva and Langford 2000.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(2, bounds=(1, None), doc="Axes.")
    n_neighbours = param.Integer(5, bounds=(1, None), doc="Neighbours of each sample.")
    radius = param.Number(
        None,
        bounds=(0, None),
        allow_None=True,
        doc="Neighbours are those within this distance, instead of a number of them.",
    )
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        n_components: int,
        n_neighbours: int,
        radius: float | None,
        metric: str,
        unit_rows: bool | None,
    ) -> xr.DataArray:
        """Return `embedding_isomap`, dims (sample, axis).

        Raises
        ------
        ValueError
            If there are too few samples, or a value is not finite.
        """
        given = points(features, "isomap", unit_rows)
        least = max(n_neighbours if radius is None else 0, n_components) + 1
        need_samples(given, least, "isomap", "Lower n_neighbours or n_components.")
        with one_thread():
            away = apart(given, metric, "isomap")
            near = away <= radius if radius is not None else _nearest(away, n_neighbours)
            edges, parts = _joined(away, near | near.T)
            flat = classical(shortest_path(edges, directed=False), n_components)
        return embedded(flat, given.ids, "isomap", n_connected=parts)


class mds(PointStage):
    """Map the samples so that distances on the map are the given ones, or in their order.

    classical: eigenvectors of the centred squared distances (Torgerson 1952), exact where
    distances are Euclidean in as many axes. metric, nonmetric: SMACOF (de Leeuw 1977; Kruskal
    1964), started from the classical map; the attribute ``stress`` is Kruskal's stress 1,
    ``converged`` tells whether SMACOF ended before its last step. Memory O(n^2). To nonmetric,
    distances of 0 say nothing.
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(2, bounds=(1, None), doc="Axes.")
    method = param.Selector(
        default="metric", objects=["classical", "metric", "nonmetric"], doc="Kind of scaling."
    )
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)
    n_iterations = param.Integer(300, bounds=(1, None), doc="Most steps of SMACOF.")
    tolerance = param.Number(
        1e-6, bounds=(0, None), doc="Relative change of stress that ends SMACOF."
    )

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        n_components: int,
        method: str,
        metric: str,
        n_iterations: int,
        tolerance: float,
        unit_rows: bool | None,
    ) -> xr.DataArray:
        """Return `embedding_mds`, dims (sample, axis).

        Raises
        ------
        ValueError
            If there are no more samples than axes, or a value is not finite.
        """
        from sklearn.manifold import smacof

        given = points(features, "mds", unit_rows)
        need_samples(given, n_components + 1, "mds", "Lower n_components.")
        with one_thread():
            away = apart(given, metric, "mds")
            flat, ordinal = classical(away, n_components), method == "nonmetric"
            stress, taken = _stress(away, pairwise(flat)), 0
            if method != "classical" and away.any():
                steps = {"n_init": 1, "max_iter": n_iterations, "eps": tolerance}
                flat, stress, taken = smacof(
                    away, metric=not ordinal, init=flat, normalized_stress=True,
                    return_n_iter=True, **steps,
                )  # fmt: skip
        facts = {"stress": float(stress), "converged": int(taken < n_iterations)}
        return embedded(flat, given.ids, "mds", **facts)


def classical(away: Array, count: int) -> Array:
    """Return coordinates (n, count) by classical scaling of distances (n, n)."""
    n, square = len(away), np.square(away)
    mean = square.mean(axis=0)
    centred = (mean + mean[:, None] - square - mean.mean()) / 2
    values, vectors = eigh(centred, subset_by_index=(n - count, n - 1))
    return (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1]


def _fitted(solver: Any, x: Array) -> Any:
    """Return the solver after its fit to x (n, d); None where it failed."""
    try:
        solver.fit(x)
    except (ValueError, RuntimeError, np.linalg.LinAlgError):  # singular, or no convergence
        return None
    return solver if np.isfinite(solver.embedding_).all() else None


def _need_neighbours(method: str, q: int, n_neighbours: int) -> None:
    least = LEAST_NEIGHBOURS[method](q)
    if n_neighbours < least:
        raise ValueError(
            f"lle: needs n_neighbours >= {least} for method='{method}' and n_components={q}; got "
            f"{n_neighbours}. Raise n_neighbours."
        )


def _nearest(away: Array, k: int) -> Array:
    """Return which of the others (n, n) are among the k nearest of each sample."""
    own = np.where(np.eye(len(away), dtype=bool), np.inf, away)
    near = np.zeros(away.shape, bool)
    np.put_along_axis(near, np.argsort(own, axis=1, kind="stable")[:, :k], True, axis=1)
    return near


def _joined(away: Array, near: Array) -> tuple[csr_array, int]:
    """Return the graph (n, n) of near samples, parts joined by least edges, and their number."""
    parts, of = connected_components(near, directed=False)
    if parts > 1:
        near = near.copy()
        order = np.argsort(of, kind="stable")
        starts = np.searchsorted(of[order], np.arange(parts))
        least = np.minimum.reduceat(away[np.ix_(order, order)], starts, axis=0)
        least = np.minimum.reduceat(least, starts, axis=1)
        for a, b in zip(*minimum_spanning_tree(least + 1).nonzero(), strict=True):
            inside = np.where((of == a)[:, None] & (of == b), away, np.inf)
            near[np.unravel_index(np.argmin(inside), inside.shape)] = True
    rows, columns = np.nonzero(near | near.T)
    return csr_array((away[rows, columns], (rows, columns)), shape=away.shape), int(parts)


def _stress(wanted: Array, found: Array) -> float:
    total = np.square(wanted).sum()
    return float(np.sqrt(np.square(wanted - found).sum() / total)) if total else 0.0
