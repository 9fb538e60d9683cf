"""The relevance program while it is written: an fx graph, its constants, relevance and sinks."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import fx, nn
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.constants import Constants, attribute, first_parameter, place
from fxrelay.ledger import Ledger
from fxrelay.roles import carries_signal
from fxrelay.site import Batch

SEED = "seed"


class Program:
    """Copies the forward pass, then takes the calls that rules and operators make.

    Parameters
    ----------
    model : GraphModule
        Canonical and annotated.
    sinks_wanted : bool
        Whether relevance that no input gets is booked.
    masked : nodes
        Where the program takes a mask for the relevance.
    ledger : Ledger, optional
        Keeps what comes in, goes out and is booked at each node.
    """

    def __init__(
        self, model: fx.GraphModule, *, sinks_wanted: bool, ledger: Ledger | None = None,
        masked: Iterable[fx.Node] = (),
    ) -> None:  # fmt: skip
        self.model, self.sinks_wanted, self.ledger = model, sinks_wanted, ledger
        self.graph = fx.Graph()
        self.tracer = fx.proxy.GraphAppendingTracer(self.graph)
        self.attributes: dict[str, torch.Tensor | nn.Module] = {}
        self.env: dict[fx.Node, Proxy] = {}
        self._originals: dict[fx.Node, fx.Node] = {}
        self.relevance: dict[fx.Node, Any] = {}
        self.sinks: dict[str, Any] = {}
        self._model_constants = Constants(model)
        self.masks: dict[fx.Node, Proxy] = {}
        self.seed = self._forward(masked)

    def _forward(self, masked: Iterable[fx.Node]) -> Proxy:
        inputs = [n for n in self.model.graph.nodes if n.op == "placeholder"]
        for node in inputs:
            self._copy(node)
        seed = self.tracer.create_proxy("placeholder", SEED, (), {})
        for node in masked:
            self.masks[node] = self.tracer.create_proxy("placeholder", f"mask_{node.name}", (), {})
        for node in self.model.graph.nodes:
            if node.op not in ("placeholder", "output"):
                self._copy(node)
        return seed

    @property
    def varying(self) -> list[fx.Node]:
        """The inputs that targets and conditions differ in: the seed and the masks."""
        return [proxy.node for proxy in (self.seed, *self.masks.values())]

    def _copy(self, node: fx.Node) -> None:
        copied = self.graph.node_copy(node, lambda n: self.env[n].node)
        if node.op in ("get_attr", "call_module"):
            self.attributes[str(node.target)] = attribute(self.model, str(node.target))
        self.env[node] = Proxy(copied, self.tracer)
        self._originals[copied] = node

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Proxy:
        """Write a call."""
        return self.tracer.create_proxy("call_function", function, args, kwargs)

    def constant(self, name: str, value: torch.Tensor) -> Proxy:
        """Write a tensor that the program owns."""
        unique, i = name, 0
        while unique in self.attributes and self.attributes[unique] is not value:
            i += 1
            unique = f"{name}_{i}"
        self.attributes[unique] = value
        return self.tracer.create_proxy("get_attr", unique, (), {})

    def shape_of(self, weight: Proxy) -> tuple[int, ...]:
        """Shape of a weight, which is constant."""
        return tuple(self._model_constants.value(self._originals[weight.node]).shape)

    def give(self, node: Any, amount: Any, batch: Batch) -> None:
        """Add relevance to a node; to a constant means to its sink; parts of a tuple stay apart."""
        if amount is None:
            return
        if not carries_signal(node):
            if self.sinks_wanted:
                self.book(first_parameter(node), amount, batch)
            return
        known = self.relevance.get(node)
        total = amount if known is None else self._plus(known, amount)
        if not total.node.name.startswith("r_"):
            total.node._rename(f"r_{node.name}")
        self.relevance[node] = total

    def _plus(self, known: Any, amount: Any) -> Any:
        """Write a sum; a product that is added is one call with it."""
        node = amount.node
        if node.target is not operator.mul or not all(isinstance(a, fx.Node) for a in node.args):
            return known + amount
        return self.call(torch.addcmul, known, *(Proxy(a, self.tracer) for a in node.args))

    def give_part(self, node: Any, part: Any, amount: Any) -> None:
        """Add relevance to one element of a node whose value is a tuple."""
        parts = self.relevance.setdefault(node, {})
        parts[part] = amount if part not in parts else parts[part] + amount

    def book(self, sink: str, amount: Proxy, batch: Batch, gain: float = 1.0) -> None:
        """Add `gain` times what `amount` sums to, sample by sample, to a sink."""
        total: Any = self.per_sample(amount, batch)
        total = total if gain == 1 else total * gain
        if self.ledger is not None:
            self.ledger.book(sink, total)
        known = self.sinks.get(sink)
        self.sinks[sink] = total if known is None else known + total

    def per_sample(self, amount: Proxy, batch: Batch) -> Proxy:
        """Write the sum of `amount` over everything but the samples: shape (batch,)."""
        where = batch if batch != Batch() else ()
        return self.call(kernels.per_sample, amount, self.seed, *where)

    def root(self) -> nn.Module:
        """Return a module that holds what the program refers to."""
        root = nn.Module()
        for target, value in self.attributes.items():
            place(root, target, value)
        return root
