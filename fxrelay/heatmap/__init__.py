"""The one place for colour: the table of colour maps, relevance to image, contact sheets.

Contact sheets, the viewer and the command line all draw with this module. It imports no torch.
"""

from fxrelay.heatmap.cmaps import CMAPS, Cmap, palette
from fxrelay.heatmap.images import heatmap, input_limits, limits, overlay, to_image
from fxrelay.heatmap.sheets import contact_sheet, grid, save

__all__ = [
    "CMAPS",
    "Cmap",
    "contact_sheet",
    "grid",
    "heatmap",
    "input_limits",
    "limits",
    "overlay",
    "palette",
    "save",
    "to_image",
]
