"""Find planted artefacts: several kinds, shares, strengths and models, and clean controls."""

import fxrelay.vision  # noqa: F401, I001  (before torchvision)

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from methods import METHODS, Tree
from planted import MODELS, Case, network, planted, relevance, use
from record import record, table
from safetensors.torch import save_file

from fxrelay.execute import executor
from fxrelay.files import write_atomically
from fxrelay_analysis import Store
from fxrelay_analysis.clusters import accused
from fxrelay_analysis.truth import match

Row = dict[str, Any]
SHARES: Final = (0.5, 0.2, 0.1, 0.05)
#: log-odds by which an artefact must draw images of other classes for its network to be using it
USED: Final = 0.5
#: least purity and recall with which the accused cluster counts as the planted one
RIGHT: Final = 0.9


def tuning() -> Iterator[Case]:
    """What defaults were chosen on: four kinds, seeds from 100."""
    yield from (Case("", seed=seed) for seed in (100, 101))
    yield from (Case("", seed=200 + i, model=model) for i, model in enumerate([*MODELS] * 4))
    for turn, clean in enumerate(("deep", "mlp", "small")):
        for kind in ("watermark", "border", "brightness", "blur"):
            yield from _turn(kind, turn, 100 + 16 * turn, (1.0, 1.0, 0.6)[turn])
        yield from (Case("", seed=seed + 2 * turn, model=clean) for seed in (102, 103))


def target(first: int = 0) -> Iterator[Case]:
    """The watermark of the demo in every class, at every share, and ten clean controls."""
    seeds = range(first, first + 10)
    for share in reversed(SHARES):
        yield from (Case("watermark", share, seed) for seed in seeds)
    yield from (Case("", seed=seed) for seed in seeds)


def held_out() -> Iterator[Case]:
    """Kinds that nothing was chosen on."""
    for turn in (0, 1):
        for kind in ("shape", "texture", "tilt"):
            yield from _turn(kind, turn, 10 * turn, (1.0, 0.7)[turn])
    yield from (Case("", seed=300 + i, model=model) for i, model in enumerate([*MODELS] * 2))


def photos() -> Iterator[Case]:
    """Colour images, that nothing was chosen on."""
    for turn, model in enumerate(("small", "mlp")):
        for kind in ("watermark", "cast", "shape", "blur"):
            for i, share in enumerate(SHARES):
                yield Case(kind, share, 10 * turn + 3 * i + len(kind), model, 1.0, "photos", 400)
        yield from (Case("", seed=s + 2 * turn, model=model, data="photos", per_class=400)
                    for s in (0, 1))  # fmt: skip


def _turn(kind: str, turn: int, seed: int, strength: float) -> Iterator[Case]:
    """Every share of a kind, on the small network first, then on all in turn."""
    for i, share in enumerate(SHARES):
        model = list(MODELS)[(i + turn + len(kind)) % 3] if turn else "small"
        yield Case(kind, share, seed + 3 * i + ord(kind[1]) % 5, model, strength)


SETS: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    "target": target, "target, fresh seeds": partial(target, 10), "held out": held_out,
    "photos": photos, "tuning": tuning,
}  # fmt: skip


def made(case: Case, folder: Path) -> Path:
    """Return the file with a case's relevance, and what its network makes of the artefact."""
    file = folder / f"{case.name}.npz"
    if file.exists():
        return file
    start = time.perf_counter()
    data = planted(case)
    model = network(case, data)
    maps = relevance(case, model, data)
    facts = use(case, model, data) | {"seconds": time.perf_counter() - start}
    arrays = {
        "maps": (maps / np.abs(maps).max()).astype(np.float16),
        "planted": data.planted,
        "labels": data.labels,
        "facts": np.array(json.dumps(facts)),
        "case": np.array(json.dumps(asdict(case))),
    }
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_atomically(file.with_suffix(".safetensors"), lambda p: save_file(state, p))

    def save(path: Path) -> None:
        with path.open("wb") as opened:
            np.savez(opened, **arrays)

    write_atomically(file, save)
    return file


def dataset(maps: Any, labels: Any) -> xr.Dataset:
    """Return maps (n, y, x) as an attribution Dataset."""
    dims = ("sample", "channel", "y", "x")
    ds = xr.Dataset({"relevance": (dims, maps.astype(np.float32)[:, None])})
    known = {"label": ("sample", labels), "prediction": ("sample", labels)}
    return ds.assign(known).assign_coords(sample=np.arange(len(labels)))


def judged(case: Case, folder: Path, methods: Sequence[str]) -> list[Row]:
    """Return what methods say of a case."""
    torch.set_num_threads(1)
    file, rows = made(case, folder), []
    with np.load(file) as kept, TemporaryDirectory() as place:
        facts, labels = json.loads(str(kept["facts"])), kept["labels"]
        seen = {"maps": kept["maps"], "images": planted(case).images.sum(axis=1)}
        store = Store(place)  # what methods share is computed once
        for method in methods:
            run, look = METHODS[method]
            tree = run(dataset(seen[look], labels), store)
            row = {"case": asdict(case), "name": case.name, "method": method, "facts": facts}
            rows.append(row | verdict(tree, case, kept["planted"][labels == case.label]))
    return rows


def work(item: tuple[Case, Sequence[str]], folder: Path, resume: bool) -> list[Row]:
    """Return what methods say of a case, which comes with them; keep it in a file."""
    case, methods = item
    file = folder / f"{case.name}.json"
    if resume and file.exists():
        kept: list[Row] = json.loads(file.read_text())
        if [row["method"] for row in kept] == list(methods):
            return kept
    rows = judged(case, folder, methods)
    write_atomically(file, lambda path: path.write_text(json.dumps(rows)))
    return rows


def verdict(tree: Tree, case: Case, marked: Any) -> Row:
    """Return the order of the classes, who is flagged, and how the accused cluster fits."""
    ranking = tree["ranking"].dataset
    order = [str(name) for name in ranking["category"].values]
    flagged = ranking["category"].values[ranking["flagged"].values].tolist()
    scores = dict(zip(order, ranking["suspicion"].values.tolist(), strict=True))
    if not case.kind:
        return {"scores": scores, "flagged": flagged}
    own = str(case.label)
    hit = match(accused(tree[own].dataset).values, marked)
    return {"scores": scores, "flagged": flagged, "own": own, "rank": order.index(own) + 1,
            **hit._asdict()}  # fmt: skip


def used(row: Row) -> bool:
    """Whether the network uses the artefact: shown on other classes, it draws them."""
    return bool(row["facts"]["rise_others"] >= USED or row["facts"]["drawn"] >= 0.05)


def summary(rows: list[Row]) -> Row:
    """Rates over runs with an artefact."""
    n = len(rows)
    others = sum(len(set(row["flagged"]) - {row["own"]}) for row in rows)
    pure = [row for row in rows if min(row["purity"], row["recall"]) >= RIGHT]
    return {
        "runs": str(n),
        "first": f"{sum(row['rank'] == 1 for row in rows)}",
        "mean rank": f"{np.mean([row['rank'] for row in rows]):.1f}",
        "flagged": f"{sum(row['own'] in row['flagged'] for row in rows)}",
        "cluster right": f"{len(pure)}",
        "other classes flagged": f"{others} of {sum(len(row['scores']) - 1 for row in rows)}",
    }


def text_of(rows: list[Row]) -> str:
    """Return the tables of the README."""
    parts = []
    for name, cases in SETS.items():
        names = {case.name for case in cases()}
        here = [row for row in rows if row["name"] in names]
        dirty = [row for row in here if row["case"]["kind"]]
        if dirty:
            parts += [f"**{name.capitalize()}**", table(list(_lines(dirty))), _controls(here)]
    return "\n\n".join(parts)


def _lines(rows: list[Row]) -> Iterator[Row]:
    heads = {"method": "spray", "artefact": "", "share": ""}
    mine = [row for row in rows if row["method"] == "spray"]
    for kind in dict.fromkeys(row["case"]["kind"] for row in mine):
        for share in SHARES:
            part = [r for r in mine if r["case"]["kind"] == kind and r["case"]["share"] == share]
            if part:
                yield heads | {"artefact": kind, "share": f"{share:g}"} | summary(part)
    for method in METHODS:
        part = [row for row in rows if row["method"] == method]
        for name, chosen in (("used", [r for r in part if used(r)]),
                             ("not used", [r for r in part if not used(r)])):  # fmt: skip
            if chosen:
                yield heads | {"method": method, "artefact": f"all {name}"} | summary(chosen)


def _controls(rows: list[Row]) -> str:
    clean = [row for row in rows if not row["case"]["kind"] and row["method"] == "spray"]
    if not clean:
        return "No clean controls."
    wrong = sum(bool(row["flagged"]) for row in clean)
    most = max(max(row["scores"].values()) for row in clean)
    return (f"Clean controls in which spray flags anything: {wrong} of {len(clean)}; greatest "
            f"suspicion in any of them {most:.2f}.")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--compare", choices=list(SETS), default="target",
                        help="the set for all methods; elsewhere spray alone")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="keep what a killed run has found")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("demo-output/artefacts"))
    parser.add_argument("--tiny", action="store_true", help="two small cases, for a test")
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    sets = [(case, given.methods if name == given.compare else ["spray"])
            for name in given.sets for case in SETS[name]()]  # fmt: skip
    if given.tiny:
        pair = Case("watermark", 0.5, 0, per_class=60, epochs=3), Case("", per_class=60, epochs=1)
        sets = [(case, given.methods) for case in pair]
    job = partial(work, folder=given.folder, resume=given.resume)
    with executor(given.workers) as place:
        rows = [row for part in tqdm(place.map(job, sets), total=len(sets)) for row in part]
    text = (
        "\n".join(f"{r['name']} {r['method']} {r['flagged']}" for r in rows)
        if given.tiny
        else text_of(rows)
    )
    print(text)
    if not given.no_record:
        record("artefacts", " ".join(["python benchmarks/artefacts.py", *sys.argv[1:]]), text, rows)


if __name__ == "__main__":
    main()
