"""Every spelling of an operator, mapped to its canonical call.

A module, a function, a tensor method, an in-place form and an aten overload are spellings of one
operator. Each row of `SPELLINGS` is a function with the spelling's own parameters that runs on
proxies and makes the canonical call, so binding arguments is Python's own work. Canonical calls
take their arguments by position and are the only targets that `fxrelay.operators` knows.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.meta import PATH

aten = torch.ops.aten
Spelling = Callable[..., Any]


def call(target: Callable[..., Any], *args: Any) -> Proxy:
    """Make the canonical call in the graph that the first proxy among `args` belongs to."""
    proxy = next(p for arg in args for p in (arg if isinstance(arg, tuple | list) else (arg,))
                 if isinstance(p, Proxy))  # fmt: skip
    return proxy.tracer.create_proxy("call_function", target, args, {})


def _many(value: Any, n: int) -> list[Any]:
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * n if len(values) == 1 else values


def _require_constant(*parameters: Any) -> None:
    if any(isinstance(p, Proxy) and PATH in p.node.meta for p in parameters):
        raise ValueError("its weight or bias depends on the input, which no rule divides")


def _conv(n: int) -> Spelling:
    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):  # type: ignore[no-untyped-def]
        _require_constant(weight, bias)
        stride, dilation = _many(stride, n), _many(dilation, n)
        if padding == "same":
            return _conv_same(n, input, weight, bias, stride, dilation, groups)
        padding = 0 if padding == "valid" else padding
        options = stride, _many(padding, n), dilation, False, [0] * n, groups
        return call(torch.convolution, input, weight, bias, *options)

    return conv


def _conv_same(n, input, weight, bias, stride, dilation, groups):  # type: ignore[no-untyped-def]
    """Pad evenly; where "same" pads one more at the end, pad both and drop the first outputs."""
    kernel = weight.tracer.shape_of(weight.node)[-n:]
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    padding = [t - t // 2 for t in total]
    out = call(torch.convolution, input, weight, bias, stride, padding, dilation, False, [0] * n,
               groups)  # fmt: skip
    odd = [t % 2 for t in total]
    cut = (slice(None), slice(None), *(slice(o, None) for o in odd))
    return call(operator.getitem, out, cut) if any(odd) else out


def _conv_transpose(n: int) -> Spelling:
    def conv_transpose(  # type: ignore[no-untyped-def]
        input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
    ):
        _require_constant(weight, bias)
        options = (
            _many(stride, n), _many(padding, n), _many(dilation, n), True,
            _many(output_padding, n), groups,
        )  # fmt: skip
        return call(torch.convolution, input, weight, bias, *options)

    return conv_transpose


def _linear(input, weight, bias=None):  # type: ignore[no-untyped-def]
    _require_constant(weight, bias)
    return call(F.linear, input, weight, bias)


def _batch_norm(  # type: ignore[no-untyped-def]
    input, running_mean=None, running_var=None, weight=None, bias=None, training=False,
    momentum=0.1, eps=1e-5,
):  # fmt: skip
    if training or running_mean is None or running_var is None:
        raise ValueError(
            "batch norm uses the statistics of the batch (training=True or "
            "track_running_stats=False), so samples would explain each other"
        )
    return call(F.batch_norm, input, running_mean, running_var, weight, bias, False, 0.0, eps)


def _aten_batch_norm(input, weight, bias, mean, var, training, momentum, eps, cudnn):  # type: ignore[no-untyped-def]
    return _batch_norm(input, mean, var, weight, bias, training, momentum, eps)


def _max_pool(n: int) -> Spelling:
    def max_pool(  # type: ignore[no-untyped-def]
        input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
        return_indices=False,
    ):  # fmt: skip
        if return_indices:
            raise ValueError("max pooling with return_indices=True has no relevance rule")
        kernel = _many(kernel_size, n)
        stride = _many(stride, n) if stride is not None and stride != [] else kernel
        options = kernel, stride, _many(padding, n), _many(dilation, n), ceil_mode
        return call(operator.getitem, call(kernels.max_pool, input, *options), 0)

    return max_pool


def _avg_pool(n: int) -> Spelling:
    def avg_pool(  # type: ignore[no-untyped-def]
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    ):  # fmt: skip
        kernel = _many(kernel_size, n)
        stride = _many(stride, n) if stride is not None and stride != [] else kernel
        tail = (divisor_override,) if n > 1 else (None,)
        options = kernel, stride, _many(padding, n), ceil_mode, count_include_pad, *tail
        return call(kernels.avg_pool, input, *options)

    return avg_pool


def _adaptive_avg_pool(n: int) -> Spelling:
    return lambda input, output_size: call(kernels.adaptive_avg_pool, input, _many(output_size, n))


def _adaptive_max_pool(n: int) -> Spelling:
    def adaptive_max_pool(input, output_size, return_indices=False):  # type: ignore[no-untyped-def]
        if return_indices:
            raise ValueError("max pooling with return_indices=True has no relevance rule")
        pooled = call(kernels.adaptive_max_pool, input, _many(output_size, n))
        return call(operator.getitem, pooled, 0)

    return adaptive_max_pool


def _times(value: Any, factor: Any) -> Any:
    if isinstance(value, int | float):
        return value * factor
    return value if factor == 1 else call(torch.mul, value, factor)


def _add(input, other, *, alpha=1, out=None):  # type: ignore[no-untyped-def]
    return call(torch.add, input, _times(other, alpha))


def _sub(input, other, *, alpha=1, out=None):  # type: ignore[no-untyped-def]
    return call(torch.sub, input, _times(other, alpha))


def _rsub(input, other, *, alpha=1):  # type: ignore[no-untyped-def]
    return _sub(other, input, alpha=alpha)


def _scale(target: Callable[..., Any]) -> Spelling:
    return lambda input, other, *, out=None: call(target, input, other)


def _negative(input):  # type: ignore[no-untyped-def]
    return call(torch.mul, input, -1)


def _reduce(target: Callable[..., Any]) -> Spelling:
    def reduce(input, dim=None, keepdim=False, *, axis=None, dtype=None):  # type: ignore[no-untyped-def]
        if dtype is not None:
            raise ValueError(f"{target.__name__} to another dtype, {dtype}, has no relevance rule")
        return call(target, input, dim if axis is None else axis, keepdim)

    return reduce


def _cat(tensors, dim=0, *, axis=None, out=None):  # type: ignore[no-untyped-def]
    return call(torch.cat, list(tensors), dim if axis is None else axis)


def _stack(tensors, dim=0, *, out=None):  # type: ignore[no-untyped-def]
    return call(torch.stack, list(tensors), dim)


def _shape(*shape: Any) -> Any:
    """Return the sizes given one by one, or the shape given whole."""
    only = shape[0]
    whole = isinstance(only, tuple | list) or (isinstance(only, Proxy) and _is_shape(only.node))
    return only if len(shape) == 1 and whole else shape


def _is_shape(node: fx.Node) -> bool:
    """Whether a size is a whole shape: ``x.shape``, ``x.size()``, or a slice of one."""
    if node.op == "call_method":
        return node.target == "size" and len(node.args) == 1 and not node.kwargs
    sliced = node.target is operator.getitem and isinstance(node.args[1], slice)
    return sliced or (node.target is getattr and node.args[1] == "shape")


def _reshape(input, *shape, **named):  # type: ignore[no-untyped-def]
    return call(torch.reshape, input, _shape(*(shape or named.values())))


def _view(input, *shape, **named):  # type: ignore[no-untyped-def]
    if any(isinstance(size, torch.dtype) for size in shape):
        raise ValueError("view as another dtype reinterprets bits and carries no relevance")
    return _reshape(input, *shape, **named)


def _flatten(input, start_dim=0, end_dim=-1):  # type: ignore[no-untyped-def]
    return call(torch.flatten, input, start_dim, end_dim)


def _unflatten(input, dim, sizes):  # type: ignore[no-untyped-def]
    return call(torch.unflatten, input, dim, sizes)


def _squeeze(input, dim=None):  # type: ignore[no-untyped-def]
    return call(torch.squeeze, input) if dim is None else call(torch.squeeze, input, dim)


def _unsqueeze(input, dim):  # type: ignore[no-untyped-def]
    return call(torch.unsqueeze, input, dim)


def _permute(input, *dims, **named):  # type: ignore[no-untyped-def]
    return call(torch.permute, input, _shape(*(dims or named.values())))


def _transpose(input, dim0, dim1):  # type: ignore[no-untyped-def]
    return call(torch.transpose, input, dim0, dim1)


def _expand(input, *sizes, implicit=False):  # type: ignore[no-untyped-def]
    return call(torch.Tensor.expand, input, _shape(*sizes))


def _pad(input, pad, mode="constant", value=None):  # type: ignore[no-untyped-def]
    return call(kernels.pad, input, list(pad), mode, 0.0 if value is None else value)


def _chunk(input, chunks, dim=0):  # type: ignore[no-untyped-def]
    return call(torch.chunk, input, chunks, dim)


def _split(input, split_size_or_sections=None, dim=0, *, split_size=None):  # type: ignore[no-untyped-def]
    size = split_size_or_sections if split_size is None else split_size
    return call(torch.split, input, size, dim)


def _same(input, *args, **kwargs):  # type: ignore[no-untyped-def]
    return input


def _dropout(input, p=0.5, training=True, inplace=False, train=None):  # type: ignore[no-untyped-def]
    if training if train is None else train:
        raise ValueError("dropout is active (training=True), so two runs would differ")
    return input


def _rrelu(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):  # type: ignore[no-untyped-def]
    if training:
        raise ValueError("rrelu is active (training=True), so two runs would differ")
    return call(F.leaky_relu, input, (lower + upper) / 2)


def _activation(target: Callable[..., Any]) -> Spelling:
    def activation(input, *args, inplace=False, **kwargs):  # type: ignore[no-untyped-def]
        if kwargs.pop("training", False):
            raise ValueError(f"{target.__name__} is random in training mode")
        args = args[:-1] if args and isinstance(args[-1], bool) else args
        return input.tracer.create_proxy("call_function", target, (input, *args), kwargs)

    return activation


#: canonical activation -> the names that functions and methods give it, in-place forms included
ACTIVATIONS: Mapping[Callable[..., Any], str] = {
    torch.relu: "relu", F.relu6: "relu6", F.leaky_relu: "leaky_relu", F.elu: "elu",
    torch.selu: "selu", F.celu: "celu", F.gelu: "gelu", F.silu: "silu", F.mish: "mish",
    torch.sigmoid: "sigmoid", F.hardsigmoid: "hardsigmoid", F.hardswish: "hardswish",
    F.hardtanh: "hardtanh", torch.tanh: "tanh", F.softplus: "softplus", F.softsign: "softsign",
    F.logsigmoid: "logsigmoid", F.tanhshrink: "tanhshrink", F.hardshrink: "hardshrink",
    F.softshrink: "softshrink", F.threshold: "threshold", torch.prelu: "prelu",
}  # fmt: skip


def _named(name: str) -> list[Any]:
    """List the function, method, in-place and aten forms that torch has under one name."""
    found: list[Any] = [name, f"{name}_"]
    for namespace in (torch, F, torch._C._nn):
        found += [getattr(namespace, n) for n in (name, f"{name}_") if hasattr(namespace, n)]
    for n in (name, f"{name}_"):
        packet = getattr(aten, n, None)
        found += [getattr(packet, o) for o in packet.overloads()] if packet is not None else []
    return found


def _families() -> dict[str, Spelling]:
    by_rank = {
        "conv{}d": _conv, "conv_transpose{}d": _conv_transpose, "max_pool{}d": _max_pool,
        "avg_pool{}d": _avg_pool, "adaptive_avg_pool{}d": _adaptive_avg_pool,
        "adaptive_max_pool{}d": _adaptive_max_pool,
    }  # fmt: skip
    ranked = {name.format(n): make(n) for name, make in by_rank.items() for n in (1, 2, 3)}
    activations = {name: _activation(target) for target, name in ACTIVATIONS.items()}
    return {**ranked, **activations, **BY_NAME}


BY_NAME: Mapping[str, Spelling] = {
    "linear": _linear,
    "batch_norm": _batch_norm,
    "add": _add, "sub": _sub, "subtract": _sub, "rsub": _rsub,
    "mul": _scale(torch.mul), "multiply": _scale(torch.mul),
    "div": _scale(torch.div), "divide": _scale(torch.div), "true_divide": _scale(torch.div),
    "neg": _negative, "negative": _negative,
    "mean": _reduce(torch.mean), "sum": _reduce(torch.sum),
    "cat": _cat, "concat": _cat, "concatenate": _cat, "stack": _stack,
    "reshape": _reshape, "view": _view, "flatten": _flatten, "unflatten": _unflatten,
    "squeeze": _squeeze, "unsqueeze": _unsqueeze,
    "permute": _permute, "transpose": _transpose, "swapaxes": _transpose, "swapdims": _transpose,
    "expand": _expand, "pad": _pad,
    "chunk": _chunk, "split": _split, "split_with_sizes": _split, "rrelu": _rrelu,
    "log_sigmoid": _activation(F.logsigmoid),
    "dropout": _dropout, "dropout1d": _dropout, "dropout2d": _dropout, "dropout3d": _dropout,
    "alpha_dropout": _dropout, "feature_alpha_dropout": _dropout, "feature_dropout": _dropout,
    "contiguous": _same, "clone": _same, "alias": _same, "requires_grad_": _same,
}  # fmt: skip

SPELLINGS: Mapping[Any, Spelling] = {
    **{spelling: lower for name, lower in _families().items() for spelling in _named(name)},
    torch._C._nn.adaptive_avg_pool2d: _adaptive_avg_pool(2),
    torch._C._nn.adaptive_avg_pool3d: _adaptive_avg_pool(3),
    aten.batch_norm.default: _aten_batch_norm,
    torch.batch_norm: _aten_batch_norm,
    operator.add: _add, operator.iadd: _add, operator.sub: _sub, operator.isub: _sub,
    operator.mul: _scale(torch.mul), operator.imul: _scale(torch.mul),
    operator.truediv: _scale(torch.div), operator.itruediv: _scale(torch.div),
    operator.neg: _negative,
}  # fmt: skip


def lowered(key: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Make the canonical call for the spelling `key`; KeyError where no row knows it."""
    return SPELLINGS[key](*args, **kwargs)
