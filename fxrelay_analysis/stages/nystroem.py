"""New samples on a spectral embedding or a diffusion map: the Nystroem extension."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import xarray as xr

from fxrelay.schema import COMPONENT, EIGENVALUE, SAMPLE
from fxrelay_analysis.inputs import Variables, need_variables
from fxrelay_analysis.stage import Stage
from fxrelay_analysis.stages.crossing import MODES, crossed, edges
from fxrelay_analysis.stages.diffusion import DIFFUSION, DIFFUSION_EIGENVALUE, WALK_DEGREE
from fxrelay_analysis.stages.distances import DISTANCE
from fxrelay_analysis.stages.graph import NEAR, scales
from fxrelay_analysis.stages.points import placed
from fxrelay_analysis.stages.preprocess import checked, ids
from fxrelay_analysis.stages.spectral import DEGREE, SPECTRAL
from fxrelay_analysis.stages.sweeps import need_same_samples
from fxrelay_analysis.threads import one_thread

Array = np.ndarray[Any, Any]
#: weights (m, n) of edges from new samples to old ones -> places (m, q) of the new on a map
Operator = Callable[[Array], Array]
#: variables of a spectral embedding, and of a diffusion map
EMBEDDED: Final[Variables] = {
    SPECTRAL: (SAMPLE, COMPONENT), EIGENVALUE: (COMPONENT,), DEGREE: (SAMPLE,)
}  # fmt: skip
WALKED: Final[Variables] = {
    DIFFUSION: (SAMPLE, None), DIFFUSION_EIGENVALUE: (None,), WALK_DEGREE: (SAMPLE,)
}  # fmt: skip
VANISHING: Final = 1e-9  # eigenvalues of a walk that forgets at once: nothing extends


class nystroem(Stage):
    """Place new samples on a spectral embedding or a diffusion map by their edges to old samples.

    With a the weights that `affinity` would give and d their sums: v(new) = sum_j a_j v(j) / s,
    times (d d_j)^-1/2 with s = 1 - eigenvalue for the symmetric Laplacian, over d for random_walk
    and diffusion maps, and s = d - eigenvalue for the unnormalised one. A new sample that equals
    an old one gets its place. NaN: no edges, or an eigenvalue with s = 0. How edges are weighed is
    in the attributes that `affinity` gave. (Bengio et al. 2004, proposition 1.)
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Mapping[str, Variables]] = {"near": NEAR}

    @staticmethod
    def compute(
        spectrum: xr.Dataset, near: xr.Dataset, features: xr.DataArray, new: xr.DataArray
    ) -> xr.DataArray:
        """Return `embedding_spectral` (sample, component) or `embedding_diffusion_map` of `new`.

        `near` are the `neighbours` of `features`, `spectrum` is what became of them.

        Raises
        ------
        ValueError
            If the graph was not made by `affinity`, the metric, the dims or the samples do not
            fit, rows of the embedding were scaled, or a value is not finite.
        """
        walked = isinstance(spectrum, xr.Dataset) and DIFFUSION in spectrum
        kind = {"spectrum": WALKED if walked else EMBEDDED}
        need_variables("nystroem", ["spectrum"], kind, [spectrum])
        name, distance = DIFFUSION if walked else SPECTRAL, near[DISTANCE].values
        checked(features, "nystroem")
        need_same_samples(features, spectrum[name], "nystroem", "map")
        need_same_samples(features, near, "nystroem", "neighbours")
        mode, width, rank = _weighing(spectrum[name].attrs, distance)
        operator = _diffused(spectrum) if walked else _embedded(spectrum)
        flat = np.empty((len(new), spectrum[name].shape[1]))
        with one_thread():
            for part, away in crossed(features, new, near.attrs["metric"], "nystroem"):
                weights = edges(away, distance, mode, width, rank)
                flat[part] = operator(weights)
        return placed(flat, ids(new), str(spectrum[name].dims[1]), name)


def _weighing(attrs: Mapping[str, Any], distance: Array) -> tuple[str, float, int]:
    """Return mode, width and rank of the scale of the affinity."""
    if attrs.get("mode") not in MODES:
        raise ValueError(
            f"nystroem: needs an embedding of a graph from stages.affinity, which notes 'mode'; "
            f"got attributes {', '.join(sorted(attrs)) or 'none'}. Embed such a graph."
        )
    return attrs["mode"], *scales(distance, attrs.get("sigma"), attrs.get("scale_rank"), "nystroem")


def _diffused(spectrum: xr.Dataset) -> Operator:
    vectors, kept = spectrum[DIFFUSION].values, spectrum[DIFFUSION_EIGENVALUE].values
    scaled = _positive(spectrum[WALK_DEGREE]) ** -float(spectrum[DIFFUSION].attrs["density"])
    return lambda weights: _walked(weights * scaled, vectors, kept)


def _embedded(spectrum: xr.Dataset) -> Operator:
    vectors, values = spectrum[SPECTRAL].values, spectrum[EIGENVALUE].values
    if not np.allclose(np.linalg.norm(vectors, axis=0), 1):
        raise ValueError(
            "nystroem: needs eigenvectors of unit length; got others. Embed with unit_rows=False."
        )
    laplacian = spectrum[SPECTRAL].attrs["laplacian"]
    if laplacian == "unnormalised":
        return lambda w: _over(w @ vectors, w.sum(axis=1)[:, None] - values)
    if laplacian == "random_walk":
        return lambda w: _walked(w, vectors, 1 - values)
    root = np.sqrt(_positive(spectrum[DEGREE]))[:, None]
    return lambda w: _walked(w, vectors / root, 1 - values) * np.sqrt(w.sum(axis=1)[:, None])


def _positive(degree: xr.DataArray) -> Array:
    """Return degrees (n,), 1 for samples without edges."""
    return np.where(degree.values > 0, degree.values, 1)


def _walked(weights: Array, vectors: Array, kept: Array) -> Array:
    """Return one step of the walk from new samples (m, q), over what a step keeps."""
    return _over(weights @ vectors, weights.sum(axis=1)[:, None] * kept)


def _over(sums: Array, divisor: Array) -> Array:
    return np.divide(
        sums, divisor, out=np.full_like(sums, np.nan), where=np.abs(divisor) > VANISHING
    )
