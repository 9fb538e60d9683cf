"""Where each signal has its samples: the first axis of the inputs, followed through the graph."""

import operator
from typing import Any

import torch
from torch import fx

from fxrelay import kernels
from fxrelay.facts import picks_part
from fxrelay.meta import SIZE
from fxrelay.roles import carries_signal
from fxrelay.site import Batch


def batches(graph: fx.Graph) -> dict[fx.Node, Batch]:
    """Return where each signal has its samples."""
    known: dict[fx.Node, Batch] = {}
    for node in graph.nodes:
        source = next((n for n in node.all_input_nodes if n in known), None)
        if carries_signal(node):
            before = Batch() if source is None else known[source]
            known[node] = before if source is None or picks_part(node) else _after(before, node)
    return known


def _after(batch: Batch, node: fx.Node) -> Batch:
    move = MOVED_BY.get(node.target)
    return move(batch, *node.args[1:]) if move else batch


def _permuted(batch: Batch, dims: Any) -> Batch:
    return batch._replace(axis=[d % len(dims) for d in dims].index(batch.axis))


def _swapped(batch: Batch, a: int, b: int) -> Batch:
    return batch._replace(axis={a: b, b: a}.get(batch.axis, batch.axis))


def _inserted(batch: Batch, dim: int = 0) -> Batch:
    return batch._replace(axis=batch.axis + (0 <= dim <= batch.axis))


def _removed(batch: Batch, dims: Any = None, keepdim: bool = False) -> Batch:
    gone = [dims] if isinstance(dims, int) else list(dims or ())
    lost = 0 if keepdim is True else sum(0 <= d < batch.axis for d in gone)
    return batch._replace(axis=batch.axis - lost)


def _unbound(batch: Batch, dim: int = 0, n: int = 0) -> Batch:
    return _removed(batch, dim)


def _indexed(batch: Batch, index: Any) -> Batch:
    at = kept = 0
    for part in index if isinstance(index, tuple) else (index,):
        if part is Ellipsis or (at == batch.axis and part is not None):
            break
        kept += 1 if part is None or isinstance(part, slice) else 0
        at += 0 if part is None else 1
    return batch._replace(axis=kept + batch.axis - at)


def _flattened(batch: Batch, start: int = 0, end: int = -1) -> Batch:
    if start < batch.axis and (end < 0 or batch.axis <= end):
        return Batch(start, minor=True)
    return batch._replace(axis=batch.axis - max(end - start, 0) * (0 <= end < batch.axis))


def _reshaped(batch: Batch, shape: Any) -> Batch:
    """Keep first what is first; else look at the one size that is no number, or is free."""
    if not isinstance(shape, list | tuple):
        return batch
    if batch == Batch():
        return Batch(next((i for i, size in enumerate(shape) if size != 1), 0))
    sizes = [i for i, s in enumerate(shape) if isinstance(s, fx.Node) and s.meta.get(SIZE)]
    found = sizes or [i for i, s in enumerate(shape) if s == -1]
    if len(found) != 1:
        return batch
    at = found[0]
    return Batch(at, at < batch.axis or (batch.minor and at == batch.axis))


#: calls that can move the samples: (where before, arguments but the first) -> where after
MOVED_BY: dict[Any, Any] = {
    torch.permute: _permuted, torch.transpose: _swapped, torch.unsqueeze: _inserted,
    torch.squeeze: _removed, torch.stack: _inserted, torch.unbind: _unbound,
    kernels.steps: _unbound, torch.mean: _removed, torch.sum: _removed,
    kernels.largest: _removed, kernels.smallest: _removed, operator.getitem: _indexed,
    torch.flatten: _flattened, torch.reshape: _reshaped,
}  # fmt: skip
