r"""Floating point operations and memory of relevance programs, in plain input gradients.

FLOPs are those of convolutions and matrix products, counted by a dispatch mode; memory is the most
that tensors take at once, parameters and inputs apart. Neither depends on the machine: shapes are
followed through the calls on the device "meta", nothing is computed.

    python benchmarks/work.py
    python benchmarks/work.py --models resnet18 --size 64 --batch 2 --no-record     # a quick look
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import cases
from record import record, table

from fxrelay.memory import Peak


def measured(run: Callable[..., cases.Run], *inputs: Tensor) -> tuple[int, int]:
    """Return floating point operations and bytes of ``run(*inputs)()``."""
    shapes = [x.to("meta") for x in inputs]
    call = run(*shapes)
    with Peak(shapes) as space:
        work = cases.flops(call)
    return work, space.peak


def rows(name: str, size: int, batch: int) -> list[dict[str, Any]]:
    """Measure a model with each of its presets."""
    one, many = cases.photo(1, size), cases.photo(batch, size)

    def ratios(run: Callable[..., cases.Run]) -> tuple[float, float]:
        plain = partial(cases.gradient, cases.model(name, "meta"))
        (work, _), (_, space) = measured(run, *one), measured(run, *many)
        return work / measured(plain, *one)[0], space / measured(plain, *many)[1]

    found = []
    for preset in cases.MODELS[name]:
        relay = cases.program(name, preset)
        relay.graph.to("meta")
        work, space = ratios(partial(cases.relevance, relay))
        theirs = ("", "")
        if cases.zennit(name, preset, *one):
            theirs = tuple(f"{r:.2f}" for r in ratios(partial(cases.zennit, name, preset)))
        found.append({
            "model": name,
            "preset": preset,
            "FLOPs": f"{work:.3f}",
            "Zennit's": theirs[0],
            "memory": f"{space:.2f}",
            "Zennit's memory": theirs[1],
        })  # fmt: skip
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(cases.MODELS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16, help="samples for memory")
    parser.add_argument("--no-record", action="store_true")
    args = parser.parse_args()
    found = [row for name in args.models for row in rows(name, args.size, args.batch)]
    print(table(found))
    if not args.no_record:
        record("work", "python benchmarks/work.py", table(found), found)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
