"""All that was opened: projects by name, each with its attributions and analyses.

There is one workspace in a process, and all sessions share it: sample ids, the variables and
embeddings that somebody looked at, spatial indices, the last 128 MB of pictures, and notes. A
session holds its state, its recipe, its history and one bool a sample of the open category.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fxrelay_viz.analysis import Analysis
from fxrelay_viz.category import pick
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.notes import Notes
from fxrelay_viz.project import Project


@dataclass(frozen=True, eq=False)
class Opened:
    """One project: attributions and analyses of the same samples, and what people noted.

    Attributes
    ----------
    methods : mapping of name to Explanations
        Attributions of the samples by one method each, the first shown first.
    analyses : mapping of name to Analysis
    notes : Notes
    usual : mapping of analysis to method
        The attribution that an analysis was made from, where it is known.
    """

    methods: Mapping[str, Explanations]
    analyses: Mapping[str, Analysis]
    notes: Notes = field(default_factory=lambda: Notes(None))
    usual: Mapping[str, str] = field(default_factory=dict)


class Workspace:
    """What all sessions share; held once per process.

    Parameters
    ----------
    opened : mapping of name to Opened
        At least one project.
    """

    def __init__(self, opened: Mapping[str, Opened]) -> None:
        if not opened:
            raise ValueError("viewer: needs at least one project; got none. Name one.")
        self._opened = dict(opened)
        self._projects: dict[tuple[str, str, str], Project] = {}
        self._lock = threading.RLock()

    @classmethod
    def of(cls, given: Any) -> "Workspace":
        """Return a workspace of one Project, or the workspace that is given."""
        if isinstance(given, Workspace):
            return given
        one = Opened({given.method: given.explanations}, {given.analysis: given.tree}, given.notes)
        out = cls({given.name: one})
        out._projects[given.name, given.method, given.analysis] = given
        return out

    def project_names(self, project: str = "") -> list[str]:
        """Return the names of all projects."""
        return list(self._opened)

    def method_names(self, project: str = "") -> list[str]:
        """Return the attributions of a project, by default of the first."""
        return list(self._entry(project).methods)

    def analysis_names(self, project: str = "") -> list[str]:
        """Return the analyses of a project, by default of the first."""
        return list(self._entry(project).analyses)

    def get(self, project: str = "", method: str = "", analysis: str = "") -> Project:
        """Return an attribution together with an analysis; an empty name takes the first.

        Raises
        ------
        ValueError
            For an unknown name, or an analysis with samples that the attribution has not.
        """
        entry = self._entry(project)
        project = project or next(iter(self._opened))
        analysis = analysis or next(iter(entry.analyses))
        method = method or entry.usual.get(analysis, next(iter(entry.methods)))
        with self._lock:
            key = (project, method, analysis)
            if key not in self._projects:
                self._projects[key] = Project(
                    pick(entry.methods, method, f"project {project}", "attribution"),
                    pick(entry.analyses, analysis, f"project {project}", "analysis"),
                    name=project, method=method, analysis=analysis, notes=entry.notes,
                )  # fmt: skip
            return self._projects[key]

    def _entry(self, project: str) -> Opened:
        name = project or next(iter(self._opened))
        out: Opened = pick(self._opened, name, "viewer", "project")
        return out
