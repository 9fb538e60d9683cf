"""The spectrum of a graph: eigenvectors of its Laplacian as an embedding of the samples."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from fxrelay.schema import COMPONENT, EIGENVALUE, EMBEDDING, SAMPLE
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.graph import matrix
from fxrelay_analysis.stages.vectors import oriented

Array = np.ndarray[Any, Any]
SPECTRAL: Final = EMBEDDING + "spectral"
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


def eigenpairs(weights: csr_array, count: int) -> tuple[Array, Array]:
    """Return the `count` least eigenvalues of I - D^-1/2 A D^-1/2 and their vectors (n, count)."""
    n, degree = weights.shape[0], np.asarray(weights.sum(axis=1)).ravel()
    alone = degree == 0
    scale = diags_array(1 / np.sqrt(np.where(alone, 1, degree)))
    similar = csr_array(scale @ weights @ scale + diags_array(alone.astype(float)))
    values, vectors = (_largest if n <= max(DENSE, 3 * count) else _by_part)(similar, count)
    order = np.argsort(-values, kind="stable")
    values, vectors = 1 - values[order], vectors[:, order]
    return values, oriented(vectors)


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
