"""The one data schema: names of dimensions, variables and attributes, and the check of a Dataset.

Everything that crosses between fxrelay, fxrelay_analysis and fxrelay_viz is an xarray object with
these names. This module imports no torch.
"""

from fxrelay.schema.checks import CHECKS, LAYOUTS, SchemaError, relevances, validate
from fxrelay.schema.names import *  # noqa: F403  (all of them)
from fxrelay.schema.variables import PREFIXES, VARIABLES, describe

__all__ = [
    "CHECKS",
    "LAYOUTS",
    "PREFIXES",
    "VARIABLES",
    "SchemaError",
    "describe",
    "relevances",
    "validate",
]
