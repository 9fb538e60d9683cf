"""A page that is closed while something is sent to it is nothing to report."""

import logging
from typing import Final

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

#: who reports it
LOGGERS: Final = (
    "asyncio", "bokeh.server.views.ws", "panel.io.document", "tornado.application",
)  # fmt: skip
SAID: Final = "Failed sending message as connection was closed"


class Closed(logging.Filter):
    """Drops records of pages that were closed too early; everything else passes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is about anything else."""
        error = record.exc_info[1] if record.exc_info else None
        return not (
            isinstance(error, (StreamClosedError, WebSocketClosedError))
            or record.getMessage().startswith(SAID)
        )


CLOSED: Final = Closed()


def expect_closing() -> None:
    """Say nothing of pages that are closed too early; may be called again."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(CLOSED)
