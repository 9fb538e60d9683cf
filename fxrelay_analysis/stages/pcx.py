"""Prototypes of predictions: what a group of samples uses, and how a sample departs from it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CHANNEL, CLUSTER, N_CLUSTERS, SAMPLE
from fxrelay_analysis.inputs import Variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.mixture import LOG_LIKELIHOOD, RESPONSIBILITY
from fxrelay_analysis.stages.points import dataset
from fxrelay_analysis.stages.preprocess import checked
from fxrelay_analysis.stages.prototypes import PROTOTYPE, nobody
from fxrelay_analysis.stages.sweeps import need_same_samples

Array = np.ndarray[Any, Any]
CENTRE: Final = "prototype_mean"
SPREAD: Final = "prototype_spread"
COVERAGE: Final = "prototype_coverage"
DEVIATION: Final = "deviation"
ORDINARY: Final = "ordinariness"


class concept_prototypes(Stage):
    r"""Describe the components of a mixture on concept vectors as prototypes (PCX).

    The vectors of a class, `concept_vectors` of the relevance at a node, are given to
    `gaussian_mixture`; each of its components is one way to come to the prediction. Its centre is
    the mean of the vectors weighted by responsibility, :math:`m_c = \sum_i r_{ic} x_i / \sum_i
    r_{ic}`, and its prototype is the sample nearest to that among those that belong to it most.
    A sample departs from the prototype of its component by :math:`x_i - m_c` in each concept:
    above 0 it uses the concept more than is usual, below 0 less. Its ordinariness is the share of
    samples whose log-likelihood is lower. (Dreyer et al. 2024, Understanding the (extra-)ordinary,
    sections 3.2 and 3.3.)
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Mapping[str, Variables]] = {
        "mixture": {
            RESPONSIBILITY: (SAMPLE, N_CLUSTERS, CLUSTER), LOG_LIKELIHOOD: (SAMPLE, N_CLUSTERS)
        }
    }  # fmt: skip
    scaled = param.Boolean(
        False,
        doc="Deviations in standard deviations of the component, not in units of the vectors.",
    )

    @staticmethod
    def compute(vectors: xr.DataArray, mixture: xr.Dataset, *, scaled: bool) -> xr.Dataset:
        """Return centres, prototypes, coverage, deviations and ordinariness.

        `prototype_mean`, `prototype_spread` (standard deviation) (n_clusters, cluster, channel),
        `prototype` (sample ids) and `prototype_coverage`, the share of samples that belong to it
        most (n_clusters, cluster), `deviation` (sample, n_clusters, channel), `ordinariness`
        (sample, n_clusters). NaN, or no sample, where there is no such component.

        Raises
        ------
        ValueError
            If vectors and mixture do not belong together.
        """
        from scipy.stats import rankdata

        array = checked(vectors, "concept_prototypes")
        if array.dims != (SAMPLE, CHANNEL):
            raise ValueError(
                f"concept_prototypes: needs vectors ('{SAMPLE}', '{CHANNEL}'); got {array.dims}. "
                "Use stages.concept_vectors."
            )
        need_same_samples(array, mixture, "concept_prototypes", "mixture")
        x, ids = array.values.astype(np.float64), array[SAMPLE].values
        share = mixture[RESPONSIBILITY].values
        found = [_described(x, np.nan_to_num(part), scaled) for part in share.swapaxes(0, 1)]
        centre, spread, nearest, coverage, away = (np.stack(p) for p in zip(*found, strict=True))
        named = np.where(nearest >= 0, ids[nearest], nobody(ids.dtype)).astype(ids.dtype)
        likely = mixture[LOG_LIKELIHOOD].values
        places = (N_CLUSTERS, CLUSTER)
        coords = {SAMPLE: array[SAMPLE], CHANNEL: array[CHANNEL]}
        return dataset(
            {
                CENTRE: ((*places, CHANNEL), centre),
                SPREAD: ((*places, CHANNEL), spread),
                PROTOTYPE: (places, named),
                COVERAGE: (places, coverage),
                DEVIATION: ((SAMPLE, N_CLUSTERS, CHANNEL), away.swapaxes(0, 1)),
                ORDINARY: ((SAMPLE, N_CLUSTERS), (rankdata(likely, "min", axis=0) - 1) / len(x)),
            },
            coords | {name: mixture[name] for name in places},
        )


def _described(x: Array, share: Array, scaled: bool) -> tuple[Array, ...]:
    """Return what is said of one mixture.

    Parameters
    ----------
    x : array (n, d)
    share : array (n, k)
        Responsibilities, 0 for components that do not exist.

    Returns
    -------
    tuple of centres and spreads (k, d), rows of prototypes (k,), coverage (k,), deviations (n, d)
    """
    own, weight = share.argmax(axis=1), share.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore"):
        centre = share.T @ x / weight
        spread = np.sqrt(np.maximum(share.T @ np.square(x - x.mean(0)) / weight
                                    - np.square(centre - x.mean(0)), 0))  # fmt: skip
    squared = np.square(x - centre[own]).sum(axis=1)
    members = [np.flatnonzero(own == c) for c in range(share.shape[1])]
    nearest = [int(m[np.argmin(squared[m])]) if len(m) else -1 for m in members]
    coverage = np.where(weight[:, 0] > 0, [len(m) / len(x) for m in members], np.nan)
    away = x - centre[own]
    unit = np.where(spread > 0, spread, 1)[own] if scaled else 1.0
    return centre, spread, np.array(nearest), coverage, away / unit
