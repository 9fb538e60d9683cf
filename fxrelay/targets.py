"""Which outputs are explained: small frozen objects that make seeds, relevance at the output.

=====================  =============================================================================
``target=``            seed of a sample
=====================  =============================================================================
None, "argmax"         1 at the largest entry of the whole output
"top<k>"               the k largest entries, one target each
label, (sample,)       1 at that class, for outputs (sample, class)
(sample, target)       several classes, one target each
(class, y, x)          1 at that entry, for outputs with more axes; also one index a sample,
                       (sample, axes), or several, (sample, target, axes)
`mask` (class, mask)   1 in total, divided evenly among the class's entries within the mask
`contrast` (a, b)      1 at a, -1 at b
function               what it returns for the output, of the same shape
=====================  =============================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fxrelay import schema
from fxrelay.entries import (
    Entries,
    Given,
    Labels,
    Space,
    Target,
    flat_indices,
    seeds,
    some,
    target_indices,
)

#: a function of the output, (sample, ...), that returns a seed of its shape
SeedFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Best(Target):
    """The `k` largest entries of the whole output."""

    k: int = 1
    several: bool = False
    space: Space | None = None
    needs_output = True

    def checked(self, space: Space, n: int) -> "Best":
        """Raise unless there are `k` entries."""
        if not 1 <= self.k <= space.size:
            raise ValueError(
                f"attribute: needs target 'top<k>' with k in 1..{space.size}; got {str(self)!r}."
            )
        return replace(self, space=space)

    def indices(self, output: Tensor) -> Tensor:
        """Return flat indices, (sample,) or (sample, target)."""
        flat = output.detach().reshape(len(output), -1)
        return (flat.topk(self.k, 1).indices if self.several else flat.argmax(1)).cpu()

    def __call__(self, output: Tensor) -> Tensor:
        """Return 1 at each of them."""
        return seeds(self.indices(output), output)

    def coordinates(self, output: Tensor) -> dict[str, Tensor]:
        """Return their classes and places."""
        return {} if self.space is None else self.space.coordinates(self.indices(output))

    def __str__(self) -> str:
        return f"top{self.k}" if self.several else "argmax"


@dataclass(frozen=True, eq=False)
class Mask(Target):
    """A class within a mask, as it was given; see `mask`."""

    label: Given
    mask: Any
    name = "mask"

    def checked(self, space: Space, n: int) -> "Region":
        """Return a label and weights that add up to 1 for each sample."""
        axis = space.class_axis
        within = space.shape[:axis] + space.shape[axis + 1 :]
        weights = torch.as_tensor(self.mask).detach().cpu().double()
        if not within or tuple(weights.shape) not in (within, (n, *within)):
            raise ValueError(
                f"attribute: needs a mask of shape {within} or {(n, *within)}, the output's "
                f"without classes; got {tuple(weights.shape)}. The output is "
                f"({', '.join((schema.SAMPLE, *space.axes))})."
            )
        weights = weights.expand(n, *within)
        total = weights.flatten(1).sum(1)
        good = (total > 0) & (weights.flatten(1) >= 0).all(1) & total.isfinite()
        bad = (~good).nonzero().flatten().tolist()
        if bad:
            raise ValueError(
                f"attribute: needs a mask >= 0 with something in it for every sample; got "
                f"{len(bad)} without (positions {some(bad)}). Drop these samples."
            )
        label = target_indices(self.label, n, space.shape[axis])
        return Region(label, weights / total.reshape(-1, *[1] * len(within)), space)

    def __str__(self) -> str:
        return f"mask({self.label}, {tuple(np.shape(self.mask))})"


@dataclass(frozen=True, eq=False)
class Region(Target):
    """A class, (sample,) or (sample, target), with weights (sample, ...) where to explain it."""

    label: Tensor
    weights: Tensor
    space: Space
    name = "mask"

    @property
    def several(self) -> bool:  # type: ignore[override]
        """Whether there is an axis of targets."""
        return self.label.dim() == 2

    def part(self, samples: slice) -> "Region":
        """Cut labels and weights."""
        return replace(self, label=self.label[samples], weights=self.weights[samples])

    def __call__(self, output: Tensor) -> Tensor:
        """Return the weights at the class."""
        axis, within = self.space.class_axis, self.weights.shape[1:]
        hot = torch.nn.functional.one_hot(self.label, self.space.shape[axis])
        lead = hot.dim() - 1
        weights = self.weights.reshape(-1, *[1] * lead, *within)
        seed = hot.reshape(*hot.shape, *[1] * len(within)) * weights
        seed = seed.movedim(lead, lead + axis).to(output.device, output.dtype)
        return seed.movedim(1, 0) if self.several else seed

    def coordinates(self, output: Tensor) -> dict[str, Tensor]:
        """Return the classes."""
        return {schema.TARGET: self.label}

    def arrays(self) -> list[np.ndarray]:
        """Return labels and weights."""
        return [self.label.numpy(), self.weights.numpy()]


@dataclass(frozen=True, eq=False)
class Contrast(Target):
    """One entry against another; see `contrast`."""

    positive: Any
    negative: Any
    name = "contrast"

    @property
    def several(self) -> bool:  # type: ignore[override]
        """Whether there is an axis of targets."""
        return bool(self.positive.several)

    def checked(self, space: Space, n: int) -> "Contrast":
        """Return it with two entries for each sample and target."""
        if isinstance(self.positive, Entries):
            return self
        a, b = (flat_indices(given, space, n) for given in (self.positive, self.negative))
        if a.dim() != b.dim():
            a, b = (i if i.dim() == 2 else i[:, None] for i in (a, b))
        if a.shape[1:] != b.shape[1:] and 1 not in (*a.shape[1:], *b.shape[1:]):
            raise ValueError(
                f"attribute: needs contrast(a, b) with as many targets in both; got {a.shape[1]} "
                f"and {b.shape[1]}."
            )
        a, b = torch.broadcast_tensors(a, b)
        same = (a == b).reshape(n, -1).any(1).nonzero().flatten().tolist()
        if same:
            raise ValueError(
                f"attribute: needs contrast(a, b) of different entries; got {len(same)} samples "
                f"with equal ones (positions {some(same)}). Their relevance would be 0."
            )
        return Contrast(Entries(a, space), Entries(b, space))

    def part(self, samples: slice) -> "Contrast":
        """Cut both."""
        return Contrast(self.positive.part(samples), self.negative.part(samples))

    def __call__(self, output: Tensor) -> Tensor:
        """Return 1 at the one, -1 at the other."""
        seed: Tensor = self.positive(output) - self.negative(output)
        return seed

    def coordinates(self, output: Tensor) -> dict[str, Tensor]:
        """Return the one as "target", the other as "against"."""
        other: Entries = self.negative
        return {
            **self.positive.coordinates(output),
            **other.space.coordinates(other.indices, schema.AGAINST),
        }

    def arrays(self) -> list[np.ndarray]:
        """Return the indices of both."""
        return [*self.positive.arrays(), *self.negative.arrays()]

    def __str__(self) -> str:
        return f"contrast({self.positive}, {self.negative})"


@dataclass(frozen=True)
class Function(Target):
    """A function of the output."""

    function: SeedFunction
    name = "function"
    needs_output = True

    def __call__(self, output: Tensor) -> Tensor:
        """Return its seed; raise unless it has the output's shape."""
        seed = self.function(output)
        if not isinstance(seed, Tensor) or seed.shape != output.shape:
            raise ValueError(
                f"attribute: needs {self} to return seeds of the output's shape, "
                f"{tuple(output.shape)}; got {tuple(getattr(seed, 'shape', ()))}."
            )
        return seed.to(output)

    def __str__(self) -> str:
        return getattr(self.function, "__name__", "function")


def mask(label: Given, mask: Any) -> Mask:
    """Explain a class within a mask: the mean of its outputs there.

    Each entry within the mask gets an equal part of the seed, so that a sample's seed adds up to 1
    as it does for a classifier; a mask of weights divides it in proportion.

    Parameters
    ----------
    label : int, (sample,), or (sample, target)
        The class.
    mask : array of the output's shape without classes, such as (y, x), with or without samples
        True or > 0 where to explain; no sample's may be empty.
    """
    return Mask(label, mask)


def contrast(a: Given, b: Given) -> Contrast:
    """Explain why `a` rather than `b`: the difference of two outputs, with a seed of 1 and -1.

    Parameters
    ----------
    a, b : labels or indices
        In any form that ``target=`` takes them: for all samples, for each, or several for each.
    """
    return Contrast(a, b)


def target_of(given: Any) -> Target:
    """Return the object for what ``target=`` takes.

    Raises
    ------
    ValueError
        If it is a word that is not known.
    """
    if isinstance(given, Target):
        return given
    if given is None:
        return Best()
    if isinstance(given, str):
        return _named(given)
    return Function(given) if callable(given) else Labels(given)


def _named(word: str) -> Best:
    if word == "argmax":
        return Best()
    if word.startswith("top") and word[3:].isdigit():
        return Best(int(word[3:]), several=True)
    raise ValueError(
        f"attribute: needs target 'argmax', 'top<k>', labels, an index, targets.mask, "
        f"targets.contrast, or a function of the output; got {word!r}."
    )
