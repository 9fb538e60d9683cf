"""Samples and labels, whatever form a dataset has."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Samples(Protocol):
    """A map-style dataset: ``len(samples)`` and ``samples[i]`` -> x or (x, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True)
class Pairs:
    """Samples and labels, whatever the dataset gives; parts of arrays travel alone."""

    samples: Any
    labels: np.ndarray | None
    paired: bool
    start: int
    stop: int

    @classmethod
    def of(cls, dataset: Any) -> "Pairs":
        """Take a map-style dataset, or (inputs, labels)."""
        if isinstance(dataset, tuple) and len(dataset) == 2:
            x, labels = dataset
            if len(x) != len(labels):
                raise ValueError(
                    f"attribute_dataset: needs a label for each input; got {len(x)} inputs and "
                    f"{len(labels)} labels."
                )
            return cls(_array(x), np.asarray(labels).astype("int64"), False, 0, len(x))
        if not len(dataset):
            raise ValueError("attribute_dataset: needs samples; got an empty dataset.")
        paired = isinstance(dataset[0], tuple | list)
        return cls(_array(dataset), None, paired, 0, len(dataset))

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> "Pairs":
        """Return the samples from `start` to `stop`."""
        labels = None if self.labels is None else self.labels[start:stop]
        if isinstance(self.samples, np.ndarray):
            return Pairs(self.samples[start:stop], labels, self.paired, 0, stop - start)
        return Pairs(self.samples, labels, self.paired, self.start + start, self.start + stop)

    def read(self) -> tuple[Tensor, np.ndarray | None]:
        """Return inputs (sample, ...) and labels (sample,)."""
        if isinstance(self.samples, np.ndarray):
            return torch.from_numpy(np.ascontiguousarray(self.samples)), self.labels
        items = [self.samples[i] for i in range(self.start, self.stop)]
        x = torch.stack([torch.as_tensor(i[0] if self.paired else i) for i in items])
        if self.paired:
            return x, np.array([int(i[1]) for i in items], dtype="int64")
        return x, self.labels

    def all_labels(self) -> np.ndarray | None:
        """Return every label, from the dataset's own list where it has one."""
        if self.labels is not None or not self.paired:
            return self.labels
        known = getattr(self.samples, "targets", None)
        if known is not None and getattr(self.samples, "target_transform", None) is None:
            return np.asarray(known).astype("int64")
        return np.array([int(self.samples[i][1]) for i in range(len(self))], dtype="int64")


def _array(x: Any) -> Any:
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else x
