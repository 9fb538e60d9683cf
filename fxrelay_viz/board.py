"""A pane of HTML whose buttons report to Python; the only JavaScript of the viewer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import panel as pn
import param

CSS: Final = (Path(__file__).parent / "viewer.css").read_text(encoding="utf-8")


class Board(pn.custom.JSComponent):
    """HTML with buttons: a click on an element with ``data-do`` calls `on_click`.

    Elements carry ``data-do`` (what happens) and ``data-value`` (with what). The HTML is made by
    `markup`, which escapes every text that comes from data.
    """

    html = param.String(default="", doc="Escaped HTML.")
    current = param.String(default="", doc="Value of the button that is marked.")

    _esm = """
    export function render({ model, el }) {
      const box = document.createElement("div")
      box.className = "board"
      const mark = () => {
        for (const item of box.querySelectorAll("[data-do=show]"))
          item.classList.toggle("current", item.dataset.value === model.current)
      }
      const draw = () => {
        const held = box.getRootNode().activeElement?.dataset
        const same = held?.do ? [...box.querySelectorAll(`[data-do="${held.do}"]`)] : []
        const place = same.findIndex(item => item.dataset === held)
        box.innerHTML = model.html
        mark()
        if (place >= 0) box.querySelectorAll(`[data-do="${held.do}"]`)[place]?.focus()
      }
      box.addEventListener("click", event => {
        const target = event.target.closest("[data-do]")
        if (!target || target.classList.contains("disabled")) return
        const how = event.shiftKey ? "add" : event.altKey ? "subtract" : ""
        model.send_msg({ do: target.dataset.do, value: target.dataset.value || "", how })
      })
      model.on("html", draw)
      model.on("current", mark)
      draw()
      return box
    }
    """
    _stylesheets: ClassVar[list[str]] = [CSS]

    def __init__(self, on_click: Callable[[str, str, str], None] | None = None, **params: Any):
        super().__init__(**params)
        self._on_click = on_click

    def _handle_msg(self, data: Any) -> None:
        """Pass a click on: what, with what value, and the operation that Shift or Alt asks for."""
        if self._on_click is not None and isinstance(data, dict):
            self._on_click(*(str(data.get(key, ""))[:200] for key in ("do", "value", "how")))
