"""A relevance program as a callable: what it takes, and what it returns."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from torch import Tensor, fx

from fxrelay import facts, kernels
from fxrelay.compiling import compiled
from fxrelay.inputs import output_of_shapes
from fxrelay.meta import PATH, RULE
from fxrelay.provenance import digest_of
from fxrelay.terms import Bound, Rule


@dataclass(frozen=True)
class Relevance:
    """What a relevance program returns.

    Attributes
    ----------
    output : Tensor (batch, ...)
        The model's output.
    relevance : Tensor, shape of the input; or a dict of them by input name
        Relevance of the explained inputs, in units of the seed; a dict where there are several.
    recorded : dict of path to Tensor
        Relevance at the recorded nodes, shape of their outputs.
    activations : dict of path to Tensor
        Outputs of the recorded nodes.
    sinks : dict of name to Tensor (batch,)
        Relevance that no input got: "<path>.bias", constants by name, "stabilizer",
        "undistributed".
    ledger : dict of path to dict of column to Tensor (batch,)
        Of a program built with ``audit=True``: what each node gets, hands on and books.
    """

    output: Tensor
    relevance: Tensor | Mapping[str, Tensor]
    recorded: Mapping[str, Tensor]
    activations: Mapping[str, Tensor]
    sinks: Mapping[str, Tensor]
    ledger: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


class Relay:
    """A relevance program: ``relay(x, seed)``.

    It is a snapshot of its model unless it was built with ``live=True``.

    Attributes
    ----------
    graph : GraphModule
        The program, with inputs (x, ..., seed) and a dict as output. Compile, export or vmap it.
    model : GraphModule
        The annotated graph it was lowered from.
    masked : dict of path to node
        Where relevance passes a mask.
    forward : callable
        Runs the program: of the graph, or what `compile` made of it.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        model: fx.GraphModule,
        masked: Mapping[str, fx.Node] = MappingProxyType({}),
    ) -> None:
        self.graph, self.model, self.masked = graph, model, dict(masked)
        self.forward: Callable[..., Any] = graph.forward  # the module would print tracebacks
        self.boxes = _boxes(model)
        self._compiled: dict[Any, Relay] = {}

    @property
    def code(self) -> str:
        """The program as readable Python."""
        return self.graph.code

    @cached_property
    def digest(self) -> str:
        """Digest of the program's code and tensors: equal programs, equal digests."""
        return digest_of(self.graph, self.code)

    @property
    def inputs(self) -> list[str]:
        """Names of the model's inputs, in the order in which the program takes them."""
        return list(inputs_of(self.model))

    @property
    def explained(self) -> list[str]:
        """Names of the inputs that get relevance; the others are constants."""
        return [name for name, node in inputs_of(self.model).items() if PATH in node.meta]

    def compile(self, **options: Any) -> "Relay":
        """Return the program compiled by torch.compile, the same one for the same options.

        The first call for each shape of inputs takes a while (half a minute for VGG16). Results
        equal the program's own to 1e-4 of their size in float32, 1e-9 in float64.

        Parameters
        ----------
        **options
            Of torch.compile, such as ``dynamic``, and ``mode="reduce-overhead"``: on CUDA that
            replays one graph of kernels a call, which small batches gain most from.

        Raises
        ------
        RuntimeError
            If the program is on the CPU and no C++ compiler is found.
        """
        key = tuple(sorted(options.items()))
        if key not in self._compiled:
            made = copy.copy(self)
            made.forward = compiled(self.graph, **options)
            self._compiled[key] = made
        return self._compiled[key]

    def __call__(
        self, *inputs_and_seed: Tensor, masks: Mapping[str, Tensor] = MappingProxyType({})
    ) -> Relevance:
        """Run the program.

        Parameters
        ----------
        *inputs_and_seed : Tensors
            The model's inputs (batch, ...), then the seed: relevance at the output, of its shape.
        masks : mapping of path to Tensor
            What relevance is multiplied by at the nodes that the program masks; needed for each.
        """
        if len(inputs_and_seed) != len(self.inputs) + 1:
            raise ValueError(
                f"relay: needs ({', '.join([*self.inputs, 'seed'])}); got {len(inputs_and_seed)} "
                "tensors. Inputs come in this order, the seed is last."
            )
        if set(masks) != set(self.masked):
            raise ValueError(
                f"relay: needs a mask for each of {list(self.masked)}; got {list(masks)}."
            )
        *inputs, _ = inputs_and_seed
        require_in_boxes(self.boxes, dict(zip(self.inputs, inputs, strict=True)))
        out = self._run(*inputs_and_seed, masks=[masks[path] for path in self.masked])
        relevance = out["relevance"]
        only = relevance[self.explained[0]] if len(relevance) == 1 else relevance
        return Relevance(
            out["output"], only, out["recorded"], out["activations"], out["sinks"],
            out.get("ledger", {}),
        )  # fmt: skip

    def _run(self, *inputs_and_seed: Tensor, masks: Sequence[Tensor]) -> Any:
        try:
            return self.forward(*inputs_and_seed, *masks)
        except RuntimeError:
            *inputs, seed = inputs_and_seed
            named = dict(zip(self.inputs, inputs, strict=True))
            shape = tuple(output_of_shapes(self.model, named, len(seed), "relay").shape)
            if tuple(seed.shape) != shape:
                raise ValueError(
                    f"relay: needs a seed of the output's shape, {shape}; got {tuple(seed.shape)}."
                ) from None
            raise

    def __repr__(self) -> str:
        return f"Relay of {type(self.model).__name__}: {len(self.graph.graph.nodes)} nodes"


def _boxes(model: fx.GraphModule) -> list[tuple[str, Tensor, Tensor]]:
    """Bounds of the z_box rules that act on a model input directly."""
    found = []
    for node in facts.signal_calls(model.graph):
        rule = node.meta.get(RULE)
        source = node.args[0]
        if not isinstance(rule, Rule):
            continue
        bounds = [
            key
            for s in rule.shares
            for t in s.terms
            for key, _ in t.input.coefficients
            if isinstance(key, Bound) and key.checked
        ]
        if len(bounds) == 2 and isinstance(source, fx.Node) and source.op == "placeholder":
            found.append((str(source.target), bounds[0].value, bounds[1].value))
    return found


def require_in_boxes(
    boxes: Sequence[tuple[str, Tensor, Tensor]], inputs: Mapping[str, Tensor]
) -> None:
    """Raise where an input leaves the bounds of its z_box rule."""
    for name, low, high in boxes:
        x = inputs[name].detach()
        outside = (x < kernels.bound_of(low, x)) | (x > kernels.bound_of(high, x))
        if bool(outside.any()):
            raise ValueError(
                f"z_box: needs `{name}` between low and high; got {int(outside.sum())} of "
                f"{outside.numel()} values outside, range {float(x.min()):g} to "
                f"{float(x.max()):g}. Widen the bounds or pass allow_outside=True."
            )


def inputs_of(model: fx.GraphModule) -> dict[str, fx.Node]:
    """Return the model's inputs by name."""
    return {str(n.target): n for n in model.graph.nodes if n.op == "placeholder"}
