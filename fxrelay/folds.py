"""Rewrites that fold norms, scales and shifts into the linear operators beside them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.constants import Constants
from fxrelay.facts import rank
from fxrelay.roles import carries_signal

LINEAR = (torch.convolution, F.linear)


def _call(like: Proxy, target: Callable[..., Any], *args: Any) -> Any:
    return like.tracer.create_proxy("call_function", target, args, {})


def _sole_user(node: fx.Node) -> bool:
    return len(node.users) == 1


def _batch_norm_scale(args: Sequence[Any], wrap: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Scale and shift of batch norm in eval mode: ``scale * x + shift``."""
    mean, var, weight, bias, _, _, eps = args
    scale = _call(wrap(var), torch.rsqrt, wrap(var) + eps)
    scale = scale if weight is None else wrap(weight) * scale
    shift = -wrap(mean) * scale
    return scale, shift if bias is None else wrap(bias) + shift


def fold_batch_norm_into_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Linear then batch norm: W ← sW on the output axis, b ← s(b − m) + β."""
    source = node.args[0]
    if node.target is not F.batch_norm or not isinstance(source, fx.Node):
        return None
    if source.target not in LINEAR or not _sole_user(source):
        return None
    if source.target is F.linear and rank(source) != 2:
        return None  # the channels of (batch, channel, feature) are no features
    scale, shift = _batch_norm_scale(node.args[1:], wrap)
    return _scaled(source, scale, shift, wrap)


def _scaled(source: fx.Node, scale: Any, shift: Any, wrap: Any) -> Proxy:
    """Write the linear operator `source` with outputs ``scale * z + shift``; None: no shift."""
    arguments: list[Any] = list(source.args)
    x, weight, bias, *options = arguments
    moved = shift if bias is None else wrap(bias) * scale
    moved = moved if shift is None or bias is None else moved + shift
    weight = _scaled_outputs(wrap(weight), scale, options)
    return _call(weight, source.target, wrap(x), weight, moved, *options)  # type: ignore[arg-type]


def _scaled_outputs(weight: Any, scale: Any, options: list[Any]) -> Any:
    if isinstance(scale, int | float):
        return weight * scale
    if not options:
        return weight * _call(scale, torch.reshape, scale, [-1, 1])
    axes = [1] * len(options[0])
    if not options[3]:
        return weight * _call(scale, torch.reshape, scale, [-1, 1, *axes])
    return _call(weight, kernels.scale_transposed, weight, scale, options[5])


def lift_batch_norm_over_relu(node: fx.Node, wrap: Any) -> Proxy | None:
    """Batch norm, ReLU, linear: relu(s x + t) = s y + t, with y = x where that is open, else −t/s.

    The batch norm then stands before the linear operator, and is folded into it.
    """
    source = node.args[0] if node.args else None
    if node.target is not torch.relu or not isinstance(source, fx.Node):
        return None
    if source.target is not F.batch_norm or not _sole_user(source):
        return None
    if not all(user.target in LINEAR and _foldable(user, source) for user in node.users):
        return None
    weight: Any = source.args[3]
    if weight is not None and not bool(_values(node)(weight).all()):
        return None  # where s is 0 the output does not tell x
    scale, shift = _batch_norm_scale(source.args[1:], wrap)
    y = _call(scale, kernels.threshold_affine, wrap(source.args[0]), scale, shift)
    return _call(scale, F.batch_norm, y, *map(wrap, source.args[1:]))


def _foldable(linear: fx.Node, source: fx.Node) -> bool:
    return linear.target is torch.convolution or rank(source) == 2


def _values(node: fx.Node) -> Callable[[fx.Node], Any]:
    root: Any = node.graph.owning_module
    return Constants(root).value


def fold_batch_norm_into_next_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Batch norm then linear: W ← Ws on the input axis, b ← b + Σ W t.

    Zero padding puts 0 where the shift t belongs: there the bias is a map, ``conv(t·1; W) + b``.
    """
    source = node.args[0] if node.args else None
    if node.target not in LINEAR or not isinstance(source, fx.Node):
        return None
    if source.target is not F.batch_norm or not all(u.target in LINEAR for u in source.users):
        return None
    if node.target is F.linear and rank(source) != 2:
        return None  # the channels of (batch, channel, feature) are no features
    arguments: list[Any] = list(node.args)
    _, weight, bias, *options = arguments
    scale, shift = _batch_norm_scale(source.args[1:], wrap)
    x, w, b = wrap(source.args[0]), wrap(weight), wrap(bias)
    transposed, groups = (options[3], options[5]) if options else (False, 1)
    scaled = _call(w, kernels.scale_inputs, w, scale, groups, transposed)
    if options and (transposed or any(options[1])):
        z = _call(x, torch.convolution, x, scaled, None, *options)
        return _call(x, torch.add, z, _call(x, kernels.bias_map, shift, w, b, x, *options))
    moved = _call(w, kernels.shift_of_inputs, w, shift, groups)
    return _call(x, node.target, x, scaled, moved if b is None else b + moved, *options)


def fold_scale_into_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Linear, then a constant for each output: W ← gW, b ← gb; a permutation may come between."""
    if node.target not in (torch.mul, torch.div) or len(node.args) != 2:
        return None
    found = _linear_and_constant(node)
    if found is None or (node.target is torch.div and found.signal is not node.args[0]):
        return None
    factor = found.flat(wrap)
    if node.target is torch.div:
        inverse = isinstance(factor, int | float)
        factor = 1 / factor if inverse else _call(factor, torch.reciprocal, factor)
    return found.permuted(_scaled(found.linear, factor, None, wrap))


def fold_shift_into_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Linear, then a constant added to each output: b ← b + c."""
    if node.target is not torch.add:
        return None
    found = _linear_and_constant(node)
    if found is None or isinstance(found.constant, int | float):
        return None
    shift = found.flat(wrap)
    arguments: list[Any] = list(found.linear.args)
    x, weight, bias, *options = arguments
    bias = shift if bias is None else wrap(bias) + shift
    out = _call(bias, found.linear.target, wrap(x), wrap(weight), bias, *options)  # type: ignore[arg-type]
    return found.permuted(out)


class _Found:
    """A linear operator, perhaps a permutation, and a constant that varies by output alone."""

    def __init__(self, signal: fx.Node, linear: fx.Node, constant: Any) -> None:
        self.signal, self.linear, self.constant = signal, linear, constant

    def flat(self, wrap: Any) -> Any:
        """Return the constant as one number an output, or as the number it is."""
        if isinstance(self.constant, int | float):
            return self.constant
        width = self._width()
        flat = _call(wrap(self.constant), torch.reshape, wrap(self.constant), [-1])
        return _call(flat, torch.Tensor.expand, flat, [width])

    def _width(self) -> int:
        weight: Any = self.linear.args[1]
        shape = _values(self.linear)(weight).shape
        transposed = self.linear.target is torch.convolution and self.linear.args[6]
        groups: Any = self.linear.args[8] if transposed else 1
        return int(shape[1] * groups if transposed else shape[0])

    def fits(self) -> bool:
        """Whether the constant has at most one axis that varies, that of the outputs."""
        if isinstance(self.constant, int | float):
            return True
        constants = Constants(self.linear.graph.owning_module)  # type: ignore[arg-type]
        if self.constant not in constants:
            return False
        shape = tuple(constants.value(self.constant).shape)
        axis = self._axis_from_the_end()
        others = [n for i, n in enumerate(reversed(shape), 1) if i != axis]
        at = shape[-axis] if axis <= len(shape) else 1
        return all(n == 1 for n in others) and at in (1, self._width())

    def _axis_from_the_end(self) -> int:
        own = 1 if self.linear.target is F.linear else len(self.linear.args[3]) + 1  # type: ignore[arg-type]
        if self.signal is self.linear:
            return own
        dims: Any = self.signal.args[1]
        whole = [d % len(dims) for d in dims]
        return len(dims) - whole.index(len(dims) - own)

    def permuted(self, out: Proxy) -> Proxy:
        """Permute the new output as the old one was."""
        return (
            out
            if self.signal is self.linear
            else _call(out, torch.permute, out, self.signal.args[1])
        )


def _linear_and_constant(node: fx.Node) -> _Found | None:
    for signal, constant in (node.args[:2], node.args[1::-1]):
        if not carries_signal(signal) or carries_signal(constant):
            continue
        linear: Any = signal
        if linear.target is torch.permute and _sole_user(linear):
            linear = linear.args[0]
        if linear.target in LINEAR and _sole_user(linear) and _sole_user(signal):  # type: ignore[arg-type]
            found = _Found(signal, linear, constant)  # type: ignore[arg-type]
            return found if found.fits() else None
    return None


#: norms over features -> the places of weight, bias (None: has none) among their arguments
NORMS = {F.layer_norm: (2, 3), F.rms_norm: (2, None)}


def fold_norm_affine_into_linear(node: fx.Node, wrap: Any) -> Proxy | None:
    """Layer or RMS norm then dense: W ← W diag(w), b ← b + W β, the norm stays without either."""
    norm = node.args[0] if node.args else None
    if node.target is not F.linear or not isinstance(norm, fx.Node) or norm.target not in NORMS:
        return None
    at_weight, at_bias = NORMS[norm.target]
    arguments: list[Any] = list(norm.args)
    gain, offset = arguments[at_weight], None if at_bias is None else arguments[at_bias]
    if (gain is None and offset is None) or len(arguments[1]) != 1:
        return None
    if not all(user.target is F.linear for user in norm.users):
        return None
    arguments[at_weight] = None
    if at_bias is not None:
        arguments[at_bias] = None
    pure = _pure_norm(norm, arguments, wrap)
    weight, bias = wrap(node.args[1]), wrap(node.args[2])
    if offset is not None:
        moved = _call(weight, torch.matmul, weight, wrap(offset))
        bias = moved if bias is None else bias + moved
    weight = weight if gain is None else weight * wrap(gain)
    return _call(pure, F.linear, pure, weight, bias)


def _pure_norm(norm: fx.Node, arguments: list[Any], wrap: Any) -> Proxy:
    """Return the norm without affine, one for all dense layers that read it."""
    source: Any = arguments[0]
    for user in source.users:
        if user.target is norm.target and list(user.args) == arguments:
            return wrap(user)
    return _call(wrap(source), norm.target, wrap(source), *arguments[1:])  # type: ignore[arg-type]
