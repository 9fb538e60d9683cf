"""Doing things a moment later while a page is served, and at once elsewhere."""

from collections.abc import Callable
from typing import Any

import panel as pn


def served_document() -> Any:
    """Return the document of the page that is served in this thread, or None."""
    document = pn.state.curdoc
    return None if document is None or document.session_context is None else document


def locked(do: Callable[[], None]) -> None:
    """Change models of a page while its document is locked: in the next turn of the event loop.

    Reports of controls come without the lock, those of figures with it; where no page is served,
    there is no lock.
    """
    document = served_document()
    if document is None:
        do()
    else:
        document.add_next_tick_callback(do)


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
        self._do()
