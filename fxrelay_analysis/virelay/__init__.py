"""ViRelAy's projects: a YAML file beside HDF5 files and images, read and written."""

from fxrelay_analysis.virelay.projects import methods
from fxrelay_analysis.virelay.reading import read_project
from fxrelay_analysis.virelay.writing import write_project

__all__ = ["methods", "read_project", "write_project"]
