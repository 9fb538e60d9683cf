"""Which inputs are explained, and checks of inputs before work starts."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from fxrelay.arguments import Arguments
from fxrelay.constants import Constants
from fxrelay.errors import listed, located, raised_at
from fxrelay.quiet import quiet
from fxrelay.roles import word

#: what a model raises without values whose shapes depend on them
UNKNOWABLE: Final = (DataDependentOutputException, DynamicOutputShapeException)

#: calls between an input and the table that looks it up, which only move or cast integers
MOVES: Final = frozenset({
    "alias", "cat", "chunk", "clone", "contiguous", "detach", "expand", "expand_as", "flatten",
    "flip", "getitem", "int", "long", "masked_fill", "movedim", "narrow", "pad", "permute",
    "repeat", "reshape", "roll", "select", "slice", "split", "squeeze", "stack", "t", "to",
    "to_copy", "transpose", "type", "unbind", "unflatten", "unsqueeze", "view", "where",
})  # fmt: skip


class ShapeMismatch(ValueError):
    """An input does not fit the model."""


def explained(
    graph: fx.Graph, tensors: Mapping[str, Tensor], explain: Sequence[str] | None
) -> list[str]:
    """Return the names of the inputs that get relevance, in the order of the graph.

    Parameters
    ----------
    graph : Graph
        As captured.
    tensors : mapping of input name to Tensor
        The example; empty where there is none, then every input counts.
    explain : sequence of str, optional
        Names; default every floating point input, and integers that an embedding looks up.

    Raises
    ------
    ValueError
        If names are unknown, or inputs cannot carry relevance; all are named.
    """
    nodes = {str(n.target): n for n in graph.nodes if n.op == "placeholder"}
    nodes = {k: n for k, n in nodes.items() if (k in tensors if tensors else not n.args)}
    unknown = [name for name in explain or () if name not in nodes]
    if unknown:
        raise ValueError(f"trace: needs explain in {list(nodes)}; got {unknown}.")
    why = {name: _unfit(n, tensors.get(name)) for name, n in nodes.items()}
    wanted = [name for name in nodes if explain is None or name in explain]
    fit = [name for name in wanted if not why[name]]
    if not fit or (explain is not None and len(fit) < len(wanted)):
        faults = [f"`{name}`: {why[name]}" for name in wanted if why[name]]
        raise ValueError(
            "trace: needs inputs that can carry relevance, floating point or integers that an "
            f"embedding looks up; got\n{listed(faults or ['none'])}\n"
            "Pass x.float(), or choose others with explain=[...]."
        )
    return fit


def _unfit(node: fx.Node, x: Tensor | None) -> str | None:
    if x is None or x.is_floating_point() or (x.dtype != torch.bool and _looked_up(node)):
        return None
    return f"{x.dtype}, not embedded" if x.dtype != torch.bool else str(x.dtype)


def _looked_up(node: fx.Node) -> bool:
    """Whether an embedding takes the value of the node, perhaps moved or cast."""
    return any(
        word(user) == "embedding" or (word(user) in MOVES and _looked_up(user))
        for user in node.users
        if user.op in ("call_function", "call_method")
    )


def is_token(node: object, call: Arguments | None) -> bool:
    """Whether the value of a captured node is an integer input, perhaps moved."""
    if not isinstance(node, fx.Node) or call is None:
        return False
    if node.op == "placeholder":
        x = call.tensors.get(str(node.target))
        return x is not None and not x.is_floating_point() and x.dtype != torch.bool
    return word(node) in MOVES and is_token(node.args[0], call)


def n_samples(tensors: Mapping[str, Tensor], caller: str) -> int:
    """Return how many samples the inputs hold: their first axis; 1 is shared by all samples.

    Raises
    ------
    ValueError
        If inputs are complex, empty, or disagree; names every offender.
    """
    complex_ones = [f"`{n}` ({x.dtype})" for n, x in tensors.items() if x.is_complex()]
    if complex_ones:
        raise ValueError(
            f"{caller}: needs real inputs; got {', '.join(complex_ones)}. Use torch.view_as_real "
            "and a model of real numbers."
        )
    shapes = ", ".join(f"`{n}` {tuple(x.shape)}" for n, x in tensors.items())
    shapes = shapes if len(tensors) > 1 else str(tuple(next(iter(tensors.values())).shape))
    if len(tensors) == 1 and next(iter(tensors.values())).dim() < 2:
        raise ValueError(
            f"{caller}: needs x of shape (sample, ...) with samples; got {shapes}. "
            "Add a batch axis with x[None]."
        )
    sizes = {len(x) for x in tensors.values() if x.dim()}
    if 0 in sizes:
        raise ValueError(f"{caller}: needs samples; got an empty batch, {shapes}.")
    if len(sizes - {1}) > 1:
        raise ValueError(
            f"{caller}: needs as many samples in every input; got {shapes}. The first axis counts "
            "samples; what all samples share has 1 there."
        )
    return max(sizes, default=1)


def part_of(tensors: Mapping[str, Tensor], samples: slice) -> dict[str, Tensor]:
    """Return these samples of each input; inputs that all samples share stay whole."""
    return {name: x[samples] if x.dim() and len(x) > 1 else x for name, x in tensors.items()}


def require_samples(tensors: Mapping[str, Tensor], n: int) -> None:
    """Raise where an input is shared by all samples: such a one can only be a constant."""
    shared = [f"`{k}` {tuple(x.shape)}" for k, x in tensors.items() if x.shape[:1] != (n,)]
    if shared:
        raise ValueError(
            f"attribute: needs {n} samples in every explained input; got {', '.join(shared)}. "
            "Expand it with x.expand(n, ...), or leave it out of explain=[...]."
        )


def require_finite(tensors: Mapping[str, Tensor], caller: str) -> None:
    """Raise where samples have NaN or infinity; every such sample counts, the first are named."""
    faults = [text for name, x in tensors.items() for text in _not_finite(name, x, len(tensors))]
    if faults:
        raise ValueError(
            f"{caller}: needs finite inputs; got NaN or infinity in {'; '.join(faults)}. "
            "Drop or mend them."
        )


def _not_finite(name: str, x: Tensor, inputs: int) -> list[str]:
    if not x.is_floating_point():
        return []
    bad = (~torch.isfinite(x.reshape(len(x), -1)).all(1)).nonzero().flatten().tolist()
    if not bad:
        return []
    named = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
    where = f" of `{name}`" if inputs > 1 else ""
    return [f"{len(bad)} of {len(x)} samples{where} (positions {named})"]


def require_in_tables(graph: fx.GraphModule, tensors: Mapping[str, Tensor]) -> None:
    """Raise where ids have no row in the embedding that looks them up."""
    nodes = {str(n.target): n for n in graph.graph.nodes if n.op == "placeholder"}
    ids = {nodes[k]: x for k, x in cast(graph, tensors).items() if not x.is_floating_point()}
    constants = Constants(graph, given=ids)
    for node in graph.graph.nodes:
        if node.target is not F.embedding or not _made_of(node.args[0], ids):
            continue
        index, rows = constants.value(node.args[0]), len(constants.value(node.args[1]))
        outside = (index < 0) | (index >= rows)
        if bool(outside.any()):
            raise ValueError(
                f"attribute: needs ids in 0..{rows - 1}, the rows of {located(node)}; got "
                f"{int(outside.sum())} of {index.numel()} outside, range {int(index.min())} to "
                f"{int(index.max())}. Check the vocabulary."
            )


def _made_of(node: fx.Node, inputs: Collection[fx.Node]) -> bool:
    """Whether a value is computed from some of these inputs, and from no others."""
    if node.op == "placeholder":
        return node in inputs
    if not node.op.startswith("call") or node.op == "call_module":
        return False
    sources = [n for n in node.all_input_nodes if n.op != "get_attr"]
    return bool(sources) and all(_made_of(n, inputs) for n in sources)


class _Checker(fx.Interpreter):
    """Runs a graph on shapes alone, and says which node a shape does not fit."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> object:
        try:
            return super().run_node(n)
        except UNKNOWABLE:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ShapeMismatch(f"{located(n)}: {str(error).splitlines()[0]}") from error


def computed_with(module: nn.Module, x: Tensor) -> Tensor:
    """Return a tensor with the type and device that the module computes `x` with."""
    held = (t for t in module.state_dict().values() if t.is_floating_point())
    return next(held, x if x.is_floating_point() else torch.empty(0))


def cast(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move inputs to the module's device, and floating point ones to its type."""
    first = next(iter(tensors.values()))
    like = computed_with(
        module, next((x for x in tensors.values() if x.is_floating_point()), first)
    )
    return {
        name: x.detach().to(like.device, like.dtype if x.is_floating_point() else x.dtype)
        for name, x in tensors.items()
    }


def output_of_shapes(
    graph: fx.GraphModule, tensors: Mapping[str, Tensor], n: int, caller: str = "attribute"
) -> Tensor:
    """Return the model's output for the inputs, without values and without running the model.

    Returns
    -------
    Tensor (sample, ...) on the device "meta"

    Raises
    ------
    ValueError
        If shapes do not fit; the text names the node and the source line. If the output does not
        have samples first.
    """
    try:
        out = _without_values(graph, tensors, n)
    except ShapeMismatch as error:
        raise ValueError(
            f"{caller}: needs x that fits the model; got {_shapes(tensors)}, which stops at {error}"
        ) from error
    if out.shape[:1] != (n,):
        raise ValueError(
            f"{caller}: needs an output with samples first; got shape {tuple(out.shape)} for {n} "
            "samples. Let forward() keep the batch axis, or choose another output=..."
        )
    return out


def require_fitting(model: nn.Module, call: Arguments) -> None:
    """Raise where the example does not fit a model that could not be traced.

    Raises
    ------
    ValueError
        If forward fails on shapes alone, too; names the source line.
    """
    with quiet(), FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        fakes = {name: mode.from_tensor(x) for name, x in call.tensors.items()}
        try:
            call.call(model.forward, fakes)
        except UNKNOWABLE:
            return
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ValueError(
                f"trace: needs inputs that fit the model; got {_shapes(call.tensors)}, which stop "
                f"it{raised_at(error)}: {str(error).splitlines()[0]}"
            ) from error


def _without_values(graph: fx.GraphModule, tensors: Mapping[str, Tensor], n: int) -> Tensor:
    one = cast(graph, part_of(tensors, slice(0, 1)))
    try:
        with quiet(), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            like = [(x.shape, one[k].dtype, one[k].device) for k, x in tensors.items()]
            fakes = [torch.empty(shape, dtype=t, device=device) for shape, t, device in like]
            out = _Checker(graph).run(*fakes)
            shape = out.shape
    except UNKNOWABLE:
        with torch.no_grad():  # shapes depend on values: look at one sample
            out = _Checker(graph).run(*one.values())
        shape = (n, *out.shape[1:])
    return torch.empty(shape, dtype=out.dtype, device="meta")


def _shapes(tensors: Mapping[str, Tensor]) -> str:
    if len(tensors) == 1:
        return f"shape {tuple(next(iter(tensors.values())).shape)}"
    return "shapes " + ", ".join(f"`{n}` {tuple(x.shape)}" for n, x in tensors.items())
