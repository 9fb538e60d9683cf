"""Which nodes a row of a composite means: by operator, by name, by position, by any predicate."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import fx

from fxrelay.facts import signal_calls
from fxrelay.meta import PATH
from fxrelay.operators import OPERATORS, operator_of

#: every word that ``ops`` knows
WORDS = frozenset(word for row in OPERATORS for word in (row.name, *row.words)) | {"unknown"}


@dataclass(frozen=True)
class Selector:
    """A printable choice of nodes.

    Attributes
    ----------
    text : str
        How reports print it.
    choose : callable
        Graph to set of nodes.
    required : bool
        Whether choosing nothing is an error: a name that is not there is a typing error, an
        operator that the model does not use is not.
    """

    text: str
    choose: Callable[[fx.Graph], set[fx.Node]]
    required: bool = False

    def __str__(self) -> str:
        return self.text


def ops(*words: str) -> Selector:
    """Select by operator: "conv", "dense", "linear" (both), "activation", "pool", "add", ...

    Raises
    ------
    ValueError
        For words that no row of ``OPERATORS`` has.
    """
    unknown = sorted(set(words) - WORDS)
    if unknown or not words:
        raise ValueError(
            f"ops: needs words of the operator table; got {unknown or 'none'}. "
            f"Known are {', '.join(sorted(WORDS))}."
        )

    def choose(graph: fx.Graph) -> set[fx.Node]:
        calls = signal_calls(graph)
        return {n for n in calls if any(operator_of(n).selected_by(w) for w in words)}

    return Selector(f"ops({', '.join(words)})", choose)


def named(*globs: str) -> Selector:
    """Select by path: ``named("layer1.*", "fc")``; shell wildcards, case-sensitive."""

    def choose(graph: fx.Graph) -> set[fx.Node]:
        calls = signal_calls(graph)
        return {n for n in calls if any(fnmatchcase(str(n.meta[PATH]), g) for g in globs)}

    return Selector(f"named({', '.join(globs)})", choose, required=True)


def where(predicate: Callable[[fx.Node], bool]) -> Selector:
    """Select the nodes for which `predicate` holds."""
    name = getattr(predicate, "__name__", repr(predicate))

    def choose(graph: fx.Graph) -> set[fx.Node]:
        return {n for n in signal_calls(graph) if predicate(n)}

    return Selector(f"where({name})", choose, required=True)


def everything() -> Selector:
    """Select every node."""
    return Selector("everything", lambda graph: set(signal_calls(graph)))


def _selector(choice: Selector | str) -> Selector:
    return ops(choice) if isinstance(choice, str) else choice


def first(choice: Selector | str) -> Selector:
    """Select those of `choice` that no other comes before, on the way from the input."""
    inner = _selector(choice)

    def choose(graph: fx.Graph) -> set[fx.Node]:
        return _frontier(inner.choose(graph), lambda n: n.all_input_nodes, graph.nodes)

    return Selector(f"first({inner})", choose, inner.required)


def last(choice: Selector | str) -> Selector:
    """Select those of `choice` that no other comes after, on the way to the output."""
    inner = _selector(choice)

    def choose(graph: fx.Graph) -> set[fx.Node]:
        return _frontier(inner.choose(graph), lambda n: n.users, reversed(graph.nodes))

    return Selector(f"last({inner})", choose, inner.required)


def between(choice: Selector | str, start: int, stop: int | None = None) -> Selector:
    """Select a range of `choice` in order of execution: ``between("conv", 0, 4)``, as in slices."""
    inner = _selector(choice)

    def choose(graph: fx.Graph) -> set[fx.Node]:
        chosen = inner.choose(graph)
        return set([n for n in graph.nodes if n in chosen][start:stop])

    return Selector(f"between({inner}, {start}, {stop})", choose, inner.required)


def _frontier(
    chosen: set[fx.Node],
    neighbours: Callable[[fx.Node], Iterable[fx.Node]],
    order: Iterable[fx.Node],
) -> set[fx.Node]:
    behind: set[fx.Node] = set()
    for node in order:
        if any(n in behind or n in chosen for n in neighbours(node)):
            behind.add(node)
    return chosen - behind
