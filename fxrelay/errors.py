"""The exceptions of fxrelay, and how a node is named in their texts."""

import os
import re
import traceback
from pathlib import Path

import torch
from torch import fx

from fxrelay.meta import PATH

#: source files under these folders are not the user's
LIBRARIES = tuple(str(Path(file).parent) + os.sep for file in (torch.__file__, __file__))


class UnsupportedOperation(TypeError):
    """The model calls operators that no row of ``OPERATORS`` knows."""


class TraceFailed(ValueError):
    """No way of tracing the model worked."""


class RuleError(ValueError):
    """Rules and operators of a graph do not fit together."""


def located(node: fx.Node) -> str:
    """Return ``path `name` (file.py:41)``: where the user finds the node."""
    path = node.meta.get(PATH)
    line = source_line(node.stack_trace)
    name = f"`{path or node.name}`"
    return f"{name} ({line})" if line else name


def source_line(trace: str | None) -> str | None:
    """Return ``file.py:41`` for the innermost frame that is neither torch's nor ours."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', trace or "")
    own = [(f, n) for f, n in frames if not any(f.startswith(p) for p in LIBRARIES)]
    if not own:
        return None
    file, number = own[-1]
    return f"{Path(file).name}:{number}"


def raised_at(error: BaseException) -> str:
    """Return `` at file.py:41 (source text)`` for the user's line that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(f.filename.startswith(p) for p in LIBRARIES)]
    if not own:
        return ""
    text = f" ({own[-1].line})" if own[-1].line else ""
    return f" at {Path(own[-1].filename).name}:{own[-1].lineno}{text}"


def listed(items: list[str], most: int = 20) -> str:
    """Return the items as an indented list, cut after `most` with a count of the rest."""
    lines = [f"  - {item}" for item in items[:most]]
    rest = len(items) - most
    return "\n".join([*lines, f"  - and {rest} more"] if rest > 0 else lines)
