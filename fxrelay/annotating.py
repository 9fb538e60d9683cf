"""Give every node of a graph its rule."""

from torch import fx

from fxrelay.composites import Composite, composite_of
from fxrelay.errors import RuleError, UnsupportedOperation, listed, located
from fxrelay.facts import signal_calls
from fxrelay.meta import ROW, RULE
from fxrelay.operators import operator_of
from fxrelay.rules import AnyRule
from fxrelay.terms import Rule, W, X


def annotate(graph: fx.GraphModule, composite: "Composite | str") -> fx.GraphModule:
    """Return a copy of `graph` with a rule at every node.

    Parameters
    ----------
    graph : GraphModule
        From `fxrelay.trace` or `fxrelay.canonize`.
    composite : Composite or str
        Rows (selector, rule), the first match wins; or the name of a preset without parameters.

    Returns
    -------
    GraphModule
        ``node.meta["rule"]`` holds the rule, ``node.meta["row"]`` where it came from.

    Raises
    ------
    UnsupportedOperation
        If the model calls operators that no row of the operator table knows.
    RuleError
        If an operator needs a rule and gets none, or a row never applies.
    """
    rows = composite_of(composite).rows
    out = copied(graph)
    chosen = [row.selector.choose(out.graph) for row in rows]
    given = {n: _first_row(n, chosen) for n in signal_calls(out.graph)}
    _require_rows_used(composite_of(composite), chosen, set(given.values()))
    for node, i in given.items():
        node.meta[RULE] = operator_of(node).default if i is None else rows[i].rule
        node.meta[ROW] = "default" if i is None else str(rows[i].selector)
    require_annotated(out)
    return out


def copied(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a graph module with its own nodes and meta that shares the tensors."""
    fresh = fx.Graph()
    env: dict[fx.Node, fx.Node] = {}
    value = fresh.graph_copy(graph.graph, env)
    fresh.output(value)
    for old, new in env.items():
        new.meta = dict(old.meta)
        new.stack_trace = old.stack_trace
    out = fx.GraphModule(graph, fresh, type(graph).__name__)
    out.meta = dict(graph.meta)
    return out


def _first_row(node: fx.Node, chosen: list[set[fx.Node]]) -> int | None:
    return next((i for i, nodes in enumerate(chosen) if node in nodes), None)


def _require_rows_used(
    composite: Composite, chosen: list[set[fx.Node]], used: set[int | None]
) -> None:
    faults = [
        f"row {i}, {row}: " + ("every node has a row above" if nodes else "no node matches")
        for i, (row, nodes) in enumerate(zip(composite.rows, chosen, strict=True))
        if row.selector.required and i not in used
    ]
    if faults:
        raise RuleError(
            f"annotate: every row needs a node; {len(faults)} never apply:\n{listed(faults)}\n"
            "Mend the names (fxrelay.report(graph) prints them), or move the row up."
        )


def require_annotated(graph: fx.GraphModule) -> None:
    """Raise unless every node has a rule that its operator can take."""
    missing: dict[str, list[str]] = {"unknown": [], "known": []}
    for node in signal_calls(graph.graph):
        if _rule_of(node) is None:
            operator = operator_of(node)
            kind = "unknown" if operator.name == "unknown" else "known"
            what = _target(node) if kind == "unknown" else operator.name
            missing[kind].append(f"{located(node)}: {what}")
    if missing["unknown"]:
        raise UnsupportedOperation(
            f"annotate: {len(missing['unknown'])} calls have no row in the operator table:\n"
            f"{listed(missing['unknown'])}\n"
            "Give each a rule of its own, a function (site, inputs, output, relevance) -> "
            "relevances, with a row named(...)."
        )
    if missing["known"]:
        raise RuleError(
            f"annotate: {len(missing['known'])} operators need a rule and got none:\n"
            f"{listed(missing['known'])}\n"
            "Add a row to the composite, for example (ops('linear'), rules.epsilon())."
        )
    unfit = [n for n in signal_calls(graph.graph) if not _fits(n)]
    if unfit:
        faults = [f"{located(n)}: {_rule_of(n)} on {operator_of(n).name}" for n in unfit]
        raise RuleError(
            f"annotate: rules that divide contributions need a linear operator or a sum, and norms "
            f"that centre take only epsilon or norm; {len(unfit)} do not fit:\n{listed(faults)}\n"
            "Select fewer nodes, for example with ops('linear') instead of everything()."
        )


def _fits(node: fx.Node) -> bool:
    row = operator_of(node)
    rule = _rule_of(node)
    if not isinstance(rule, Rule):
        return True
    if row.mixed:
        return all(t.input == X and t.weight == W for s in rule.shares for t in s.terms)
    return row.linear is not None or row.name == "add"


def _rule_of(node: fx.Node) -> AnyRule | None:
    return node.meta.get(RULE)


def _target(node: fx.Node) -> str:
    target = node.target
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))
