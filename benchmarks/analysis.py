r"""Time and memory of an analysis, beside CoRelAy's; large sets of samples; import.

The pipeline is that of CoRelAy's example (its paper's Figure 2): channel sum, division by the
signed total, 10 Euclidean neighbours, normalised Laplacian, 8 eigenvectors, k-means for k = 2 to
19, and t-SNE where said. Every measurement runs in a process of its own, both sides with as many
threads as said, after a small run that loads what is loaded late. Cold: nothing is stored. Warm:
the same call with a store opened again. Peak memory is what a cold run takes beyond its input.

CoRelAy is optional: pip install --no-deps corelay metrohash-python (which needs a C++ compiler).

    python benchmarks/analysis.py
    python benchmarks/analysis.py --large                                  # up to an hour
    python benchmarks/analysis.py --sizes 200 --repeats 1 --no-record      # a quick look
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_info

sys.path.insert(0, str(Path(__file__).parent))
from record import record, table

KS = range(2, 20)
SIDES = ("fxrelay", "CoRelAy", "CoRelAy, distance stored")
PATIENCE = 2000  # samples above which CoRelAy is measured once
IMPORT = "import fxrelay_analysis as a; a.stages, a.spray, a.Store, a.digest"
Array = np.ndarray[Any, Any]


def relevance(n: int) -> Array:
    """The example's data: noise in the shape of small colour images."""
    return np.random.default_rng(0).normal(size=(n, 3, 32, 32)).astype(np.float32)


def ours(tsne: bool) -> Callable[[Array, Path], Any]:
    """The pipeline as fxrelay runs it."""
    from fxrelay_analysis import Store, stages
    from fxrelay_analysis.pipeline import Pipeline, Step
    from fxrelay_analysis.running import run

    sums = {"size": 1, "power": 1.0, "norm": "sum", "guard": 0.0}
    sweep = {"n_clusters": KS, "n_starts": 1, "leading": False, "unit_rows": True}
    steps = [
        Step("preprocess", stages.preprocess, ("relevance",), sums, shown=False),
        Step("neighbours", stages.neighbours, ("preprocess",), shown=False),
        Step("affinity", stages.affinity, ("neighbours",), shown=False),
        Step("spectral", stages.spectral_embedding, ("affinity",), {"n_components": 8}),
        Step("kmeans", stages.kmeans, ("spectral",), sweep),
    ]
    if tsne:
        steps.append(Step("tsne", stages.tsne, ("spectral",), {"n_iterations": 1000}))
    pipeline = Pipeline(tuple(steps))

    def analysed(x: Array, folder: Path) -> Any:
        dims, ids = ("sample", "channel", "y", "x"), {"sample": np.arange(len(x))}
        return run(pipeline, xr.Dataset({"relevance": (dims, x)}, ids), Store(folder / "store"))

    return analysed


def theirs(tsne: bool, store_distance: bool) -> Callable[[Array, Path], Any]:
    """The pipeline as CoRelAy's example runs it, or with the distances stored as well."""
    import h5py
    from corelay.io.storage import HashedHDF5, NoStorage
    from corelay.pipeline.spectral import SpectralClustering
    from corelay.processor.clustering import KMeans
    from corelay.processor.distance import SciPyPDist
    from corelay.processor.embedding import EigenDecomposition, TSNEEmbedding
    from corelay.processor.flow import Parallel

    def prepared(x: Array) -> Array:
        maps = x.sum(axis=1)
        return (maps / maps.sum((1, 2), keepdims=True)).reshape(len(x), -1)

    def analysed(x: Array, folder: Path) -> Any:
        with h5py.File(folder / "store.h5", "a") as file:
            io = HashedHDF5(file.require_group("results"))
            found: list[Any] = [Parallel([KMeans(n_clusters=k, io=io) for k in KS], broadcast=True)]
            found += [TSNEEmbedding(io=io)] if tsne else []
            pipeline = SpectralClustering(
                preprocessing=prepared,
                pairwise_distance=SciPyPDist(io=io if store_distance else NoStorage()),
                embedding=EigenDecomposition(n_eigval=8, io=io),
                clustering=Parallel(found, broadcast=True, is_output=True),
            )
            return pipeline(x)

    return analysed


def status(key: str) -> float:
    """MiB of this process as the system counts them: VmRSS now, VmHWM at most."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith(key))
    return int(line.split()[1]) / 1024


def measured(run: Callable[[Array, Path], Any], n: int, repeats: int) -> dict[str, float]:
    """Seconds of a cold and of warm runs, and MiB that the cold one takes beyond its input."""
    x = relevance(n)
    with tempfile.TemporaryDirectory() as name:
        (first := Path(name) / "first").mkdir()
        run(relevance(48)[::-1], first)
        (folder := Path(name) / "cold").mkdir()
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
        before = status("VmRSS")
        cold = seconds(lambda: run(x, folder))
        peak = status("VmHWM") - before
        warm = [seconds(lambda: run(x, folder)) for _ in range(repeats)]
    return {"cold": cold, "warm": statistics.median(warm), "peak": peak}


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def one(side: str, n: int, tsne: bool, repeats: int) -> None:
    """Measure a side in this process and print JSON."""
    run = ours(tsne) if side == SIDES[0] else theirs(tsne, side == SIDES[2])
    print(json.dumps(measured(run, n, repeats)))


def child(threads: int, *arguments: Any) -> dict[str, float]:
    """Run this script with other arguments on so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(names, str(threads))
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compared(threads: int, n: int, tsne: bool, repeats: int) -> list[dict[str, Any]]:
    """Rows of the table for one size: medians over processes, in turns, ratios to fxrelay."""
    sides = SIDES if find_spec("corelay") else SIDES[:1]
    times = {side: repeats if side == SIDES[0] or n <= PATIENCE else 1 for side in sides}
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for turn, side in product(range(repeats), sides):
        if turn < times[side]:
            runs[side].append(child(threads, "--one", side, n, int(tsne), times[side]))
    rows: list[dict[str, Any]] = []
    for side in sides:
        found = {key: statistics.median(run[key] for run in runs[side]) for key in runs[side][0]}
        base = rows[0]["raw"] if rows else found
        ratio = {key: found[key] / base[key] for key in found}
        rows.append({
            "threads": threads,
            "n": n,
            "t-SNE": "yes" if tsne else "no",
            "side": side,
            "cold, s": f"{found['cold']:.3f}",
            "cold, times ours": f"{ratio['cold']:.2f}",
            "warm, ms": f"{1000 * found['warm']:.1f}",
            "warm, times ours": f"{ratio['warm']:.1f}",
            "peak, MiB": f"{found['peak']:.0f}",
            "peak, times ours": f"{ratio['peak']:.1f}",
            "raw": found,
        })  # fmt: skip
        print({k: v for k, v in rows[-1].items() if k != "raw"}, flush=True)
    return rows


def imported(repeats: int) -> float:
    """Median seconds that importing the analysis adds to starting Python."""

    def start(code: str) -> float:
        runs = [seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))
                for _ in range(repeats)]  # fmt: skip
        return statistics.median(runs)

    return start(IMPORT) - start("pass")


def clustered(n: int, d: int) -> xr.DataArray:
    """Features of 20 strategies that touch, each with 8 ways to vary, and noise, float32."""
    random = np.random.default_rng(0)
    group = random.integers(0, 20, n)
    ways = random.normal(size=(20, 8, d)).astype(np.float32)
    x = (0.3 * random.normal(size=(20, d)).astype(np.float32))[group]
    for g in range(20):
        member = np.flatnonzero(group == g)
        x[member] += random.normal(size=(len(member), 8)).astype(np.float32) @ ways[g]
    for rows in np.array_split(np.arange(n), 1 + n // 10_000):
        x[rows] += 0.3 * random.normal(size=(len(rows), d)).astype(np.float32)
    return xr.DataArray(x, {"sample": np.arange(n)}, ("sample", "feature"))


def large(n: int, d: int, method: str) -> dict[str, Any]:
    """Minutes of each step on many samples, recall, and GiB at most; prints as it goes."""
    from fxrelay_analysis import stages

    data, row = clustered(n, d), {"n": n, "d": d, "neighbours": method}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        row[f"{name}, min"] = f"{(time.perf_counter() - start) / 60:.2f}"
        print(name, row[f"{name}, min"], f"{status('VmHWM') / 1024:.2f} GiB", flush=True)
        return result

    near = timed("graph", lambda: stages.neighbours(data, method=method))
    row["recall"] = f"{near.attrs['recall']:.3f}"
    graph = stages.affinity(near)
    found = timed("spectrum", lambda: stages.spectral_embedding(graph, n_components=20))
    labels = timed("k-means", lambda: stages.kmeans(found, n_clusters=20, n_starts=1))
    row["peak, GiB"] = f"{status('VmHWM') / 1024:.2f}"
    row["clusters"] = int(labels.max()) + 1
    return row


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[64, 2000, 5000, 8000])
    parser.add_argument("--repeats", type=int, default=7, help="processes, and warm runs in each")
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2], help="of each side")
    parser.add_argument("--large", action="store_true", help="measure many samples instead")
    parser.add_argument("--many", type=int, nargs=2, default=[50_000, 1_000_000],
                        help="samples for exact and for approximate neighbours")  # fmt: skip
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    if args.one:
        one(args.one[0], *map(int, args.one[1:]))
        return
    if args.large:
        kinds = zip(args.many, (1024, 64), ("exact", "approximate"), strict=True)
        rows = [large(*kind) for kind in kinds if kind[0]]
        finish("analysis_large", table(rows), rows, args.no_record)
        return
    cases = [(n, n <= 64) for n in args.sizes] + [(n, False) for n in args.sizes if n <= 64]
    rows = [row for threads, case in product(args.threads, cases)
            for row in compared(threads, *case, args.repeats)]  # fmt: skip
    took = imported(max(3, args.repeats))
    shown = [{k: v for k, v in row.items() if k != "raw"} for row in rows]
    blas = sorted({info["architecture"] for info in threadpool_info() if "architecture" in info})
    text = (
        f"{table(shown)}\n\nKernels of OpenBLAS: {', '.join(blas)}. Importing fxrelay_analysis "
        f"with all that it offers: {took:.2f} s."
    )
    finish("analysis", text, {"rows": rows, "import": took, "blas": blas}, args.no_record)


def finish(name: str, text: str, results: Any, dry: bool) -> None:
    """Print the text and, unless dry, keep it."""
    print(text)
    if not dry:
        option = " --large" if name == "analysis_large" else ""
        record(name, f"python benchmarks/analysis.py{option}", text, results)


if __name__ == "__main__":
    main()
