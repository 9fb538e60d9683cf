"""Suppress the artefact that was found: what a poisoned network wins back on clean images."""

import fxrelay.vision  # noqa: I001  (before torchvision)

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import fx
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from artefacts import dataset
from correcting import WAYS, Found, relearned
from methods import WHOLE, ours
from planted import Case, images_of, network, pasted, read_network, relevance
from record import HERE, record, table
from safetensors.torch import save_file
from suppression_figure import figure

import fxrelay
from fxrelay.demo.data import Digits
from fxrelay.demo.model import accuracy
from fxrelay.files import write_atomically
from fxrelay_analysis import Store

Row = dict[str, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
KINDS: Final = ("watermark", "border", "brightness", "texture")
#: network -> shares of the class that carry the artefact, by default
RUNS: Final = {"small": (0.95,), "mlp": (0.9, 0.95), "deep": (0.95,)}
#: what is measured, on images that no network was trained on
MEASURES: Final = {
    "own": "the class, without it",
    "others": "other classes, without it",
    "all": "all, without it",
    "pasted": "all, it everywhere",
}
#: corrections in the table of each artefact -> what it calls them
SHOWN: Final = {
    "projected": "projected",
    "relearned": "projected, learned on",
    "learned on": "learned on",
    "balanced": "balanced, learned on",
    "both": "projected, balanced, learned on",
    "told": "told, projected, learned on",
}


def split(case: Case) -> tuple[Digits, Digits]:
    """Return the images as they are, and with the artefact in a share of the training images."""
    clean = images_of("digits", 500)
    random = np.random.default_rng([case.seed, 3])
    train, marked = (np.zeros(len(clean.labels), bool) for _ in range(2))
    for label in np.unique(clean.labels):
        train[random.permutation(np.flatnonzero(clean.labels == label))[: case.per_class]] = True
    if case.kind:
        own = np.flatnonzero(train & (clean.labels == case.label))
        marked[random.choice(own, round(case.share * len(own)), replace=False)] = True
    images = pasted(case, clean.images, marked) if case.kind else clean.images
    return replace(clean, train=train), Digits(images, clean.labels, train, marked)


def trained(case: Case, data: Digits, folder: Path) -> fx.GraphModule:
    """Return the case's network, from the folder where it is there."""
    file = folder / f"{case.name}.safetensors"
    if not file.exists():
        state = {k: v.contiguous() for k, v in network(case, data).state_dict().items()}
        write_atomically(file, lambda path: save_file(state, path))
    return fxrelay.trace(read_network(case, file))


def looked(case: Case, graph: fx.GraphModule, data: Digits) -> Mask:
    """Return who carries the artefact as a user tells who looks at the clusters of the class.

    There are twelve, the finest of the sweep; of each the user says whether most of its images
    show the artefact. These twelve answers are the only use of the planted truth.
    """
    rows = np.flatnonzero(data.train)
    seen = Digits(*(part[rows] for part in vars(data).values()))
    own = seen.labels == case.label
    maps = relevance(case, graph, seen)
    ds = dataset((maps / np.abs(maps).max())[own], seen.labels[own])
    group = ours(ds, Store(None), WHOLE.only("kmeans"))[str(case.label)].dataset
    found = group["clustering_kmeans"].isel(n_clusters=-1).values
    shows = [c for c in np.unique(found) if seen.planted[own][found == c].mean() > 0.5]
    out = np.zeros(len(data.labels), bool)
    out[rows[own]] = np.isin(found, shows)
    return out


def measured(case: Case, clean: Digits, model: Callable[..., Any]) -> dict[str, float]:
    """Return accuracies in per cent: all test images of the class, every third of the others."""
    own = np.flatnonzero(~clean.train & (clean.labels == case.label))
    others = np.flatnonzero(~clean.train & (clean.labels != case.label))
    mixed = np.concatenate([own[::6], others[::6]])
    marked = pasted(case, clean.images, np.isin(np.arange(len(clean.labels)), mixed))

    def hits(images: Any, rows: Any) -> float:
        x, y = torch.from_numpy(images[rows]), torch.from_numpy(clean.labels[rows])
        return 100 * accuracy(model, x, y)

    out = {"own": hits(clean.images, own), "others": hits(clean.images, others[::3])}
    share = len(own) / (len(own) + len(others))
    total = share * out["own"] + (1 - share) * out["others"]
    return out | {"all": total, "pasted": hits(marked, mixed)}


def once(case: Case, folder: Path) -> Row:
    """Poison, find, correct, measure."""
    kept = folder / f"{case.name}.json"
    row: Row = json.loads(kept.read_text()) if kept.exists() else {"scores": {}}
    if {"clean", "before", "told", *WAYS} <= set(row["scores"]):
        return row
    clean, data = split(case)
    graph = trained(case, data, folder)
    control = replace(case, kind="", share=0.5)
    found = Found(case, graph, data, looked(case, graph, data))
    possible = not found.carries[found.own].all()  # else there is nothing to compare with
    makers = {
        "clean": lambda: trained(control, split(control)[1], folder),
        "before": lambda: graph,
        "told": lambda: relearned(replace(found, carries=data.planted)),
    } | {
        way: partial(correct, found) if possible else lambda: graph for way, correct in WAYS.items()
    }
    scores = row["scores"] | {
        way: measured(case, clean, make())
        for way, make in makers.items()
        if way not in row["scores"]
    }
    lacks, truly = ~found.carries[found.own], ~data.planted[found.own]
    row = {"case": asdict(case), "lack": int(truly.sum()), "said to lack": int(lacks.sum()),
           "both": int((lacks & truly).sum()), "scores": scores}  # fmt: skip
    write_atomically(kept, lambda path: path.write_text(json.dumps(row)))
    return row


def gain(rows: list[Row], way: str, measure: str) -> tuple[float, float, float]:
    """Return the mean over seeds of what a correction adds, and its 95 % bootstrap interval.

    Runs of one seed share their images, so they are averaged first.
    """
    seeds: dict[int, list[float]] = {}
    for row in rows:
        added = row["scores"][way][measure] - row["scores"]["before"][measure]
        seeds.setdefault(row["case"]["seed"], []).append(added)
    means = np.array([np.mean(added) for added in seeds.values()])
    low, high = bootstrap((means,), np.mean, method="percentile", rng=0).confidence_interval
    return float(means.mean()), float(low), float(high)


def cell(rows: list[Row], way: str, measure: str) -> str:
    """Return a cell: the gain and its interval, bold where the interval leaves out 0."""
    mean, low, high = gain(rows, way, measure)
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def level(rows: list[Row], way: str, measure: str) -> str:
    return f"{np.mean([row['scores'][way][measure] for row in rows]):.1f}"


def grouped(rows: list[Row], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[Row]]]:
    """Yield the rows of each combination of values of the cases."""
    for name in dict.fromkeys(tuple(row["case"][key] for key in keys) for row in rows):
        yield name, [r for r in rows if tuple(r["case"][key] for key in keys) == name]


def per_artefact(rows: list[Row]) -> Iterator[Row]:
    """Yield a line for each network, share and kind: accuracy on the class's clean images."""
    for (model, share, kind), part in grouped(rows, "model", "share", "kind"):
        precision = sum(r["both"] for r in part) / max(1, sum(r["said to lack"] for r in part))
        recall = sum(r["both"] for r in part) / sum(r["lack"] for r in part)
        yield {
            "network": model, "share": f"{share:g}", "artefact": kind, "runs": len(part),
            "lack it: precision, recall": f"{precision:.2f}, {recall:.2f}",
            "clean": level(part, "clean", "own"), "poisoned": level(part, "before", "own"),
        } | {name: cell(part, way, "own") for way, name in SHOWN.items()}  # fmt: skip


def per_way(rows: list[Row]) -> Iterator[Row]:
    """Yield a line for each network, share and correction, over all kinds."""
    for (model, share), part in grouped(rows, "model", "share"):
        head = {"network": model, "share": f"{share:g}"}
        for way in ("clean", "before"):
            name = "trained on clean images" if way == "clean" else "poisoned"
            yield (
                head
                | {"correction": name}
                | {title: level(part, way, m) for m, title in MEASURES.items()}
            )
        for way in (*WAYS, "told"):
            yield (
                head
                | {"correction": SHOWN.get(way, way)}
                | {title: cell(part, way, m) for m, title in MEASURES.items()}
            )


def chosen(given: argparse.Namespace) -> Iterator[Case]:
    """Yield the cases."""
    sizes = {"per_class": given.per_class, "epochs": given.epochs}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    for model in given.networks:
        for share, kind in product(given.shares or RUNS[model], given.kinds):
            yield from (Case(kind, share, seed, model, **sizes) for seed in seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(RUNS), default=["small", "mlp"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--shares", type=float, nargs="+")
    parser.add_argument("--seeds", type=int, default=8, help="2 or more")
    parser.add_argument("--first-seed", type=int, default=0, help="choices were made from 100 on")
    parser.add_argument("--per-class", type=int, default=200, help="training images of each digit")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path("demo-output/suppression"),
                        help="keeps networks and results; empty it after changes")  # fmt: skip
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows = [once(case, given.folder) for case in tqdm(list(chosen(given)))]
    text = table(list(per_artefact(rows))) + "\n\n" + table(list(per_way(rows)))
    print(text)
    if not given.no_record:
        figure(rows, HERE / "suppression.png")
        text += "\n\n![What networks win back on clean images](suppression.png)"
        command = " ".join(["python benchmarks/suppression.py", *sys.argv[1:]])
        record("suppression", command, text, rows)


if __name__ == "__main__":
    main()
