"""The table of categories, most suspicious first."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from fxrelay.schema import CATEGORY, RANKING, SAMPLE, SUSPICION, describe
from fxrelay.text import aligned

#: variables that the table of categories has beside suspicion, and their value without analysis
RANKED: Final[Mapping[str, Any]] = {
    SUSPICION: np.nan,
    "flagged": False,
    "suspicious_clustering": "",
    "chosen_n_clusters": np.int32(0),
    "suspicious_cluster": np.int32(-1),
    "suspicious_size": np.int32(0),
}  # fmt: skip

#: what was decided with, on every group and on the ranking
DECISION: Final = ("level", "threshold")


def rank(groups: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the table of categories, dim category, most suspicious first."""
    columns = {
        name: np.array([group[name].item() if name in group else none for group in groups.values()],
                       dtype=str if isinstance(none, str) else np.asarray(none).dtype)
        for name, none in RANKED.items()
    }  # fmt: skip
    columns["n_samples"] = np.array([group.sizes[SAMPLE] for group in groups.values()], np.int64)
    columns["analysed"] = np.array([SUSPICION in group for group in groups.values()], bool)
    table = xr.Dataset(
        {name: (CATEGORY, values) for name, values in columns.items()},
        coords={CATEGORY: list(groups)},
        attrs={n: g.attrs[n] for g in groups.values() for n in DECISION if n in g.attrs},
    )
    order = np.argsort(-np.nan_to_num(columns[SUSPICION], nan=-1.0), kind="stable")
    return describe(table.isel({CATEGORY: order}))


def ranking_text(tree: xr.DataTree) -> str:
    """Return the table of categories as aligned text."""
    table = tree[RANKING].to_dataset()
    head = ("category", "suspicion", "", "clustering", "clusters", "suspicious cluster", "size",
            "of")  # fmt: skip
    rows: list[tuple[str, ...]] = [head]
    for i, name in enumerate(table[CATEGORY].values):
        row = table.isel({CATEGORY: i})
        verdict = "FLAGGED" if row["flagged"] else "" if row["analysed"] else "not analysed"
        counts = ("chosen_n_clusters", "suspicious_cluster", "suspicious_size", "n_samples")
        numbers = [str(int(row[key])) for key in counts]
        rows.append((str(name), f"{float(row[SUSPICION]):.2f}", verdict,
                     str(row["suspicious_clustering"].item()), *numbers))  # fmt: skip
    return aligned(rows)
