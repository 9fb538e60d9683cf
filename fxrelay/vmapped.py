"""Many targets and conditions at once: what does not depend on them is computed once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fxrelay.running import Relay

#: what a program returns, and whether it differs by target and condition
GROUPS = {"output": None, "relevance": 0, "recorded": 0, "activations": None, "sinks": 0}
VARYING = tuple(group for group, axis in GROUPS.items() if axis == 0)

Run = Callable[..., Any]


def over_targets(
    run: Run, inputs: tuple[Tensor, ...], seeds: Tensor, masks: tuple[Tensor, ...]
) -> Any:
    """Run for seeds (target, batch, ...): relevance gets the axis "target" in front."""
    axes = (*[None] * len(inputs), 0, *[None] * len(masks))
    return torch.func.vmap(run, axes, GROUPS)(*inputs, seeds, *masks)  # type: ignore[arg-type]


def over_conditions(
    run: Run, inputs: tuple[Tensor, ...], seed: Tensor, masks: tuple[Tensor, ...]
) -> Any:
    """Run for masks (condition, 1, ...): relevance gets the axis "condition" in front."""
    axes = (*[None] * len(inputs), None, *[0] * len(masks))
    return torch.func.vmap(run, axes, GROUPS)(*inputs, seed, *masks)  # type: ignore[arg-type]


def passes(
    program: Relay,
    inputs: tuple[Tensor, ...],
    seed: Tensor,
    masks: tuple[Tensor, ...],
    several: bool,
    chunk: int | None,
) -> Any:
    """Run a program for its targets and conditions, `chunk` of both at once.

    Parameters
    ----------
    seed : Tensor (batch, ...), or (target, batch, ...) where there are several
    masks : tuple of Tensor (condition, 1, ...)

    Returns
    -------
    dict
        As the program's; relevance is (batch, [target], [condition], ...).
    """
    if not several and not masks:
        return program.forward(*inputs, seed)
    forward = program.graph.forward
    chunk = chunk or max(seed.shape[0] if several else 1, 1) * max(map(len, masks), default=1)

    def of_seed(*arguments: Tensor) -> Any:
        given, one, some = (
            arguments[: len(inputs)],
            arguments[len(inputs)],
            arguments[-len(masks) :],
        )
        return over_conditions(forward, given, one, some)

    if not masks:
        parts = [over_targets(forward, inputs, part, ()) for part in seed.split(chunk)]
        return _moved(_joined(parts, 0), 1)
    at_once = max(chunk // len(masks[0]), 1)
    cuts = zip(*(m.split(chunk) for m in masks), strict=True)
    if not several:
        parts = [over_conditions(forward, inputs, seed, cut) for cut in cuts]
        return _moved(_joined(parts, 0), 1)
    columns = []
    for cut in cuts:
        rows = [over_targets(of_seed, inputs, part, cut) for part in seed.split(at_once)]
        columns.append(_joined(rows, 0))
    return _moved(_joined(columns, 1), 2)


def _joined(parts: list[Any], axis: int) -> Any:
    joined = {
        group: {name: torch.cat([p[group][name] for p in parts], axis) for name in parts[0][group]}
        for group in VARYING
    }
    return parts[0] | joined


def _moved(out: Any, leading: int) -> Any:
    """Put the samples before the targets and conditions."""
    return out | {
        group: {name: value.movedim(leading, 0) for name, value in out[group].items()}
        for group in VARYING
    }
