"""Adjoints of the operators: the vector-Jacobian product, one result per carrying operand."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.site import Site

Results = Sequence[Proxy | None]


def pulled(site: Site, r: Any) -> Results:
    """Whatever torch differentiates: by the name of the function."""
    name = fx.node._get_qualified_name(site.target)
    wrt = _places(site)
    out: Any = site.call(kernels.pullback, name, wrt, r, *site.args, **site.kwargs)
    return (out,) if len(wrt) == 1 else tuple(out[i] for i in range(len(wrt)))


def _places(site: Site) -> list[int]:
    return [i for i, arg in enumerate(site.node.args) if arg in site.carriers]


def of_linear(site: Site, r: Proxy) -> Results:
    """Transpose of a linear operator with its own weight."""
    op = site.linear()
    return (op.pull(r, op.weight, site.inputs[0]),)


def relu(site: Site, r: Proxy) -> Results:
    """Relevance where ReLU is open."""
    return (site.call(kernels.relu_adjoint, r, site.output),)


def threshold(site: Site, r: Any) -> Results:
    """Relevance where the threshold is open; what sits on its constant is a sink."""
    passed: Any = site.call(kernels.threshold_adjoint, r, *site.args)
    if site.program.sinks_wanted:
        site.book(f"{site.name}.constant", r - passed)
    return (passed,)


def max_pool(site: Site, r: Mapping[int, Proxy]) -> Results:
    """Winner takes all."""
    index = site.part(1)
    return (site.call(kernels.max_pool_adjoint, r[0], site.args[0], index, *site.args[1:]),)


def adaptive_max_pool(site: Site, r: Mapping[int, Proxy]) -> Results:
    """Winner takes all."""
    index = site.part(1)
    return (site.call(kernels.adaptive_max_pool_adjoint, r[0], site.args[0], index, site.args[1]),)


def add(site: Site, r: Proxy) -> Results:
    """Everything to both operands."""
    return tuple(site.fitted(r, i) for i in range(len(site.inputs)))


def sub(site: Site, r: Any) -> Results:
    """Everything to the first operand, with the other sign to the second."""
    signs = [s for s, x in zip((1, -1), site.args[:2], strict=True) if isinstance(x, Proxy)]
    return tuple(site.fitted(r if s == 1 else -r, i) for i, s in enumerate(signs))


def scale(site: Site, r: Any) -> Results:
    """Relevance times the constant factor."""
    first, second = site.args[:2]
    other = second if first is site.inputs[0] else first
    product = r / other if site.target is torch.div else r * other
    return (site.call(kernels.sum_to, product, site.inputs[0]),)


def product(site: Site, r: Any) -> Results:
    """Relevance times the other factor."""
    a, b = site.inputs
    return site.fitted(r * b, 0), site.fitted(r * a, 1)


def quotient(site: Site, r: Any) -> Results:
    """Gradient of a / b."""
    operands: Any = site.inputs
    a, b = operands
    return site.fitted(r / b, 0), site.fitted(-r * a / (b * b), 1)


def matmul(site: Site, r: Any) -> Results:
    """Transposes of a matrix product in its signals."""
    both = kernels.matmul_left, kernels.matmul_right
    return tuple(site.call(both[i], r, *site.args[:2]) for i in _places(site))


def einsum(site: Site, r: Any) -> Results:
    """Transposes of a sum of products in its signals."""
    operands = site.args[1:]
    return tuple(
        site.call(kernels.einsum_adjoint, i - 1, r, site.args[0], *operands) for i in _places(site)
    )


def winner(site: Site, r: Any) -> Results:
    """Relevance to the larger or smaller of two; halves where they are equal."""
    a, b = site.args[:2]
    return tuple(
        site.fitted(site.call(kernels.won, r, x, a, b, site.output), i)
        for i, x in enumerate(site.inputs)
    )


def choose(site: Site, r: Any) -> Results:
    """Relevance to the value that was chosen; what sits on numbers is a sink."""
    condition, *values = site.args
    amounts = [
        site.call(torch.where, condition, r, 0.0), site.call(torch.where, condition, 0.0, r)
    ]  # fmt: skip
    shaped: list[Proxy] = []
    for value, amount in zip(values, amounts, strict=True):
        if isinstance(value, Proxy):
            shaped.append(site.fitted(amount, len(shaped)))
        elif site.program.sinks_wanted:
            site.book(f"{site.name}.constant", amount)
    return shaped


def cat(site: Site, r: Proxy) -> Results:
    """To each part its slice."""
    parts: Any = site.call(kernels.cat_adjoint, r, list(site.args[0]), site.args[1])
    return tuple(parts[i] for i, part in enumerate(site.args[0]))


def stack(site: Site, r: Proxy) -> Results:
    """To each part its slice."""
    parts: Any = site.call(torch.unbind, r, site.args[1])
    return tuple(parts[i] for i, part in enumerate(site.args[0]))


def split(site: Site, r: Mapping[int, Proxy]) -> Results:
    """Join the parts again; a part that nobody used has no relevance."""
    return (site.call(kernels.gathered, list(r), list(r.values()), site.output, site.args[2]),)


def unbind(site: Site, r: Mapping[int, Proxy]) -> Results:
    """Stack the parts again; a part that nobody used has no relevance."""
    return (site.call(kernels.regathered, list(r), list(r.values()), site.output, site.args[1]),)


def getitem(site: Site, r: Proxy) -> Results:
    """Relevance back to where it was taken from."""
    return (site.call(kernels.getitem_adjoint, r, site.inputs[0], site.args[1]),)


def reshape(site: Site, r: Proxy) -> Results:
    """Return to the shape before."""
    return (site.call(torch.reshape, r, site.inputs[0].shape),)


def permute(site: Site, r: Proxy) -> Results:
    """Permute back."""
    dims = [d % len(site.args[1]) for d in site.args[1]]
    return (site.call(torch.permute, r, sorted(range(len(dims)), key=dims.__getitem__)),)


def transpose(site: Site, r: Proxy) -> Results:
    """Swap back."""
    return (site.call(torch.transpose, r, *site.args[1:3]),)


def expand(site: Site, r: Proxy) -> Results:
    """Sum over what was repeated."""
    return (site.call(kernels.sum_to, r, site.inputs[0]),)


def cast(site: Site, r: Proxy) -> Results:
    """Cast back."""
    return (site.call(kernels.cast_back, r, site.inputs[0]),)


def pad(site: Site, r: Proxy) -> Results:
    """Crop, or add up what was copied; what sits on padded constants is a sink."""
    widths, mode = site.args[1:3]
    if mode == "constant" and site.program.sinks_wanted:
        site.book(f"{site.name}.padding", site.call(kernels.on_padding, r, widths))
    return (site.call(kernels.pad_adjoint, r, site.inputs[0], widths, mode),)


def pad_even(site: Site, r: Proxy) -> Results:
    """Crop; what sits on padded zeros is a sink."""
    if site.program.sinks_wanted:
        site.book(f"{site.name}.padding", site.call(kernels.beyond, r, site.inputs[0]))
    return pulled(site, r)


def to_windows(site: Site, r: Proxy) -> Results:
    """Join the windows again; what sits on padded zeros is a sink."""
    if site.program.sinks_wanted:
        site.book(f"{site.name}.padding", site.call(kernels.on_window_padding, r, *site.args))
    return pulled(site, r)


def per_token(site: Site, r: Proxy) -> Results:
    """Sum over the features that were looked up."""
    return (site.call(torch.sum, r, -1),)


def unknown(site: Site, r: Any) -> Results:
    """No adjoint is known."""
    raise TypeError(f"{site.name}: no adjoint is known for {site.node.target}.")
