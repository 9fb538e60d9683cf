"""Checks of inputs before work starts."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensorMode

from fxrelay.errors import located


def require_finite(x: Tensor, caller: str) -> None:
    """Raise where samples have NaN or infinity; every such sample counts, the first are named."""
    if not x.is_floating_point():
        return
    bad = (~torch.isfinite(x.flatten(1)).all(1)).nonzero().flatten().tolist()
    if bad:
        named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        raise ValueError(
            f"{caller}: needs finite inputs; got NaN or infinity in {len(bad)} of {len(x)} "
            f"samples (positions {named}). Drop or mend them."
        )


class _Checker(fx.Interpreter):
    """Runs a graph on shapes alone, and says which node a shape does not fit."""

    def run_node(self, n: fx.Node) -> object:
        try:
            return super().run_node(n)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ShapeMismatch(f"{located(n)}: {str(error).splitlines()[0]}") from error


class ShapeMismatch(ValueError):
    """An input does not fit the model."""


def computed_with(module: nn.Module, x: Tensor) -> Tensor:
    """Return a tensor with the type and device that the module computes `x` with."""
    held = (t for t in module.state_dict().values() if t.is_floating_point())
    return next(held, x if x.is_floating_point() else torch.empty(0))


def output_shape(graph: fx.GraphModule, x: Tensor) -> Sequence[int]:
    """Return the shape of the model's output for `x`, computed without running it.

    Raises
    ------
    ValueError
        If `x` is empty, or its shape does not fit; the text names the node and the source line.
    """
    if x.dim() < 2 or not len(x):
        raise ValueError(
            f"attribute: needs x of shape (sample, ...) with samples; got {tuple(x.shape)}. "
            "Add a batch axis with x[None]."
        )
    like = computed_with(graph, x)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        fake = torch.empty(x.shape, dtype=like.dtype, device=like.device)
        try:
            out = _Checker(graph).run(fake)
        except ShapeMismatch as error:
            raise ValueError(
                f"attribute: needs x that fits the model; got shape {tuple(x.shape)}, which stops "
                f"at {error}"
            ) from error
    return tuple(out.shape)
