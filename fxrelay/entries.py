"""What a target is, and the simplest kind: entries of the output by index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fxrelay import schema

#: labels and indices, as ``attribute(target=)`` takes them
Given = int | Sequence[Any] | np.ndarray | Tensor


@dataclass(frozen=True)
class Space:
    """The output of one sample, into which targets point.

    Attributes
    ----------
    shape : tuple of int
        Without samples.
    axes : tuple of str
        Its dimensions; "class" is among them but for outputs of one number.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    @property
    def class_axis(self) -> int:
        """Position of the axis of classes."""
        return self.axes.index(schema.CLASS) if self.axes else 0

    def coordinates(self, flat: Tensor, prefix: str = schema.TARGET) -> dict[str, Tensor]:
        """Return class and place of flat indices: "target", and "target_y" where there is a y."""
        if not self.axes:
            return {prefix: flat}
        names = [
            prefix if axis == schema.CLASS else f"{prefix}_{axis.removesuffix('_output')}"
            for axis in self.axes
        ]
        return dict(zip(names, torch.unravel_index(flat, self.shape), strict=True))


class Target:
    """What is explained: call it with an output and it returns the seed.

    Attributes
    ----------
    name : str
        The kind of target.
    needs_output : bool
        Whether the output's values choose.
    several : bool
        Whether each sample has several targets: an axis of them then leads the seed.
    """

    name: ClassVar[str] = "given"
    needs_output: ClassVar[bool] = False
    several: bool = False

    def checked(self, space: Space, n: int) -> "Target":
        """Return the target for `n` samples with outputs in `space`; raise where it does not fit.

        Raises
        ------
        ValueError
            Names every offending sample.
        """
        return self

    def part(self, samples: slice) -> "Target":
        """Return the target of these samples."""
        return self

    def __call__(self, output: Tensor) -> Tensor:
        """Return the seed for an output (sample, ...): its shape, or (target, sample, ...)."""
        raise NotImplementedError

    def coordinates(self, output: Tensor) -> dict[str, Tensor]:
        """Return what the Dataset says of it, each (sample,) or (sample, target)."""
        return {}

    def arrays(self) -> list[np.ndarray]:
        """Return what tells it from others of its name."""
        return []


@dataclass(frozen=True, eq=False)
class Labels(Target):
    """Classes, or indices into outputs with more axes, as they were given."""

    values: Given

    def checked(self, space: Space, n: int) -> "Entries":
        """Return them as flat indices."""
        return Entries(flat_indices(self.values, space, n), space)


@dataclass(frozen=True, eq=False)
class Entries(Target):
    """Entries of the output by flat index, (sample,) or (sample, target)."""

    indices: Tensor
    space: Space

    @property
    def several(self) -> bool:  # type: ignore[override]
        """Whether there is an axis of targets."""
        return self.indices.dim() == 2

    def part(self, samples: slice) -> "Entries":
        """Cut the indices."""
        return replace(self, indices=self.indices[samples])

    def __call__(self, output: Tensor) -> Tensor:
        """Return 1 at each entry."""
        return seeds(self.indices, output)

    def coordinates(self, output: Tensor) -> dict[str, Tensor]:
        """Return classes and places."""
        return self.space.coordinates(self.indices)

    def arrays(self) -> list[np.ndarray]:
        """Return the indices."""
        return [self.indices.numpy()]

    def __str__(self) -> str:
        return f"entries {tuple(self.indices.shape)}"


def flat_indices(given: Given, space: Space, n: int) -> Tensor:
    """Return labels, or indices into an output with more axes, as flat indices.

    Returns
    -------
    Tensor of int64, (sample,) or (sample, target)

    Raises
    ------
    ValueError
        If the form does not fit the output and its samples, or entries are out of range.
    """
    k = len(space.axes)
    if k < 2:
        return target_indices(given, n, space.size)
    parts = _integers(given)
    if parts.shape[-1:] != (k,) or parts.dim() > 3 or (parts.dim() > 1 and len(parts) != n):
        raise ValueError(
            f"attribute: needs target as an index ({', '.join(space.axes)}), or ({n}, {k}) or "
            f"({n}, target, {k}) of them, or targets.mask(class, mask); got shape "
            f"{tuple(parts.shape)}."
        )
    parts = parts.expand(n, k) if parts.dim() == 1 else parts
    bad = ((parts < 0) | (parts >= torch.tensor(space.shape))).any(-1).nonzero().tolist()
    if bad:
        ranges = ", ".join(f"{a} 0..{s - 1}" for a, s in zip(space.axes, space.shape, strict=True))
        first = [f"sample {row[0]}: {tuple(parts[tuple(row)].tolist())}" for row in bad]
        raise ValueError(
            f"attribute: needs target in {ranges}; got {len(bad)} out of range ({some(first)})."
        )
    strides = torch.tensor([int(np.prod(space.shape[i + 1 :])) for i in range(k)])
    return (parts * strides).sum(-1)


def target_indices(target: Given, n_samples: int, n_classes: int) -> Tensor:
    """Return labels as indices, shape (sample,) or (sample, target).

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
    indices = _integers(target)
    if indices.dim() == 0:
        indices = indices.expand(n_samples).clone()
    if indices.dim() > 2 or len(indices) != n_samples:
        raise ValueError(
            f"attribute: needs target for {n_samples} samples, ({n_samples},) or "
            f"({n_samples}, target); got shape {tuple(indices.shape)}."
        )
    bad = ((indices < 0) | (indices >= n_classes)).nonzero().tolist()
    if bad:
        first = [f"sample {row[0]}: {int(indices[tuple(row)])}" for row in bad]
        raise ValueError(
            f"attribute: needs labels in 0..{n_classes - 1}; got {len(bad)} out of range "
            f"({some(first)}). Check the class numbering."
        )
    return indices


def _integers(given: Given) -> Tensor:
    try:
        indices = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"attribute: needs target as labels, (sample,) or (sample, target); got {given!r}. "
            "Every sample needs the same number of labels."
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise ValueError(f"attribute: needs target as integers; got {indices.dtype}. Use .long().")
    return indices.long().cpu()


def some(items: Sequence[Any], most: int = 5) -> str:
    """Return the first items as text."""
    return ", ".join(map(str, items[:most])) + (", ..." if len(items) > most else "")


def seeds(indices: Tensor, output: Tensor) -> Tensor:
    """Return one-hot seeds: shape of `output`, led by an axis for targets where there are several.

    Indices count over the flattened output axes.
    """
    size = int(np.prod(output.shape[1:]))
    one_hot = torch.nn.functional.one_hot(indices.to(output.device), size)
    shaped = one_hot.reshape(*indices.shape, *output.shape[1:]).to(output.dtype)
    return shaped.movedim(1, 0) if indices.dim() == 2 else shaped
