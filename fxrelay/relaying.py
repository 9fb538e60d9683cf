"""Lower an annotated graph into a relevance program, an fx graph of its own."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import fx

from fxrelay import facts, share, sums
from fxrelay.annotating import require_annotated
from fxrelay.batches import batches
from fxrelay.ledger import RELEVANCE_IN, RELEVANCE_OUT, Ledger
from fxrelay.meta import PATH, RULE
from fxrelay.operators import operator_of
from fxrelay.passes import (
    divide_shared_first,
    drop_dead_calls,
    fold_constants,
    merge_equal_calls,
    recompute_cheap_calls,
)
from fxrelay.program import Program
from fxrelay.roles import carries_signal
from fxrelay.running import Relay, inputs_of
from fxrelay.site import Batch, Site
from fxrelay.terms import Rule


def relay(
    graph: fx.GraphModule,
    *,
    record: Sequence[str] = (),
    sinks: bool = True,
    live: bool = False,
    reference: bool = False,
    audit: bool = False,
    masked: Sequence[str] = (),
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
    masked : sequence of str
        Paths of nodes at which relevance is multiplied by a mask, an argument of the program; what
        it takes away is the sink ``<path>.condition``.

    Returns
    -------
    Relay

    Raises
    ------
    RuleError
        If a node has no rule.
    ValueError
        If `record` or `masked` matches nothing.
    """
    require_annotated(graph)
    names, masks = _nodes(graph, record, "record"), _nodes(graph, masked, "masked")
    program = Program(
        graph, sinks_wanted=sinks or audit, ledger=Ledger() if audit else None,
        masked=masks.values(),
    )  # fmt: skip
    _walk(program, reference)
    _outputs(program, names)
    merge_equal_calls(program.graph)
    drop_dead_calls(program.graph)
    if not reference:
        divide_shared_first(program.graph, program.varying)
    recompute_cheap_calls(program.graph, {proxy.node for proxy in program.env.values()})
    module = fx.GraphModule(program.root(), program.graph, "Relay")
    module = module if live else fold_constants(module)
    module.graph.lint()
    return Relay(module, graph, masks)


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
        site.batch = samples[node]
        _enter(program, node, relevance, site.batch)
        relevance = _masked(site, relevance)
        site.nonnegative = node.args[0] in nonnegative
        site.positive = node in positive
        if site.positive and isinstance(node.meta[RULE], Rule) and not reference:
            site.output = program.env[next(iter(node.users))]  # relu(z) serves as z
        for operand, amount in zip(site.carriers, _pass(site, relevance, reference), strict=True):
            program.give(operand, amount, site.batch)
            if program.ledger is not None and amount is not None and carries_signal(operand):
                total = program.per_sample(amount, samples[operand])
                program.ledger.add(program.ledger.open, RELEVANCE_OUT, total)


def _masked(site: Site, relevance: Any) -> Any:
    """Write what a mask lets pass; the rest is a sink."""
    program = site.program
    mask: Any = program.masks.get(site.node)
    if mask is None:
        return relevance
    passed = relevance * mask
    if program.sinks_wanted:
        site.book(f"{site.name}.condition", relevance - passed)
    program.relevance[site.node] = passed
    return passed


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
    inputs = {name: n for name, n in inputs_of(program.model).items() if PATH in n.meta}

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


def _nodes(graph: fx.GraphModule, globs: Sequence[str], what: str) -> dict[str, fx.Node]:
    calls = {
        str(n.meta[PATH]): n
        for n in facts.signal_calls(graph.graph)
        if not any(map(facts.picks_part, n.users))
    }
    missed = [g for g in globs if not any(fnmatchcase(path, g) for path in calls)]
    if missed:
        raise ValueError(
            f"relay: {what} needs paths of nodes; nothing matches {missed}. "
            f"Known are {', '.join(list(calls)[:8])}, ..."
        )
    return {path: n for path, n in calls.items() if any(fnmatchcase(path, g) for g in globs)}
