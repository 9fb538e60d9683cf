r"""Many targets and many concept conditions at once.

python benchmarks/many.py
python benchmarks/many.py --models resnet18 --size 64 --targets 2 --conditions 2 --repeats 1 --no-record
"""  # noqa: E501

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
import cases
from record import record, table
from torch import Tensor, nn

from fxrelay.vmapped import passes

#: where conditions sit: half way down
MIDDLE = {"vgg16": "features.15", "resnet18": "layer2.1.relu_1", "resnet50": "layer2.3.relu_2"}
CHANNELS = {"vgg16": 256, "resnet18": 128, "resnet50": 512}
PRESET = "epsilon_plus_flat"


def targets(name: str, size: int, k: int, repeats: int) -> dict[str, Any]:
    """Compare `k` targets of one image with the gradient of as many outputs."""
    x, _ = cases.photo(1, size)
    seeds = nn.functional.one_hot(torch.arange(k), 1000).float()
    relay, net = cases.program(name, PRESET), cases.model(name)

    def ours() -> Any:
        with torch.no_grad():
            return passes(relay, (x,), seeds[:, None], (), True, None)

    def batched() -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(net(leaf), leaf, seeds[:, None], is_grads_batched=True)[0]

    repeated = x.expand(k, -1, -1, -1).contiguous()
    runs = {
        "gradient": batched,
        "ours": ours,
        "Zennit": cases.zennit(name, PRESET, repeated, seeds),
    }
    times = cases.medians(runs, repeats)
    return {
        "model": name,
        "targets": k,
        "FLOPs ÷ batched gradient": f"{cases.flops(ours) / cases.flops(batched):.2f}",
        "time ÷ batched gradient": f"{times['ours'] / times['gradient']:.2f}",
        "Zennit's time ÷ ours": f"{times['Zennit'] / times['ours']:.1f}",
    }


def conditions(name: str, size: int, k: int, repeats: int) -> dict[str, Any]:
    """Compare `k` concept conditions with the same program, and Zennit, on the repeated image."""
    x, seed = cases.photo(1, size)
    node = MIDDLE[name]
    relay = cases.program(name, PRESET, masked=[node])
    repeated, seeds = x.expand(k, -1, -1, -1).contiguous(), seed.expand(k, -1).contiguous()
    channels = nn.functional.one_hot(torch.arange(k), CHANNELS[name])
    masks = channels.float()[:, None, :, None, None]

    def ours() -> Any:
        with torch.no_grad():
            return passes(relay, (x,), seed, (masks,), False, None)

    runs = {
        "ours": ours,
        "repeated": cases.relevance(relay, repeated, seeds, masks[:, 0]),
        "Zennit": cases.zennit(name, PRESET, repeated, seeds),
    }
    there, here = runs["repeated"]()["relevance"], ours()["relevance"]
    for key, value in here.items():
        torch.testing.assert_close(value[0], there[key], rtol=1e-2, atol=1e-3)
    times = cases.medians(runs, repeats)
    work = {key: cases.flops(runs[key]) for key in ("ours", "repeated")}
    return {
        "model": name,
        "conditions": k,
        "at": node,
        "FLOPs of repeated image ÷ ours": f"{work['repeated'] / work['ours']:.1f}",
        "its time ÷ ours": f"{times['repeated'] / times['ours']:.1f}",
        "Zennit's time ÷ ours": f"{times['Zennit'] / times['ours']:.1f}",
    }


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(MIDDLE))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--conditions", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    of_targets = [targets(n, args.size, args.targets, args.repeats) for n in args.models]
    print(table(of_targets), flush=True)
    of_conditions = [conditions(n, args.size, args.conditions, args.repeats) for n in args.models]
    print(table(of_conditions))
    if not args.no_record:
        text = f"{table(of_targets)}\n\n{table(of_conditions)}"
        results = {"targets": of_targets, "conditions": of_conditions}
        record("many", "python benchmarks/many.py", text, results)


if __name__ == "__main__":
    main()
