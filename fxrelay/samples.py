"""Samples and labels, whatever form a dataset has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

#: what counts as an array in a sample; anything else is a fixed argument
ARRAYS = (np.ndarray, np.generic, Tensor)


class Samples(Protocol):
    """A map-style dataset: ``len(samples)`` and ``samples[i]`` -> x or (x, label).

    x is an array, or for models with several inputs a dict or tuple of arrays.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class Pairs:
    """Samples and labels, whatever the dataset gives; parts of arrays travel alone.

    Attributes
    ----------
    samples : array (sample, ...), dict or tuple of them, or map-style dataset
    labels : array (sample,) or None
    paired : bool
        Whether items are (x, label).
    """

    samples: Any
    labels: np.ndarray | None
    paired: bool
    start: int
    stop: int

    @classmethod
    def of(cls, dataset: Any) -> "Pairs":
        """Take a map-style dataset, (inputs, labels), or a dict of inputs."""
        if isinstance(dataset, tuple) and len(dataset) == 2:
            x, labels = dataset
            n = _length(x)
            if n != len(labels):
                raise ValueError(
                    f"attribute_dataset: needs a label for each input; got {n} inputs and "
                    f"{len(labels)} labels."
                )
            return cls(_arrays(x), np.asarray(labels).astype("int64"), False, 0, n)
        if isinstance(dataset, tuple):
            raise ValueError(
                f"attribute_dataset: needs (inputs, labels), a dict of inputs, or a dataset; got a "
                f"tuple of {len(dataset)}. Samples go into a list, inputs into a dict."
            )
        n = _length(dataset)
        if not n:
            raise ValueError("attribute_dataset: needs samples; got an empty dataset.")
        if isinstance(dataset, Mapping):
            return cls(_arrays(dataset), None, False, 0, n)
        return cls(_arrays(dataset), None, isinstance(dataset[0], tuple | list), 0, n)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def is_arrays(self) -> bool:
        """Whether the samples are arrays that can be cut."""
        return isinstance(self.samples, np.ndarray | dict | tuple)

    def part(self, start: int, stop: int) -> "Pairs":
        """Return the samples from `start` to `stop`."""
        labels = None if self.labels is None else self.labels[start:stop]
        if not self.is_arrays:
            return replace(self, labels=labels, start=self.start + start, stop=self.start + stop)
        cut = pytree.tree_map(
            lambda a: a[start:stop] if isinstance(a, np.ndarray) and a.shape[:1] == (len(self),)
            else a,
            self.samples,
        )  # fmt: skip
        return Pairs(cut, labels, self.paired, 0, stop - start)

    def read(self) -> tuple[Any, np.ndarray | None]:
        """Return inputs (sample, ...), a tensor or a dict or tuple of them, and labels."""
        if self.is_arrays:
            return pytree.tree_map(_as_tensor, self.samples), self.labels
        items = [self.samples[i] for i in range(self.start, self.stop)]
        x = _stacked([item[0] if self.paired else item for item in items])
        labels = self.labels
        if self.paired:
            labels = np.array([_label(item[1]) for item in items], dtype="int64")
        return x, labels

    def all_labels(self) -> np.ndarray | None:
        """Return every label, from the dataset's own list where it has one."""
        if self.labels is not None or not self.paired:
            return self.labels
        known = getattr(self.samples, "targets", None)
        if known is not None and getattr(self.samples, "target_transform", None) is None:
            return np.asarray(known).astype("int64")
        return np.array([_label(self.samples[i][1]) for i in range(len(self))], dtype="int64")


def _arrays(x: Any) -> Any:
    """Return tensors, alone or in a dict or tuple, as arrays; datasets as they are."""
    if isinstance(x, Mapping):
        return {str(name): _arrays(value) for name, value in x.items()}
    if isinstance(x, tuple):
        return tuple(map(_arrays, x))
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else x


def _length(x: Any) -> int:
    """Return the number of samples: the first axis of the arrays; 1 is shared by all samples."""
    if not isinstance(x, Mapping | tuple):
        return len(x)
    leaves = [a for a in pytree.tree_leaves(_arrays(x)) if isinstance(a, np.ndarray)]
    return max((len(a) for a in leaves if a.ndim), default=0)


def _as_tensor(value: Any) -> Any:
    return torch.as_tensor(np.ascontiguousarray(value)) if isinstance(value, ARRAYS) else value


def _label(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, RuntimeError) as error:
        got = f"shape {tuple(value.shape)}" if isinstance(value, ARRAYS) else repr(value)
        raise ValueError(
            f"attribute_dataset: needs items x or (x, label) with an integer label; got {got} in "
            "the label's place. Several inputs go into a dict or tuple of their own, "
            "({name: tensor}, label)."
        ) from error


def _stacked(items: Sequence[Any], name: str = "x") -> Any:
    """Stack arrays of each name; what is no array is a fixed argument, equal in all samples."""
    first = items[0]
    if isinstance(first, Mapping):
        return {k: _stacked([i[k] for i in items], str(k)) for k in first}
    if isinstance(first, tuple):
        return tuple(_stacked([i[k] for i in items], f"{name}[{k}]") for k in range(len(first)))
    if isinstance(first, str | bool | int | float | None):
        if any(item != first for item in items):
            raise ValueError(
                f"attribute_dataset: needs `{name}` as an array, or equal in all samples; got "
                f"{first!r} and others. Make it a tensor."
            )
        return first
    tensors = [torch.as_tensor(item) for item in items]
    shapes = list(dict.fromkeys(tuple(t.shape) for t in tensors))
    if len(shapes) > 1:
        raise ValueError(
            f"attribute_dataset: needs samples of one shape; got `{name}` with "
            f"{', '.join(map(str, shapes[:5]))}. Crop or pad them to one shape."
        )
    return torch.stack(tensors)
