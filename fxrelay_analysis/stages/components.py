"""Maps along the directions of largest variance: PCA and kernel PCA."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.linalg import eigh, svd

from fxrelay.schema import AXIS, EMBEDDING, FEATURE, SAMPLE
from fxrelay_analysis.stages.distances import PRECOMPUTED
from fxrelay_analysis.stages.points import Points, PointStage, dataset, noted, points
from fxrelay_analysis.stages.vectors import oriented, signs
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
PCA: Final = EMBEDDING + "pca"
KERNEL_PCA: Final = EMBEDDING + "kernel_pca"
VARIANCE: Final = "explained_variance"
RATIO: Final = "explained_variance_ratio"
CENTRE: Final = "pca_centre"
DIRECTION: Final = "pca_direction"
DUAL: Final = "kernel_direction"
KERNEL_MEAN: Final = "kernel_mean"
KERNEL_EIGENVALUE: Final = "kernel_eigenvalue"
KERNELS: Final = ("linear", "poly", "rbf", "sigmoid", "cosine", PRECOMPUTED)
FLAT: Final = 1e-12  # share of the largest eigenvalue from which on one counts as 0


class pca(PointStage):
    """Project onto the directions of largest variance.

    y = (x - m) V, V the unit eigenvectors of the covariance (n - 1 in the denominator); whitened,
    every axis has variance 1. The coordinate of largest magnitude on each axis is positive. A
    direction without variance has coordinates 0. (Jolliffe 2002, section 2.1.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(
        2, bounds=(1, None), doc="Axes; fewer where there are fewer samples or features."
    )
    whiten = param.Boolean(False, doc="Scale every axis to variance 1.")
    solver = param.Selector(
        default="full",
        objects=["full", "covariance", "randomized"],
        doc="Singular values of the samples, eigenvalues of the covariance (quick where features "
        "are few, squares the error), or a randomized method (quick where both are many).",
    )
    seed = param.Integer(0, bounds=(0, None), doc="Seed of the randomized solver.")

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        n_components: int,
        whiten: bool,
        solver: str,
        seed: int,
        unit_rows: bool | None,
    ) -> xr.Dataset:
        """Return `embedding_pca` (sample, axis), its variances, `pca_centre`, `pca_direction`.

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        given = points(features, "pca", unit_rows)
        x = given.scaled()
        centre, free = x.mean(axis=0), max(len(x) - 1, 1)
        with one_thread():
            length, directions = SOLVERS[solver](x - centre, min(n_components, *x.shape), seed)
            flat = (x - centre) @ directions
        variance, total = np.square(length) / free, np.square(x - centre).sum() / free
        scale = np.sqrt(variance) if whiten else np.ones_like(variance)
        empty = variance <= FLAT**2 * max(total, np.square(centre).sum())
        factor = np.where(empty, 0, signs(flat) / np.where(empty, 1, scale))
        ds = dataset(
            {
                PCA: ((SAMPLE, AXIS), flat * factor),
                VARIANCE: ((AXIS,), np.where(empty, 0, variance)),
                RATIO: ((AXIS,), np.where(empty, 0, variance / max(total, np.finfo(float).tiny))),
                CENTRE: ((FEATURE,), centre),
                DIRECTION: ((AXIS, FEATURE), (directions * factor).T),
            },
            given.ids,
        )
        return noted(ds, PCA, {"unit_rows": int(given.unit)})


class kernel_pca(PointStage):
    """Project onto the directions of largest variance in the feature space of a kernel.

    With K the kernel, centred, and K a = l a: y_j = sqrt(l_j) a_j. Kernels: linear x.y; poly
    (gamma x.y + shift)^degree; rbf exp(-gamma |x - y|^2); sigmoid tanh(gamma x.y + shift); cosine;
    or values that are a kernel, dims (sample, other). Memory O(n^2). (Schoelkopf 1998, eq. 13.)
    """

    version: ClassVar[int] = 1
    n_components = param.Integer(2, bounds=(1, None), doc="Axes; fewer where samples are fewer.")
    kernel = param.Selector(default="rbf", objects=list(KERNELS), doc="Kernel function.")
    gamma = param.Number(
        None, bounds=(0, None), allow_None=True, doc="Gamma of the kernel; None: 1 / features."
    )
    degree = param.Number(3.0, bounds=(0, None), doc="Exponent of the poly kernel.")
    shift = param.Number(1.0, doc="Constant in the poly and the sigmoid kernel.")

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        n_components: int,
        gamma: float | None,
        unit_rows: bool | None,
        **options: Any,
    ) -> xr.Dataset:
        """Return `embedding_kernel_pca` (sample, axis), `kernel_eigenvalue`, and its directions.

        Raises
        ------
        ValueError
            If a value, also of the kernel, is not finite, or a precomputed kernel is no symmetric
            matrix.
        """
        given = points(features, "kernel_pca", unit_rows)
        rule = options | {"gamma": 1 / given.rows.shape[1] if gamma is None else gamma}
        with one_thread():
            values = _kernel(given, rule)
            mean = values.mean(axis=0)
            centred = values - mean - mean[:, None] + mean.mean()
            n, count = len(mean), min(n_components, len(mean))
            found, vectors = eigh(centred, subset_by_index=(n - count, n - 1))
        found, vectors = found[::-1], oriented(vectors[:, ::-1])
        kept = found > FLAT * max(np.abs(values).max(), np.finfo(float).tiny) * n
        root = np.sqrt(np.where(kept, found, 1))
        ds = dataset(
            {
                KERNEL_PCA: ((SAMPLE, AXIS), vectors * root * kept),
                KERNEL_EIGENVALUE: ((AXIS,), found * kept),
                DUAL: ((SAMPLE, AXIS), vectors / root * kept),
                KERNEL_MEAN: ((SAMPLE,), mean),
            },
            given.ids,
        )
        return noted(ds, KERNEL_PCA, rule | {"unit_rows": int(given.unit)})


def evaluate(x: Array, y: Array, rule: dict[str, Any]) -> Array:
    """Return the kernel (n, m) between rows of x (n, d) and y (m, d)."""
    from sklearn.metrics.pairwise import pairwise_kernels

    takes = {"gamma": rule["gamma"], "coef0": rule["shift"], "degree": rule["degree"]}
    return pairwise_kernels(x, y, metric=rule["kernel"], filter_params=True, **takes)


def _kernel(given: Points, rule: dict[str, Any]) -> Array:
    """Return the kernel (n, n) of points, or the points that are one."""
    if rule["kernel"] != PRECOMPUTED:
        with np.errstate(over="ignore", invalid="ignore"):
            kernel = evaluate(given.scaled(), given.scaled(), rule)
        if np.isfinite(kernel).all():
            return kernel
        raise ValueError(
            f"kernel_pca: needs a finite kernel; got NaN or infinity from {rule}. Scale the "
            "features, or use a whole degree."
        )
    values = given.rows
    square = values.shape[0] == values.shape[1]
    if square and np.allclose(values, values.T):
        return values
    raise ValueError(
        f"kernel_pca: needs a symmetric matrix with kernel='precomputed'; got shape "
        f"{values.shape}{' that is not symmetric' if square else ''}. Name a kernel."
    )


def _full(x: Array, count: int, _: int) -> tuple[Array, Array]:
    _, length, rows = svd(x, full_matrices=False)
    return length[:count], rows[:count].T


def _covariance(x: Array, count: int, _: int) -> tuple[Array, Array]:
    d = x.shape[1]
    values, vectors = eigh(x.T @ x, subset_by_index=(d - count, d - 1))
    return np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]


def _randomized(x: Array, count: int, seed: int) -> tuple[Array, Array]:
    from sklearn.utils.extmath import randomized_svd

    _, length, rows = randomized_svd(x, count, random_state=seed)
    return length, rows.T


#: solver -> (length (q,), directions (d, q)) of centred rows (n, d), for q axes and a seed
SOLVERS: Final[dict[str, Callable[[Array, int, int], tuple[Array, Array]]]] = {
    "full": _full,
    "covariance": _covariance,
    "randomized": _randomized,
}
