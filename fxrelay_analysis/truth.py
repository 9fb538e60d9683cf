"""How well a cluster matches what is known to be planted."""

from typing import Any, NamedTuple

import numpy as np


class Match(NamedTuple):
    """A cluster against the truth: `size`, `purity` and `recall` in [0, 1] (NaN without any)."""

    size: int
    purity: float
    recall: float


def match(cluster: np.ndarray[Any, Any], planted: np.ndarray[Any, Any]) -> Match:
    """Compare a cluster with the truth.

    Parameters
    ----------
    cluster, planted : ndarray, (n,), bool
        Membership of each sample of a category.

    Returns
    -------
    Match
        `purity` is the share of the cluster that is planted, `recall` the share of the planted
        that is in the cluster.

    Raises
    ------
    ValueError
        If the two are not boolean vectors of one length.
    """
    cluster, planted = np.asarray(cluster), np.asarray(planted)
    if not (cluster.dtype == planted.dtype == bool and cluster.ndim == 1):
        raise ValueError(
            f"match: needs boolean vectors; got {cluster.dtype} of shape {cluster.shape} and "
            f"{planted.dtype} of shape {planted.shape}. Compare labels with == first."
        )
    if len(cluster) != len(planted):
        raise ValueError(
            f"match: needs vectors of one length; got {len(cluster)} and {len(planted)}. "
            "Select the same samples in both."
        )
    both, size, known = int((cluster & planted).sum()), int(cluster.sum()), int(planted.sum())
    return Match(
        size, both / size if size else float("nan"), both / known if known else float("nan")
    )
