"""The axes of an embedding against each other, each pair a button."""

from collections.abc import Mapping
from html import escape

from fxrelay_viz.markup.basics import button


def axes(pictures: Mapping[tuple[int, int], str], chosen: tuple[int, int], name: str) -> str:
    """Return a scatter matrix; a click on a cell draws its axes in large.

    Parameters
    ----------
    pictures : mapping of (across, up) to address
        Axes from 0.
    chosen : (int, int)
        The axes that are drawn in large.
    name : str
        Of the embedding.
    """
    if not pictures:
        return ""
    cells = "".join(_cell(pair, address, pair == chosen) for pair, address in pictures.items())
    count = max(up for _, up in pictures)
    return (
        f'<h2>Axes of {escape(name)}</h2><div class="matrix" role="group" '
        f'aria-label="Pairs of axes" style="--n:{count}">{cells}</div>'
    )


def _cell(pair: tuple[int, int], address: str, on: bool) -> str:
    across, up = pair
    told = f"Axis {across + 1} across, axis {up + 1} up"
    inner = f'<img src="{escape(address)}" alt=""><small>{across + 1}·{up + 1}</small>'
    return button("axes", f"{across} {up}", inner, title=told, aria_label=told,
                  aria_pressed=str(on).lower(),
                  style=f"grid-area:{up}/{across + 1}")  # fmt: skip
