"""Doing things a moment later while a page is served, and at once elsewhere."""

from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
from panel.io import unlocked


def served_document() -> Any:
    """Return the document of the page that is served in this thread, or None."""
    document = pn.state.curdoc
    return None if document is None or document.session_context is None else document


def soon(document: Any, do: Callable[[], None]) -> None:
    """Change models of a page in the next turn of its event loop; from any thread.

    Then its document is locked, which it is not while a control reports. Panel sends the changes,
    after those that it has not sent yet, such as the figure that they are about.
    """
    document.add_next_tick_callback(partial(_in_order, do))


def _in_order(do: Callable[[], None]) -> None:
    with unlocked():
        do()


def locked(do: Callable[[], None]) -> None:
    """Change models of this page `soon`; at once where no page is served."""
    document = served_document()
    if document is None:
        do()
    else:
        soon(document, do)


class Later:
    """Calls a function once nobody has asked for it for a moment.

    Parameters
    ----------
    do : callable
    wait : int, > 0
        How long a moment is, in milliseconds.
    """

    def __init__(self, do: Callable[[], None], wait: int) -> None:
        self._do, self._wait = do, wait
        self._timer: Any = None

    def ask(self) -> None:
        """Call the function soon; at once where no page is served."""
        document = served_document()
        if document is None:
            self._do()
            return
        if self._timer is not None:
            document.remove_timeout_callback(self._timer)
        self._timer = document.add_timeout_callback(self._run, self._wait)

    def _run(self) -> None:
        self._timer = None
        _in_order(self._do)
