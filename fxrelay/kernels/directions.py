"""Directions in the space of channels."""

import torch
from torch import Tensor


def suppressed(x: Tensor, directions: Tensor, shift: Tensor | None, axis: int | None) -> Tensor:
    """``x - V^T V x + shift`` over the channels, for orthonormal rows V (k, channel).

    Raises
    ------
    ValueError
        If `x` has another number of channels.
    """
    place = channel_axis(x, axis)
    if x.shape[place] != directions.shape[1]:
        raise ValueError(
            f"suppress: needs a direction of {x.shape[place]} channels, as the node has on axis "
            f"{place} of {tuple(x.shape)}; got {directions.shape[1]}. Take it from this node's "
            "activations."
        )
    last = x.movedim(place, -1)
    rest = last - torch.matmul(torch.matmul(last, directions.t()), directions)
    return (rest if shift is None else rest + shift).movedim(-1, place)


def over_channels(v: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """Shape one number a channel so that it broadcasts to `x` without samples."""
    place = channel_axis(x, axis) % x.dim()
    return v.reshape([-1 if i == place else 1 for i in range(1, x.dim())])


def channel_axis(x: Tensor, axis: int | None) -> int:
    """Axis of the channels: the one given, the last of rows of features, else the first."""
    if axis is not None:
        return axis
    return 2 if x.dim() == 3 else 1
