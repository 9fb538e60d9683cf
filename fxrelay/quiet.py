"""Keep torch from printing what fxrelay tells in one error of its own."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Final

#: loggers of torch that print a traceback, or a graph, before an exception is raised
LOUD: Final = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back tracebacks and graphs that torch logs, and warnings of its own deprecations."""
    loggers = [logging.getLogger(name) for name in LOUD]
    for logger in loggers:
        logger.addFilter(_nothing)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False
