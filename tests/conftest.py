"""Seeds, threads and hypothesis profiles for all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fast",
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(autouse=True)
def _seed():
    import sys

    import numpy as np

    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)
