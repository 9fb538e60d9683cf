import pytest
import xarray as xr

from fxrelay_viz import samples
from fxrelay_viz.app import Viewer
from fxrelay_viz.data import Project


@pytest.fixture(scope="session")
def data() -> tuple[xr.Dataset, xr.DataTree]:
    return samples.digits(poisoned=3)


@pytest.fixture(scope="session")
def project(data) -> Project:
    return Project(*data)


@pytest.fixture
def viewer(project: Project) -> Viewer:
    return Viewer(project)
