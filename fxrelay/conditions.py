"""Conditions: which channels relevance may pass at some nodes (concept relevance propagation).

Relevance is set to zero at a node everywhere but in the chosen channels, and flows on from there.
Source: Achtibat et al. 2023, "From attribution maps to human-understandable explanations through
concept relevance propagation", equation 6.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from fxrelay.facts import rank
from fxrelay.operators import operator_of

#: a channel, several channels, or an array that broadcasts to the node's output without samples
Channels = int | Sequence[int] | np.ndarray | Tensor
Condition = Mapping[str, Channels]

#: operators whose output has its channels on the last axis
LAST = ("dense", "layer_norm", "rms_norm")


def paths_of(conditions: Iterable[Condition]) -> list[str]:
    """Return the nodes that conditions name, each once."""
    return list(dict.fromkeys(path for condition in conditions for path in condition))


def masks_of(
    conditions: Sequence[Condition],
    nodes: Mapping[str, fx.Node],
    shapes: Mapping[fx.Node, tuple[int, ...]],
) -> dict[str, Tensor]:
    """Return a mask per node: one for each condition, (condition, 1, channel, ...).

    Raises
    ------
    ValueError
        Naming every channel that a node does not have.
    """
    wrong: list[str] = []
    masks = {
        path: _stacked([_mask(path, c.get(path), node, shapes, wrong) for c in conditions])
        for path, node in nodes.items()
    }
    if wrong:
        raise ValueError("attribute: conditions do not fit:\n  - " + "\n  - ".join(wrong))
    return masks


def _stacked(masks: list[Tensor]) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*masks))


def _mask(
    path: str, channels: Any, node: fx.Node, shapes: Mapping[Any, tuple[int, ...]], wrong: list[str]
) -> Tensor:
    shape = shapes[node][1:]
    if channels is None:
        return torch.ones(1, *[1] * len(shape))
    given = torch.as_tensor(channels)
    if given.dim() > 1 or given.is_floating_point() or given.dtype == torch.bool:
        try:
            return given.to(torch.get_default_dtype()).expand(1, *shape)
        except RuntimeError:
            wrong.append(f"`{path}`: a mask of {tuple(given.shape)} for outputs of {shape}")
            return torch.ones(1, *shape)
    axis = _channel_axis(node, len(shape))
    size = shape[axis] if shape else 0
    index = given.reshape(-1)
    if bool(((index < -size) | (index >= size)).any()):
        wrong.append(f"`{path}`: channels {index.tolist()} of {size}")
        return torch.ones(1, *shape)
    mask = torch.zeros(size)
    mask[index] = 1
    return mask.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])[None]


def _channel_axis(node: fx.Node, axes: int) -> int:
    """Rows of features have their channels last, all else first."""
    rows = axes == 2 and rank(node) is None  # a convolution's rank is known
    return -1 if operator_of(node).name in LAST or rows else 0
