"""Whether a cluster is a mode of its own: held-out Fisher ratio, and the valley around it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr
from scipy.stats import binom

from fxrelay.schema import FEATURE, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage, variable
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.spectral import DEGREE, SPECTRAL
from fxrelay_analysis.stages.sweeps import clustering_of, need_same_samples
from fxrelay_analysis.stages.validity import per_cluster

Array = np.ndarray[Any, Any]
SEPARABILITY: Final = "separability"
VALLEY: Final = "valley"
#: share of the total variance that is added to the variance within, so that ratios stay finite
SHRINKAGE: Final = 0.01
#: distinct members that a cluster and its rest need to be judged
LEAST: Final = 3
#: digits to which two rows agree that count as one sample
DIGITS: Final = 5
#: places between cluster and rest where a valley is looked for
PLACES: Final = 12
#: truncated exponential densities exp(-t) on [0, length]: from nearly uniform to nearly complete
LENGTHS: Final = np.geomspace(1e-2, 30, 300)


class fisher(Stage):
    r"""Measure how separable each cluster is from the rest, in units of what one mode reaches.

    1. Membership is regressed on the features by ridge regression, and every sample is judged by
       the regression without it (leave-one-out, in closed form), so that what only fits the
       sample at hand does not count.
    2. On these held-out values, Fisher's ratio of the variance between cluster and rest to the
       variance within: F = R^2 / (1 - R^2 + 0.01), with R their correlation with membership; 0
       where members have the lower values.
    3. Any cut through any cloud has some ratio, and cutting off a small part has another than
       halving. So F is divided by its `ceiling` at the same share p: the most that it reaches when
       the upper share p of one mode is cut off. 1 is what a cut through one mode can reach at
       most; two modes apart reach more, about p(1-p) d^2 / ceiling(p) at d standard deviations.
    4. The same ratio along the best diffusion coordinate D^-1/2 v_j of the embedding, where one is
       given, sees modes that no hyperplane parts; the greater of the two is the separability.

    `valley` is the probability of a valley as deep as the one seen between the cluster and its
    rest if density never rose towards the cluster (`valley_p`). Samples that agree to five digits
    count once. Neither score depends on the order of samples, on the scale of features or on a
    seed.

    (Fisher 1936; Anders et al. 2022, section 3.2, rank classes by Fisher's ratio; leave-one-out
    ridge: Allen 1974.)
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {
        "embedding": {SPECTRAL: (SAMPLE, None), DEGREE: (SAMPLE,)}
    }
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
        embedding: xr.Dataset | None = None,
        *,
        shrinkage: float,
    ) -> xr.Dataset:
        """Return `separability` and `valley`, dims ([sweep], cluster); NaN without a rest.

        A cluster or a rest of fewer than 3 distinct samples has separability 0 and valley 1.
        """
        labels = clustering_of(clustering, "fisher")
        need_same_samples(features, labels, "fisher")
        if embedding is not None:
            need_same_samples(embedding, labels, "fisher")
        x = checked(variable(features, FEATURE, "fisher"), "fisher").values
        x = x.reshape(len(x), -1).astype(np.float64)
        rows = distinct(x)
        basis, leverage = ridge_basis(x[rows], shrinkage)
        phi = np.zeros((len(rows), 1)) if embedding is None else diffusion(embedding)[rows]
        found: dict[bytes, tuple[float, float]] = {}

        def judged(member: Array) -> tuple[float, float]:
            key = member.tobytes()
            if key not in found:
                nan = float("nan")
                found[key] = (nan, nan) if member.all() else both(member[rows])
            return found[key]

        def both(member: Array) -> tuple[float, float]:
            linear, valley = score(basis, leverage, member)
            return (max(linear, along(phi, member)), valley) if linear else (linear, valley)

        return xr.Dataset(
            {
                SEPARABILITY: per_cluster(
                    labels, SEPARABILITY, lambda m, _: judged(m)[0], "fisher"
                ),
                VALLEY: per_cluster(labels, VALLEY, lambda m, _: judged(m)[1], "fisher"),
            }
        )


def diffusion(embedding: xr.Dataset) -> Array:
    """Return the diffusion coordinates D^-1/2 v (n, q) of a spectral embedding."""
    degree = embedding[DEGREE].values
    found: Array = embedding[SPECTRAL].values / np.sqrt(np.where(degree > 0, degree, 1))[:, None]
    return found


def along(phi: Array, member: Array) -> float:
    """Return the separability of `member` (n,) along the best column of phi (n, q)."""
    share = float(member.mean())
    centred = phi - phi.mean(axis=0)
    total = np.square(centred).mean(axis=0)
    between = share / (1 - share) * np.square(centred[member].mean(axis=0))
    varies = total > 1e-12 * np.square(phi).mean(axis=0)
    r2 = np.divide(between, total, out=np.zeros_like(total), where=varies).max()
    return float(r2 / (1 - r2 + SHRINKAGE) / ceiling(share))


def distinct(x: Array) -> Array:
    """Return the positions of rows of x (n, d) that differ, in the order of their values."""
    top = np.abs(x).max(initial=0)
    rounded = np.round(x / top, DIGITS) + 0.0 if top > 0 else x  # + 0.0: no negative zeros
    rows: Array = np.unique(rounded, axis=0, return_index=True)[1]
    return rows


def ridge_basis(x: Array, shrinkage: float) -> tuple[Array, Array]:
    """Return Z (n, min(n, d)) and leverages (n,): Z Z^T y + mean(y) fits any centred y by ridge."""
    x = x - x.mean(axis=0)
    n, d = x.shape
    values, vectors = np.linalg.eigh(x.T @ x if d <= n else x @ x.T)
    values = np.maximum(values, 0)
    penalty = shrinkage * values.sum() / d
    if penalty == 0:
        return np.zeros((n, 1)), np.full(n, 1 / n)
    if d <= n:
        basis = (x @ vectors) / np.sqrt(values + penalty)
    else:
        basis = vectors * np.sqrt(values / (values + penalty))
    return basis, np.square(basis).sum(axis=1) + 1 / n


def score(basis: Array, leverage: Array, member: Array) -> tuple[float, float]:
    """Return separability and valley of the cluster `member` (n,)."""
    share = member.mean()
    if min(member.sum(), (~member).sum()) < LEAST:
        return 0.0, 1.0
    y = member.astype(np.float64)
    fitted = basis @ (basis.T @ (y - share)) + share
    held_out = (fitted - leverage * y) / np.maximum(1 - leverage, 1e-9)
    inside, outside = held_out[member], held_out[~member]
    between = share * (1 - share) * max(inside.mean() - outside.mean(), 0.0) ** 2
    within = share * inside.var() + (1 - share) * outside.var()
    if between <= 1e-12:
        return 0.0, 1.0
    ratio = between / (within + SHRINKAGE * (between + within))
    low = (inside, outside) if share <= 0.5 else (-outside, -inside)
    return float(ratio / ceiling(float(share))), valley_p(*low)


def ceiling(share: float) -> float:
    r"""Return the greatest Fisher ratio of cutting off the upper `share` of one mode.

    The greatest R^2 / (1 - R^2) over all exponential densities exp(-t) on [0, length], from the
    uniform (length -> 0, R^2 = 3 p (1 - p)) to the complete one (R^2 = p ln(p)^2 / (1 - p)): the
    extremes among densities with one mode and no tail heavier than exponential (log-concave).
    `share` in (0, 1); a share and its complement have the same.
    """
    p, length = min(share, 1 - share), LENGTHS
    mass = -np.expm1(-length)
    cut = -np.log(np.exp(-length) + p * mass)

    def moments(low: Any) -> Array:
        at = np.array([low + 0 * length, length])
        parts = np.exp(-at) * np.array([at**0, at + 1, at**2 + 2 * at + 2])
        return (parts[:, 0] - parts[:, 1]) / mass

    _, mean, square = moments(0.0)
    tail, tail_mean, _ = moments(cut)
    exponential = p / (1 - p) * np.square(tail_mean / tail - mean) / (square - mean**2)
    r2 = max(float(exponential.max()), 3 * p * (1 - p))
    return r2 / (1 - r2)


def valley_p(inside: Array, outside: Array) -> float:
    """Return how probable the valley between two samples of a line is if there is none.

    A window around the median of `inside` holds its middle two thirds; windows of the same width
    are laid at twelve places towards the median of `outside`. If density nowhere rises towards
    `inside`, each of them gets a point at least as often: the p-value of the emptiest is that of
    a fair coin, times twelve for having chosen it; at most 1. (A sign test; compare Minnotte 1997
    on testing a single mode.)
    """
    far, near = float(np.median(outside)), float(np.median(inside))
    gap = near - far
    if gap <= 0:
        return 1.0
    half = min(float(np.percentile(np.abs(inside - near), 68)), gap / 4)
    points = np.sort(np.concatenate([inside, outside]))
    centres = np.append(np.linspace(far + gap / 4, near - 2 * half, PLACES), near)
    counts = np.searchsorted(points, centres + half, "right") - np.searchsorted(
        points, centres - half
    )
    trough, peak = int(counts[:-1].min()), int(counts[-1])
    return float(min(1.0, PLACES * binom.sf(peak - 1, peak + trough, 0.5)))
