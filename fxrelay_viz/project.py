"""What the viewer shows at a time: one attribution Dataset and one analysis of its samples."""

import threading
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from fxrelay import schema
from fxrelay_viz.analysis import Analysis
from fxrelay_viz.category import Category, Rank, category, pick
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.notes import Noted, Notes
from fxrelay_viz.reading import Lazy

#: how far the largest output is above the second, as a variable of the samples
MARGIN = "margin"


class Project:
    """A Dataset and its analysis, opened once per process and shared by all sessions.

    Parameters
    ----------
    ds : Dataset or Explanations
        Attribution Dataset, `relevance` with dims (sample, [target], ...).
    tree : DataTree or Analysis
        A group per category and the group `ranking`.
    name, method, analysis : str
        How the workspace calls the project, the Dataset and the analysis.
    notes : Notes, optional
        Tags and notes of the samples; by default they live as long as the process.

    Raises
    ------
    ValueError
        If the two do not fit together; names every category that is at fault.
    """

    def __init__(
        self,
        ds: xr.Dataset | Explanations,
        tree: xr.DataTree | Analysis,
        *,
        name: str = "",
        method: str = "",
        analysis: str = "",
        notes: Notes | None = None,
    ) -> None:
        given = ds if isinstance(ds, Explanations) else Explanations(ds)
        self.explanations = given
        self.ds, self.index, self.variables = given.ds, given.index, given.variables
        self.pictures, self.facts, self.class_name = given.pictures, given.facts, given.class_name
        self.tree = tree if isinstance(tree, Analysis) else Analysis(tree)
        self.ranking = self.tree.ranking
        self.name, self.method, self.analysis = name, method, analysis
        self.notes = Notes(None) if notes is None else notes
        self._ranks = {rank.name: rank for rank in self.ranking}
        self._categories: dict[str, Category] = {}
        self._lock = threading.RLock()
        self._check()

    @property
    def names(self) -> list[str]:
        """Names of the categories, most suspicious first."""
        return list(self._ranks)

    @property
    def has_input(self) -> bool:
        """Whether the Dataset carries the model inputs."""
        return self.explanations.has_input

    @property
    def input_range(self) -> tuple[float, float]:
        """Input values shown black and white."""
        return self.explanations.input_range

    @property
    def classes(self) -> list[str]:
        """Class names; class indices where the Dataset has none."""
        return self.explanations.classes

    def rank(self, name: str) -> Rank:
        """Return the row of a category."""
        out: Rank = pick(self._ranks, name, "viewer", "category")
        return out

    def position(self, sample: Any) -> int | None:
        """Return where a sample id stands in the Dataset; None for a stranger."""
        place = int(self.index.get_indexer([sample])[0])
        return None if place < 0 else place

    def category(self, name: str) -> Category:
        """Return a category, opened on first use.

        Raises
        ------
        ValueError
            If there is none of this name, or it has samples that the Dataset has not.
        """
        self.rank(name)
        with self._lock:
            if name not in self._categories:
                self._categories[name] = self._open(name)
            return self._categories[name]

    def _open(self, name: str) -> Category:
        positions = self.index.get_indexer(self.tree.ids(name))
        columns: dict[str, Any] = {key: self._column(key, positions) for key in self.variables}
        if schema.OUTPUT in self.ds:
            columns[MARGIN] = lambda: self.explanations.margins(positions)
        ids = self.index[positions].values
        table: Mapping[str, np.ndarray] = ChainMap(Lazy(columns), Noted(self.notes, ids))  # type: ignore[arg-type]
        return category(name, self.tree.groups[name], positions, table, self.classes)

    def _column(self, name: str, positions: np.ndarray) -> Any:
        return lambda: self.variables[name][positions]

    def _check(self) -> None:
        strangers = {name: self._unknown(ids) for name, ids in self.tree.all_ids().items()}
        wrong = [f"{name} ({n})" for name, n in strangers.items() if n]
        if wrong:
            raise ValueError(
                f"viewer: needs every analysed sample in the Dataset; got unknown ids in "
                f"{', '.join(wrong[:20])}. Open the Dataset that the analysis was made from."
            )

    def _unknown(self, ids: np.ndarray) -> int:
        return int((self.index.get_indexer(ids) < 0).sum())
