r"""Trace, canonize and explain every model of torchvision; check outputs and balance the books.

In float64, with zero biases and calibrated norms: canonized outputs against the model's at two
sizes and two batches where the model allows, and relevance at the input plus sinks against the
seed, for `epsilon_plus_flat` with a vanishing stabilizer.

    python benchmarks/zoo.py                       # everything: 80 classifiers and the rest
    python benchmarks/zoo.py --models resnet18 vit_b_16 --no-record
"""

import argparse  # noqa: I001  fxrelay.vision comes before torchvision
import gc
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fxrelay.vision
import torch
import torchvision
from torch import Tensor, nn

import fxrelay
from fxrelay import composites
from fxrelay.running import Relay
from fxrelay.terms import Stabilizer

sys.path.insert(0, str(Path(__file__).parent))
from record import HERE, record, table

EPSILON = 1e-12
#: what to build a model with, and the shapes of one sample to try; the first that starts a name
SETTINGS: dict[str, tuple[dict[str, Any], list[tuple[int, ...]]]] = {
    "googlenet": ({"aux_logits": False, "init_weights": True}, [(3, 64, 64), (3, 96, 80)]),
    "inception": ({"aux_logits": False, "init_weights": True}, [(3, 96, 96), (3, 128, 107)]),
    "maxvit": ({}, [(3, 224, 224)]),
    "vit_h": ({"image_size": 56}, [(3, 56, 56)]),
    "vit": ({"image_size": 64}, [(3, 64, 64)]),
    "alexnet": ({}, [(3, 64, 64), (3, 96, 80)]),
    "mvit": ({}, [(3, 16, 224, 224)]),
    "swin3d": ({}, [(3, 4, 64, 64), (3, 4, 96, 80)]),
    "s3d": ({}, [(3, 16, 224, 224)]),
    "r3d": ({}, [(3, 4, 64, 64), (3, 8, 48, 48)]),
    "mc3": ({}, [(3, 4, 64, 64), (3, 8, 48, 48)]),
    "r2plus1d": ({}, [(3, 4, 64, 64), (3, 8, 48, 48)]),
    "fcn": ({"weights_backbone": None}, [(3, 64, 64), (3, 96, 80)]),
    "deeplab": ({"weights_backbone": None}, [(3, 64, 64), (3, 96, 80)]),
    "lraspp": ({"weights_backbone": None}, [(3, 64, 64), (3, 96, 80)]),
    "": ({}, [(3, 64, 64), (3, 96, 80)]),
}
KINDS = {
    "classification": torchvision.models,
    "segmentation": torchvision.models.segmentation,
    "video": torchvision.models.video,
}


#: models of more than half a billion parameters come last
HUGE = ("regnet_y_128gf", "vit_h_14")


def names(kinds: list[str]) -> list[str]:
    """Names of torchvision's models of some kinds."""
    found = [n for kind in kinds for n in torchvision.models.list_models(module=KINDS[kind])]
    return sorted(found, key=HUGE.__contains__)


def settings(name: str) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    """How to build the model, and the shapes of its samples."""
    return next(row for start, row in SETTINGS.items() if name.startswith(start))


def build(name: str) -> nn.Module:
    """Return the model in float64 with zero biases, and norms that fit noise."""
    torch.manual_seed(0)
    options, shapes = settings(name)
    model = torchvision.models.get_model(name, weights=None, **options).double()
    for head in model.modules():
        if isinstance(head, nn.Linear):
            nn.init.normal_(head.weight, std=head.in_features**-0.5)
    for parameter_name, parameter in model.named_parameters():
        if "bias" in parameter_name and "relative_position" not in parameter_name:
            parameter.data.zero_()
    _calibrate(model, [torch.randn(4, *shape, dtype=torch.float64) for shape in shapes])
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _calibrate(model: nn.Module, inputs: list[Tensor]) -> None:
    """Let each batch norm divide by the root mean square of what it gets, the largest of `inputs`.

    Means stay zero, for they would be biases.
    """

    def divide(norm: Any, args: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(args[0].dim()) if axis != 1]
        power = args[0].square().mean(axes)
        wide = power + power.mean() / 10  # no channel is blown up
        norm.running_var.copy_(torch.maximum(norm.running_var, wide))

    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.running_var.zero_()
    hooks = [norm.register_forward_pre_hook(divide) for norm in norms]
    for x in inputs:
        model.eval()(x)
    for hook in hooks:
        hook.remove()


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    model: str
    nodes: int
    rewrites: int
    difference: float
    jitter: float
    cases: int
    input_share: float
    spread_share: float
    sinks: dict[str, float]
    missing: float
    trace_s: float
    canonize_s: float
    relay_s: float


def examine(name: str) -> Result:
    """Trace, canonize, compare, explain, balance."""
    model = build(name)
    shapes = settings(name)[1]
    times = [time.perf_counter()]
    graph = fxrelay.trace(model, torch.zeros(2, *shapes[0], dtype=torch.float64))
    times.append(time.perf_counter())
    graph = fxrelay.canonize(graph)
    times.append(time.perf_counter())
    errors = [_difference(model, graph, x) for x in _inputs(shapes)]
    start = time.perf_counter()
    relay = _relay(graph, spread=False)
    times.append(times[-1] + time.perf_counter() - start)
    x = next(_inputs(shapes))
    seed = _seed(_tensor(model(x)))
    out = relay(x, seed)
    given = float(seed.sum())
    kept = float(out.relevance.sum()) / given
    sinks = {name: float(value.sum()) / given for name, value in out.sinks.items()}
    spread = kept
    if abs(sinks["undistributed"]) > 1e-4:
        spread = float(_relay(graph, spread=True)(x, seed).relevance.sum()) / given
    largest = sorted(sinks.items(), key=lambda item: -abs(item[1]))[:3]
    return Result(
        name, len(graph.graph.nodes), len(graph.meta["rewrites"]),
        *map(max, zip(*errors, strict=True)), len(errors), kept, spread, dict(largest),
        abs(1 - kept - sum(sinks.values())),
        *(b - a for a, b in itertools.pairwise(times)),
    )  # fmt: skip


def _relay(graph: Any, *, spread: bool) -> Relay:
    stabilizer = Stabilizer(EPSILON, spread=spread)
    preset = composites.epsilon_plus_flat(epsilon=EPSILON, stabilizer=stabilizer)
    return fxrelay.relay(fxrelay.annotate(graph, preset))


def _inputs(shapes: list[tuple[int, ...]]) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for i, shape in enumerate(shapes):
        for batch in (2, 1) if i == 0 else (1,):
            yield torch.randn(batch, *shape, dtype=torch.float64, generator=generator)


def _tensor(output: Any) -> Tensor:
    return output["out"] if isinstance(output, dict) else output


@torch.no_grad()
def _difference(model: nn.Module, graph: nn.Module, x: Tensor) -> tuple[float, float]:
    """Largest difference of outputs, and what rounding the input differently makes of them.

    In units of the largest output. Deep untrained networks amplify the last bit; no exact rewrite
    can do better than that.
    """
    want = _tensor(model(x))
    others = graph(x), _tensor(model(x * (1 + 1e-15)))
    error, jitter = (float((y - want).abs().max() / want.abs().max()) for y in others)
    return error, jitter


def _seed(output: Tensor) -> Tensor:
    """1 at each sample's largest output."""
    flat = output.flatten(1)
    return nn.functional.one_hot(flat.argmax(1), flat.shape[1]).to(flat).reshape(output.shape)


def shown(row: Result) -> dict[str, str]:
    """A row as the README prints it."""
    sink, share = next(iter(row.sinks.items()), ("", 0.0))
    return {
        "model": row.model,
        "nodes": str(row.nodes),
        "rewrites": str(row.rewrites),
        "output difference": f"{row.difference:.0e} ({row.cases})",
        "by rounding": f"{row.jitter:.0e}",
        "at the input": f"{row.input_share:.4f}",
        "if spread": f"{row.spread_share:.4f}",
        "largest sink": f"{sink} {share:.4f}" if abs(share) >= 5e-5 else "",
        "missing": f"{row.missing:.0e}",
        "trace s": f"{row.trace_s:.2f}",
        "canonize s": f"{row.canonize_s:.2f}",
        "program s": f"{row.relay_s:.2f}",
    }


def summary(rows: list[Result], failed: list[str]) -> str:
    """The table, and what it comes to."""
    ordered = sorted(rows, key=lambda row: row.model)
    times = [row.trace_s + row.canonize_s for row in rows]
    text = table([shown(row) for row in ordered]) if rows else ""
    missed = ", ".join(failed) or "none"
    middle = f"{statistics.median(times):.2f} s" if rows else "-"
    return (
        f"{text}\n\n{len(rows)} models explained, {len(failed)} not ({missed}). Tracing and "
        f"canonizing: median {middle}, at most {max(times, default=0):.1f} s."
    )


def _kept(models: list[str] | None) -> list[Result]:
    """Rows of the last run that this one does not make anew."""
    if not models or not (HERE / "zoo.json").exists():
        return []
    rows = json.loads((HERE / "zoo.json").read_text())
    return [Result(**row) for row in rows if row["model"] not in models]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument(
        "--models", nargs="+", help="make these rows anew; default all of the kinds"
    )
    parser.add_argument("--no-record", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows, failed = [] if given.no_record else _kept(given.models), []
    for name in given.models or names(given.kinds):
        try:
            rows.append(examine(name))
            print(" | ".join(shown(rows[-1]).values()), flush=True)
        except Exception as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        gc.collect()
        if rows and not given.no_record:  # after each: the largest need most of the memory
            record("zoo", "python benchmarks/zoo.py", summary(rows, failed), list(map(vars, rows)))
    print(summary(rows, failed).splitlines()[-1])


if __name__ == "__main__":
    main()
