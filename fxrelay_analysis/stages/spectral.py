"""The spectrum of a graph: eigenvectors of its Laplacian as an embedding of the samples."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import COMPONENT, EIGENVALUE, EMBEDDING, SAMPLE, describe
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.graph import GRAPH, matrix
from fxrelay_analysis.stages.laplacians import LAPLACIANS, eigenpairs, parts
from fxrelay_analysis.stages.vectors import unit

Array = np.ndarray[Any, Any]
SPECTRAL: Final = EMBEDDING + "spectral"
CONNECTED: Final = "n_connected"
ISOLATED: Final = "n_isolated"
PART: Final = "connected"
DEGREE: Final = "degree"


class spectral_embedding(Stage):
    """Embed the graph by the eigenvectors of its Laplacian with the least eigenvalues.

    With A the weights and D the diagonal matrix of their sums: ``symmetric`` I - D^-1/2 A D^-1/2
    and ``random_walk`` I - D^-1 A have the same eigenvalues, in [0, 2]; the vectors of the latter
    are those of the former times D^-1/2, at unit length again. ``unnormalised`` is D - A.
    Eigenvalues are ascending; 0 appears once per connected component, and its vector is kept.
    Vectors have unit length, and their entry of largest magnitude is positive. A sample without
    edges is a component of its own. (Ng, Jordan and Weiss 2001; von Luxburg 2007, section 3.)

    Every component is solved on its own, densely or by Lanczos iteration from a fixed start, so
    results are repeatable and no eigenvalue is missed that several components share.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Mapping[str, Variables]] = {"graph": GRAPH}
    n_components = param.Integer(
        16, bounds=(1, None), doc="Eigenvectors; fewer where there are fewer samples."
    )
    laplacian = param.Selector(
        default="symmetric", objects=list(LAPLACIANS), doc="Which matrix, see above."
    )
    unit_rows = param.Boolean(
        False, doc="Scale every sample's row to unit length, as Ng, Jordan and Weiss do."
    )
    tolerance = param.Number(
        None,
        bounds=(0, 1e-2),
        inclusive_bounds=(False, True),
        allow_None=True,
        doc="Residual of Lanczos over the largest eigenvalue. By default 1e-12 up to 100,000 "
        "samples, 1e-6 above.",
    )

    @staticmethod
    def compute(
        graph: xr.Dataset,
        *,
        n_components: int,
        laplacian: str,
        unit_rows: bool,
        tolerance: float | None,
    ) -> xr.Dataset:
        """Return `embedding_spectral` (sample, component), `eigenvalue` and facts of the graph.

        These are `degree` and `connected` (which component, 0 the largest) of every sample, and the
        numbers of connected components and of samples without edges. The embedding has the
        attributes of the graph, and `laplacian`.
        """
        weights = matrix(graph, "spectral_embedding")
        count = min(n_components, weights.shape[0])
        values, vectors = eigenpairs(weights, count, laplacian, tolerance)
        degree, part = np.asarray(weights.sum(axis=1)).ravel(), parts(weights)
        ds = xr.Dataset(
            {
                SPECTRAL: (
                    (SAMPLE, COMPONENT),
                    unit(vectors) if unit_rows else vectors,
                    graph.attrs | {"laplacian": laplacian},
                ),
                EIGENVALUE: (COMPONENT, values),
                DEGREE: (SAMPLE, degree),
                PART: (SAMPLE, part),
                CONNECTED: ((), int(part.max()) + 1),
                ISOLATED: ((), int((degree == 0).sum())),
            },
            coords={SAMPLE: graph[SAMPLE], COMPONENT: np.arange(count)},
        )
        return describe(ds)
