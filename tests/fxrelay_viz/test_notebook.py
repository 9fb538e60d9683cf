"""The viewer in a notebook: a real kernel, and the messages that a browser sends to it."""

import re
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat")

CELLS = (
    "import panel as pn\npn.extension(inline=True)\n"
    "import fxrelay_viz\nfrom fxrelay_viz import samples\n"
    "viewer = fxrelay_viz.view(*samples.digits(poisoned=3))",
    "viewer.act('open', 'digit 7')\nviewer",
    "print(viewer.plots[0]._figure.model.id)",
    "print(int(viewer.session.mask.sum()), viewer.selected.sizes['sample'])",
)


class Notebook:
    """Runs cells one by one, and sends what a browser would send."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, number: int) -> Any:
        cell = self.client.nb.cells[number]
        self.client.execute_cell(cell, number)
        return cell.outputs

    def told(self, number: int) -> str:
        return "".join(output.get("text", "") for output in self.run(number))

    def report(self, target: str, data: dict[str, Any]) -> None:
        """Open a comm to the page that is shown, and send one message."""
        comm, shell = uuid.uuid4().hex, self.client.kc.shell_channel
        content = {"comm_id": comm, "target_name": target, "data": {}}
        shell.send(self.client.kc.session.msg("comm_open", content))
        shell.send(self.client.kc.session.msg("comm_msg", {"comm_id": comm, "data": data}))


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    client = nbclient.NotebookClient(nb, timeout=120, kernel_name="python3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own, about its transport
        with client.setup_kernel():
            yield Notebook(client)


def test_a_notebook_shows_the_viewer_and_gets_the_selection(notebook: Notebook):
    notebook.run(0)
    shown = next(o for o in notebook.run(1) if o.output_type == "execute_result")
    page = shown["data"]["text/html"]
    assert "data:image/png" in page
    assert "digit 7" in page
    target = re.search(r'"client_comm_id":"(\w+)"', page)
    assert target is not None
    figure = notebook.told(2).strip()
    box = {"type": "rect", "x0": -1e9, "y0": -1e9, "x1": 1e9, "y1": 1e9}
    values = {"model": {"id": figure}, "geometry": _map(box), "final": True}
    event = {"type": "event", "name": "selectiongeometry", "values": _map(values)}
    message = {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": event}
    notebook.report(
        target.group(1),
        {
            "header": {"msgid": "1", "msgtype": "PATCH-DOC"},
            "metadata": {},
            "content": {"events": [message]},
        },
    )
    assert notebook.told(3).split() == ["179", "179"]


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "map", "entries": list(values.items())}
