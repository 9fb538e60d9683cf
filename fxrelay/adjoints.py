"""Adjoints of the operators: the vector-Jacobian product, one result per carrying operand."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.site import Site
from fxrelay.spellings import ACTIVATIONS

Results = Sequence[Proxy | None]


def of_linear(site: Site, r: Proxy) -> Results:
    """Transpose of a linear operator with its own weight."""
    op = site.linear()
    return (op.pull(r, op.weight, site.inputs[0]),)


def relu(site: Site, r: Proxy) -> Results:
    """Relevance where ReLU is open."""
    return (site.call(kernels.relu_adjoint, r, site.output),)


def activation(site: Site, r: Proxy) -> Results:
    """Relevance times the activation's derivative."""
    name = f"torch.nn.functional.{ACTIVATIONS[site.target]}"
    return (site.call(kernels.pullback, name, r, *site.args, **site.kwargs),)


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


def pad(site: Site, r: Proxy) -> Results:
    """Crop, or add up what was copied; what sits on padded constants is a sink."""
    widths, mode = site.args[1:3]
    if mode == "constant" and site.program.sinks_wanted:
        site.book(f"{site.name}.padding", site.call(kernels.on_padding, r, widths))
    return (site.call(kernels.pad_adjoint, r, site.inputs[0], widths, mode),)


def unknown(site: Site, r: Any) -> Results:
    """No adjoint is known."""
    raise TypeError(f"{site.name}: no adjoint is known for {site.node.target}.")
