"""Maps of the samples to a few dimensions, to look at and to cluster."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from threadpoolctl import threadpool_limits

from fxrelay.schema import AXIS, EMBEDDING, SAMPLE
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.vectors import unit

Array = np.ndarray[Any, Any]
TSNE: Final = EMBEDDING + "tsne"


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


def _start(x: Array) -> Array:
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    flat = np.zeros((len(x), 2))
    flat[:, : min(2, len(s))] = (u * s)[:, :2]
    return (flat / max(float(flat[:, 0].std()), 1e-12) * 1e-4).astype(np.float32)
