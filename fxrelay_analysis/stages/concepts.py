"""Concept activation vectors: the direction at a node that tells a cluster from the rest."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, CLUSTER, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.channels import LAST_DOC, POOLING, channelled
from fxrelay_analysis.stages.cluster import solving
from fxrelay_analysis.stages.mixture import CONVERGED
from fxrelay_analysis.stages.sweeps import Sweep, by_id, matched, sweep_of

Array = np.ndarray[Any, Any]
#: activations (n, d), who has the concept (n,), the strength of regularisation -> direction (d,),
#: and whether its solver ended
Fit = Callable[[Array, Array, float], tuple[Array, bool]]
#: most steps of a solver
STEPS: Final = 5000
DIRECTION: Final = "direction"
ORIGIN: Final = "origin"
AUROC: Final = "auroc"
ACCURACY: Final = "accuracy"
SENSITIVITY: Final = "sensitivity"
TCAV: Final = "tcav"


def _pattern(x: Array, t: Array, _: float) -> tuple[Array, bool]:
    return x[t].mean(axis=0) - x[~t].mean(axis=0), True


def _ridge(x: Array, t: Array, strength: float) -> tuple[Array, bool]:
    from sklearn.linear_model import RidgeClassifier

    model = RidgeClassifier(strength * len(x), class_weight="balanced")
    return model.fit(x, t).coef_.ravel(), True


def _logistic(x: Array, t: Array, strength: float) -> tuple[Array, bool]:
    from sklearn.linear_model import LogisticRegression

    return _solved(LogisticRegression, x, t, strength)


def _svm(x: Array, t: Array, strength: float) -> tuple[Array, bool]:
    from sklearn.svm import LinearSVC

    return _solved(LinearSVC, x, t, strength, random_state=0)


def _solved(kind: Any, x: Array, t: Array, strength: float, **options: Any) -> tuple[Array, bool]:
    model = kind(C=1 / (strength * len(x)), class_weight="balanced", max_iter=STEPS, **options)
    model.fit(x, t)
    return model.coef_.ravel(), bool(np.max(model.n_iter_) < STEPS)


#: name -> how a direction is found
METHODS: Final[dict[str, Fit]] = {
    "pattern": _pattern, "ridge": _ridge, "logistic": _logistic, "svm": _svm,
}  # fmt: skip


class concepts(Stage):
    r"""Find the direction of each cluster at a node, against all samples outside it.

    ``pattern`` is the signal the concept adds, :math:`v = \mathrm{cov}(a, t) / \mathrm{var}(t)`,
    which for membership t is the difference of the means: it is not turned away by noise that
    other channels share (Haufe et al. 2014; Pahde et al. 2022). The others are filters: they tell
    best, by the normal of a ridge, logistic or support vector classifier with balanced groups
    (Kim et al. 2018). Directions have length 1 and point to the cluster.

    Hand `direction` and `origin` of one cluster to ``fxrelay.suppress`` to take the concept out
    (P-ClArC, Anders et al. 2022): with origin "rest", samples look as those without it on average.
    """

    version: ClassVar[int] = 1
    method = param.Selector(
        default="pattern",
        objects=list(METHODS),
        doc="pattern, or the normal of a ridge, logistic or svm classifier.",
    )
    strength = param.Number(
        1e-3,
        bounds=(1e-9, None),
        doc="Regularisation of classifiers, on activations divided by their standard deviation; "
        "at least 1e-9, below which their equations cannot be solved in float64.",
    )
    origin = param.Selector(
        default="rest",
        objects=["rest", "cluster", "all"],
        doc="Whose mean activation is the origin: samples without the concept, with it, or all.",
    )
    pooling = param.Selector(
        default="mean", objects=list(POOLING), doc="How activations are pooled over space."
    )
    last = param.Boolean(False, doc=LAST_DOC)
    n_folds = param.Integer(
        5, bounds=(2, None), doc="Parts of the cross-validation; fewer where a group is smaller."
    )
    seed = param.Integer(
        0, bounds=(0, None), doc="Seed of the division into parts, which goes by sample ids."
    )

    @staticmethod
    def compute(
        activations: xr.DataArray,
        clustering: xr.DataArray,
        *,
        method: str,
        strength: float,
        origin: str,
        pooling: str,
        last: bool,
        n_folds: int,
        seed: int,
    ) -> xr.Dataset:
        """Return `direction`, `origin` (..., cluster, channel), and (..., cluster) scores.

        `auroc` and `accuracy` (balanced) are those of samples that the direction was not fitted
        to; accuracy is at the middle of the two means. NaN where there is no such cluster or no
        rest, scores also where a group has a single sample. `converged` tells whether every
        solver ended by itself. The order of samples changes nothing: parts go by their ids.

        Raises
        ------
        ValueError
            If arrays do not fit or are not finite.
        """
        sweep = sweep_of(clustering, "concepts")
        x = matched(activations, sweep, "concepts")
        order = by_id(sweep.sample.values)
        vectors = channelled(x, pooling, last, "concepts").values[order].astype(np.float64)
        fit = METHODS[method]
        with solving():
            found = [
                [
                    _concept(vectors, labels == c, fit, strength, origin, n_folds, seed)
                    for c in sweep.clusters
                ]
                for labels in sweep.labels[order].T
            ]
        return _labelled(sweep, found, vectors.shape[1])


class sensitivity(Stage):
    r"""Measure how an output changes along the direction of a concept: TCAV.

    .. math:: S_i = v \cdot \sum_{\mathrm{space}} g_i, \qquad
        \mathrm{tcav} = |\{i: S_i > 0\}| / n

    with g the gradient at the node, which ``attribute(composite="gradient", record=[node])`` gives
    as ``relevance_at_<node>`` (Kim et al. 2018, equations 1 and 2). With another composite g is
    relevance, and S how much of it lies along the concept.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {"concept": {DIRECTION: None}}
    last = param.Boolean(False, doc=LAST_DOC)

    @staticmethod
    def compute(gradients: xr.DataArray, concept: xr.Dataset, *, last: bool) -> xr.Dataset:
        """Return `sensitivity` (sample, ..., cluster) and `tcav` (..., cluster).

        NaN where there is no direction.

        Raises
        ------
        ValueError
            If the gradients have another number of channels than the directions.
        """
        g = channelled(gradients, "sum", last, "sensitivity")
        v = concept[DIRECTION]
        if g.sizes[CHANNEL] != v.sizes[CHANNEL]:
            raise ValueError(
                f"sensitivity: needs gradients of {v.sizes[CHANNEL]} channels, as the directions; "
                f"got {g.sizes[CHANNEL]}. Record them at the node of the activations."
            )
        along = xr.dot(g, v, dim=CHANNEL)
        share = (along > 0).mean(SAMPLE).where(along.notnull().any(SAMPLE))
        out = {SENSITIVITY: along.transpose(SAMPLE, ...), TCAV: share}
        return xr.Dataset({name: labelled(array, name) for name, array in out.items()})


def _concept(
    x: Array, member: Array, fit: Fit, strength: float, origin: str, n_folds: int, seed: int
) -> tuple[Array, Array, float, float, bool]:
    """Return direction and origin (d,), scores of held-out samples, and whether solvers ended."""
    if member.all() or not member.any():
        nothing = np.full(x.shape[1], np.nan)
        return nothing, nothing, np.nan, np.nan, True
    centre = {"rest": ~member, "cluster": member, "all": np.full(len(x), True)}[origin]
    direction, ended = _unit_fit(x, member, fit, strength)
    auroc, accuracy, all_ended = _scores(x, member, fit, strength, n_folds, seed)
    return direction, x[centre].mean(axis=0), auroc, accuracy, ended and all_ended


def _unit_fit(x: Array, member: Array, fit: Fit, strength: float) -> tuple[Array, bool]:
    """Fit on centred activations of size about 1, one scale for all channels."""
    centred = x - x.mean(axis=0)
    size = centred.std()
    direction, ended = fit(centred / (size if size > 0 else 1), member, strength)
    length = np.linalg.norm(direction)
    return np.asarray(direction / length if length > 0 else direction), ended


def _scores(
    x: Array, member: Array, fit: Fit, strength: float, n_folds: int, seed: int
) -> tuple[float, float, bool]:
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    folds = min(n_folds, int(member.sum()), int((~member).sum()))
    if folds < 2:
        return np.nan, np.nan, True
    places = StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, member)
    scores = []
    for known, held in places:
        v, ended = _unit_fit(x[known], member[known], fit, strength)
        along, here = x[known] @ v, member[known]
        middle = (along[here].mean() + along[~here].mean()) / 2
        told = x[held] @ v
        scores.append((roc_auc_score(member[held], told),
                       balanced_accuracy_score(member[held], told > middle), ended))  # fmt: skip
    auroc, accuracy, ended = np.mean(scores, axis=0)
    return float(auroc), float(accuracy), bool(ended == 1)


def _labelled(sweep: Sweep, found: list[list[tuple[Any, ...]]], n_channels: int) -> xr.Dataset:
    parts = [np.array([[c[i] for c in row] for row in found]) for i in range(5)]
    coords = {CLUSTER: sweep.clusters, CHANNEL: np.arange(n_channels)}
    vectors = dict(zip((DIRECTION, ORIGIN), parts[:2], strict=True))
    scores = dict(zip((AUROC, ACCURACY, CONVERGED), parts[2:], strict=True))
    return xr.Dataset(
        {name: sweep.array(a, (CLUSTER, CHANNEL), coords, name) for name, a in vectors.items()}
        | {name: sweep.per_cluster(a, name) for name, a in scores.items()}
    )
