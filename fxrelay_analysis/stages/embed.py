"""Low-dimensional maps of the samples: eigenvectors of the graph Laplacian, and t-SNE."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from threadpoolctl import threadpool_limits

from fxrelay.schema import AXIS, COMPONENT, EIGENVALUE, EMBEDDING, SAMPLE
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.graph import matrix
from fxrelay_analysis.stages.preprocess import checked

Array = np.ndarray[Any, Any]
SPECTRAL: Final = EMBEDDING + "spectral"
TSNE: Final = EMBEDDING + "tsne"
CONNECTED: Final = "n_connected"
DEGREE: Final = "degree"
DENSE: Final = 600  # samples up to which the dense solver is as quick


class spectral_embedding(Stage):
    """Embed the graph by the first eigenvectors of L = I - D^-1/2 A D^-1/2.

    Eigenvalues are ascending, in [0, 2]; 0 appears once per connected component. Vectors have
    unit length, and their entry of largest magnitude is positive. A sample without edges is a
    component of its own. (Ng, Jordan and Weiss 2001; von Luxburg 2007, section 3.2.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(
        16, bounds=(1, None), doc="Eigenvectors; fewer where there are fewer samples."
    )

    @staticmethod
    def compute(graph: xr.Dataset, *, n_components: int) -> xr.Dataset:
        """Return `embedding_spectral` (sample, component), `eigenvalue` and facts of the graph."""
        weights = matrix(graph)
        count = min(n_components, weights.shape[0])
        values, vectors = eigenpairs(weights, count)
        parts = int(connected_components(weights, directed=False, return_labels=False))
        ds = xr.Dataset(
            {
                SPECTRAL: ((SAMPLE, COMPONENT), vectors),
                EIGENVALUE: (COMPONENT, values),
                DEGREE: (SAMPLE, np.asarray(weights.sum(axis=1)).ravel()),
                CONNECTED: ((), parts),
            },
            coords={SAMPLE: graph[SAMPLE], COMPONENT: np.arange(count)},
        )
        return ds.assign({name: labelled(ds[name], str(name)) for name in ds.data_vars})


class tsne(Stage):
    """Map the samples to the plane by Barnes-Hut t-SNE, started from principal components.

    Rows are scaled to unit length first where `unit_rows` says so, as in spectral clustering.
    (van der Maaten 2014.) One thread: more only wait for each other at this size.
    """

    version: ClassVar[int] = 1
    perplexity = param.Number(
        30.0, bounds=(1, None), doc="Neighbours that count; at most a third of the samples."
    )
    n_iterations = param.Integer(500, bounds=(250, None), doc="Steps of gradient descent.")
    unit_rows = param.Boolean(True, doc="Scale every row to unit length first.")
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the solver.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        perplexity: float,
        n_iterations: int,
        unit_rows: bool,
        seed: int,
    ) -> xr.DataArray:
        """Return `embedding_tsne`, dims (sample, axis).

        Raises
        ------
        ValueError
            If there are fewer than 4 samples, or a value is not finite.
        """
        from sklearn.manifold import TSNE as Solver

        array = checked(variable(embedding, SPECTRAL, "tsne"), "tsne")
        if len(array) < 4:
            raise ValueError(f"tsne: needs 4 or more samples; got {len(array)}. Leave it out.")
        x = unit(array.values) if unit_rows else array.values
        with threadpool_limits(1):
            flat = Solver(
                init=_start(x),
                perplexity=min(perplexity, (len(x) - 1) / 3),
                max_iter=n_iterations,
                learning_rate=max(50.0, len(x) / 48),
                random_state=seed,
                n_jobs=1,
            ).fit_transform(x.astype(np.float32))
        coords = {SAMPLE: array[SAMPLE]} if SAMPLE in array.coords else {}
        return labelled(xr.DataArray(flat, coords, (SAMPLE, AXIS)), TSNE)


def eigenpairs(weights: csr_array, count: int) -> tuple[Array, Array]:
    """Return the `count` least eigenvalues of I - D^-1/2 A D^-1/2 and their vectors (n, count)."""
    n, degree = weights.shape[0], np.asarray(weights.sum(axis=1)).ravel()
    alone = degree == 0
    scale = diags_array(1 / np.sqrt(np.where(alone, 1, degree)))
    similar = csr_array(scale @ weights @ scale + diags_array(alone.astype(float)))
    values, vectors = (_largest if n <= max(DENSE, 3 * count) else _by_part)(similar, count)
    order = np.argsort(-values, kind="stable")
    values, vectors = 1 - values[order], vectors[:, order]
    top = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(count)]
    return values, vectors * np.where(top < 0, -1.0, 1.0)


def _largest(similar: csr_array, count: int) -> tuple[Array, Array]:
    n = similar.shape[0]
    if n <= max(DENSE, 3 * count):
        return eigh(similar.toarray(), subset_by_index=(n - count, n - 1))
    random = np.random.default_rng(0)
    start = random.uniform(0.5, 1.5, n)
    return eigsh(similar, count, which="LA", v0=start, tol=0, rng=random)


def _by_part(similar: csr_array, count: int) -> tuple[Array, Array]:
    """Solve each connected part alone: Lanczos misses eigenvalues that several parts share."""
    names = connected_components(similar, directed=False)[1]
    sizes = np.bincount(names)
    parts = np.split(np.argsort(names, kind="stable"), np.cumsum(sizes)[:-1])
    parts = [parts[i] for i in np.argsort(-sizes, kind="stable")]  # equal values: larger part first
    solved = [_largest(similar[rows][:, rows], min(count, len(rows))) for rows in parts]
    values = np.concatenate([found for found, _ in solved])
    place = [(part, j) for part, (found, _) in enumerate(solved) for j in range(len(found))]
    best = np.argsort(-np.round(values, 10), kind="stable")[:count]
    vectors = np.zeros((similar.shape[0], len(best)))
    for column, (part, j) in enumerate(place[i] for i in best):
        vectors[parts[part], column] = solved[part][1][:, j]
    return values[best], vectors


def unit(rows: Array) -> Array:
    """Return the rows scaled to unit length; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _start(x: Array) -> Array:
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    flat = np.zeros((len(x), 2))
    flat[:, : min(2, len(s))] = (u * s)[:, :2]
    return (flat / max(float(flat[:, 0].std()), 1e-12) * 1e-4).astype(np.float32)
