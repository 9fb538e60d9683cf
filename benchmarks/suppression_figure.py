"""The figure of the suppression benchmark."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

#: what is drawn -> its name and colour
DRAWN: Final = {
    "before": ("poisoned", "#4d4d4d"),
    "projected": ("projected", "#56b4e9"),
    "balanced": ("control: balanced, learned on", "#e69f00"),
    "relearned": ("projected, learned on", "#0072b2"),
    "clean": ("trained on clean images", "#009e73"),
}


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy on the class's clean test images at the highest share, a dot for each run."""
    share = max(row["case"]["share"] for row in rows)
    rows = [row for row in rows if row["case"]["share"] == share]
    models = list(dict.fromkeys(row["case"]["model"] for row in rows))
    fig, axes = plt.subplots(
        1, len(models), figsize=(2 + 4 * len(models), 4.2), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axis, model in zip(axes[0], models, strict=True):
        _panel(axis, [row for row in rows if row["case"]["model"] == model])
        axis.set_title(f"network: {model}", fontsize=10)
    axes[0, 0].set_ylabel("accuracy on the class's images\nwithout the artefact, %")
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=len(DRAWN), frameon=False)
    fig.suptitle(f"Artefact in {share:.0%} of a class's training images", fontsize=11)
    fig.savefig(path, dpi=130)
    plt.close(fig)


def _panel(axis: Any, rows: list[dict[str, Any]]) -> None:
    kinds = list(dict.fromkeys(row["case"]["kind"] for row in rows))
    for at, kind in enumerate(kinds):
        part = [row["scores"] for row in rows if row["case"]["kind"] == kind]
        for i, (way, (name, colour)) in enumerate(DRAWN.items()):
            values = [scores[way]["own"] for scores in part]
            place = at + 0.16 * (i - (len(DRAWN) - 1) / 2)
            axis.plot(np.full(len(values), place), values, ".", color=colour, alpha=0.5, ms=5)
            axis.plot([place - 0.06, place + 0.06], [np.mean(values)] * 2, color=colour, lw=2.5,
                      label=None if at else name)  # fmt: skip
    axis.set_xticks(range(len(kinds)), kinds)
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
