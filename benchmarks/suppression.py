"""Suppress the artefact that was found: accuracy without it, and with it everywhere."""

import fxrelay.vision  # noqa: I001  (before torchvision)

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import torch
import xarray as xr
from torch import fx, nn
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent))
from artefacts import dataset, made, ours
from planted import Case, images_of, pasted, planted, read_network
from record import HERE, record, table

import fxrelay
from fxrelay.demo.data import Digits
from fxrelay.demo.model import accuracy, fit
from fxrelay_analysis import Store, stages
from fxrelay_analysis.truth import match

mpl.use("Agg")
from matplotlib import pyplot as plt

Row = dict[str, Any]
#: where activations are told apart: the 32 channels of the last convolution
AT: Final = "relu_2"
KINDS: Final = ("watermark", "border", "brightness", "blur", "shape", "texture", "tilt")
WAYS: Final = ("before", "projected", "compensated")
#: what is measured -> what the figure calls it
MEASURES: Final = {"clean": "without it", "own": "its class, without it", "pasted": "it everywhere"}


def accused(case: Case, file: Path) -> xr.DataArray:
    """Return who is in the cluster that the analysis accuses, of the poisoned class."""
    with np.load(file) as kept:
        ds = dataset(kept["maps"], kept["labels"])
    own = ds.isel(sample=ds["label"].values == case.label)
    group = ours(own, Store(None))[str(case.label)].dataset
    found = group["clustering_kmeans"].sel(n_clusters=int(group["chosen_n_clusters"]))
    return (found == int(group["suspicious_cluster"])).astype(np.int32)


def projected(model: nn.Module, data: Digits, member: xr.DataArray) -> fx.GraphModule:
    """Return the network without the direction of the accused cluster (P-ClArC)."""
    graph = fxrelay.canonize(fxrelay.trace(model))
    rows = member["sample"].values
    seen = rows[data.train[rows]]
    ds = fxrelay.attribute(graph, data.images[seen], data.labels[seen], composite="gradient",
                           record=[AT], activations=True, sample=seen)  # fmt: skip
    found = stages.concepts(ds[f"activation_at_{AT}"], member.sel(sample=seen)).sel(cluster=1)
    return fxrelay.suppress(graph, AT, found["direction"].values, found["origin"].values)


def compensated(case: Case, model: nn.Module, data: Digits) -> nn.Module:
    """Return the network after two epochs with the artefact in half of all classes (A-ClArC)."""
    random = np.random.default_rng(case.seed)
    half = random.random(len(data.labels)) < 0.5
    images = pasted(case, data.images, half & ~data.planted)
    seen = torch.from_numpy(np.flatnonzero(data.train))
    out = copy.deepcopy(model).train().requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        x, y = torch.from_numpy(images), torch.from_numpy(data.labels)
        fit(out, x[seen], y[seen], epochs=2, rate=0.003)
    return out.eval().requires_grad_(False)


def measured(case: Case, model: Callable[..., Any]) -> dict[str, float]:
    """Return accuracies on the test images."""
    clean = images_of(case.data, case.per_class)
    test = ~clean.train
    marked = pasted(case, clean.images, np.ones(len(test), bool))

    def score(images: Any, where: Any) -> float:
        return accuracy(
            model, torch.from_numpy(images[where]), torch.from_numpy(clean.labels[where])
        )

    return {
        "clean": score(clean.images, test),
        "own": score(clean.images, test & (clean.labels == case.label)),
        "pasted": score(marked, test),
    }


def once(case: Case, folder: Path) -> Row:
    """Poison, find, suppress, measure."""
    file = made(case, folder)
    data, member = planted(case), accused(case, file)
    model = read_network(case, file.with_suffix(".safetensors"))
    marked = data.planted[member["sample"].values]
    if marked[member.values == 1].mean() < 0.5:  # one look at the pictures tells who has it
        member = 1 - member
    hit = match(member.values == 1, marked)
    return {
        "case": asdict(case),
        **hit._asdict(),
        "before": measured(case, model),
        "projected": measured(case, projected(model, data, member)),
        "compensated": measured(case, compensated(case, model, data)),
    }


def lines(rows: list[Row]) -> Iterator[Row]:
    """Return the table's rows: means over seeds of each kind and share."""
    keys = dict.fromkeys((row["case"]["kind"], row["case"]["share"]) for row in rows)
    for kind, share in keys:
        part = [r for r in rows if (r["case"]["kind"], r["case"]["share"]) == (kind, share)]
        line = {"artefact": kind, "share": f"{share:g}", "runs": str(len(part)),
                "purity": f"{np.mean([r['purity'] for r in part]):.2f}",
            "recall": f"{np.mean([r['recall'] for r in part]):.2f}"}  # fmt: skip
        for measure, name in MEASURES.items():
            means = [np.mean([r[way][measure] for r in part]) for way in WAYS]
            line[name] = " → ".join(f"{100 * mean:.1f}" for mean in means)
        yield line


def figure(rows: list[Row], path: Path) -> None:
    """Draw accuracy before and after for each kind at the highest share, a dot for each run."""
    share = max(row["case"]["share"] for row in rows)
    rows = [row for row in rows if row["case"]["share"] == share]
    kinds = list(dict.fromkeys(row["case"]["kind"] for row in rows))
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
    colours = {"before": "#4d4d4d", "projected": "#0072b2", "compensated": "#d55e00"}
    for axis, (measure, name) in zip(axes, MEASURES.items(), strict=True):
        for i, way in enumerate(WAYS):
            for at, kind in enumerate(kinds):
                values = [100 * r[way][measure] for r in rows if r["case"]["kind"] == kind]
                place = at + 0.25 * (i - 1)
                axis.bar(place, np.mean(values), 0.23, color=colours[way], alpha=0.45,
                         label=way if not at else None)  # fmt: skip
                axis.plot([place] * len(values), values, ".", color=colours[way])
        axis.set_title(f"test images, {name}", fontsize=10)
        axis.set_xticks(range(len(kinds)), kinds, rotation=35, ha="right")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy, %")
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    fig.suptitle(
        f"Artefact in {share:.0%} of one class: before and after suppressing it", fontsize=11
    )
    fig.savefig(path, dpi=130)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.95])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("demo-output/artefacts"))
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cases = [
        Case(kind, share, seed, per_class=given.per_class, epochs=given.epochs)
        for share in given.shares
        for kind in given.kinds
        for seed in range(given.seeds)
    ]
    rows = [once(case, given.folder) for case in tqdm(cases)]
    text = table(list(lines(rows)))
    print(text)
    if not given.no_record:
        figure(rows, HERE / "suppression.png")
        text += "\n\n![Accuracy before and after suppressing the artefact](suppression.png)"
        record(
            "suppression", " ".join(["python benchmarks/suppression.py", *sys.argv[1:]]), text, rows
        )


if __name__ == "__main__":
    main()
