from typing import Any

import pytest
import xarray as xr

from fxrelay_viz import samples
from fxrelay_viz.project import Project


@pytest.fixture(scope="session")
def data() -> tuple[xr.Dataset, xr.DataTree]:
    return samples.digits(poisoned=3)


@pytest.fixture(scope="session")
def project(data) -> Project:
    return Project(*data)


@pytest.fixture
def viewer(project: Project) -> Any:
    from fxrelay_viz.app import Viewer  # most tests need no page

    return Viewer(project)


@pytest.fixture
def session(project: Project) -> Any:
    """A visit, without a page."""
    from fxrelay_viz.session import Session
    from fxrelay_viz.workspace import Workspace

    return Session(Workspace.of(project))


@pytest.fixture
def opened(session: Any) -> Any:
    """The most suspicious class is open, and nothing selected."""
    session.open("digit 3")
    session.selection.reset()
    return session
