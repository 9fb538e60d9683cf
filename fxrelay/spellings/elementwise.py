"""Spellings of elementwise functions, of casts, and of what does nothing in eval mode."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from fxrelay import kernels
from fxrelay.spellings.arithmetic import mul
from fxrelay.spellings.calls import Spelling, call

#: canonical elementwise function -> the names that functions and methods give it
ELEMENTWISE: Mapping[Callable[..., Any], tuple[str, ...]] = {
    torch.relu: ("relu",), F.relu6: ("relu6",), F.leaky_relu: ("leaky_relu",), F.elu: ("elu",),
    torch.selu: ("selu",), F.celu: ("celu",), F.gelu: ("gelu",), F.silu: ("silu",),
    F.mish: ("mish",), torch.sigmoid: ("sigmoid", "special_expit"),
    F.hardsigmoid: ("hardsigmoid",), F.hardswish: ("hardswish",), F.hardtanh: ("hardtanh",),
    torch.tanh: ("tanh",), F.softplus: ("softplus",), F.softsign: ("softsign",),
    F.logsigmoid: ("logsigmoid", "log_sigmoid"), F.tanhshrink: ("tanhshrink",),
    F.hardshrink: ("hardshrink",), F.softshrink: ("softshrink",), F.threshold: ("threshold",),
    torch.prelu: ("prelu",), torch.exp: ("exp",), torch.expm1: ("expm1",), torch.log: ("log",),
    torch.log1p: ("log1p",), torch.log2: ("log2",), torch.log10: ("log10",),
    torch.sqrt: ("sqrt",), torch.rsqrt: ("rsqrt",), torch.square: ("square",),
    torch.reciprocal: ("reciprocal",), torch.abs: ("abs", "absolute", "__abs__"),
    torch.erf: ("erf", "special_erf"), torch.erfc: ("erfc",), torch.sin: ("sin",),
    torch.cos: ("cos",), torch.tan: ("tan",), torch.atan: ("atan", "arctan"),
    torch.asinh: ("asinh",), torch.sinh: ("sinh",), torch.cosh: ("cosh",),
    torch.pow: (), torch.clamp: ("clamp", "clip"), torch.nan_to_num: ("nan_to_num",),
    torch.softmax: ("softmax", "_softmax"), torch.log_softmax: ("log_softmax", "_log_softmax"),
}  # fmt: skip


def _elementwise(target: Callable[..., Any]) -> Spelling:
    def elementwise(input, *args, inplace=False, **kwargs):
        if kwargs.pop("training", False):
            raise ValueError(f"{target.__name__} is random in training mode")
        args = args[:-1] if args and isinstance(args[-1], bool) else args
        kept = {k: v for k, v in kwargs.items() if v is not None}
        return input.tracer.create_proxy("call_function", target, (input, *args), kept)

    return elementwise


def _softmax(target: Callable[..., Any]) -> Spelling:
    def softmax(input, dim=None, _stacklevel=3, dtype=None, half_to_float=False):
        if dim is None:
            raise ValueError("softmax without dim depends on the rank; pass dim")
        given = _stacklevel if isinstance(_stacklevel, torch.dtype) else dtype  # aten has no level
        return call(target, input if given is None else _cast(input, given), dim)

    return softmax


def _softmin(input, dim=None, _stacklevel=3, dtype=None):
    return _softmax(torch.softmax)(mul(input, -1), dim)


def _clamp_min(input, min):
    return call(torch.clamp, input, min)


def _clamp_max(input, max):
    return call(torch.clamp, input, None, max)


def _glu(input, dim=-1):
    halves = call(torch.chunk, input, 2, dim)
    return mul(halves[0], call(torch.sigmoid, halves[1]))


def same(input, *args, **kwargs):
    """Return the value itself."""
    return input


def _cast(input, *args, **kwargs):
    """Cast a signal; to a device or memory format alone it stays what it is."""
    given = [*args, kwargs.get("dtype")]
    dtypes = [d for d in given if isinstance(d, torch.dtype)]
    if dtypes and not dtypes[0].is_floating_point:
        return call(kernels.discrete, input, dtypes[0])
    return call(torch.Tensor.to, input, dtypes[0]) if dtypes else _cast_like(input, *args)


def _cast_like(input, *args):
    """Cast to the type of another tensor, or to a type that is known only when the model runs."""
    named = [a for a in args if not isinstance(a, bool | str | torch.device | torch.memory_format)]
    if not named or (
        getattr(named[0].node, "target", None) is getattr and (named[0].node.args[1] == "device")
    ):
        return input
    return call(torch.Tensor.to, input, named[0])


def _to_dtype(dtype: torch.dtype) -> Spelling:
    return lambda input, **kwargs: _cast(input, dtype)


def _dropout(input, p=0.5, training=True, inplace=False, train=None):
    if training if train is None else train:
        raise ValueError("dropout is active (training=True), so two runs would differ")
    return input


def _rrelu(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):
    if training:
        raise ValueError("rrelu is active (training=True), so two runs would differ")
    return call(F.leaky_relu, input, (lower + upper) / 2)


def _stochastic_depth(input, p, mode, training=True):
    if training:
        raise ValueError("stochastic depth is active (training=True), so two runs would differ")
    return input


BY_NAME: Mapping[str, Spelling] = {
    **{name: _elementwise(target) for target, names in ELEMENTWISE.items() for name in names},
    **{n: _softmax(torch.softmax) for n in ("softmax", "_softmax")},
    **{n: _softmax(torch.log_softmax) for n in ("log_softmax", "_log_softmax")},
    "softmin": _softmin, "clamp_min": _clamp_min, "clamp_max": _clamp_max, "glu": _glu,
    **dict.fromkeys((
        "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
        "feature_alpha_dropout", "feature_dropout", "native_dropout",
    ), _dropout),
    **dict.fromkeys((
        "contiguous", "clone", "alias", "requires_grad_", "cuda", "cpu", "identity",
        "lift_fresh_copy", "_lift_fresh_copy", "pin_memory",
    ), same),
    "rrelu": _rrelu, "to": _cast, "_to_copy": _cast, "type_as": _cast_like, "type": _cast,
    "float": _to_dtype(torch.float32), "double": _to_dtype(torch.float64),
    "half": _to_dtype(torch.float16), "bfloat16": _to_dtype(torch.bfloat16),
    "torchvision.ops.stochastic_depth.stochastic_depth": _stochastic_depth,
}  # fmt: skip
