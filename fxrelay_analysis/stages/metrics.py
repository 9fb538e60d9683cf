"""What the distance between two samples can be: one table, and how to get distances in blocks.

A metric turns samples into rows of numbers once, compares rows by a simple distance, and converts
the outcome. Where rows are compared by squared Euclidean distance, matrix products do the work.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fxrelay.schema import CHANNEL
from fxrelay_analysis.stages.maps import gaussian
from fxrelay_analysis.stages.norms import normalized

Array = np.ndarray[Any, Any]
SQUARED: Final = "sqeuclidean"


class Options(NamedTuple):
    """What a metric may need beside the samples; names are those of the stages' parameters."""

    p: float = 2.0
    ridge: float = 0.0
    threshold: float = 0.0
    n_directions: int = 8
    window: float = 1.5


class Metric(NamedTuple):
    """A row of `METRICS`; `compare` names a distance of scipy or is a function (a, b, options)."""

    rows: Callable[[xr.DataArray, Options], Array]
    compare: str | Callable[[Array, Array, Options], Array] = SQUARED
    finish: Callable[[Array], Array] = lambda d: d

    def between(self, a: Array, b: Array, options: Options) -> Array:
        """Return the distances (len(a), len(b)) of prepared rows."""
        if callable(self.compare):
            return self.finish(self.compare(a, b, options))
        from scipy.spatial.distance import cdist

        extra = {"p": options.p} if self.compare == "minkowski" else {}
        return self.finish(cdist(a, b, self.compare, **extra))


def plain(array: xr.DataArray, _: Options) -> Array:
    """Return samples as they are (n, d)."""
    rows: Array = array.values.reshape(len(array), -1)
    return rows


def directions(rows: Array) -> Array:
    """Return unit rows; zero rows share a direction of their own, at right angles to all others."""
    length = normalized(rows.astype(np.float64), "l2", 0)
    alone = ~length.any(axis=1)
    return np.column_stack([length, alone]) if alone.any() else length


def distribution(array: xr.DataArray, options: Options) -> Array:
    """Return magnitudes that sum to one; a sample of zeros is spread evenly."""
    rows = np.abs(plain(array, options)).astype(np.float64)
    rows[~rows.any(axis=1)] = 1
    return normalized(normalized(rows, "max", 0), "l1", 0)


def _centred(array: xr.DataArray, options: Options) -> Array:
    return directions(normalized(plain(array, options).astype(np.float64), "standardize", 0))


def _ranked(array: xr.DataArray, options: Options) -> Array:
    from scipy.stats import rankdata

    ranks = rankdata(plain(array, options), axis=1)
    return directions(normalized(ranks, "standardize", 0))


def _scaled(array: xr.DataArray, options: Options) -> Array:
    rows = plain(array, options).astype(np.float64)
    spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(rows.shape[1])
    return rows / np.where(spread > 0, spread, 1)


def _whitened(array: xr.DataArray, options: Options) -> Array:
    rows = plain(array, options).astype(np.float64)
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred / max(1, len(rows) - 1)
    covariance += options.ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values.max(initial=0) * len(values) * np.finfo(float).eps
    whitened: Array = centred @ (vectors[:, kept] / np.sqrt(values[kept]))
    return whitened if kept.any() else centred


def _marked(array: xr.DataArray, options: Options) -> Array:
    marked: Array = np.abs(plain(array, options)) > options.threshold
    return marked


def _sliced(array: xr.DataArray, options: Options) -> Array:
    """Return cumulated mass along each direction, times the step to the next pixel's position."""
    summed = abs(array)
    summed = summed.sum(CHANNEL) if CHANNEL in array.dims else summed
    shape = summed.shape[1:]
    y, x = np.indices(shape).reshape(2, -1) / max(1, max(shape) - 1)
    mass, parts = distribution(summed, options), []
    for angle in np.pi * np.arange(options.n_directions) / options.n_directions:
        along = np.round(x * np.cos(angle) + y * np.sin(angle), 12)
        order = np.argsort(along, kind="stable")
        steps = np.diff(along[order])
        moves = steps > 0  # pixels at one position move as one
        parts.append(np.cumsum(mass[:, order], axis=1)[:, :-1][:, moves] * steps[moves])
    return np.concatenate(parts, axis=1) / options.n_directions


def _images(array: xr.DataArray, _: Options) -> Array:
    channels = array if CHANNEL in array.dims else array.expand_dims(CHANNEL, axis=1)
    values: Array = channels.values.astype(np.float64)
    spread = np.ptp(values) or 1.0
    return values / spread  # the range that the constants of SSIM refer to is 1


def _dissimilar(a: Array, b: Array, options: Options) -> Array:
    """Return 1 - SSIM (a, b): (n, c, h, w) and (m, c, h, w) of range 1 give (n, m)."""
    tall, wide = (gaussian(n, options.window, "reflect", 3.5) for n in a.shape[-2:])

    def local(maps: Array) -> Array:
        blurred: Array = tall @ maps @ wide.T
        return blurred

    first, second = 0.01**2, 0.03**2
    mean, square = local(b), local(b * b)
    out = np.empty((len(a), len(b)))
    for i, one in enumerate(a):
        here = local(one)
        covariance = local(one * b) - here * mean
        variances = local(one * one) - here**2 + square - mean**2
        similar = (2 * here * mean + first) * (2 * covariance + second)
        similar /= (here**2 + mean**2 + first) * (variances + second)
        out[i] = 1 - similar.mean(axis=(1, 2, 3))
    return np.maximum(out, 0)


def _half(square: Array) -> Array:
    return square / 2


def _settled(distance: Array) -> Array:
    """Two samples in which nothing is marked are equal: 0 / 0 is no distance."""
    return np.where(np.isnan(distance), 0.0, distance)


#: name -> how samples become rows, how rows are compared, what the outcome means
METRICS: Final[dict[str, Metric]] = {
    "euclidean": Metric(plain, finish=np.sqrt),
    "sqeuclidean": Metric(plain),
    "seuclidean": Metric(_scaled, finish=np.sqrt),
    "mahalanobis": Metric(_whitened, finish=np.sqrt),
    "cosine": Metric(lambda a, o: directions(plain(a, o)), finish=_half),
    "pearson": Metric(_centred, finish=_half),
    "spearman": Metric(_ranked, finish=_half),
    "hellinger": Metric(lambda a, o: np.sqrt(distribution(a, o)), finish=lambda d: np.sqrt(d / 2)),
    "jensenshannon": Metric(distribution, "jensenshannon"),
    "wasserstein": Metric(_sliced, "cityblock"),
    "ssim": Metric(_images, _dissimilar),
    "cityblock": Metric(plain, "cityblock"),
    "chebyshev": Metric(plain, "chebyshev"),
    "minkowski": Metric(plain, "minkowski"),
    "canberra": Metric(plain, "canberra"),
    "braycurtis": Metric(plain, "braycurtis", _settled),
    **{name: Metric(_marked, name, _settled)
       for name in ("dice", "hamming", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath",
                    "yule")},
}  # fmt: skip
