"""Distances between all samples of a small set, as a labelled matrix."""

from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, SAMPLE, X, Y
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.metrics import METRICS, Options
from fxrelay_analysis.stages.preprocess import checked, ids

Array = np.ndarray[Any, Any]
DISTANCE: Final = "distance"
OTHER: Final = "other"
PAIR: Final = "pair"
PRECOMPUTED: Final = "precomputed"
#: metrics that look at where a pixel is
ON_MAPS: Final = ("ssim", "wasserstein")
ROWS: Final = 64  # samples that are compared with all at once


class Measured(Stage):
    r"""The parameters of a stage that measures distances between samples.

    Metrics, all zero for equal samples but `russellrao`, none a similarity:

    - ``euclidean``, ``sqeuclidean``, ``cityblock``, ``chebyshev``, ``minkowski`` (`p`),
      ``canberra``, ``braycurtis`` (infinite where u = -v): as in scipy.spatial.distance;
    - ``seuclidean``: Euclidean after each feature was divided by its standard deviation (constant
      ones stay); ``mahalanobis``: after whitening by the pseudo-inverse of the covariance, to which
      `ridge` times its mean variance is added;
    - ``cosine``, ``pearson``, ``spearman``: 1 - similarity, in [0, 2]; a sample without direction
      (zero; constant for the latter two) is at 1 from all others and at 0 from its like;
    - ``hellinger``, ``jensenshannon``: between distributions of magnitude, in [0, 1]; zeros
      count as spread evenly;
    - ``wasserstein``: sliced 1-Wasserstein distance between distributions of magnitude over the
      plane, the longer side being 1: the mean over `n_directions` evenly spaced directions of the
      area between cumulated masses. (Bonneel et al. 2015.) Fixed directions need no seed and cover
      the half circle better than random ones; 0 and 90 degrees are the marginals;
    - ``ssim``: 1 - structural similarity in Gaussian windows cut at 3.5 sigma, averaged over pixels
      and channels. (Wang et al. 2004, eq. 13; the range is that of all samples, the constants are
      0.01 and 0.03.);
    - ``dice``, ``hamming``, ``jaccard``, ``rogerstanimoto``, ``russellrao``, ``sokalsneath``,
      ``yule``: between the sets of features whose magnitude exceeds `threshold`.
    """

    metric = param.Selector(default="euclidean", objects=list(METRICS), doc="Name of the distance.")
    p = param.Number(2.0, bounds=(1, None), doc="Exponent of `minkowski`.")
    ridge = param.Number(0.0, bounds=(0, None), doc="What `mahalanobis` adds to the covariance.")
    threshold = param.Number(
        0.0, bounds=(0, None), doc="Magnitude above which metrics of sets count a feature."
    )
    n_directions = param.Integer(8, bounds=(1, None), doc="Directions of `wasserstein`.")
    window = param.Number(
        1.5,
        bounds=(0, None),
        inclusive_bounds=(False, True),
        doc="Standard deviation of the Gaussian window of `ssim` in pixels.",
    )


class distances(Measured):
    """Measure the distance between every two samples of a small set; `Measured` lists metrics."""

    version: ClassVar[int] = 1
    max_samples = param.Integer(
        8000, bounds=(2, None), doc="Samples above which to refuse: a matrix has their square."
    )
    condensed = param.Boolean(
        False, doc="Return each pair once, in the order of scipy.spatial.distance.pdist."
    )

    @staticmethod
    def compute(
        features: xr.DataArray | xr.Dataset,
        *,
        metric: str,
        p: float,
        ridge: float,
        threshold: float,
        n_directions: int,
        window: float,
        max_samples: int,
        condensed: bool,
    ) -> xr.DataArray:
        """Return `distance`, dims (sample, other), or (pair) with coordinates first and second.

        Raises
        ------
        ValueError
            If there are more than `max_samples`, a value is not finite, or a metric on maps gets
            data without y and x.
        """
        array = checked(features, "distances")
        n = len(array)
        if n > max_samples:
            raise ValueError(
                f"distances: needs at most max_samples={max_samples} samples; got {n}, which makes "
                f"{8e-9 * n * n:.1f} GB. Use stages.neighbours, or raise max_samples."
            )
        options = Options(p, ridge, threshold, n_directions, window)
        rows = prepared(array, metric, options, "distances")
        out = np.empty((n, n))
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            out[part] = METRICS[metric].between(rows[part], rows, options)
        return _condensed(array, out, metric) if condensed else _labelled(array, out, metric)


def prepared(array: xr.DataArray, metric: str, options: Options, where: str) -> Array:
    """Return the rows that the metric compares.

    Raises
    ------
    ValueError
        If a metric on maps gets data without y and x.
    """
    if metric in ON_MAPS and array.dims not in ((SAMPLE, Y, X), (SAMPLE, CHANNEL, Y, X)):
        raise ValueError(
            f"{where}: needs dims ('{SAMPLE}', ['{CHANNEL}'], '{Y}', '{X}') for metric={metric!r}; "
            f"got {array.dims}. Pass maps instead of flat features."
        )
    return METRICS[metric].rows(array, options)


def square_matrix(array: xr.DataArray, where: str) -> Array:
    """Return a matrix of distances (n, n) that was computed elsewhere.

    Raises
    ------
    ValueError
        If it is not square, or has negative distances.
    """
    values: Array = array.values
    if values.ndim != 2 or len(values) != values.shape[1] or (values < 0).any():
        raise ValueError(
            f"{where}: needs a square matrix of distances >= 0 for metric='{PRECOMPUTED}'; got "
            f"shape {values.shape}, least value {values.min():g}. Pass distances(features)."
        )
    return values


def _labelled(array: xr.DataArray, values: Array, metric: str) -> xr.DataArray:
    coords: dict[str, Any] = dict(ids(array))
    if coords:
        coords[OTHER] = (OTHER, array[SAMPLE].values)
    out = xr.DataArray(values, coords, (SAMPLE, OTHER), attrs={"metric": metric})
    return labelled(out, DISTANCE)


def _condensed(array: xr.DataArray, values: Array, metric: str) -> xr.DataArray:
    first, second = np.triu_indices(len(values), 1)
    name = array[SAMPLE].values if SAMPLE in array.coords else np.arange(len(array))
    coords = {"first": (PAIR, name[first]), "second": (PAIR, name[second])}
    out = xr.DataArray(values[first, second], coords, (PAIR,), attrs={"metric": metric})
    return labelled(out, DISTANCE)
