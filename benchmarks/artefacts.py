"""Find planted artefacts: several kinds, shares, strengths and models, and clean controls."""

import fxrelay.vision  # noqa: F401, I001  (before torchvision)

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from planted import MODELS, Case, network, planted, relevance, use
from record import record, table
from safetensors.torch import save_file

from fxrelay.files import write_atomically
from fxrelay_analysis import Store, spray, stages
from fxrelay_analysis.presets import SPRAY
from fxrelay_analysis.truth import match

Row = dict[str, Any]
Tree = xr.DataTree
SHARES: Final = (0.5, 0.2, 0.1, 0.05)
#: log-odds by which an artefact must draw images of other classes for its network to be using it
USED: Final = 0.5
#: least purity and recall with which the accused cluster counts as the planted one
RIGHT: Final = 0.9


def tuning() -> Iterator[Case]:
    """What defaults were chosen on: four kinds, seeds from 100."""
    yield from (Case("", seed=seed) for seed in (100, 101))
    for turn, clean in enumerate(("deep", "mlp", "small")):
        for kind in ("watermark", "border", "brightness", "blur"):
            yield from _turn(kind, turn, 100 + 16 * turn, (1.0, 1.0, 0.6)[turn])
        yield from (Case("", seed=seed + 2 * turn, model=clean) for seed in (102, 103))


def target() -> Iterator[Case]:
    """The watermark of the demo in every class, at every share, and ten clean controls."""
    for share in reversed(SHARES):
        yield from (Case("watermark", share, seed) for seed in range(10))
    yield from (Case("", seed=seed) for seed in range(10))


def held_out() -> Iterator[Case]:
    """Kinds that nothing was chosen on."""
    for turn in (0, 1):
        for kind in ("shape", "texture", "tilt"):
            yield from _turn(kind, turn, 10 * turn, (1.0, 0.7)[turn])


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
    "tuning": tuning, "target": target, "held out": held_out, "photos": photos,
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


def ours(ds: xr.Dataset, store: Store, **parameters: Any) -> Tree:
    """The default of `spray`, without what does not decide the verdict."""
    steps = SPRAY.only("suspicion")
    return spray(ds, store=store, pipeline=steps, parameters=parameters, progress=False)


def plain(ds: xr.Dataset, store: Store) -> Tree:
    """SpRAy as published, at most 5 clusters, ranked by Fisher's ratio in the embedding."""
    return _per_class(ds, store, _fisher_of_embedding, range(2, 6))


def eigengap(ds: xr.Dataset, store: Store) -> Tree:
    """SpRAy as published; the largest eigengap ranks, and says how many clusters."""
    return _per_class(ds, store, _gap, range(2, 9))


def _per_class(ds: xr.Dataset, store: Store, judge: Callable[..., Any], counts: range) -> Tree:
    groups = {}
    for name in np.unique(ds["label"]):
        part = ds["relevance"][ds["label"].values == name]
        near = store.cache(stages.neighbours)(store.cache(stages.preprocess)(part, power=1.0))
        graph = store.cache(stages.affinity)(near)
        embedded = store.cache(stages.spectral_embedding)(graph)
        found = stages.kmeans(embedded, n_clusters=counts)
        score, k, cluster = judge(embedded, found)
        groups[str(name)] = xr.Dataset(
            {"clustering_kmeans": found, "chosen_n_clusters": k, "suspicious_cluster": cluster,
             "suspicion": score, "flagged": False}
        )  # fmt: skip
    order = sorted(groups, key=lambda name: -float(groups[name]["suspicion"]))
    ranking = xr.Dataset(
        {"suspicion": ("category", [float(groups[n]["suspicion"]) for n in order]),
         "flagged": ("category", [False] * len(order))}, {"category": order},
    )  # fmt: skip
    return Tree.from_dict({"/ranking": ranking} | {f"/{n}": group for n, group in groups.items()})


def _fisher_of_embedding(embedded: xr.Dataset, found: xr.DataArray) -> tuple[float, int, int]:
    """Return the greatest Fisher ratio of a cluster along its linear discriminant, and which."""
    best = (0.0, 2, 0)
    for k in found["n_clusters"].values:
        x = embedded["embedding_spectral"].values[:, :k]
        for cluster in range(int(found.sel(n_clusters=k).max()) + 1):
            member = found.sel(n_clusters=k).values == cluster
            shift = x[member].mean(axis=0) - x[~member].mean(axis=0)
            within = np.cov(np.where(member[:, None], x - x[member].mean(axis=0),
                                     x - x[~member].mean(axis=0)).T, bias=True)  # fmt: skip
            ridge = 1e-3 * np.trace(within) / k * np.eye(k)
            share = member.mean()
            ratio = share * (1 - share) * shift @ np.linalg.solve(within + ridge, shift)
            best = max(best, (float(ratio), int(k), cluster))
    return best


def _gap(embedded: xr.Dataset, found: xr.DataArray) -> tuple[float, int, int]:
    """Return the largest gap after 2 or more eigenvalues, and the smallest cluster there."""
    gaps = stages.eigengap(embedded).values[1 : 1 + found.sizes["n_clusters"]]
    k = int(np.argmax(gaps)) + 2
    return float(gaps.max()), k, int(found.sel(n_clusters=k).max())


#: name -> what ranks the classes, and whether it looks at relevance or at the images themselves
METHODS: Final[Mapping[str, tuple[Callable[[xr.Dataset, Store], Tree], str]]] = {
    "spray": (ours, "maps"),
    "spray, features as they are": (partial(ours, equalize={"exponent": 0.0}), "maps"),
    "spray, without valleys": (partial(ours, suspicion={"level": 1.0}), "maps"),
    "spray, k up to 5": (partial(ours, kmeans={"n_clusters": range(2, 6)}), "maps"),
    "plain SpRAy, Fisher, k up to 5": (plain, "maps"),
    "plain SpRAy, eigengap": (eigengap, "maps"),
    "spray on the images": (ours, "images"),
}


def judged(case: Case, file: Path, methods: Iterable[str]) -> Iterator[Row]:
    """Return what methods say of a case."""
    with np.load(file) as kept, TemporaryDirectory() as folder:
        facts, labels = json.loads(str(kept["facts"])), kept["labels"]
        seen = {"maps": kept["maps"], "images": planted(case).images.sum(axis=1)}
        store = Store(folder)  # what methods share is computed once
        for method in methods:
            run, look = METHODS[method]
            tree = run(dataset(seen[look], labels), store)
            row = {"case": asdict(case), "name": case.name, "method": method, "facts": facts}
            yield row | verdict(tree, case, kept["planted"][labels == case.label])


def verdict(tree: Tree, case: Case, marked: Any) -> Row:
    """Return the order of the classes, who is flagged, and how the accused cluster fits."""
    ranking = tree["ranking"].dataset
    order = [str(name) for name in ranking["category"].values]
    flagged = ranking["category"].values[ranking["flagged"].values].tolist()
    scores = dict(zip(order, ranking["suspicion"].values.tolist(), strict=True))
    if not case.kind:
        return {"scores": scores, "flagged": flagged}
    own = str(case.label)
    group = tree[own].dataset
    found = group["clustering_kmeans"].sel(n_clusters=int(group["chosen_n_clusters"]))
    hit = match(found.values == int(group["suspicious_cluster"]), marked)
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
    parser.add_argument("--folder", type=Path, default=Path("demo-output/artefacts"))
    parser.add_argument("--tiny", action="store_true", help="two small cases, for a test")
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cases = [case for name in given.sets for case in SETS[name]()]
    if given.tiny:
        cases = [
            Case("watermark", 0.5, 0, per_class=60, epochs=3),
            Case("", per_class=60, epochs=1),
        ]
    rows = [
        row
        for case in tqdm(dict.fromkeys(cases))
        for row in judged(case, made(case, given.folder), given.methods)
    ]
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
