"""HTML of the viewer, made by pure functions; every text that comes from data is escaped here."""

from fxrelay_viz.markup.axes import axes
from fxrelay_viz.markup.basics import Card, Choice
from fxrelay_viz.markup.chrome import header, message, status
from fxrelay_viz.markup.dendrogram import dendrogram
from fxrelay_viz.markup.explore import choices, clusters, colour_bar, legend, looks, tools
from fxrelay_viz.markup.grid import grid, preview
from fxrelay_viz.markup.histograms import histograms
from fxrelay_viz.markup.insight import Comparison, Summary, comparison, summaries, tabs
from fxrelay_viz.markup.notebook import notebook
from fxrelay_viz.markup.ranking import ranking
from fxrelay_viz.markup.sample import Detail, detail
from fxrelay_viz.markup.spectrum import spectrum
from fxrelay_viz.markup.why import Verdict, verdict

__all__ = [
    "Card", "Choice", "Comparison", "Detail", "Summary", "Verdict", "axes", "choices", "clusters",
    "colour_bar", "comparison", "dendrogram", "detail", "grid", "header", "histograms", "legend",
    "looks", "message", "notebook", "preview", "ranking", "spectrum", "status", "summaries", "tabs",
    "tools", "verdict",
]  # fmt: skip
