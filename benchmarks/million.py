"""What the viewer's server does with many samples, without a browser.

python benchmarks/million.py
python benchmarks/million.py --samples 20000 --shard 5000 --repeats 2 --no-record
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))
from record import record, table

from fxrelay_viz import insight, links, searching, selection
from fxrelay_viz.category import Category
from fxrelay_viz.images import Look, render
from fxrelay_viz.means import mean_pictures
from fxrelay_viz.opening import open_workspace
from fxrelay_viz.project import Project
from fxrelay_viz.state import ViewState, ordered

CLUSTERS, AXES, SIDE = 8, 16, 16
FRAME = ("tsne", 0, 1)


def make(folder: Path, n: int, shard: int) -> None:
    """Write a project: shards of images, and one category with every sample."""
    rng = np.random.default_rng(0)
    (folder / "relevance").mkdir()
    manifest = {"samples": n, "shard_size": shard}
    (folder / "relevance" / "manifest.json").write_text(json.dumps(manifest))
    for start in range(0, n, shard):
        ids = np.arange(start, min(start + shard, n))
        x = rng.normal(size=(len(ids), 1, SIDE, SIDE)).astype(np.float32)
        image = ("sample", "channel", "y", "x")
        xr.Dataset(
            {"relevance": (image, x), "input": (image, abs(x) % 1), "label": ("sample", ids % 10)},
            coords={"sample": ids, "class": [f"class {k}" for k in range(10)]},
        ).to_netcdf(folder / "relevance" / f"shard-{start // shard:06d}.nc", engine="netcdf4")
    labels = rng.integers(0, CLUSTERS, n).astype(np.int32)
    points = (rng.normal(size=(CLUSTERS, 2)) * 6)[labels] + rng.normal(size=(n, 2))
    group = xr.Dataset(
        {
            "embedding_tsne": (("sample", "axis"), points.astype(np.float32)),
            "embedding_spectral": (("sample", "component"),
                                   rng.normal(size=(n, AXES)).astype(np.float32)),
            "clustering_kmeans": (("sample", "n_clusters"), labels[:, None]),
            "degree": ("sample", rng.uniform(size=n)),
        },
        coords={"sample": np.arange(n), "n_clusters": [CLUSTERS]},
    )  # fmt: skip
    tree = xr.DataTree.from_dict({"everything": group})
    tree.to_netcdf(folder / "analysis.nc", engine="netcdf4")


def resident() -> float:
    """Memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


class Watch:
    """Rows of a table: what, the first time, and the median and the 95th percentile of others."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self.rows: list[dict[str, Any]] = []

    def __call__(self, what: str, call: Callable[[int], Any], again: bool = True) -> Any:
        """Time a call, which gets the number of the repeat."""
        times, out = [], None
        for n in range(self.repeats + 1 if again else 1):
            start = time.perf_counter()
            out = call(n)
            times.append((time.perf_counter() - start) * 1e3)
        later = np.array(times[1:] or [np.nan])
        self.rows.append({
            "what": what,
            "first, ms": f"{times[0]:.1f}",
            "then, median, ms": "" if not again else f"{np.median(later):.1f}",
            "p95, ms": "" if not again else f"{np.percentile(later, 95):.1f}",
            "memory after, MB": f"{resident():.0f}",
        })  # fmt: skip
        return out


def measure(folder: Path, repeats: int) -> list[dict[str, Any]]:
    """Open a project and do what a visitor asks for."""
    watch = Watch(repeats)
    project: Project = watch("open the project", lambda n: open_workspace([folder]).get(), False)
    category: Category = watch("open the class", lambda n: project.category("everything"), False)
    state = ViewState(category="everything")
    watch("choose embedding, clustering, colours", lambda n: state.settle(project), False)
    rng = np.random.default_rng(1)
    places = rng.normal(size=(repeats + 1, 2)) * 6
    spans = (40.0, 40.0)
    watch("point under the pointer", lambda n: category.nearest(FRAME, tuple(places[n]), spans, 1))
    angle = np.linspace(0, 6.2, 200)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 8
    steps = {
        "box": selection.box("replace", FRAME, (-3, -3, 3, 3)),
        "lasso": selection.lasso("replace", FRAME, ring),
        "cluster": selection.Step("replace", "clusters", ("kmeans", CLUSTERS), (1,)),
        "label": selection.Step("replace", "values", ("label",), (1,)),
        "range of a score": selection.Step("replace", "range", ("degree",), (0.1, 0.2)),
        "100 neighbours": selection.Step("replace", "neighbours", ("spectral",), (5, 100)),
    }
    for name, step in steps.items():
        watch(f"select: {name}", lambda n, s=step: selection.apply((s,), category))
    mask = selection.apply((steps["lasso"],), category)
    watch("search a class", lambda n: searching.search(category, "class 3"))
    state.order = "centroid"
    watch("order by the centre", lambda n: ordered(state, category, mask))
    ids = tuple(rng.choice(len(category.ids), min(10**4, len(category.ids) // 2), False).tolist())
    scattered = (selection.Step("replace", "samples", (), ids),)
    watch(f"link of {len(ids):,} scattered samples",
          lambda n: links.encode(state, scattered, links.Links()))  # fmt: skip
    watch("histogram", lambda n: insight.histogram("degree", category.column("degree"), mask))
    drawn = [rng.choice(len(category.ids), 24, replace=False) for _ in range(repeats + 1)]
    watch("24 images never seen", lambda n: [_page(project, drawn[n])])
    watch("24 images seen", lambda n: [_page(project, drawn[0])])
    labels = category.clusters("kmeans", CLUSTERS)
    watch(f"mean maps of {CLUSTERS} clusters", lambda n: mean_pictures(
        project.explanations, category.positions, labels, range(CLUSTERS)))  # fmt: skip
    return watch.rows


def _page(project: Project, positions: np.ndarray) -> None:
    project.pictures(positions)
    for position in positions:
        render(project, int(position), Look())


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10**6)
    parser.add_argument("--shard", type=int, default=10**4)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.samples, given.shard)
        rows = measure(Path(folder), given.repeats)
    text = (
        f"{given.samples:,} samples of {SIDE} x {SIDE} pixels in shards of {given.shard:,}, all in "
        f"one category.\n\n{table(rows)}"
    )
    print(text)
    if not given.no_record:
        record("million", "python benchmarks/million.py", text, rows)


if __name__ == "__main__":
    main()
