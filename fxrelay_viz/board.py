"""A pane of HTML whose controls report to Python; the only JavaScript of the viewer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import panel as pn
import param

HERE: Final = Path(__file__).parent
CSS: Final = (HERE / "viewer.css").read_text(encoding="utf-8")
#: no text that a person types or imports is longer
MOST: Final = 8 * 2**20

Report = Callable[[str, str, str], None]


class Board(pn.custom.JSComponent):
    """HTML with controls: one with ``data-do`` calls `on_report` with what, with what value, how.

    Buttons report ``data-value``; selects, sliders, searches, texts and files what was chosen. The
    HTML is made by `markup`, which escapes every text that comes from data.

    Parameters
    ----------
    on_report : callable, optional
        Called as ``on_report(do, value, how)`` with three str. `how` is the operation that Shift
        or Alt asks for, the ``data-value`` of a select or text, or the name of a file.
    """

    html = param.String(default="", doc="Escaped HTML.")
    current = param.String(default="", doc="Value of the image that is marked.")
    listens = param.Boolean(default=False, doc="Whether it reports the shortcuts of the page.")
    answered = param.Integer(default=0, doc="Reports that were answered.")

    _esm = HERE / "board.js"
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(self, on_report: Report | None = None, **params: Any) -> None:
        super().__init__(**params)
        self.on_report = on_report

    def _handle_msg(self, data: Any) -> None:
        if self.on_report is None or not isinstance(data, dict):
            return
        do, value, how = (str(data.get(key, ""))[:MOST] for key in ("do", "value", "how"))
        self.on_report(do[:40], value, how[:200])
        self.answered += 1

    def download(self, name: str, mime: str, data: bytes) -> None:
        """Hand a file to the browser."""
        from base64 import b64encode

        self._send_msg({"name": name, "mime": mime, "data": b64encode(data).decode()})
