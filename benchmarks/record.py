"""Write results where they are read: JSON beside the script, a table in the README."""

import json
import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = ("fxrelay", "torch", "numpy", "xarray", "scikit-learn")


def machine() -> str:
    """One line on the machine, the versions and the day."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    python = f"Python {platform.python_version()}"
    day = datetime.now(UTC).date().isoformat()
    return f"{os.cpu_count()} cores, {platform.machine()}, {python}, {versions}, {day}"


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with a column for each key of the first row."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[key]) for key in head] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def record(name: str, command: str, text: str, results: Any) -> None:
    """Keep `results` as JSON and put `text` into the section of that name in the README."""
    (HERE / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    file = HERE / "README.md"
    body = f"<!-- {name} -->\n`{command}`, {machine()}\n\n{text}\n<!-- /{name} -->"
    pattern = re.compile(rf"<!-- {name} -->.*<!-- /{name} -->", re.DOTALL)
    old = file.read_text()
    if not pattern.search(old):
        raise SystemExit(f"record: {file} needs a section <!-- {name} --> ... <!-- /{name} -->")
    file.write_text(pattern.sub(lambda _: body, old))
