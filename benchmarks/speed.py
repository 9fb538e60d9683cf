r"""Wall time of relevance programs, in plain input gradients, beside Zennit, Captum and LXT.

python benchmarks/speed.py
python benchmarks/speed.py --compile epsilon_gamma_box   # this preset also compiled: minutes more
python benchmarks/speed.py --models resnet18 --size 64 --repeats 1 --no-record
"""

import argparse
import math
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import cases
from record import record, table
from torch import Tensor, nn

import fxrelay

LAST = {"memory_format": torch.channels_last}


def rows(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a model with each of its presets."""
    x, seed = cases.photo(args.batch, args.size)
    found = []
    for preset in cases.MODELS[name]:
        relay = cases.program(name, preset)
        half = cases.program(name, preset, torch.bfloat16)
        compiled = relay.compile() if preset in args.compile else None
        runs: dict[str, cases.Run | None] = {
            "gradient": cases.gradient(cases.model(name), x, seed),
            "fxrelay": cases.relevance(relay, x, seed),
            "channels_last": cases.relevance(relay, x.contiguous(**LAST), seed),
            "compiled": cases.relevance(compiled, x, seed) if compiled else None,
            "bfloat16": cases.relevance(half, x.bfloat16(), seed.bfloat16()),
            "Zennit": cases.zennit(name, preset, x, seed),
            "Captum": cases.captum(name, preset, x) if find_spec("captum") else None,
        }
        asked = {key: run for key, run in runs.items() if run is not None}
        times = cases.medians(asked, args.repeats)
        if name.startswith("vit") and find_spec("lxt"):
            times["LXT"] = times["fxrelay"] * _lxt(name, args)
        found.append({
            "model": name,
            "preset": preset,
            "gradient, ms": f"{times['gradient'] * 1e3:.0f}",
            **{key: f"{times[key] / times['gradient']:.2f}" if key in times else ""
               for key in [*list(runs)[1:], "LXT"]},
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


LXT = """
import sys
sys.path.insert(0, {here!r})
import cases, torch
from torch import nn
from torchvision.models import vision_transformer
import transformers.pytorch_utils as utils
for name in ("find_pruneable_heads_and_indices", "prune_linear_layer"):
    setattr(utils, name, None)
from lxt.efficient import monkey_patch, monkey_patch_zennit
from zennit.composites import LayerMapComposite
from zennit.rules import Gamma

torch.set_num_threads({threads})
x, seed = cases.photo({batch}, {size})
ours = cases.relevance(cases.program({name!r}, "epsilon_gamma_vit"), x, seed)
net = cases.model({name!r})
monkey_patch(vision_transformer)
monkey_patch_zennit()
composite = LayerMapComposite([(nn.Conv2d, Gamma(0.25)), (nn.Linear, Gamma(0.05))])

def theirs():
    leaf = x.clone().requires_grad_()
    with composite.context(net) as hooked:
        (hooked(leaf) * seed).sum().backward()
    return leaf * leaf.grad

times = cases.medians({{"ours": ours, "theirs": theirs}}, {repeats})
print(times["theirs"] / times["ours"])
"""


def _lxt(name: str, args: argparse.Namespace) -> float:
    """Time of LXT's recipe for vision transformers ÷ ours; it patches classes for good."""
    script = LXT.format(
        here=str(Path(__file__).parent), threads=args.threads, batch=args.batch, size=args.size,
        name=name, repeats=args.repeats,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr[-2000:])
        return math.nan
    return float(done.stdout.splitlines()[-1])


def around(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure what is around the convolutions: building a program, and calls of a tiny one."""
    net = cases.model("resnet50")
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        graph = fxrelay.canonize(fxrelay.trace(net))
        fxrelay.relay(fxrelay.annotate(graph, cases.PRESETS["epsilon_gamma_box"]()))
        times.append(time.perf_counter() - start)
    tiny = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)
    ).eval().requires_grad_(False)  # fmt: skip
    graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(tiny)), "epsilon_plus_flat")
    relay = fxrelay.relay(graph, sinks=False)
    x = torch.rand(1, 3, 32, 32)
    seed = torch.rand(1, 8, 26, 26)
    timed = cases.medians(
        {"program": cases.relevance(relay, x, seed), "bare": _bare(relay, x, seed)},
        100 * args.repeats,
    )
    build, ratio = sorted(times)[len(times) // 2], timed["program"] / timed["bare"]
    labelled = _labelled(args)
    return [
        {"what": "building ResNet50's program, trace to callable", "value": f"{build:.2f} s"},
        {"what": "calling a tiny network's program ÷ its convolutions", "value": f"{ratio:.2f}"},
        {"what": "attribute ÷ bare program, SqueezeNet, batch 64", "value": f"{labelled:.3f}"},
    ]


def _labelled(args: argparse.Namespace) -> float:
    """Time of a labelled, checked Dataset ÷ that of the program alone."""
    relay = cases.program("squeezenet1_1", "epsilon_plus_flat")
    x, seed = cases.photo(64, args.size)
    runs = {
        "program": cases.relevance(relay, x, seed),
        "attribute": lambda: fxrelay.attribute(relay, x, 7),
    }
    times = cases.medians(runs, args.repeats)
    return times["attribute"] / times["program"]


def _bare(relay: Any, x: Tensor, seed: Tensor) -> cases.Run:
    """Return only the convolutions and adjoints that the program calls, on what it gives them."""
    calls: list[tuple[Any, tuple[Any, ...]]] = []

    class Tape(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            if func._overloadpacket in torch.utils.flop_counter.flop_registry:
                calls.append((func, args))
            return func(*args, **(kwargs or {}))

    with Tape(), torch.no_grad():
        relay.forward(x, seed)

    @torch.no_grad()
    def run() -> None:
        for func, arguments in calls:
            func(*arguments)

    return run


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(cases.MODELS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", nargs="*", default=[], metavar="PRESET")
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = [row for name in args.models for row in rows(name, args)]
    small = around(args)
    text = f"{table(found)}\n\n{table(small)}"
    print(text)
    if not args.no_record:
        options = ["--compile", *args.compile] if args.compile else []
        command = " ".join(["python benchmarks/speed.py", *options])
        record("speed", command, text, {"presets": found, "around": small})


if __name__ == "__main__":
    main()
