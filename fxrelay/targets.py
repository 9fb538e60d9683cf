"""Which outputs are explained: targets given in many ways, as indices and as seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: what ``attribute(target=)`` takes
Target = int | str | Sequence[int] | Sequence[Sequence[int]] | np.ndarray | Tensor | None
SeedFunction = Callable[[Tensor], Tensor]


def needs_output(target: Any) -> bool:
    """Whether the target is chosen by the model's own output."""
    return target is None or isinstance(target, str) or callable(target)


def target_indices(target: Target, n_samples: int, n_classes: int) -> Tensor:
    """Return targets as indices, shape (sample,) or (sample, target).

    Parameters
    ----------
    target : int, sequence of int, or sequence of sequences
        One label for all samples, one a sample, or several a sample.
    n_samples, n_classes : int
        Sizes to check against.

    Raises
    ------
    ValueError
        If the shape does not fit the samples, or labels are out of range; all offenders are named.
    """
    try:
        indices = torch.as_tensor(target)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"attribute: needs target as labels, (sample,) or (sample, target); got {target!r}. "
            "Every sample needs the same number of labels."
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise ValueError(f"attribute: needs target as integers; got {indices.dtype}. Use .long().")
    indices = indices.long().cpu()
    if indices.dim() == 0:
        indices = indices.expand(n_samples).clone()
    if indices.dim() > 2 or len(indices) != n_samples:
        raise ValueError(
            f"attribute: needs target for {n_samples} samples, ({n_samples},) or "
            f"({n_samples}, target); got shape {tuple(indices.shape)}."
        )
    bad = ((indices < 0) | (indices >= n_classes)).nonzero()
    if len(bad):
        first = [f"sample {row[0]}: {int(indices[tuple(row)])}" for row in bad[:5].tolist()]
        raise ValueError(
            f"attribute: needs labels in 0..{n_classes - 1}; got {len(bad)} out of range "
            f"({', '.join(first)}{', ...' if len(bad) > 5 else ''}). Check the class numbering."
        )
    return indices


def from_output(target: Any, output: Tensor) -> Tensor:
    """Return the indices that a rule such as "argmax" or "top3" picks, by the output."""
    flat = output.detach().flatten(1)
    if target is None or target == "argmax":
        return flat.argmax(1).cpu()
    if isinstance(target, str) and target.startswith("top") and target[3:].isdigit():
        k = int(target[3:])
        if 1 <= k <= flat.shape[1]:
            return flat.topk(k, 1).indices.cpu()
    raise ValueError(
        f"attribute: needs target 'argmax', 'top<k>' with k in 1..{flat.shape[1]}, labels, or a "
        f"function of the output; got {target!r}."
    )


def seeds(indices: Tensor, output: Tensor) -> Tensor:
    """Return one-hot seeds: shape of `output`, led by an axis for targets where there are several.

    Indices count over the flattened output axes.
    """
    one_hot = torch.nn.functional.one_hot(indices, output.flatten(1).shape[1])
    shaped = one_hot.reshape(*indices.shape, *output.shape[1:]).to(output)
    return shaped.movedim(1, 0) if indices.dim() == 2 else shaped
