"""One attribution Dataset: its samples, what is known of each, and their pictures as asked for."""

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from fxrelay import schema
from fxrelay.heatmap import input_limits
from fxrelay_viz.pictures import (
    Picture,
    input_of,
    layout,
    one_by_one,
    one_target,
    plain_of,
    words_at,
    words_of,
)
from fxrelay_viz.reading import Lazy, read

#: pictures up to so many bytes are remembered
REMEMBERED: Final = 128 * 2**20
#: variables whose values are class indices
CLASSED: Final = (schema.LABEL, schema.PREDICTION, schema.TARGET, schema.AGAINST)


class Explanations:
    """An attribution Dataset, opened once per process and shared by all sessions.

    Opening reads the sample ids only; a variable of the samples is read whole when it is first
    asked for, pictures are read as they are shown, and the last 128 MB of them remembered.

    Parameters
    ----------
    ds : Dataset
        `relevance` (sample, [target], ...) with a layout of the schema; it may be lazy.

    Raises
    ------
    ValueError
        If there is no relevance, or dimensions that cannot be shown; names them.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self.ds = ds
        _check(ds)
        self.index: pd.Index = ds[schema.SAMPLE].to_index()
        self.variables: Mapping[str, np.ndarray] = Lazy(_variables(ds))
        self._lock = threading.Lock()
        self._remembered: dict[tuple[str, int, int], Picture] = {}
        self._bytes = 0

    @property
    def shown(self) -> tuple[str, ...]:
        """Variables of relevance that can be drawn: of every input, then at recorded nodes."""
        nodes = sorted(str(n) for n in self.ds if str(n).startswith(schema.RELEVANCE_AT))
        return tuple(n for n in (*schema.relevances(self.ds), *nodes) if layout(self.ds[n]))

    @property
    def has_input(self) -> bool:
        """Whether the Dataset carries the model inputs."""
        return schema.INPUT in self.ds

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of the explained targets of a sample, each under every condition; one without."""
        n, conditions = self.ds.sizes.get(schema.TARGET, 1), self._conditions
        names = [f"target {k + 1}" if n > 1 else "" for k in range(n)]
        return tuple(", ".join(filter(None, (t, c))) for t in names for c in conditions)

    @cached_property
    def _conditions(self) -> tuple[str, ...]:
        n = self.ds.sizes.get(schema.CONDITION, 1)
        if schema.CONDITION in self.ds.coords:
            return tuple(str(name) for name in read(self.ds[schema.CONDITION]).values)
        return tuple(f"condition {k + 1}" if n > 1 else "" for k in range(n))

    @cached_property
    def input_range(self) -> tuple[float, float]:
        """Input values shown black and white, guessed once from the first samples."""
        first = range(min(16, len(self.index)))
        found = [p.input.values for p in self.pictures(first) if p.input is not None]
        return input_limits(np.stack(found))

    @cached_property
    def classes(self) -> list[str]:
        """Class names; class indices where the Dataset has none."""
        if schema.CLASS in self.ds.coords:
            return [str(name) for name in read(self.ds[schema.CLASS]).values]
        return [str(n) for n in range(self.ds.sizes.get(schema.CLASS, 0))]

    def class_name(self, index: Any) -> str:
        """Return the name of a class index."""
        n = int(index)
        return self.classes[n] if 0 <= n < len(self.classes) else str(n)

    def target_name(self, position: int, target: int) -> str:
        """Return the class that a target of a sample explains, for instance "cat, wheels"."""
        if schema.TARGET not in self.ds.variables:
            return self.targets[target]
        number, condition = divmod(target, len(self._conditions))
        values = np.atleast_1d(read(self.ds[schema.TARGET][{schema.SAMPLE: position}]).values)
        name = self.class_name(values[min(number, len(values) - 1)])
        return ", ".join(filter(None, (name, self._conditions[condition])))

    def margins(self, positions: np.ndarray) -> np.ndarray:
        """Return how far the largest output is above the second, one per position.

        Returns
        -------
        float array
            NaN where the output has fewer than two classes.
        """
        output = self.ds.get(schema.OUTPUT)
        if output is None or output.dims != (schema.SAMPLE, schema.CLASS) or output.shape[1] < 2:
            return np.full(len(positions), np.nan)
        values = np.sort(read(output.isel({schema.SAMPLE: positions})).values, axis=1)
        out: np.ndarray = values[:, -1] - values[:, -2]
        return out

    def facts(self, position: int) -> dict[str, str]:
        """Return what is known of one sample, as text, ids first."""
        out = {schema.SAMPLE: str(self.index[position])}
        for name, values in self.variables.items():
            value = values[position]
            plain = f"{value:.4g}" if values.dtype.kind == "f" else str(value)
            out[name] = self.class_name(value) if name in CLASSED else plain
        return out

    def pictures(
        self, positions: Iterable[int], variable: str = schema.RELEVANCE, target: int = 0
    ) -> list[Picture]:
        """Return samples to be drawn; all that are not remembered are read at once.

        Parameters
        ----------
        positions : iterable of int
            Of the samples in the Dataset.
        variable : str
            One of `shown`.
        target : int
            Position in `targets`; the last one for any beyond.

        Raises
        ------
        ValueError
            For an unknown variable.
        OSError
            If a file has vanished or is damaged.
        """
        if variable not in self.shown:
            raise ValueError(
                f"viewer: needs a variable of relevance; got {variable!r}. "
                f"Choose one of {', '.join(self.shown)}."
            )
        keys = [(variable, target, int(p)) for p in positions]
        with self._lock:
            found = {k: self._remembered[k] for k in keys if k in self._remembered}
        missing = sorted({k[2] for k in keys if k not in found})
        if missing:
            new = dict(
                zip(
                    [(variable, target, p) for p in missing],
                    self.read_pictures(missing, variable, target),
                    strict=True,
                )
            )
            self._remember(new)
            found |= new
        return [found[k] for k in keys]

    def read_pictures(self, positions: list[int], variable: str, target: int) -> list[Picture]:
        """Read samples to be drawn, and remember none."""
        relevance = one_target(self.ds[variable], target)
        source = self.ds.get(input_of(variable))
        words = words_of(self.ds, variable)
        names = {"relevance": relevance, "input": source, "words": words}
        block = xr.Dataset({k: _bare(v) for k, v in names.items() if v is not None})
        block = read(block.isel({schema.SAMPLE: positions}))
        relevances = one_by_one(block["relevance"], plain_of(variable))
        inputs = (
            [None] * len(positions)
            if source is None
            else one_by_one(block["input"], plain_of(input_of(variable)))
        )
        return [
            Picture(
                relevances[n], inputs[n], None if words is None else words_at(block["words"], n)
            )
            for n in range(len(positions))
        ]

    def _remember(self, new: Mapping[tuple[str, int, int], Picture]) -> None:
        with self._lock:
            self._remembered |= new
            self._bytes += sum(map(_size, new.values()))
            for key in list(self._remembered):
                if self._bytes <= REMEMBERED:
                    break
                self._bytes -= _size(self._remembered.pop(key))


def _bare(values: xr.DataArray) -> xr.DataArray:
    return values.reset_coords(drop=True).drop_vars(schema.SAMPLE, errors="ignore")


def _size(picture: Picture) -> int:
    return int(picture.relevance.nbytes + (0 if picture.input is None else picture.input.nbytes))


def _variables(ds: xr.Dataset) -> dict[str, Any]:
    names = [str(n) for n, v in ds.variables.items() if v.dims == (schema.SAMPLE,)]
    names = [n for n in names if n != schema.SAMPLE and ds[n].dtype.kind in "iufbOUSTMm"]
    makers: dict[str, Any] = {n: _reader(ds, n) for n in names}
    if schema.LABEL in makers and schema.PREDICTION in makers:
        label, prediction = _reader(ds, schema.LABEL), _reader(ds, schema.PREDICTION)
        makers["correct"] = lambda: label() == prediction()
    return makers


def _reader(ds: xr.Dataset, name: str) -> Any:
    def values() -> np.ndarray:
        out: np.ndarray = read(ds[name].variable).values
        return out.astype(str) if out.dtype.kind in "MmST" else out

    return values


def _check(ds: xr.Dataset) -> None:
    found = ds.get(schema.RELEVANCE)
    if found is None or found.dims[:1] != (schema.SAMPLE,) or layout(found) is None:
        got = "no such variable" if found is None else f"{found.dims}"
        raise ValueError(
            f"viewer: needs 'relevance' with dimensions ('{schema.SAMPLE}', ['{schema.TARGET}'], "
            f"...) and one of {', '.join(map(str, schema.LAYOUTS))}; got {got}. "
            "Rename its dimensions with ds.rename(...)."
        )
    if schema.SAMPLE not in ds.coords or not ds[schema.SAMPLE].to_index().is_unique:
        raise ValueError(
            f"viewer: needs a coordinate '{schema.SAMPLE}' of ids that occur once; got "
            f"{'repeated ids' if schema.SAMPLE in ds.coords else 'none'}. "
            "Use ds.drop_duplicates('sample') or ds.assign_coords(sample=...)."
        )
