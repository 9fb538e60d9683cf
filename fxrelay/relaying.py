"""Lower an annotated graph into a relevance program, an fx graph of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from fxrelay import facts, kernels, share, sums
from fxrelay.annotating import require_annotated
from fxrelay.batches import batches
from fxrelay.inputs import output_of_shapes
from fxrelay.ledger import RELEVANCE_IN, RELEVANCE_OUT, Ledger
from fxrelay.meta import PATH, RULE
from fxrelay.operators import operator_of
from fxrelay.passes import (
    drop_dead_calls,
    fold_constants,
    merge_equal_calls,
    recompute_cheap_calls,
)
from fxrelay.program import Program
from fxrelay.provenance import digest_of
from fxrelay.roles import carries_signal
from fxrelay.site import Batch, Site
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
    """

    def __init__(self, graph: fx.GraphModule, model: fx.GraphModule) -> None:
        self.graph, self.model = graph, model
        self.boxes = _boxes(model)

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
        return list(_inputs(self.model))

    @property
    def explained(self) -> list[str]:
        """Names of the inputs that get relevance; the others are constants."""
        return [name for name, node in _inputs(self.model).items() if PATH in node.meta]

    def __call__(self, *inputs_and_seed: Tensor) -> Relevance:
        """Run the program.

        Parameters
        ----------
        *inputs_and_seed : Tensors
            The model's inputs (batch, ...), then the seed: relevance at the output, of its shape.
        """
        if len(inputs_and_seed) != len(self.inputs) + 1:
            raise ValueError(
                f"relay: needs ({', '.join([*self.inputs, 'seed'])}); got {len(inputs_and_seed)} "
                "tensors. Inputs come in this order, the seed is last."
            )
        *inputs, _ = inputs_and_seed
        require_in_boxes(self.boxes, dict(zip(self.inputs, inputs, strict=True)))
        out = self._run(*inputs_and_seed)
        relevance = out["relevance"]
        only = relevance[self.explained[0]] if len(relevance) == 1 else relevance
        return Relevance(
            out["output"], only, out["recorded"], out["activations"], out["sinks"],
            out.get("ledger", {}),
        )  # fmt: skip

    def _run(self, *inputs_and_seed: Tensor) -> Any:
        try:  # forward itself: calling the module would print a traceback of its own
            return self.graph.forward(*inputs_and_seed)
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


def relay(
    graph: fx.GraphModule,
    *,
    record: Sequence[str] = (),
    sinks: bool = True,
    live: bool = False,
    reference: bool = False,
    audit: bool = False,
) -> Relay:
    """Lower an annotated graph into a relevance program.

    Parameters
    ----------
    graph : GraphModule
        From `fxrelay.annotate`.
    record : sequence of str
        Globs on node paths at which relevance and activation are returned.
    sinks : bool, default True
        Whether to book relevance that no input gets; without, the program is a little cheaper.
    live : bool, default False
        Keep parameters inside, so that relevance can be differentiated in them; otherwise what
        depends on parameters alone is computed once, now.
    reference : bool, default False
        Follow the rules term by term instead of running the cost pass.
    audit : bool, default False
        Keep a ledger: what each node gets, hands on and books.

    Returns
    -------
    Relay

    Raises
    ------
    RuleError
        If a node has no rule, or `record` matches nothing.
    """
    require_annotated(graph)
    names = _recorded(graph, record)
    program = Program(graph, sinks_wanted=sinks or audit, ledger=Ledger() if audit else None)
    _walk(program, reference)
    _outputs(program, names)
    merge_equal_calls(program.graph)
    drop_dead_calls(program.graph)
    recompute_cheap_calls(program.graph, {proxy.node for proxy in program.env.values()})
    module = fx.GraphModule(program.root(), program.graph, "Relay")
    module = module if live else fold_constants(module)
    module.graph.lint()
    return Relay(module, graph)


def explained(graph: fx.Graph) -> Any:
    """Return the node whose value the model gives as its output."""
    return graph.output_node().args[0]


def _walk(program: Program, reference: bool) -> None:
    graph = program.model.graph
    nonnegative, positive = facts.nonnegative(graph), facts.only_positive(graph)
    samples = batches(graph)
    program.relevance[explained(graph)] = program.seed
    for node in reversed(facts.signal_calls(graph)):
        relevance = program.relevance.get(node)
        if relevance is None:
            continue
        if facts.picks_part(node):
            source: Any = node.args[0]
            _enter(program, source, relevance, samples[node])
            program.give_part(source, node.args[1], relevance)
            continue
        site = _site(program, node)
        site.nonnegative = node.args[0] in nonnegative
        site.positive = node in positive
        if site.positive and isinstance(node.meta[RULE], Rule) and not reference:
            site.output = program.env[next(iter(node.users))]  # relu(z) serves as z
        site.batch = samples[node]
        _enter(program, node, relevance, site.batch)
        for operand, amount in zip(site.carriers, _pass(site, relevance, reference), strict=True):
            program.give(operand, amount, site.batch)
            if program.ledger is not None and amount is not None and carries_signal(operand):
                total = program.per_sample(amount, samples[operand])
                program.ledger.add(program.ledger.open, RELEVANCE_OUT, total)


def _enter(program: Program, node: fx.Node, relevance: Any, batch: Batch) -> None:
    """Open a node's page of the ledger with the relevance that arrives there."""
    if program.ledger is None:
        return
    program.ledger.open = facts.shown_path(node)
    if not isinstance(relevance, dict):  # the parts of a tuple arrived one by one
        program.ledger.add(program.ledger.open, RELEVANCE_IN, program.per_sample(relevance, batch))


def _pass(site: Site, relevance: Any, reference: bool) -> Sequence[Any]:
    rule = site.node.meta[RULE]
    if not isinstance(rule, Rule):
        return rule(site, site.inputs, site.output, relevance)
    if site.operator.linear is None:
        return sums.of_sum(site, rule, relevance)
    return (share.of_linear(site, rule, relevance, reference=reference),)


def _site(program: Program, node: fx.Node) -> Site:
    operator = operator_of(node)
    carriers = operator.operands(node)
    return Site(
        node,
        operator,
        _looked_up(node.args, program),
        program.env[node],
        tuple(carriers),
        tuple(program.env[n] for n in carriers),
        program,
        kwargs=dict(_looked_up(node.kwargs, program)),
    )


def _looked_up(arguments: Any, program: Program) -> Any:
    lookup: Any = program.env.__getitem__
    return fx.map_arg(arguments, lookup)


def _outputs(program: Program, names: Mapping[str, fx.Node]) -> None:
    graph, nodes = program.model.graph, program.relevance
    inputs = {name: n for name, n in _inputs(program.model).items() if PATH in n.meta}

    def relevance_of(wanted: Mapping[str, fx.Node]) -> dict[str, Any]:
        return {
            name: nodes[n] if n in nodes else _nothing(program, program.env[n])
            for name, n in wanted.items()
        }

    result: Any = {
        "output": program.env[explained(graph)],
        "relevance": relevance_of(inputs),
        "recorded": relevance_of(names),
        "activations": {path: program.env[n] for path, n in names.items()},
        "sinks": program.sinks,
    }
    if program.ledger is not None:
        result["ledger"] = program.ledger.entries
    program.graph.output(fx.node.map_aggregate(result, lambda p: getattr(p, "node", p)))


def _nothing(program: Program, x: Any) -> Any:
    """Relevance of what the output does not depend on; floating point for integers too."""
    return program.call(torch.mul, program.call(torch.zeros_like, x), 0.0)


def _inputs(model: fx.GraphModule) -> dict[str, fx.Node]:
    return {str(n.target): n for n in model.graph.nodes if n.op == "placeholder"}


def _recorded(graph: fx.GraphModule, record: Sequence[str]) -> dict[str, fx.Node]:
    calls = {
        str(n.meta[PATH]): n
        for n in facts.signal_calls(graph.graph)
        if not any(map(facts.picks_part, n.users))
    }
    missed = [g for g in record if not any(fnmatchcase(path, g) for path in calls)]
    if missed:
        raise ValueError(
            f"relay: record needs paths of nodes; nothing matches {missed}. "
            f"Known are {', '.join(list(calls)[:8])}, ..."
        )
    return {path: n for path, n in calls.items() if any(fnmatchcase(path, g) for g in record)}


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
