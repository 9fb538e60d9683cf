"""Maps that keep neighbours together: t-SNE and UMAP."""

import warnings
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.sparse import csr_array

from fxrelay.schema import EMBEDDING
from fxrelay_analysis.inputs import need_variables
from fxrelay_analysis.stages.distances import PRECOMPUTED
from fxrelay_analysis.stages.graph import NEAR, NEIGHBOUR, near_of
from fxrelay_analysis.stages.points import (
    METRIC_DOC,
    ROW_METRICS,
    PointStage,
    embedded,
    measured,
    need_samples,
    points,
)
from fxrelay_analysis.stages.preprocess import ids
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
TSNE: Final = EMBEDDING + "tsne"
UMAP: Final = EMBEDDING + "umap"
UNKNOWN: Final = np.finfo(np.float64).max  # the loss of t-SNE that ended while exaggerating


class tsne(PointStage):
    """Map the samples to a line, the plane or space by t-SNE.

    Takes points, distances (``metric='precomputed'``), or the result of `neighbours` with at least
    3 perplexity + 1 of them. Points start from their principal components, all else (and other
    metrics than Euclidean) at random. One thread: the result depends on nothing but inputs and
    parameters. The attribute ``kl_divergence`` tells the loss (NaN after 250 steps). (van der
    Maaten and Hinton 2008; van der Maaten 2014 for Barnes-Hut.)
    """

    version: ClassVar[int] = 2
    n_components = param.Integer(2, bounds=(1, 3), doc="Axes.")
    perplexity = param.Number(
        30.0, bounds=(1, None), doc="Neighbours that count; at most a third of the samples."
    )
    early_exaggeration = param.Number(
        12.0, bounds=(1, None), doc="Factor of attraction in the first 250 steps."
    )
    learning_rate = param.Number(
        None,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        allow_None=True,
        doc="Step length; None: samples / 48, at least 50.",
    )
    n_iterations = param.Integer(500, bounds=(250, None), doc="Steps of gradient descent.")
    n_iter_without_progress = param.Integer(
        300, bounds=(1, None), doc="Steps without a lesser loss that end the descent."
    )
    min_grad_norm = param.Number(
        1e-7, bounds=(0, None), doc="Length of the gradient that ends the descent."
    )
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)
    init = param.Selector(
        default="pca",
        objects=["pca", "random"],
        doc="Where Euclidean points start; all else starts at random.",
    )
    method = param.Selector(
        default="barnes_hut",
        objects=["barnes_hut", "exact"],
        doc="Approximate, O(n log n), or exact, O(n^2), gradient.",
    )
    angle = param.Number(
        0.5, bounds=(0, 1), doc="Size over distance of cells that Barnes-Hut takes as one."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of a random start.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        perplexity: float,
        learning_rate: float | None,
        n_iterations: int,
        metric: str,
        init: str,
        seed: int,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.DataArray:
        """Return `embedding_tsne`, dims (sample, axis).

        Raises
        ------
        ValueError
            If there are fewer than 4 samples or too few neighbours, or a value is not finite.
        """
        from sklearn.manifold import TSNE as Solver

        x, coords, metric = _near(embedding, metric, perplexity, unit_rows)
        plain, n = metric != PRECOMPUTED, x.shape[0]
        leading = plain and init == "pca"
        with one_thread():
            solver = Solver(
                perplexity=min(perplexity, (n - 1) / 3),
                learning_rate=learning_rate or max(50.0, n / 48),
                max_iter=n_iterations,
                metric=metric,
                init=_start(x, options["n_components"]) if leading else "random",
                random_state=seed,
                n_jobs=1,
                **options,
            )
            flat = solver.fit_transform(x.astype(np.float32) if plain else x)
        loss = float(solver.kl_divergence_)
        return embedded(flat, coords, "tsne", kl_divergence=loss if loss < UNKNOWN else np.nan)


class umap(PointStage):
    """Map the samples by UMAP (needs the package umap-learn, extra ``manifold``).

    Takes points or distances (``metric='precomputed'``). One thread and a seed: the same result
    every time. More than 4,096 samples have approximate neighbours. (McInnes, Healy and Melville
    2018.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(2, bounds=(1, None), doc="Axes.")
    n_neighbours = param.Integer(
        15, bounds=(2, None), doc="Neighbours that count, the sample itself being one of them."
    )
    min_dist = param.Number(
        0.1, bounds=(0, None), doc="Distance on the map to which neighbours may approach."
    )
    spread = param.Number(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), doc="Scale of the map."
    )
    metric = param.Selector(default="euclidean", objects=list(ROW_METRICS), doc=METRIC_DOC)
    n_epochs = param.Integer(
        None,
        bounds=(1, None),
        allow_None=True,
        doc="Steps; None: 500, and 200 for more than 10,000 samples.",
    )
    learning_rate = param.Number(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), doc="Length of the first step."
    )
    local_connectivity = param.Number(
        1.0, bounds=(1, None), doc="Nearest neighbours that are connected in full."
    )
    set_op_mix_ratio = param.Number(
        1.0, bounds=(0, 1), doc="Edges count if either sample has them (1) or if both do (0)."
    )
    repulsion_strength = param.Number(
        1.0, bounds=(0, None), doc="Weight of repulsion against attraction."
    )
    densmap = param.Boolean(False, doc="Keep local density as well (Narayan et al. 2021).")
    negative_sample_rate = param.Integer(
        5, bounds=(1, None), doc="Samples that repel for each neighbour that attracts."
    )
    init = param.Selector(
        default="spectral", objects=["spectral", "random"], doc="Where the samples start."
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the solver.")

    @staticmethod
    def compute(
        embedding: xr.DataArray | xr.Dataset,
        *,
        n_neighbours: int,
        metric: str,
        seed: int,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.DataArray:
        """Return `embedding_umap`, dims (sample, axis).

        Raises
        ------
        ImportError
            If umap-learn is not installed.
        ValueError
            If there are too few samples, ``min_dist > spread``, or a value is not finite.
        """
        given, close = points(embedding, "umap", unit_rows), options["min_dist"]
        least = max(n_neighbours, options["n_components"] + 2) + 1
        need_samples(given, least, "umap", "Lower n_neighbours.")
        if close > options["spread"]:
            raise ValueError(
                f"umap: needs min_dist <= spread; got {close} > {options['spread']}. Change one."
            )
        steps = {"n_neighbors": n_neighbours, "random_state": seed, "n_jobs": 1}
        with one_thread(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "using precomputed metric")  # no inverse: not asked
            x, kind = measured(given, metric, "umap")
            flat = _umap()(metric=kind, **steps, **options).fit_transform(x.astype(np.float32))
        return embedded(flat, given.ids, "umap")


def _near(
    data: xr.DataArray | xr.Dataset, metric: str, perplexity: float, unit_rows: bool | None
) -> tuple[Any, dict[str, xr.DataArray], str]:
    """Return what t-SNE takes, the sample ids, and the metric it takes it with."""
    if isinstance(data, xr.Dataset) and NEIGHBOUR in data:
        need_variables("tsne", ["embedding"], {"embedding": NEAR}, [data])
        return _distances(data, metric, perplexity), ids(data[NEIGHBOUR]), PRECOMPUTED
    given = points(data, "tsne", unit_rows)
    need_samples(given, 4, "tsne", "Leave it out.")
    x, kind = measured(given, metric, "tsne")
    return x, given.ids, kind


def _distances(near: xr.Dataset, metric: str, perplexity: float) -> csr_array:
    """Return distances to itself and to its neighbours for each sample (n, n), nearest first."""
    own = near.attrs.get("metric", metric)
    if metric not in ("euclidean", own):
        raise ValueError(
            f"tsne: needs no metric beside that of the neighbours, {own}; got {metric}. Leave it "
            "out, or pass the points."
        )
    index, distance = near_of(near, "tsne")
    n, k = index.shape
    least = min(int(3 * perplexity + 1), n - 1)
    if k < least or n < 4:
        raise ValueError(
            f"tsne: needs 4 or more samples with {least} or more neighbours (3 perplexity + 1); "
            f"got {n} with {k}. Raise n_neighbours or lower perplexity."
        )
    columns = np.column_stack([np.arange(n), index]).ravel()
    values = np.column_stack([np.zeros(n), distance]).ravel()
    return csr_array((values, columns, np.arange(n + 1) * (k + 1)), shape=(n, n))


def _start(x: Array, count: int) -> Array:
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    flat = np.zeros((len(x), count))
    flat[:, : min(count, len(s))] = (u * s)[:, :count]
    return (flat / max(float(flat[:, 0].std()), 1e-12) * 1e-4).astype(np.float32)


def _umap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # of its part that needs tensorflow
            from umap import UMAP as Solver
    except ImportError as error:
        raise ImportError(
            "umap: needs the package umap-learn; got none. Install fxrelay[manifold]."
        ) from error
    return Solver
