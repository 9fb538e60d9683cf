"""Report what was decided, node by node, and where relevance went: the certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, fx

from fxrelay import schema
from fxrelay.facts import picks_part, shown_path, signal_calls
from fxrelay.ledger import KINDS, RELEVANCE_IN, RELEVANCE_OUT
from fxrelay.meta import REWRITES, ROW, RULE
from fxrelay.operators import operator_of
from fxrelay.relaying import relay
from fxrelay.running import Relay, Relevance
from fxrelay.text import aligned

#: how much of the seed may be missing or leak: rounding, by the type that is computed with
TOLERANCES: Mapping[torch.dtype, float] = {torch.float64: 1e-6, torch.float32: 1e-3}
#: what is decided for a node
DECIDED = ("operator", "rule", "row")
#: how many leaks and sinks a text lists
MOST = 10


@dataclass(frozen=True)
class Node:
    """A row of the report: what was decided for a node."""

    path: str
    operator: str
    rule: str
    row: str


@dataclass(frozen=True, eq=False)
class Balance:
    """Where the relevance of a seed went; arrays have one number a sample.

    Attributes
    ----------
    seed : array (sample,)
    inputs, sinks : dict of name to array (sample,)
    ledger : dict of path to dict of column to array (sample,)
    tolerance : float
        Share of the seed that rounding may lose.
    """

    seed: np.ndarray
    inputs: Mapping[str, np.ndarray]
    sinks: Mapping[str, np.ndarray]
    ledger: Mapping[str, Mapping[str, np.ndarray]]
    tolerance: float

    @property
    def missing(self) -> np.ndarray:
        """What no input and no sink has: a check, (sample,)."""
        return self.seed - sum(self.inputs.values()) - sum(self.sinks.values())

    def column(self, path: str, name: str) -> np.ndarray:
        """One entry of the ledger; 0 where relevance did not come."""
        return self.ledger.get(path, {}).get(name, np.zeros_like(self.seed))

    def leak(self, path: str) -> np.ndarray:
        """Return what a node got and neither handed on nor booked, (sample,)."""
        left = sum(self.column(path, name) for name in (RELEVANCE_OUT, *KINDS))
        return self.column(path, RELEVANCE_IN) - left

    def share(self, amount: np.ndarray) -> float:
        """Amount in units of the seed, over all samples."""
        return float(amount.sum() / (self.seed.sum() or 1.0))

    def lost(self, amount: np.ndarray) -> bool:
        """Whether an amount is more than rounding can explain, in any sample."""
        scale = np.abs(self.seed) + sum(np.abs(r) for r in self.inputs.values())
        return bool((~(np.abs(amount) <= self.tolerance * scale)).any())


@dataclass(frozen=True, eq=False)
class Report:
    """What was decided for a graph, and with inputs where relevance went; ``print(report)``.

    Attributes
    ----------
    nodes : sequence of Node
    rewrites : dict of name to count
    balance : Balance or None
        Only of a report with inputs.
    """

    nodes: Sequence[Node]
    rewrites: Mapping[str, int]
    balance: Balance | None = None

    @property
    def complete(self) -> bool:
        """Whether every node has a rule."""
        return all(node.rule != "no rule" for node in self.nodes)

    @property
    def leaks(self) -> dict[str, np.ndarray]:
        """Nodes that keep relevance unbooked, largest first: amounts (sample,)."""
        if self.balance is None:
            return {}
        books = self.balance
        found = {n.path: books.leak(n.path) for n in self.nodes if books.lost(books.leak(n.path))}
        return dict(sorted(found.items(), key=lambda item: -np.abs(item[1]).max()))

    @property
    def balanced(self) -> bool:
        """Whether inputs and sinks add up to the seed and no node leaks, up to rounding."""
        return self.balance is None or not (self.balance.lost(self.balance.missing) or self.leaks)

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The report as a Dataset, dims node, sample, kind, source (inputs) and sink."""
        coords = {
            schema.NODE: [n.path for n in self.nodes],
            **{c: (schema.NODE, [getattr(n, c) for n in self.nodes]) for c in DECIDED},
        }
        return schema.describe(xr.Dataset(self._variables(), coords=coords))

    def _variables(self) -> dict[str, Any]:
        if self.balance is None:
            return {}
        books, paths = self.balance, [n.path for n in self.nodes]
        by_node = (schema.NODE, schema.SAMPLE)
        booked = [[books.column(p, kind) for kind in KINDS] for p in paths]
        return {
            RELEVANCE_IN: (by_node, [books.column(p, RELEVANCE_IN) for p in paths]),
            RELEVANCE_OUT: (by_node, [books.column(p, RELEVANCE_OUT) for p in paths]),
            schema.BOOKED: ((schema.NODE, schema.KIND, schema.SAMPLE), booked),
            schema.LEAK: (by_node, [books.leak(p) for p in paths]),
            schema.SEED: (schema.SAMPLE, books.seed),
            schema.MISSING: (schema.SAMPLE, books.missing),
            **_by_name("source", books.inputs, len(books.seed)),
            **_by_name("sink", books.sinks, len(books.seed)),
            schema.KIND: (schema.KIND, list(KINDS)),
        }

    def __str__(self) -> str:
        parts = [self._table()]
        if self.rewrites:
            counts = ", ".join(f"{name} × {n}" for name, n in self.rewrites.items())
            parts.append(f"rewrites: {counts}")
        if self.balance is not None:
            parts += [_leaks_text(self.leaks, self.balance), _balance_text(self.balance)]
        return "\n\n".join(parts)

    def _table(self) -> str:
        rows = [("node", "operator", "rule", "from row")]
        rows += [(n.path, n.operator, n.rule, n.row) for n in self.nodes]
        if self.balance is None:
            return aligned(rows)
        amounts = [("in", "out", "booked", "leak"), *(self._amounts(n.path) for n in self.nodes)]
        return aligned([(*row, *a) for row, a in zip(rows, amounts, strict=True)])

    def _amounts(self, path: str) -> tuple[str, ...]:
        books: Any = self.balance
        booked = sum(books.column(path, kind) for kind in KINDS)
        ends = books.column(path, RELEVANCE_IN), books.column(path, RELEVANCE_OUT)
        return tuple(f"{books.share(a):.4f}" for a in (*ends, booked, books.leak(path)))


def report(
    graph: fx.GraphModule | Relay,
    x: Any = None,
    seed: Tensor | None = None,
    *,
    tolerance: float | None = None,
) -> Report:
    """Report nodes, operators and rules; with `x`, also the balance of relevance.

    Parameters
    ----------
    graph : GraphModule or Relay
        Traced, canonized, annotated or lowered.
    x : Tensor (batch, ...), or a sequence of them, optional
        The graph's inputs, to balance the books for; needs an annotated graph or a Relay.
    seed : Tensor, shape of the output, optional
        Relevance at the output; default 1 at each sample's largest output.
    tolerance : float, optional
        Share of the relevance that may be missing or leak before the books are off; default 1e-6
        in float64, else 1e-3.

    Returns
    -------
    Report
        Its text is stable: the same graph gives the same report.
    """
    model = graph.model if isinstance(graph, Relay) else graph
    log = [name for name, _ in model.meta.get(REWRITES, ())]
    balance = None if x is None else _balance(model, x, seed, tolerance)
    return Report(_nodes(model), {name: log.count(name) for name in dict.fromkeys(log)}, balance)


def _nodes(model: fx.GraphModule) -> list[Node]:
    return [
        Node(shown_path(node), operator_of(node).name, _rule_text(node), node.meta.get(ROW, "-"))
        for node in signal_calls(model.graph)
        if not picks_part(node)
    ]


def _rule_text(node: fx.Node) -> str:
    if RULE not in node.meta:
        return "-"
    rule = node.meta[RULE]
    return "no rule" if rule is None else getattr(rule, "__name__", None) or str(rule)


def _balance(
    model: fx.GraphModule, x: Any, seed: Tensor | None, tolerance: float | None
) -> Balance:
    program = relay(model, audit=True)
    values = [x] if isinstance(x, Tensor) else list(x)
    with torch.no_grad():
        given = _largest_output(model(*values)) if seed is None else seed
        out = program(*values, given)
    return Balance(
        _per_sample(given),
        {name: _per_sample(r) for name, r in _relevances(program, out).items()},
        {name: _array(r) for name, r in out.sinks.items()},
        {path: {c: _array(r) for c, r in row.items()} for path, row in out.ledger.items()},
        TOLERANCES.get(given.dtype, 1e-3) if tolerance is None else tolerance,
    )


def _relevances(program: Relay, out: Relevance) -> Mapping[str, Tensor]:
    whole = out.relevance
    return {program.explained[0]: whole} if isinstance(whole, Tensor) else whole


def _largest_output(output: Tensor) -> Tensor:
    flat = output.flatten(1)
    return torch.nn.functional.one_hot(flat.argmax(1), flat.shape[1]).to(flat).reshape(output.shape)


def _per_sample(r: Tensor) -> np.ndarray:
    return _array(r.reshape(len(r), -1).sum(1))


def _array(r: Tensor) -> np.ndarray:
    return r.detach().double().cpu().numpy()


def _by_name(dim: str, amounts: Mapping[str, np.ndarray], samples: int) -> dict[str, Any]:
    whole = np.reshape(list(amounts.values()), (len(amounts), samples))
    names = np.array(list(amounts), dtype=str)
    return {dim: (dim, names), f"relevance_at_{dim}": ((dim, schema.SAMPLE), whole)}


def _leaks_text(leaks: Mapping[str, np.ndarray], books: Balance) -> str:
    if not leaks:
        return "leaks: none"
    shown = [f"{path} {books.share(amount):.2%}" for path, amount in list(leaks.items())[:MOST]]
    rest = [f"and {len(leaks) - MOST} more"] if len(leaks) > MOST else []
    return "leaks: " + ", ".join(shown + rest)


def _balance_text(books: Balance) -> str:
    largest = sorted(books.sinks.items(), key=lambda item: -np.abs(item[1]).sum())
    rest = largest[MOST:]
    entries: list[tuple[str, Any]] = [("seed", books.seed)]
    entries += [(f"input {name}", r) for name, r in books.inputs.items()]
    entries += [(f"sink {name}", r) for name, r in largest[:MOST]]
    entries += [(f"{len(rest)} other sinks", sum(r for _, r in rest))] if rest else []
    entries.append(("missing", books.missing))
    rows = [("relevance", "mean", "share")]
    rows += [(name, f"{float(a.mean()):.6g}", f"{books.share(a):.2%}") for name, a in entries]
    return aligned(rows)
