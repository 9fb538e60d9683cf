"""Eigenvalues to choose the number of clusters by."""

from collections.abc import Sequence

import numpy as np

from fxrelay_viz.markup.basics import button

HIGH = 56.0


def spectrum(
    values: np.ndarray, k: int | None, choosable: Sequence[int], gaps: Sequence[tuple[int, float]]
) -> str:
    """Return the eigenvalues as bars; a click on one chooses as many clusters.

    Parameters
    ----------
    values : float array, shape (component,)
        Ascending.
    k : int or None
        Number of clusters that is shown.
    choosable : sequence of int
        Numbers of clusters that the clustering has.
    gaps : sequence of (k, gap)
        Numbers of clusters that the spectrum suggests, the best first.
    """
    if not len(values):
        return ""
    best = gaps[0][0] if gaps else None
    steps = np.append(np.diff(values), np.nan)
    span = float(np.abs(values).max()) or 1.0
    bars = "".join(
        _bar(n, f"{value:.4g}", step, abs(value) / span, n in choosable,
             [name for name, on in (("inside", n <= (k or 0)), ("best", n == best)) if on],
             n == k)
        for n, (value, step) in enumerate(zip(values.tolist(), steps.tolist(), strict=True), 1)
    )  # fmt: skip
    told = "" if best is None else f"<small>largest gap after {best}</small>"
    return (
        f'<h2>Eigenvalues {told}</h2><div class="spectrum" role="group" '
        f'aria-label="Eigenvalues; choose a number of clusters">{bars}</div>'
    )


def _bar(
    n: int, value: str, step: float, share: float, usable: bool, kinds: Sequence[str], on: bool
) -> str:
    told = f"{n} clusters: eigenvalue {value}"
    told += f", {step:.4g} to the next" if step == step else ""
    inner = f'<i style="height:{max(3.0, HIGH * share):.0f}px"></i>'
    return button("k", n, inner, " ".join(kinds), not usable, title=told, aria_label=told,
                  aria_pressed=str(on).lower())  # fmt: skip
