"""Diffusion maps of a graph."""

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components

from fxrelay.schema import AXIS, EMBEDDING, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.graph import GRAPH, matrix
from fxrelay_analysis.stages.laplacians import eigenpairs
from fxrelay_analysis.stages.points import dataset, noted
from fxrelay_analysis.stages.vectors import oriented
from fxrelay_analysis.threads import one_thread

DIFFUSION: Final = EMBEDDING + "diffusion_map"
DIFFUSION_EIGENVALUE: Final = "diffusion_eigenvalue"
WALK_DEGREE: Final = "diffusion_degree"


class diffusion_map(Stage):
    """Map a graph so that Euclidean distance is diffusion distance after some steps of its walk.

    P = D^-1 W, P psi_j = l_j psi_j with sum_i d_i psi_j(i)^2 = sum_i d_i; the axes are
    l_j^steps psi_j, without the constant psi_0 where the graph is connected (one with parts has
    none, and keeps all). W = Q^-density A Q^-density, Q the degrees of the affinity A: 0 is the
    plain walk, 1 forgets how dense samples lie. A sample without edges stays where it is.
    (Coifman and Lafon 2006, section 3, eq. 8.)
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {"graph": GRAPH}
    n_components = param.Integer(2, bounds=(1, None), doc="Axes; fewer where samples are fewer.")
    steps = param.Integer(1, bounds=(0, None), doc="Steps of the random walk.")
    density = param.Number(
        0.0, bounds=(0, 1), doc="How much the density of samples is divided out."
    )

    @staticmethod
    def compute(graph: xr.Dataset, *, n_components: int, steps: int, density: float) -> xr.Dataset:
        """Return `embedding_diffusion_map` (sample, axis), eigenvalues (axis), degrees (sample).

        `diffusion_eigenvalue` descends; `diffusion_degree` is that of the affinity, whose
        attributes are on the map, for `nystroem`.
        """
        affinities = matrix(graph, "diffusion_map")
        weights = walk(affinities, density)
        degree = np.asarray(weights.sum(axis=1)).ravel()
        skip = int(connected_components(weights, directed=False, return_labels=False) == 1)
        with one_thread():
            found, vectors = eigenpairs(weights, min(n_components + skip, len(degree)))
        values, vectors = 1 - found[skip:], vectors[:, skip:]
        psi = oriented(vectors * np.sqrt(degree.sum() / degree)[:, None])
        ds = dataset(
            {
                DIFFUSION: ((SAMPLE, AXIS), psi * values**steps),
                DIFFUSION_EIGENVALUE: ((AXIS,), values),
                WALK_DEGREE: ((SAMPLE,), np.asarray(affinities.sum(axis=1)).ravel()),
            },
            {SAMPLE: graph[SAMPLE]},
        )
        return noted(ds, DIFFUSION, graph.attrs | {"steps": steps, "density": density})


def walk(weights: csr_array, density: float) -> csr_array:
    """Return W = Q^-density A Q^-density of A (n, n), with 1 at samples without edges."""
    degree = np.asarray(weights.sum(axis=1)).ravel()
    alone = degree == 0
    scale = diags_array(np.where(alone, 1, degree) ** -density)
    return csr_array(scale @ weights @ scale + diags_array(alone.astype(float)))
