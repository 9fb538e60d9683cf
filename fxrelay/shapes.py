"""Shapes of the values in a graph for example inputs, found without computing them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses import FakeTensorMode

Shapes = dict[fx.Node, tuple[int, ...]]


class _Shapes(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.found: Shapes = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.found[n] = tuple(value.shape)
        return value


def shapes_in(module: fx.GraphModule, example: Any) -> Shapes:
    """Return the shape of each node that is a tensor, for `example` as the inputs.

    Parameters
    ----------
    example : Tensor, sequence of them, or mapping of input names to them
    """
    interpreter = _Shapes(module)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        names = [str(n.target) for n in module.graph.nodes if n.op == "placeholder"]
        if isinstance(example, Mapping):
            values = [example.get(name) for name in names]
        else:
            values = [example] if isinstance(example, Tensor) else list(example)
        fakes = [mode.from_tensor(v) if isinstance(v, Tensor) else v for v in values]
        interpreter.run(*fakes, enable_io_processing=False)
    return interpreter.found
