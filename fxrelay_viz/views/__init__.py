"""The parts of the page: what each shows of a session, and when it is drawn again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fxrelay_viz.session import DATA, Session
from fxrelay_viz.views import explore, frame, insight, looks, sample


@dataclass(frozen=True)
class View:
    """One part of the page.

    Attributes
    ----------
    draw : callable
        Session to HTML.
    needs : frozenset of str
        It is drawn again when one of these changes.
    landing : bool
        Whether it is drawn without an open category too.
    """

    draw: Callable[[Session], str]
    needs: frozenset[str]
    landing: bool = False


PLACE: Final = frozenset({"category", *DATA})
CLUSTERS: Final = PLACE | {"clustering", "k"}
IMAGES: Final = PLACE | {"mode", "cmap", "blend", "percentile", "variable", "target", "sampling"}
SHOWN: Final = PLACE | {"recipe", "hidden", "order", "seed", "page", "page_size", "scale",
                        "embedding", "colour_by"}  # fmt: skip
LOWER: Final = CLUSTERS | IMAGES | {"tab", "sample", "embedding", "compared", "against", "notes"}

#: name of a board -> what it shows; the images come first, since the browser has to fetch them,
#: the header and the message last, they tell of the rest
VIEWS: Final[Mapping[str, View]] = {
    "grid": View(sample.grid, SHOWN | IMAGES | CLUSTERS),
    "ranking": View(frame.ranking, PLACE | {"ranking_page", "query", "mode"}, landing=True),
    "choices": View(explore.choices, CLUSTERS | {"embedding", "x", "y", "second", "colour_by",
                                                 "density", "hidden",
                                                 "notes"}),
    "numbers": View(explore.numbers, CLUSTERS),
    "tools": View(explore.tools, PLACE | {"recipe", "hidden", "selection_mode"}),
    "legend": View(explore.legend, CLUSTERS | {"colour_by", "recipe", "hidden", "notes"}),
    "histograms": View(explore.histograms, PLACE | {"recipe", "hidden", "histograms"}),
    "preview": View(sample.preview, CLUSTERS | {"over"}),
    "looks": View(looks.looks, SHOWN | IMAGES),
    "lower": View(insight.lower, LOWER),
    "status": View(frame.status, PLACE, landing=True),
    "header": View(frame.header, PLACE, landing=True),
    "message": View(frame.message, frozenset({"message"}), landing=True),
}  # fmt: skip

#: tabs below the grid that show the selection as well
OF_SELECTION: Final = ("compare", "notes")


def stale(changed: set[str], session: Session) -> list[str]:
    """Return the names of the views to draw again, in their order."""
    seen = set(changed)
    if seen & SHOWN and session.state.tab in OF_SELECTION:
        seen.add("tab")
    opened = bool(session.state.category)
    return [n for n, view in VIEWS.items() if view.needs & seen and (opened or view.landing)]
