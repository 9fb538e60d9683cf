"""Report what was decided: node, operator, rule; and where relevance went."""

import torch
from torch import Tensor, fx

from fxrelay.facts import picks_part, signal_calls
from fxrelay.meta import PATH, REWRITES, ROW, RULE
from fxrelay.operators import operator_of
from fxrelay.relaying import Relay, relay
from fxrelay.text import aligned


def report(
    graph: fx.GraphModule | Relay, x: Tensor | None = None, seed: Tensor | None = None
) -> str:
    """Return a table of nodes, operators and rules; with `x`, also the balance of relevance.

    Parameters
    ----------
    graph : GraphModule or Relay
        Traced, canonized, annotated or lowered.
    x : Tensor (batch, ...), optional
        Inputs to balance the books for; needs an annotated graph or a Relay.
    seed : Tensor, optional
        Relevance at the output; default 1 at each sample's largest output.

    Returns
    -------
    str
        Stable text: the same graph gives the same report.
    """
    model = graph.model if isinstance(graph, Relay) else graph
    text = [_table(model), *_rewrites(model)]
    if x is not None:
        text.append(_balance(model, x, seed))
    return "\n\n".join(text)


def _table(model: fx.GraphModule) -> str:
    rows = [("node", "operator", "rule", "from row")]
    for node in signal_calls(model.graph):
        if picks_part(node):
            continue
        rule = node.meta.get(RULE)
        rows.append(
            (
                _path(node),
                operator_of(node).name,
                "-" if rule is None else _rule_text(rule),
                node.meta.get(ROW, "-"),
            )
        )
    return aligned(rows)


def _path(node: fx.Node) -> str:
    """Path of the node, or of the part of its tuple that the model uses."""
    parts = [user for user in node.users if picks_part(user)]
    return str((parts[0] if len(parts) == 1 else node).meta[PATH])


def _rule_text(rule: object) -> str:
    return getattr(rule, "__name__", None) or str(rule)


def _rewrites(model: fx.GraphModule) -> list[str]:
    log = model.meta.get(REWRITES, ())
    if not log:
        return []
    counts = {name: sum(n == name for n, _ in log) for name, _ in log}
    return ["rewrites: " + ", ".join(f"{name} × {n}" for name, n in counts.items())]


def _balance(model: fx.GraphModule, x: Tensor, seed: Tensor | None) -> str:
    program = relay(model, sinks=True)
    if seed is None:
        output = model(x).detach()
        seed = torch.nn.functional.one_hot(output.flatten(1).argmax(1), output.flatten(1).shape[1])
        seed = seed.reshape(output.shape).to(output)
    out = program(x, seed)
    given = seed.flatten(1).sum(1)
    whole = out.relevance
    kept = {program.inputs[0]: whole} if isinstance(whole, Tensor) else whole
    rows = [("relevance", "mean", "share")]
    entries: list[tuple[str, Tensor]] = [("seed", given)]
    entries += [(f"input {name}", r.flatten(1).sum(1)) for name, r in kept.items()]
    entries += _largest(out.sinks)
    booked = sum(value for _, value in entries[1:])
    entries.append(("missing", given - booked))
    total = float(given.mean()) or 1.0
    for name, value in entries:
        mean = float(value.mean())
        rows.append((name, f"{mean:.6g}", f"{mean / total:.2%}"))
    return aligned(rows)


def _largest(sinks: object, most: int = 10) -> list[tuple[str, Tensor]]:
    """Return sinks by size; the rest is summed, so that the books still balance."""
    items = sorted(dict(sinks).items(), key=lambda i: -float(i[1].abs().mean()))  # type: ignore[call-overload]
    head, tail = items[:most], items[most:]
    rest = [(f"{len(tail)} other sinks", sum(v for _, v in tail))] if tail else []
    return [(f"sink {name}", value) for name, value in head] + rest
