"""The arrows between the packages, each proved in a fresh interpreter (DESIGN section 1)."""

import pkgutil
import subprocess
import sys

import pytest

OPEN = ["schema", "heatmap", "execute", "files", "text", "demo.data"]
TORCH_FREE = ["fxrelay", *(f"fxrelay.{name}" for name in OPEN)]
#: what composes the packages, as a user would
APPLICATIONS = ("fxrelay.cli", "fxrelay.demo")
NEVER = {
    "fxrelay": ("fxrelay_analysis", "fxrelay_viz", "holoviews", "panel"),
    "fxrelay_analysis": ("torch", "fxrelay_viz", "holoviews", "panel"),
    "fxrelay_viz": ("torch",),
}


def loaded_after(code):
    code = f"{code}\nimport sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def modules_of(package):
    path = __import__(package).__path__
    found = [m.name for m in pkgutil.walk_packages(path, f"{package}.")]
    return [name for name in found if not name.startswith(APPLICATIONS)]


@pytest.mark.parametrize("package", NEVER)
def test_package_never_imports_what_lies_above(package):
    code = f"import {package}\n" + "\n".join(f"import {name}" for name in modules_of(package))
    assert not loaded_after(code) & set(NEVER[package])


@pytest.mark.parametrize("module", TORCH_FREE)
def test_open_modules_are_torch_free(module):
    assert "torch" not in loaded_after(f"import {module}")


def test_applications_import_nothing_heavy_before_they_run():
    assert not loaded_after("import fxrelay.cli") & {"torch", "fxrelay_analysis", "panel"}


def test_public_names_are_reachable_in_any_order():
    names = ["relay", "attribute", "report", "trace", "canonize", "annotate", "attribute_dataset"]
    calls = "\n".join(f"assert callable(fxrelay.{name}), '{name}'" for name in names)
    loaded_after(f"import fxrelay\nfxrelay.attribute\n{calls}")


def test_importing_the_top_level_takes_less_than_a_third_of_a_second():
    code = "import time; t = time.perf_counter(); import fxrelay; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.3
