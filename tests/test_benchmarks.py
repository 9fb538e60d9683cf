"""Every benchmark runs at its smallest size, so that none can rot."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fxrelay.vision  # noqa: F401  (zennit imports torchvision)

HERE = Path(__file__).parent.parent / "benchmarks"


def run(script, *args):
    done = subprocess.run(
        [sys.executable, HERE / script, *map(str, args)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clever_hans_runs(tmp_path):
    out = run("clever_hans.py", "--seeds", 1, "--controls", 0, "--per-class", 100,
              "--out", tmp_path, "--no-record")  # fmt: skip
    assert "of 1 runs right." in out


def test_artefacts_run(tmp_path):
    out = run("artefacts.py", "--tiny", "--methods", "spray", "plain SpRAy, eigengap",
              "--folder", tmp_path, "--no-record")  # fmt: skip
    assert "digits-small-watermark-1-0.5-seed0-60x3 spray [" in out
    assert "digits-small-clean-seed0-60x1 plain SpRAy, eigengap []" in out


def test_suppression_runs(tmp_path):
    out = run("suppression.py", "--networks", "mlp", "--kinds", "watermark", "--shares", 0.8,
              "--seeds", 2, "--per-class", 30, "--epochs", 2, "--folder", tmp_path,
              "--no-record")  # fmt: skip
    assert "| mlp | 0.8 | watermark | 2 |" in out
    assert "| mlp | 0.8 | projected, learned on |" in out


def test_zoo_runs():
    out = run("zoo.py", "--models", "squeezenet1_1", "--no-record")
    assert "1 models explained, 0 not (none)." in out


def test_photos_runs():
    out = run("photos.py", "--inputs", 1, "--steps", 2, "--no-record")
    assert "Above random beyond the paired interval" in out


SMALL = ["--models", "resnet18", "--size", 64, "--no-record"]


@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("work.py", [*SMALL, "--batch", 2], "| resnet18 | epsilon_gamma_box | 1.768 | 5.86 |"),
        ("speed.py", [*SMALL, "--repeats", 1], "building ResNet50's program"),
        ("many.py", [*SMALL, "--targets", 2, "--conditions", 2, "--repeats", 1],
         "| resnet18 | 2 | layer2.1.relu_1 |"),
        ("scaling.py", ["--axes", "batch", "--quick", "--no-record"], "| batch | gradient, ms |"),
    ],
)  # fmt: skip
def test_measurements_run(script, arguments, shown):
    pytest.importorskip("zennit")
    assert shown in run(script, *arguments)


def test_an_analysis_is_measured():
    out = run("analysis.py", "--sizes", 66, "--repeats", 1, "--no-record")
    assert "| 66 | no | fxrelay |" in out
    assert "Importing fxrelay_analysis" in out


@pytest.mark.slow
def test_many_samples_are_measured():
    pytest.importorskip("pynndescent")
    out = run("analysis.py", "--large", "--many", 300, 400, "--no-record")
    assert "| 300 | 1024 | exact |" in out
    assert "| 400 | 64 | approximate |" in out


def test_the_viewers_server_is_measured():
    out = run("million.py", "--samples", 3000, "--shard", 1000, "--repeats", 1, "--no-record")
    assert "| mean maps of 8 clusters |" in out


@pytest.mark.browser
def test_viewer_runs():
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    out = run(
        "viewer.py", "--sizes", 3000, "--repeats", 2, "--cycles", 1, "--idle", 0, "--no-record"
    )
    assert "| selection → 24 images, s (p95 ≤ 0.5) |" in out


def test_every_script_is_tested_here():
    scripts = {p.name for p in HERE.glob("*.py") if "__main__" in p.read_text()}
    assert all(name in Path(__file__).read_text() for name in scripts)
