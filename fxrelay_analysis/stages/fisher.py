"""How far each cluster lies from everything else: held-out Fisher ratio, and the valley around."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CATEGORY, FEATURE, SAMPLE
from fxrelay_analysis.stage import Stage, variable
from fxrelay_analysis.stages.modes import ceiling, valley_p
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.sweeps import clustering_of, need_same_samples
from fxrelay_analysis.stages.validity import per_cluster

Array = np.ndarray[Any, Any]
SEPARABILITY: Final = "separability"
VALLEY: Final = "valley"
#: attribute: samples of other categories that clusters were compared with
OTHERS: Final = "n_others"
#: share of the total variance that is added to the variance within, so that ratios stay finite
SHRINKAGE: Final = 0.01
#: distinct members that a cluster and its rest need to be judged
LEAST: Final = 3
#: digits to which two rows agree that count as one sample
DIGITS: Final = 5


class fisher(Stage):
    r"""Measure how separable each cluster is from the rest and from other categories.

    1. Membership is regressed on the features by ridge regression over the category and the
       background: samples of other categories, each less the mean of its own, with the value of
       no cluster, weighing together as much as the category. So the direction avoids what varies
       in other categories too: slant and thickness of digits are no artefact. Every sample is
       judged by the regression without it (leave-one-out, in closed form), so that what only fits
       the sample at hand does not count.
    2. On these values, Fisher's ratio of the variance between cluster and everything else, the
       rest and the background (at the same weight), to the variance within:
       F = R^2 / (1 - R^2 + 0.01), with R their correlation with membership; 0 where members have
       the lower values. What another category has as well is not separable.
    3. Any cut through any cloud has some ratio, and cutting off a small part has another than
       halving. So F is divided by its `ceiling` at the same share p: the most that it reaches when
       the upper share p of one mode is cut off. 1 is what a cut through one mode can reach at
       most; two modes apart reach more, about p(1-p) d^2 / ceiling(p) at d standard deviations.

    `valley` is the probability of a valley as deep as the one seen between the cluster and its
    rest if density never rose towards the cluster (`valley_p`). Samples that agree to five digits
    count once. Neither score depends on the order of samples, on the scale of features or on a
    seed. Without a background clusters are compared with their rest alone.

    (Fisher 1936; Anders et al. 2022, section 3.2, rank classes by Fisher's ratio; leave-one-out
    ridge: Allen 1974.)
    """

    version: ClassVar[int] = 2
    shrinkage = param.Number(
        0.05,
        bounds=(0, 1),
        inclusive_bounds=(False, True),
        doc="Ridge penalty, in mean variances of a feature.",
    )

    @staticmethod
    def compute(
        features: xr.DataArray,
        clustering: xr.DataArray | xr.Dataset,
        background: xr.DataArray | None = None,
        *,
        shrinkage: float,
    ) -> xr.Dataset:
        """Return `separability` and `valley`, dims ([sweep], cluster); NaN without a rest.

        `background` has the features of samples of all categories and the coordinate `category`;
        those of this category are left out. A cluster or a rest of fewer than 3 distinct samples
        has separability 0 and valley 1.
        """
        labels = clustering_of(clustering, "fisher")
        need_same_samples(features, labels, "fisher")
        x = _matrix(features)
        rows = distinct(x)
        others, groups = _others(features, background)
        frame = framed(x[rows], others, groups, shrinkage)
        found: dict[bytes, tuple[float, float]] = {}

        def judged(member: Array) -> tuple[float, float]:
            key = member.tobytes()
            if key not in found:
                nan = float("nan")
                found[key] = (nan, nan) if member.all() else score(frame, member[rows])
            return found[key]

        def column(i: int) -> Callable[[Array, Array], float]:
            return lambda member, _: judged(member)[i]

        scores = {
            name: per_cluster(labels, name, column(i), "fisher")
            for i, name in enumerate((SEPARABILITY, VALLEY))
        }
        return xr.Dataset(scores, attrs={OTHERS: len(others)})


@dataclass(frozen=True)
class Frame:
    """Samples in the coordinates of a ridge regression: Z Z_own^T y fits any centred y.

    Attributes
    ----------
    own : array, shape (n, r)
        Of the category.
    leverage : array, shape (n,)
        How much a sample's fitted value follows its own.
    others : array, shape (m, r)
        Of other categories, about the mean of this one.
    """

    own: Array
    leverage: Array
    others: Array


def framed(x: Array, others: Array, groups: Array, shrinkage: float) -> Frame:
    """Return the frame of x (n, d) and others (m, d) that belong to `groups` (m,)."""
    n, d = x.shape
    mean = x.mean(axis=0)
    weight = np.sqrt(n / max(len(others), 1))
    rows = np.concatenate([x - mean, weight * within(others, groups)])
    values, vectors = np.linalg.eigh(rows.T @ rows if d <= len(rows) else rows @ rows.T)
    values = np.maximum(values, 0)
    penalty = shrinkage * values.sum() / d
    if penalty == 0:
        return Frame(np.zeros((n, 1)), np.full(n, 1 / n), np.zeros((len(others), 1)))
    if d > len(rows):  # right singular vectors from the left ones
        vectors = rows.T @ (vectors / np.sqrt(np.where(values > 0, values, np.inf)))
    turn = vectors / np.sqrt(values + penalty)
    own = (x - mean) @ turn
    return Frame(own, np.square(own).sum(axis=1) + 1 / n, (others - mean) @ turn)


def within(x: Array, groups: Array) -> Array:
    """Return x (n, d) less the mean of each group (n,)."""
    names, at, count = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, at, x)
    centred: Array = x - (sums / count[:, None])[at]
    return centred


def distinct(x: Array) -> Array:
    """Return the positions of rows of x (n, d) that differ, in the order of their values."""
    top = np.abs(x).max(initial=0)
    rounded = np.round(x / top, DIGITS) + 0.0 if top > 0 else x  # + 0.0: no negative zeros
    rows: Array = np.unique(rounded, axis=0, return_index=True)[1]
    return rows


def score(frame: Frame, member: Array) -> tuple[float, float]:
    """Return separability and valley of the cluster `member` (n,)."""
    if min(member.sum(), (~member).sum()) < LEAST:
        return 0.0, 1.0
    share, y = member.mean(), member.astype(np.float64)
    slope = frame.own.T @ (y - share)
    fitted = frame.own @ slope + share
    held_out = (fitted - frame.leverage * y) / np.maximum(1 - frame.leverage, 1e-9)
    inside, rest = held_out[member], held_out[~member]
    reached = separable(inside, rest, frame.others @ slope + share)
    if not reached:
        return 0.0, 1.0
    return reached, valley_p(*((inside, rest) if share <= 0.5 else (-rest, -inside)))


def separable(inside: Array, rest: Array, others: Array) -> float:
    """Return Fisher's ratio of values of a cluster and all others over its ceiling.

    `others` weigh together as much as cluster and rest; 0 if the cluster has the lower values.
    """
    n = len(inside) + len(rest)
    outside = np.concatenate([rest, others])
    weight = np.repeat([1.0, n / max(len(others), 1)], [len(rest), len(others)])
    share = len(inside) / (len(inside) + weight.sum())
    mean = np.average(outside, weights=weight)
    between = share * (1 - share) * max(inside.mean() - mean, 0.0) ** 2
    if between <= 1e-12:
        return 0.0
    spread = np.average(np.square(outside - mean), weights=weight)
    spread = share * inside.var() + (1 - share) * spread
    return float(between / (spread + SHRINKAGE * (between + spread)) / ceiling(share))


def _matrix(features: xr.DataArray) -> Array:
    x = checked(variable(features, FEATURE, "fisher"), "fisher").values
    return x.reshape(len(x), -1).astype(np.float64)


def _others(features: xr.DataArray, background: xr.DataArray | None) -> tuple[Array, Array]:
    """Return features (m, d) and categories (m,) of the samples that are of other categories.

    Raises
    ------
    ValueError
        If the background has no categories, or other features.
    """
    if background is None:
        return np.zeros((0, features[0].size)), np.zeros(0, int)
    if CATEGORY not in background.coords or background.shape[1:] != features.shape[1:]:
        raise ValueError(
            f"fisher: needs a background with the coordinate '{CATEGORY}' and the dimensions "
            f"{dict(features.sizes)} but for {SAMPLE}; got coordinates "
            f"{', '.join(map(str, background.coords))} and {dict(background.sizes)}. Take the "
            "same step of the pipeline, 'background/<step>'."
        )
    away = ~np.isin(background[SAMPLE].values, features[SAMPLE].values)
    return _matrix(background)[away], background[CATEGORY].values[away]
