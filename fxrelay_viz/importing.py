"""Reading back what was exported: the state of the viewer, ours or ViRelAy's."""

import json
from typing import Any, Final, NamedTuple

from fxrelay_viz import links, selection
from fxrelay_viz.virelay_state import is_virelay, read_virelay
from fxrelay_viz.workspace import Workspace

#: a larger file is refused before it is read
MOST_BYTES: Final = 8 * 2**20


class Imported(NamedTuple):
    """State, recipe, and what could not be taken over."""

    values: dict[str, Any]
    recipe: selection.Recipe
    messages: list[str]


def read_state(body: bytes, workspace: Workspace) -> Imported:
    """Read an exported state, JSON with `state` and `selection` or ViRelAy's sixteen fields.

    Parameters
    ----------
    body : bytes
        At most 8 MB of UTF-8 text.
    workspace : Workspace
        What is open.

    Returns
    -------
    Imported

    Raises
    ------
    ValueError
        If the file is too large, no such JSON, of another version, or has values out of range;
        names what is wrong.
    """
    if len(body) > MOST_BYTES:
        raise ValueError(
            f"import: needs a file of at most {MOST_BYTES // 2**20} MB; got "
            f"{len(body) / 2**20:.1f} MB. Export the state without the list of all samples."
        )
    content = _parsed(body)
    if is_virelay(content):
        return Imported(*read_virelay(content, workspace))
    if "state" not in content and "selection" not in content:
        raise ValueError(
            "import: needs JSON with 'state' and 'selection', or the fields that ViRelAy exports; "
            f"got {', '.join(map(str, list(content)[:8])) or 'nothing'}. "
            "Choose a file that the viewer exported."
        )
    if content.get("version") != links.VERSION:
        raise ValueError(
            f"import: needs version {links.VERSION}; got {str(content.get('version'))[:40]!r}. "
            "Open it with the fxrelay that made it."
        )
    values, recipe = links.checked(
        {"state": {}, "selection": json.loads(selection.to_json(()))} | content,
        "import", "Mend the file, or export it again.",
    )  # fmt: skip
    return Imported(values, recipe, [])


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"import: needs JSON; got a file that is none ({type(error).__name__}). "
            "Choose a file that the viewer exported."
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"import: needs JSON with 'state' and 'selection'; got a {type(content).__name__}. "
            "Choose a file that the viewer exported."
        )
    return content
