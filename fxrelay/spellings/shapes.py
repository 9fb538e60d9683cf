"""Spellings of index maps: operators that move elements and compute nothing."""

import itertools
import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.spellings.calls import Spelling, call, many


def _shape(*shape: Any) -> Any:
    """Return the sizes given one by one, or the shape given whole."""
    only = shape[0]
    whole = isinstance(only, tuple | list) or (isinstance(only, Proxy) and _is_shape(only.node))
    return only if len(shape) == 1 and whole else shape


def _is_shape(node: fx.Node) -> bool:
    """Whether a size is a whole shape: ``x.shape``, ``x.size()``, a slice or a sum of them."""
    if node.op == "call_method":
        return node.target == "size" and len(node.args) == 1 and not node.kwargs
    if node.target is operator.add:
        return any(isinstance(a, tuple) or (isinstance(a, fx.Node) and _is_shape(a))
                   for a in node.args)  # fmt: skip
    sliced = node.target is operator.getitem and isinstance(node.args[1], slice)
    return sliced or (node.target is getattr and node.args[1] == "shape")


def _reshape(input, *shape, **named):
    return call(torch.reshape, input, _shape(*(shape or named.values())))


def _view(input, *shape, **named):
    if any(isinstance(size, torch.dtype) for size in shape):
        raise ValueError("view as another dtype reinterprets bits and carries no relevance")
    return _reshape(input, *shape, **named)


def _like(input, other):
    return call(torch.reshape, input, call(getattr, other, "shape"))


def _flatten(input, start_dim=0, end_dim=-1):
    return call(torch.flatten, input, start_dim, end_dim)


def _unflatten(input, dim, sizes):
    return call(torch.unflatten, input, dim, sizes)


def _squeeze(input, dim=None):
    return call(torch.squeeze, input) if dim is None else call(torch.squeeze, input, dim)


def _unsqueeze(input, dim):
    return call(torch.unsqueeze, input, dim)


def _permute(input, *dims, **named):
    return call(torch.permute, input, _shape(*(dims or named.values())))


def transpose(input, dim0, dim1):
    """Swap two axes."""
    return call(torch.transpose, input, dim0, dim1)


def _matrix_transpose(input):
    return call(torch.transpose, input, -2, -1)


def _t(input):
    return call(torch.transpose, input, 0, 1)


def _expand(input, *sizes, implicit=False):
    return call(torch.Tensor.expand, input, _shape(*sizes))


def _expand_as(input, other):
    return call(torch.Tensor.expand, input, call(getattr, other, "shape"))


def _repeat(input, *sizes, **named):
    return call(torch.tile, input, _shape(*(sizes or named.values())))


def _repeat_interleave(input, repeats, dim=None, *, output_size=None):
    return call(torch.repeat_interleave, input, repeats, dim)


def _pad(input, pad, mode="constant", value=None):
    return call(kernels.pad, input, list(pad), mode, 0.0 if value is None else value)


def _chunk(input, chunks, dim=0):
    return call(torch.chunk, input, chunks, dim)


def _split(input, split_size_or_sections=None, dim=0, *, split_size=None, split_sizes=None):
    sizes = (split_size_or_sections, split_size, split_sizes)
    return call(torch.split, input, next(s for s in sizes if s is not None), dim)


def _tensor_split(input, indices_or_sections=None, dim=0, *, indices=None, sections=None):
    """Cut at places, or into parts; each is an index of its own."""
    given = next(g for g in (indices_or_sections, indices, sections) if g is not None)
    if isinstance(given, int):
        return call(torch.tensor_split, input, given, dim)
    ends = [None, *given, None]
    return tuple(_at(input, dim, slice(*pair)) for pair in itertools.pairwise(ends))


def _copy(input, src, non_blocking=False):
    """Return what an exported write into `input` leaves there."""
    return call(torch.Tensor.expand, src, call(getattr, input, "shape"))


def _unbind(input, dim=0):
    return call(torch.unbind, input, dim)


def _cat(tensors, dim=0, *, axis=None, out=None):
    return call(torch.cat, list(tensors), dim if axis is None else axis)


def _stack(tensors, dim=0, *, out=None):
    return call(torch.stack, list(tensors), dim)


def _slice(input, dim=0, start=None, end=None, step=1):
    end = None if isinstance(end, int) and end >= 2**62 else end
    start = None if isinstance(start, int) and start == 0 else start
    return _at(input, dim, slice(start, end, None if step == 1 else step))


def _select(input, dim, index):
    return _at(input, dim, index)


def _narrow(input, dim, start, length):
    stop = start + length
    return _at(input, dim, slice(start, stop if not isinstance(stop, int) or stop else None))


def _at(input, dim, index):
    """Index one axis; axes that count from the end are reached past an ellipsis."""
    if dim >= 0:
        whole = (*[slice(None)] * dim, index)
    else:
        whole = (Ellipsis, index, *[slice(None)] * (-dim - 1))
    return call(operator.getitem, input, whole)


def _index(input, indices):
    whole = tuple(slice(None) if i is None else i for i in indices)
    return call(operator.getitem, input, whole)


def _index_select(input, dim, index):
    return call(torch.index_select, input, dim, index)


def _gather(input, dim, index, *, sparse_grad=False):
    return call(torch.gather, input, dim, index)


def _roll(input, shifts, dims=None):
    return call(torch.roll, input, shifts, dims)


def _flip(input, *dims):
    return call(torch.flip, input, list(_shape(*dims)))


def _movedim(input, source, destination):
    return call(torch.movedim, input, source, destination)


def _triangle(lower: bool) -> Spelling:
    """Zeros beyond a diagonal are constants that may have relevance."""
    return lambda input, diagonal=0: call(
        torch.where, call(kernels.triangle, input, diagonal, lower), input, 0.0
    )


def _diagonal(input, offset=0, dim1=0, dim2=1):
    return call(torch.diagonal, input, offset, dim1, dim2)


def _shuffle(target: Any) -> Spelling:
    return lambda input, factor: call(target, input, factor)


def _unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    down, across = many(padding, 2)
    padded = _pad(input, (across, across, down, down)) if down or across else input
    return call(F.unfold, padded, kernel_size, dilation, 0, stride)


def _windows(input, dimension, size, step):
    return call(kernels.windows, input, dimension, size, step)


def _fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    return call(F.fold, input, output_size, kernel_size, dilation, padding, stride)


def _embedding(input, weight, padding_idx=None, *options, **named):
    return call(F.embedding, input, weight)


def _aten_embedding(weight, indices, *options, **named):
    return call(F.embedding, indices, weight)


def _slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    return call(torch.slice_scatter, input, src, dim, start, end, step)


def _select_scatter(input, src, dim, index):
    return call(torch.select_scatter, input, src, dim, index)


BY_NAME: Mapping[str, Spelling] = {
    "reshape": _reshape, "view": _view, "_unsafe_view": _view, "view_as": _like,
    "reshape_as": _like, "flatten": _flatten, "ravel": _flatten, "unflatten": _unflatten,
    "squeeze": _squeeze, "unsqueeze": _unsqueeze, "permute": _permute,
    "transpose": transpose, "swapaxes": transpose, "swapdims": transpose, "t": _t,
    "T": _t, "mT": _matrix_transpose, "adjoint": _matrix_transpose,
    "expand": _expand, "broadcast_to": _expand, "expand_as": _expand_as, "repeat": _repeat,
    "tile": _repeat, "repeat_interleave": _repeat_interleave, "pad": _pad,
    "constant_pad_nd": lambda input, pad, value=0: _pad(input, pad, "constant", value),
    "chunk": _chunk, "split": _split, "split_with_sizes": _split, "tensor_split": _tensor_split,
    "unbind": _unbind, "cat": _cat, "concat": _cat, "concatenate": _cat, "stack": _stack,
    "slice": _slice, "select": _select, "narrow": _narrow, "index": _index,
    "index_select": _index_select, "gather": _gather, "roll": _roll, "flip": _flip,
    "movedim": _movedim, "moveaxis": _movedim, "tril": _triangle(lower=True),
    "triu": _triangle(lower=False), "diagonal": _diagonal,
    "pixel_shuffle": _shuffle(F.pixel_shuffle), "pixel_unshuffle": _shuffle(F.pixel_unshuffle),
    "channel_shuffle": _shuffle(F.channel_shuffle),
    "im2col": _unfold, "unfold": _windows, "fold": _fold, "slice_scatter": _slice_scatter,
    "select_scatter": _select_scatter, "copy": _copy,
}  # fmt: skip

#: spellings that a name does not tell: ``F.unfold`` takes patches, ``Tensor.unfold`` windows
BY_KEY: Mapping[Any, Spelling] = {
    F.unfold: _unfold, F.embedding: _embedding, torch.embedding: _aten_embedding,
    torch.ops.aten.embedding.default: _aten_embedding,
}  # fmt: skip
