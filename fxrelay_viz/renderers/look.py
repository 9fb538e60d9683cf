"""How a sample is drawn: what is shown of it, in what colours, on what scale, how large."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fxrelay import schema

MODES: Final[Mapping[str, str]] = {
    "input": "Input",
    "heatmap": "Heatmap",
    "overlay": "Overlay",
    "side": "Both",
}
THUMBNAIL: Final = 96
HOVER: Final = 160
LARGE: Final = 320
#: size in pixels -> the view of a renderer
SIZES: Final[Mapping[int, str]] = {THUMBNAIL: "thumbnail", HOVER: "hover", LARGE: "large"}
BLEND: Final = 0.9


@dataclass(frozen=True)
class Look:
    """How a sample is drawn.

    Attributes
    ----------
    mode : str
        A key of `MODES`.
    cmap : str
        A name in `fxrelay.heatmap.CMAPS`.
    limit : float or None
        Relevance at the end of the colour map; None: the largest of each sample.
    size : int
        A key of `SIZES`, in pixels.
    variable : str
        The variable of relevance.
    target : int, >= 0
        Which of the explained targets, under which condition.
    blend : float, 0 to 1
        Opacity of the heatmap over the input, where it is strongest.
    percentile : float, over 0 to 100
        Without a limit, this percentile of the magnitudes is the end of the colour map.
    """

    mode: str = "overlay"
    cmap: str = "bwr"
    limit: float | None = None
    size: int = THUMBNAIL
    variable: str = schema.RELEVANCE
    target: int = 0
    blend: float = BLEND
    percentile: float = 100.0

    @property
    def scale(self) -> dict[str, Any]:
        """Keywords for `fxrelay.heatmap.heatmap`."""
        return {"percentile": self.percentile} if self.limit is None else {"vmax": self.limit}
