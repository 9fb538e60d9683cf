"""How every plot looks: a HoloViews hook that sets the Bokeh figure."""

from typing import Any, Final

from bokeh.models import BoxSelectTool, LassoSelectTool

RULE: Final = "#cfd4dc"
GRID: Final = "#eef0f4"
SOFT: Final = "#6b7280"


def style(plot: Any, element: Any) -> None:
    """Set the figure's colours and fonts; gestures go to Python and select nothing by themselves.

    The canvas is drawn in 2-D: WebGL is many times slower where it is emulated.
    """
    figure = plot.state
    for tool in figure.tools:
        if isinstance(tool, (BoxSelectTool, LassoSelectTool)):
            tool.renderers, tool.continuous = [], False
    figure.toolbar.logo, figure.output_backend = None, "canvas"
    figure.outline_line_color = None
    figure.grid.grid_line_color = GRID
    figure.background_fill_color = figure.border_fill_color = "#ffffff"
    for axis in figure.axis:
        axis.axis_label_standoff = 4
        axis.axis_line_color = axis.major_tick_line_color = RULE
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = SOFT
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "11px"
