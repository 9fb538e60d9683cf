"""Memory that tensors take while something runs."""

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside take at once; scratch space of kernels is not seen.

    Parameters
    ----------
    known : tensors
        Made before: views of them take nothing.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known = [t.untyped_storage() for t in known]  # alive, so that no address is reused
        self._sizes = {s._cdata: 0 for s in self._known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        return out

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._sizes:
            return
        self._sizes[storage._cdata] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._remove, storage._cdata)

    def _remove(self, key: int) -> None:
        self._now -= self._sizes.pop(key, 0)


def passes_within(
    budget: float, n: int, run: Callable[[Sequence[Tensor], int], Any], inputs: Sequence[Tensor]
) -> int:
    """Return how many of `n` passes may run at once; found without computing anything.

    Parameters
    ----------
    budget : float, bytes
        What the tensors of ``run(inputs, k)``, k passes at once, may take.

    Raises
    ------
    ValueError
        If one pass takes more.
    """
    one, two = (_peak(run, inputs, k) for k in (1, 2))
    if one > budget:
        raise ValueError(
            f"attribute: one pass over a batch takes {one / 2**20:.0f} MiB; got memory="
            f"{budget / 2**30:g} GiB. Make batch_size smaller."
        )
    more = (budget - one) // max(two - one, 1)
    return int(min(n, 1 + more))


def _peak(run: Callable[[Sequence[Tensor], int], Any], inputs: Sequence[Tensor], k: int) -> int:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = [mode.from_tensor(x) for x in inputs]
        with Peak(fakes) as peak:
            run(fakes, k)
    return peak.peak
