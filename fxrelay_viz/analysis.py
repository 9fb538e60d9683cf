"""The analysis of a dataset: its categories by name, opened as they are looked at."""

import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.category import Rank, ranks
from fxrelay_viz.reading import careful, open_file, read


class Analysis:
    """An analysis, opened once per process and shared by all sessions.

    Parameters
    ----------
    groups : DataTree, or mapping of name to Dataset
        A group per category and the group `ranking`; ``attrs`` hold the recipe, where it has one.

    Raises
    ------
    ValueError
        If there is no category.
    """

    def __init__(self, groups: xr.DataTree | Mapping[str, xr.Dataset]) -> None:
        self.attrs: Mapping[str, Any] = dict(getattr(groups, "attrs", {}))
        if isinstance(groups, xr.DataTree):
            groups = {str(n): node.to_dataset() for n, node in groups.children.items()}
        self.groups = groups
        self.names = [name for name in groups if name != schema.RANKING]
        if not self.names:
            raise ValueError(
                "viewer: needs an analysis with at least one category; got none. "
                "Run fxrelay_analysis.spray(ds) first."
            )

    @cached_property
    def ranking(self) -> tuple[Rank, ...]:
        """The categories, most suspicious first."""
        table = self.groups.get(schema.RANKING)
        return ranks(self.names, None if table is None else read(table))

    def ids(self, name: str) -> np.ndarray:
        """Return the sample ids of a category."""
        return self.all_ids([name])[name]

    def all_ids(self, names: list[str] | None = None) -> dict[str, np.ndarray]:
        """Return the sample ids of categories, by default of all, in one go."""
        wanted = self.names if names is None else names
        if isinstance(self.groups, Groups):
            return self.groups.ids(wanted)
        return {name: read(self.groups[name][schema.SAMPLE]).values for name in wanted}


class Groups(Mapping[str, xr.Dataset]):
    """The groups of a netCDF file, each opened lazily when it is asked for.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        If it is no netCDF file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with careful(), netCDF4.Dataset(path) as file:
            self._names = list(file.groups)
            self.attrs: dict[str, Any] = {name: file.getncattr(name) for name in file.ncattrs()}
        self._opened: dict[str, xr.Dataset] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> xr.Dataset:
        if name not in self._names:
            raise KeyError(name)
        with self._lock:
            if name not in self._opened:
                self._opened[name] = open_file(self.path, name)
            return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def ids(self, names: list[str]) -> dict[str, np.ndarray]:
        """Return the sample ids of groups, without opening the rest of them."""
        with careful(), netCDF4.Dataset(self.path) as file:
            return {name: np.asarray(file[name][schema.SAMPLE][:]) for name in names}
