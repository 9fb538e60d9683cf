"""Samples as points: the base of every stage that maps, clusters or scores rows of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import param
import xarray as xr

from fxrelay.schema import AXIS, COMPONENT, EMBEDDING, FEATURE, SAMPLE
from fxrelay_analysis.stage import Stage, labelled, variable
from fxrelay_analysis.stages.distances import ON_MAPS, PRECOMPUTED
from fxrelay_analysis.stages.metrics import METRICS, Options
from fxrelay_analysis.stages.preprocess import checked, ids
from fxrelay_analysis.stages.spectral import SPECTRAL
from fxrelay_analysis.stages.vectors import oriented, unit

Array = np.ndarray[Any, Any]
#: distances between rows that maps and clusterings take by name
ROW_METRICS: Final = (*(m for m in METRICS if m not in (*ON_MAPS, "minkowski")), PRECOMPUTED)
METRIC_DOC: Final = (
    "Distance, one of `distances`; all but euclidean take memory O(n^2). precomputed: the values "
    "are distances, dims (sample, other)."
)


class Points(NamedTuple):
    """Samples as rows of numbers.

    Attributes
    ----------
    rows : float64 array, shape (n, d)
    ids : mapping
        The coordinate `sample`, where there is one.
    spectral : bool
        Whether the columns are components of a spectral embedding, in order of eigenvalue.
    unit : bool
        Whether rows count by their direction only.
    """

    rows: Array
    ids: dict[str, xr.DataArray]
    spectral: bool
    unit: bool

    def scaled(self) -> Array:
        """Return the rows (n, d), of unit length where that is asked for."""
        return unit(self.rows) if self.unit else self.rows

    def labelled(self) -> xr.DataArray:
        """Return the rows with the ids of their samples."""
        return xr.DataArray(self.rows, self.ids, (SAMPLE, FEATURE))

    def first(self, k: int) -> Array:
        """Return the first k components (n, k), scaled; all columns if they are no components."""
        return self._replace(rows=self.rows[:, :k]).scaled() if self.spectral else self.scaled()


class PointStage(Stage):
    """A stage on points, which may count by their direction only."""

    unit_rows = param.Boolean(
        None,
        allow_None=True,
        doc="Scale every row to unit length first. None: those of a spectral embedding only.",
    )


def points(data: xr.DataArray | xr.Dataset, where: str, unit_rows: bool | None = False) -> Points:
    """Return the samples of features (sample, ...) or of a spectral embedding as points.

    Raises
    ------
    ValueError
        If there is no sample, or a value is not a finite real number.
    """
    array = checked(variable(data, SPECTRAL, where), where)
    rows = array.values.reshape(len(array), -1).astype(np.float64, copy=False)
    spectral = array.dims[1:] == (COMPONENT,)
    return Points(rows, ids(array), spectral, spectral if unit_rows is None else unit_rows)


def measured(given: Points, metric: str, where: str) -> tuple[Array, str]:
    """Return what a solver takes, rows or distances (n, n), and by which metric of its own.

    Raises
    ------
    ValueError
        If the values were to be distances and are no symmetric matrix without negative values.
    """
    if metric == "euclidean":
        return given.scaled(), metric
    if metric != PRECOMPUTED:
        return pairwise(given.scaled(), metric), PRECOMPUTED
    rows = given.rows
    square = rows.shape[0] == rows.shape[1]
    if square and (rows >= 0).all() and not rows.diagonal().any() and np.allclose(rows, rows.T):
        return rows, PRECOMPUTED
    raise ValueError(
        f"{where}: needs distances with metric='{PRECOMPUTED}': symmetric, not negative, 0 on the "
        f"diagonal; got values of shape {rows.shape}. Use stages.distances or name a metric."
    )


def apart(given: Points, metric: str, where: str) -> Array:
    """Return distances (n, n); raises as `measured` does."""
    x, kind = measured(given, metric, where)
    return x if kind == PRECOMPUTED else pairwise(x)


def pairwise(x: Array, metric: str = "euclidean") -> Array:
    """Return distances (n, n) between rows of x (n, d), exactly symmetric, 0 on the diagonal."""
    row, options = METRICS[metric], Options()
    rows = row.rows(xr.DataArray(x, dims=(SAMPLE, FEATURE)), options)
    away = row.between(rows, rows, options)
    away = (away + away.T) / 2
    np.fill_diagonal(away, 0)
    return away


def need_samples(given: Points, least: int, where: str, why: str) -> None:
    """Raise a ValueError if there are fewer than `least` samples; `why` says how to mend it."""
    if len(given.rows) < least:
        raise ValueError(f"{where}: needs {least} or more samples; got {len(given.rows)}. {why}")


def need_features(given: Points, wanted: int, where: str) -> None:
    """Raise a ValueError if new samples have not as many features as old ones."""
    if given.rows.shape[1] != wanted:
        raise ValueError(
            f"{where}: needs new samples with {wanted} features like the old ones; got "
            f"{given.rows.shape[1]}. Preprocess both alike."
        )


def embedded(
    flat: Array, coords: dict[str, xr.DataArray], name: str, **facts: float
) -> xr.DataArray:
    """Return coordinates (n, q) as `embedding_<name>` (sample, axis), each axis of one sign."""
    array = xr.DataArray(oriented(flat), coords, (SAMPLE, AXIS), attrs=facts)
    return labelled(array, EMBEDDING + name)


def placed(flat: Array, coords: dict[str, xr.DataArray], dim: str, name: str) -> xr.DataArray:
    """Return coordinates (n, q) of new samples as the variable `name` (sample, dim) of a map."""
    return labelled(xr.DataArray(flat, coords, (SAMPLE, dim)), name)


def dataset(
    variables: Mapping[str, tuple[Sequence[str], Any] | xr.DataArray], coords: Any
) -> xr.Dataset:
    """Return a Dataset of variables (dims, values), named and measured as the schema says."""
    ds = xr.Dataset(variables, coords=coords)
    return ds.assign({name: labelled(ds[name], str(name)) for name in ds.data_vars})


def noted(ds: xr.Dataset, name: str, facts: Mapping[str, Any]) -> xr.Dataset:
    """Return `ds` with attributes on its variable `name`, where a merge does not lose them."""
    return ds.assign({name: ds[name].assign_attrs(facts)})
