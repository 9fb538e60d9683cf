"""The cost pass: rewrite a rule to the fewest calls of its linear operator.

With x⁺ = (x + |x|)/2 and w⁺ = (w + |w|)/2 the terms of a share are a polynomial in the monomials
{x, |x|, ...} × {w, |w|, ...}: one coefficient per input basis element i, share j and weight basis
element k. A forward or an adjoint call can serve

- one (i, j): the weights of a share are folded,
- one (i, k): the shares are combined,
- one (j, k): the inputs are combined;

the cheapest grouping wins, and ``op(x; w)`` is the output that the forward pass already has.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from fxrelay.terms import Basis, Form, Rule, Share, W, X


class Monomial(NamedTuple):
    """Input basis element, number of the share, weight basis element."""

    i: Basis
    j: int
    k: Basis


Polynomial = dict[Monomial, float]


@dataclass(frozen=True)
class Product:
    """One call of the operator (or its adjoint): its input, its weight, and what it serves.

    `shares` maps the number of a share to the coefficient with which the call enters it.
    """

    input: Form
    weight: Form
    shares: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Plan:
    """The operator calls of one rule at one place.

    `reuse` holds per share the coefficient of ``op(x; w)``, which the forward pass has;
    `differences` says which shares' sums are differences such as ``(z - op(|x|; |w|))/2``: they
    are as small as they like, and their rounding is that of what they are the difference of.
    """

    shares: tuple[Share, ...]
    reuse: tuple[float, ...]
    forwards: tuple[Product, ...]
    adjoints: tuple[Product, ...]
    differences: tuple[bool, ...]


def plan(
    rule: Rule, *, nonnegative: bool = False, positive: bool = False, few_taps: bool = False
) -> Plan:
    r"""Return the cheapest plan for `rule`.

    Parameters
    ----------
    rule : Rule
        Any rule, a user's included.
    nonnegative : bool
        The input is known to be >= 0, so \|x\| = x.
    positive : bool
        Relevance can sit only on outputs > 0, so shares for negative outputs vanish.
    few_taps : bool
        So few contributions meet in one output that a difference of sums often loses its digits:
        rules that need one then keep their split form.
    """
    served = tuple(s for s in rule.shares if not (positive and s.where == "negative"))
    cheap = _cheapest(served, _expand(served, nonnegative))
    return split(replace(rule, shares=served)) if few_taps and any(cheap.differences) else cheap


def split(rule: Rule) -> Plan:
    """Return the plan that follows the definition, term by term: the reference mode."""
    products = tuple(
        Product(term.input, term.weight, ((j, 1.0),))
        for j, share in enumerate(rule.shares)
        for term in share.terms
        if term.input and term.weight
    )
    n = len(rule.shares)
    return Plan(rule.shares, (0.0,) * n, products, products, (False,) * n)


def weights_at_one(plan: Plan) -> Plan:
    """Return the plan of an operator whose weights are fixed: the inputs take their factors."""

    def moved(p: Product) -> Product:
        return Product(p.weight.get("w") * p.input, W, p.shares)

    forwards, adjoints = (tuple(map(moved, calls)) for calls in (plan.forwards, plan.adjoints))
    return replace(plan, forwards=forwards, adjoints=adjoints)


def _cheapest(shares: tuple[Share, ...], poly: Polynomial) -> Plan:
    groupings = (_fold_weights(poly), _combine_shares(poly), _combine_inputs(poly))
    rest = {m: c for m, c in poly.items() if (m.i, m.k) != ("x", "w")}
    folded = [p for p in groupings[0] if not _is_output(p)]
    others = _fewest(_combine_shares(rest), _combine_inputs(rest))
    if len(folded) <= len(others):
        known = {p.shares[0][0]: p.weight.get("w") for p in groupings[0] if _is_output(p)}
    else:
        known = {m.j: c for m, c in poly.items() if (m.i, m.k) == ("x", "w")}
    reuse = tuple(known.get(j, 0.0) for j in range(len(shares)))
    forwards = folded if len(folded) <= len(others) else others
    differences = tuple(bool(c) and _cancels(poly, j, c) for j, c in enumerate(reuse))
    return Plan(shares, reuse, tuple(forwards), tuple(_fewest(*groupings)), differences)


def _fewest(*groupings: list[Product]) -> list[Product]:
    return min(groupings, key=lambda products: len(products))


def _is_output(p: Product) -> bool:
    """Whether the product is a multiple of the output that the forward pass has."""
    return p.input == X and {key for key, _ in p.weight.coefficients} == {"w"}


def _expand(shares: Iterable[Share], nonnegative: bool) -> Polynomial:
    poly: Polynomial = {}
    for j, share in enumerate(shares):
        for term in share.terms:
            for i, a in term.input.coefficients:
                key = "x" if nonnegative and i == "|x|" else i
                for k, c in term.weight.coefficients:
                    m = Monomial(key, j, k)
                    poly[m] = poly.get(m, 0.0) + a * c
    return {m: c for m, c in poly.items() if c}


def _fold_weights(poly: Polynomial) -> list[Product]:
    pairs = dict.fromkeys((m.i, m.j) for m in poly)
    return [
        Product(
            Form.of({i: 1}),
            Form.of({m.k: c for m, c in poly.items() if (m.i, m.j) == (i, j)}),
            ((j, 1.0),),
        )
        for i, j in pairs
    ]


def _combine_shares(poly: Polynomial) -> list[Product]:
    pairs = dict.fromkeys((m.i, m.k) for m in poly)
    return [
        Product(
            Form.of({i: 1}),
            Form.of({k: 1}),
            tuple((m.j, c) for m, c in poly.items() if (m.i, m.k) == (i, k)),
        )
        for i, k in pairs
    ]


def _combine_inputs(poly: Polynomial) -> list[Product]:
    pairs = dict.fromkeys((m.j, m.k) for m in poly)
    return [
        Product(
            Form.of({m.i: c for m, c in poly.items() if (m.j, m.k) == (j, k)}),
            Form.of({k: 1}),
            ((j, 1.0),),
        )
        for j, k in pairs
    ]


def _cancels(poly: Polynomial, j: int, reuse: float) -> bool:
    r"""Whether the share's \|w\| part can take all of its output's part away."""
    return any(m.j == j and m.k == "|w|" and abs(c) == abs(reuse) for m, c in poly.items())


def vanishes_at_zero(rule: Rule) -> bool:
    r"""Whether an input of zero gets no relevance: every term is proportional to x or \|x\|."""
    parts = {key for s in rule.shares for t in s.terms for key, _ in t.input.coefficients}
    return parts <= {"x", "|x|"}
