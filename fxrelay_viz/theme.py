"""How every plot looks, on a light and a dark page: a HoloViews hook that sets the figure."""

from typing import Any, Final

from bokeh.models import BoxSelectTool, HelpTool, LassoSelectTool, WheelZoomTool

ACCENT: Final = "#3f74bf"
#: seen on a light and on a dark ground
INK: Final = "#e0418a"
RULE: Final = "#8a93a355"
SOFT: Final = "#828b99"
#: outlines of what was selected, rings around points, lines of equal density; names as of Bokeh
OUTLINE: Final = {"color": ACCENT, "line_width": 1.5, "line_dash": "dashed", "alpha": 0.8}
RING: Final = {"size": 15, "fill_alpha": 0, "line_color": INK, "line_width": 2, "color": INK}
CONTOUR: Final = {"line_width": 1.2, "alpha": 0.8}
#: so many points are drawn large
FEW: Final = 2_000


def point_size(count: int) -> int:
    """Return how large points are drawn, in pixels, where there are so many."""
    return 8 if count <= FEW else 5


def style(plot: Any, element: Any) -> None:
    """Set the figure's colours and fonts; gestures go to Python and select nothing by themselves.

    The canvas is drawn in 2-D: WebGL is many times slower where it is emulated. The ground is the
    page's own, light or dark.
    """
    figure = plot.state
    for tool in figure.tools:
        if isinstance(tool, (BoxSelectTool, LassoSelectTool)):
            tool.renderers, tool.continuous = [], False
        if isinstance(tool, WheelZoomTool):
            tool.zoom_on_axis = False
    figure.toolbar.logo, figure.output_backend = None, "canvas"
    if not any(isinstance(tool, HelpTool) for tool in figure.tools):
        figure.add_tools(HelpTool(visible=False))  # room for dividers, or the last tool is folded
    figure.outline_line_color = None
    figure.grid.grid_line_color = RULE
    figure.grid.grid_line_alpha = 0.5
    figure.background_fill_color = figure.border_fill_color = None
    for axis in figure.axis:
        axis.axis_label_standoff = 4
        axis.axis_line_color = axis.major_tick_line_color = RULE
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = SOFT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "11px"
