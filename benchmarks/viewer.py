r"""The viewer in a headless browser: how fast, how much memory, how many at once.

python benchmarks/viewer.py
python benchmarks/viewer.py --picture demo-output/class...
python benchmarks/viewer.py --sizes 3000 --repeats 2 --cycles 2 --idle 0 --no-record
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))
from browser import GRID, PREVIEW, Visit, chromium, serving
from record import record, table

from fxrelay import schema

#: ViRelAy 0.6.1 on two cores, points -> measure -> what was measured (it was not run at 1e6)
VIRELAY = {
    10**4: {"ready": "3.2", "selection": "0.5–0.7", "hover": "0.7", "fps": "10"},
    10**5: {"ready": "10.5", "selection": "5.0–5.4", "hover": "9.3", "fps": "1.3"},
}
CLUSTERS, SIDE = 10, 8


def dataset(n: int, seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Make n samples of 8 x 8 pixels in ten clusters, all of one category."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, CLUSTERS, n).astype(np.int32)
    centres = rng.normal(size=(CLUSTERS, 2)) * 6
    points = (centres[cluster] + rng.normal(size=(n, 2))).astype(np.float32)
    pixels = rng.normal(size=(n, 1, SIDE, SIDE)).astype(np.float32)
    image = (schema.SAMPLE, schema.CHANNEL, schema.Y, schema.X)
    ds = xr.Dataset(
        {
            schema.RELEVANCE: (image, pixels),
            schema.INPUT: (image, abs(pixels)),
            schema.LABEL: (schema.SAMPLE, cluster),
            schema.PREDICTION: (schema.SAMPLE, (cluster + (rng.random(n) < 0.03)) % CLUSTERS),
        },
        coords={schema.SAMPLE: np.arange(n), schema.CLASS: [f"c{k}" for k in range(CLUSTERS)]},
    )
    group = xr.Dataset(
        {
            f"{schema.EMBEDDING}tsne": ((schema.SAMPLE, schema.AXIS), points),
            f"{schema.CLUSTERING}kmeans": ((schema.SAMPLE, schema.N_CLUSTERS), cluster[:, None]),
            "degree": (schema.SAMPLE, rng.random(n).astype(np.float32)),
        },
        coords={schema.SAMPLE: np.arange(n), schema.N_CLUSTERS: [CLUSTERS]},
    )
    return ds, xr.DataTree.from_dict({"everything": group})


def serve(folder: Path, port: int) -> None:
    """Serve lazily, as `fxrelay view` does."""
    from fxrelay_viz import serve as serve_viewer

    with xr.open_datatree(folder / "tree.nc", engine="netcdf4") as tree:
        ds = xr.open_dataset(folder / "ds.nc", engine="netcdf4", chunks=None)
        serve_viewer(ds, tree.load(), port=port)


class Person:
    """Somebody who selects, points and zooms at random places.

    Parameters
    ----------
    visit : Visit
    points : list of (x, y)
        Where some of the samples lie.
    """

    def __init__(self, visit: Visit, points: list[list[float]]) -> None:
        self.visit, self.points = visit, points
        self.rng = np.random.default_rng(0)

    def select(self) -> float:
        """Return the seconds from the end of a drag to 24 images."""
        x, y = self.rng.uniform(0.1, 0.4, 2)
        drag = partial(self.visit.drag, (x, y), (x + 0.5, y + 0.5))
        return self.visit.until_images("pointerup", GRID, 24, drag)

    def hover(self) -> float:
        """Return the seconds from a move of the pointer to a sample to its image."""
        point = self.points[self.rng.integers(len(self.points))]
        move = partial(self.visit.page.mouse.move, *self.visit.at(*point))
        taken = self.visit.until_images("pointermove", PREVIEW, 1, move)
        self.visit.page.wait_for_timeout(150)
        return taken

    def zoom(self, turns: int = 30) -> tuple[float, float]:
        """Return frames per second, and the longest gap in seconds, while zooming and panning."""
        page = self.visit.page
        page.mouse.move(*self.visit.place(0.5, 0.5))
        page.evaluate("() => count_frames()")
        for n in range(turns):
            page.mouse.wheel(0, -60 if n < turns / 2 else 60)
            page.wait_for_timeout(50)
        self.visit.tool("pan")
        self.visit.drag((0.5, 0.5), (0.7, 0.6), (0.4, 0.4), steps=15)
        counted = page.evaluate("() => { counted.on = false; return counted }")
        self.visit.tool("box-select")
        page.get_by_label("Show all points").click()
        seconds = (counted["last"] - counted["start"]) / 1000
        return counted["n"] / seconds, counted["gap"] / 1000


def measure(folder: Path, repeats: int, cycles: int, idle: float) -> dict[str, Any]:
    """Measure one size: cold, warm, four at once, open and close."""
    points, command = _some_points(folder), [__file__, "--serve", str(folder)]
    with serving(command) as (address, process), chromium() as browser:
        memory = lambda: psutil.Process(process.pid).memory_info().rss / 2**20  # noqa: E731
        first = Visit(browser, address)
        first.page.locator(".ranking .row").first.wait_for()
        first.open()
        link = first.page.url
        first.page.close()
        time.sleep(idle)
        out: dict[str, Any] = {"server MB": memory()}
        out |= _alone(browser, link, points, repeats)
        time.sleep(idle)
        out |= _together(browser, link, memory, max(2, repeats // 2))
        time.sleep(idle)
        out["MB after"] = memory()
        for _ in range(cycles):
            visit = Visit(browser, link)
            visit.wait()
            Person(visit, points).select()
            visit.page.close()
        time.sleep(idle)
        out["MB after cycles"] = memory()
        out["link bytes"] = _longest_link(browser, link)
    with serving(command) as (address, _), chromium() as browser:
        visit = Visit(browser, link.replace(link.split("?")[0], address))
        out["cold"] = visit.wait()
    return out


def _some_points(folder: Path) -> list[list[float]]:
    """Return where some of the samples lie."""
    with xr.open_datatree(folder / "tree.nc", engine="netcdf4") as tree:
        points = tree["everything"][f"{schema.EMBEDDING}tsne"][::97].values
    out: list[list[float]] = points.astype(float).tolist()
    return out


def _alone(browser: Any, link: str, points: list[list[float]], repeats: int) -> dict[str, Any]:
    ready = []
    for _ in range(max(3, repeats // 4)):
        visit = Visit(browser, link)
        ready.append(visit.wait())
        if len(ready) < max(3, repeats // 4):
            visit.page.close()
    person = Person(visit, points)
    selections = [person.select() for _ in range(repeats)]
    hovers = [person.hover() for _ in range(repeats)]
    zooms = [person.zoom() for _ in range(3)]
    visit.page.close()
    return {
        "ready": ready,
        "selection": selections,
        "hover": hovers,
        "fps": [fps for fps, _ in zooms],
        "gap": max(gap for _, gap in zooms),
    }


def _together(browser: Any, link: str, memory: Callable[[], float], repeats: int) -> dict[str, Any]:
    """Measure four sessions that open and select at the same time, in four browser profiles."""
    before = memory()
    visits = [Visit(browser, "") for _ in range(4)]
    for visit in visits:
        visit.go(link)
    ready = [visit.wait() for visit in visits]
    each = (memory() - before) / 4
    taken = []
    for n in range(repeats):
        for k, visit in enumerate(visits):
            x, y = np.random.default_rng([n, k]).uniform(0.1, 0.4, 2)
            visit.page.evaluate("a => begin(...a)", ["pointerup", GRID, 24])
            visit.drag((x, y), (x + 0.5, y + 0.5), steps=2)
        taken += [float(visit.page.evaluate("() => taken")) / 1000 for visit in visits]
    for visit in visits:
        visit.page.close()
    return {"four ready": ready, "four selection": taken, "MB a session": each}


def _longest_link(browser: Any, link: str) -> int:
    """Return the length of the address after twelve lassos were joined."""
    visit = Visit(browser, link)
    visit.wait()
    visit.page.get_by_role("button", name="Add", exact=True).click()
    visit.tool("lasso-select")
    rng, length = np.random.default_rng(0), 0
    for _ in range(12):
        angle, middle = np.sort(rng.uniform(0, 2 * np.pi, 24)), rng.uniform(0.4, 0.6, 2)
        corners = middle + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        visit.drag(*map(tuple, corners.tolist()), steps=3)
        length = max(length, len(visit.link(200)))
    visit.page.close()
    return length


def picture(folder: Path) -> None:
    """Draw viewer.png: why the first class of what `fxrelay demo` left is flagged."""
    command = ["-c", "from fxrelay.cli import app; app()", "view", str(folder), "--port"]
    with serving(command) as (address, _), chromium() as browser:
        visit = Visit(browser, address, viewport={"width": 1280, "height": 880})
        visit.open()
        visit.page.locator(".verdict figure img").nth(2).wait_for()
        visit.page.mouse.move(640, 10)
        visit.page.wait_for_timeout(1500)
        visit.page.screenshot(path=Path(__file__).with_suffix(".png"))


def rows(results: dict[int, dict[str, Any]]) -> list[dict[str, str]]:
    """Return the table: one row a measure, targets and ViRelAy's figures beside ours."""
    lines = {
        "ready, warm server, s (≤ 3)": lambda r: _spread(r["ready"]),
        "ready, first page of a process, s (≤ 10)": lambda r: f"{r['cold']:.1f}",
        "selection → 24 images, s (p95 ≤ 0.5)": lambda r: _spread(r["selection"]),
        "pointer → image, s (≤ 0.15)": lambda r: _spread(r["hover"]),
        "zoom and pan, frames a second (≥ 30)": lambda r: f"{statistics.median(r['fps']):.0f}",
        "longest gap between frames, s": lambda r: f"{r['gap']:.2f}",
        "server, MB": lambda r: f"{r['server MB']:.0f}",
        "each open page, MB (≤ 60)": lambda r: f"{r['MB a session']:.0f}",
        "server after four pages closed, MB": lambda r: f"{r['MB after']:.0f}",
        "server after all cycles, MB": lambda r: f"{r['MB after cycles']:.0f}",
        "four at once: ready, s (≤ 6)": lambda r: _spread(r["four ready"]),
        "four at once: selection → 24 images, s (≤ 1)": lambda r: _spread(r["four selection"]),
        "longest link, bytes (≤ 2000)": lambda r: f"{r['link bytes']}",
    }
    theirs = {line: key for line, key in zip(lines, ("ready", "", "selection", "hover", "fps"),
                                             strict=False)}  # fmt: skip
    return [
        {"": line}
        | {f"{n:,} points": show(r) for n, r in results.items()}
        | {f"ViRelAy, {n:,}": VIRELAY[n].get(theirs.get(line, ""), "") for n in VIRELAY}
        for line, show in lines.items()
    ]


def _spread(values: list[float]) -> str:
    """Return median and 95th percentile."""
    return f"{np.median(values):.2f}, p95 {np.percentile(values, 95):.2f}"


def _recorded() -> dict[int, dict[str, Any]]:
    """Return what was recorded before, so that sizes can be measured one by one."""
    file = Path(__file__).with_suffix(".json")
    return {int(n): row for n, row in json.loads(file.read_text()).items()} if file.exists() else {}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--idle", type=float, default=10, help="seconds a closed page is kept")
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "PORT"))
    parser.add_argument("--picture", type=Path, metavar="FOLDER", help="draw viewer.png and end")
    args = parser.parse_args()
    if args.picture:
        picture(args.picture)
        return
    if args.serve:
        serve(Path(args.serve[0]), int(args.serve[1]))
        return
    results = {}
    for n in args.sizes:
        with tempfile.TemporaryDirectory() as name:
            ds, tree = dataset(n)
            ds.to_netcdf(Path(name) / "ds.nc", engine="netcdf4")
            tree.to_netcdf(Path(name) / "tree.nc", engine="netcdf4")
            del ds, tree
            results[n] = measure(Path(name), args.repeats, args.cycles, args.idle)
        print(table(rows({n: results[n]})), flush=True)
    if not args.no_record:
        results = _recorded() | results
        results = {n: results[n] for n in sorted(results)}
        record("viewer", "python benchmarks/viewer.py", table(rows(results)), results)


if __name__ == "__main__":
    main()
