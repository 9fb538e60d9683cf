r"""Scaling of relevance programs with batch, resolution, depth, targets and threads.

python benchmarks/scaling.py
python benchmarks/scaling.py --axes batch --model resnet18 --quick --no-record
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import cases
from record import HERE, record, table
from torch import nn

from fxrelay.vmapped import passes

PRESETS = ("epsilon_plus_flat", "epsilon_gamma_box")
AXES: dict[str, tuple[Any, ...]] = {
    "batch": (1, 4, 16),
    "resolution": (64, 128, 224, 384),
    "depth": ("resnet18", "resnet34", "resnet50", "resnet101"),
    "targets": (1, 2, 4, 8, 16),
    "threads": (1, 2),
}


def point(axis: str, value: Any, name: str, repeats: int) -> dict[str, Any]:
    """Measure one value of an axis: milliseconds of each."""
    name = value if axis == "depth" else name
    batch = value if axis == "batch" else 1
    x, seed = cases.photo(batch, value if axis == "resolution" else 224)
    torch.set_num_threads(value if axis == "threads" else 2)
    runs: dict[str, cases.Run] = {}
    if axis == "targets":
        runs = _targets(name, x, value)
    else:
        runs["gradient"] = cases.gradient(cases.model(name), x, seed)
        for preset in PRESETS:
            runs[preset] = cases.relevance(cases.program(name, preset), x, seed)
            runs[f"Zennit {preset}"] = _known(cases.zennit(name, preset, x, seed))
    times = cases.medians(runs, repeats)
    shown = {key: f"{t / times['gradient']:.2f}" for key, t in times.items() if key != "gradient"}
    return {axis: value, "gradient, ms": f"{1e3 * times['gradient']:.0f}", **shown}


def _targets(name: str, x: torch.Tensor, k: int) -> dict[str, cases.Run]:
    seeds = nn.functional.one_hot(torch.arange(k), 1000).float()
    net, repeated = cases.model(name), x.expand(k, -1, -1, -1).contiguous()

    def batched() -> Any:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(net(leaf), leaf, seeds[:, None], is_grads_batched=True)

    def ours(relay: Any) -> Callable[[], Any]:
        @torch.no_grad()
        def run() -> Any:
            return passes(relay, (x,), seeds[:, None], (), True, None)

        return run

    runs: dict[str, cases.Run] = {"gradient": batched}
    for preset in PRESETS:
        runs[preset] = ours(cases.program(name, preset))
        runs[f"Zennit {preset}"] = _known(cases.zennit(name, preset, repeated, seeds))
    return runs


def _known(run: cases.Run | None) -> cases.Run:
    assert run is not None
    return run


def draw(found: dict[str, list[dict[str, Any]]]) -> None:
    """Draw a panel for each axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(3.2 * len(found), 3.2), sharey=True)
    for panel, (axis, rows) in zip(panels, found.items(), strict=True):
        for color, preset in zip(("#1f77b4", "#d62728"), PRESETS, strict=True):
            for prefix, style in (("", "-o"), ("Zennit ", "--s")):
                values = [float(row[prefix + preset]) for row in rows]
                panel.plot(
                    [str(row[axis]).removeprefix("resnet") for row in rows], values, style,
                    color=color, label=(prefix or "fxrelay ") + preset, markersize=4,
                )  # fmt: skip
        panel.axhline(1, color="#888888", linewidth=0.8)
        panel.set(xlabel={"depth": "depth (ResNet)"}.get(axis, axis), yscale="log")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time in plain gradients")
    panels[0].set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    panels[-1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    figure.savefig(HERE / "scaling.png", dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, draw, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES))
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the first value of each axis, once")
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args(arguments)
    found = {
        axis: [
            point(axis, value, args.model, 1 if args.quick else args.repeats)
            for value in AXES[axis][: 1 if args.quick else None]
        ]
        for axis in args.axes
    }
    text = "\n\n".join(map(table, found.values()))
    print(text)
    if not args.no_record:
        draw(found)
        picture = "![Time in plain gradients](scaling.png)"
        record("scaling", "python benchmarks/scaling.py", f"{picture}\n\n{text}", found)


if __name__ == "__main__":
    main()
