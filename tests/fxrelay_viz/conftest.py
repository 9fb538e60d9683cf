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
