"""The cost pass: rewrite a rule to the fewest calls of its linear operator.

With x⁺ = (x + |x|)/2 and w⁺ = (w + |w|)/2 the terms of a share are a polynomial in the monomials
{x, |x|, ...} × {w, |w|, ...}. Two shares that serve outputs of either sign divide together: what
they have in common is even, what differs is odd and changes sign with the output. So there is one
coefficient per input basis element i, part j and weight basis element k, and a forward or an
adjoint call can serve

- one (i, j): the weights of a part are folded,
- one (i, k): the parts are combined,
- one (j, k): the inputs are combined;

the cheapest grouping wins, and ``op(x; w)`` is the output that the forward pass already has. Parts
of the input that are constant, such as the bounds of z_box, cost next to nothing (`constants`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fxrelay.terms import NONE, Basis, Bound, Form, Rule, Share, W, X


class Part(NamedTuple):
    """The even or the odd part of the denominator of a division."""

    division: int
    odd: bool = False


class Monomial(NamedTuple):
    """Input basis element, part, weight basis element."""

    i: Basis
    j: Part
    k: Basis


Polynomial = dict[Monomial, float]


@dataclass(frozen=True)
class Division:
    """Shares that divide the same relevance: one, or two that serve outputs of either sign."""

    shares: tuple[Share, ...]

    @property
    def share(self) -> Share:
        """What is divided: the gain, and where; a pair serves all outputs."""
        return replace(self.shares[0], where="all") if len(self.shares) > 1 else self.shares[0]

    def coefficient(self, share: int, odd: bool) -> float:
        """Coefficient with which a share enters a part: (up ± down) / 2."""
        return (-1.0 if share and odd else 1.0) / len(self.shares)


@dataclass(frozen=True)
class Product:
    """One call of the operator (or its adjoint): its input, weight and bias, and what it serves.

    `parts` has the coefficient with which the call enters each part.
    """

    input: Form
    weight: Form
    parts: tuple[tuple[Part, float], ...]
    bias: Form = NONE


@dataclass(frozen=True)
class Plan:
    """The operator calls of one rule at one place.

    Attributes
    ----------
    divisions : tuple of Division
        What is divided, each by a denominator of its own.
    reuse : mapping of Part to float
        The coefficient of ``op(x; w)``, bias included, which the forward pass has.
    forwards, adjoints : tuple of Product
        Calls of the operator, and of its transpose, gains included.
    constants : mapping of Part to Polynomial
        Products of constant inputs, to be added to each part.
    biases : mapping of Part to Form
        What of the bias no call brings in.
    differences : frozenset of Part
        Sums that are differences such as ``(z - op(|x|; |w|))/2``: they can be as small as they
        like, while their rounding is that of what they are the difference of.
    """

    divisions: tuple[Division, ...]
    forwards: tuple[Product, ...]
    adjoints: tuple[Product, ...]
    reuse: Mapping[Part, float] = field(default_factory=dict)
    constants: Mapping[Part, Polynomial] = field(default_factory=dict)
    biases: Mapping[Part, Form] = field(default_factory=dict)
    differences: frozenset[Part] = frozenset()

    @property
    def parts(self) -> list[Part]:
        """Every part that something is added to."""
        served = [j for p in (*self.forwards, *self.adjoints) for j, _ in p.parts]
        return list(dict.fromkeys([*self.reuse, *served, *self.constants, *self.biases]))


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
    divisions = _divisions(served)
    poly = _expand(divisions, nonnegative)
    reuse, forwards, differences = _forwards(
        {m: c for m, c in poly.items() if not is_constant(m.i)}
    )
    if few_taps and differences:
        return split(replace(rule, shares=served))
    lacking = {j: form - reuse.get(j, 0.0) * W for j, form in _biases(rule, divisions).items()}
    forwards, biases = _with_biases(forwards, {j: form for j, form in lacking.items() if form})
    given = {m: c * divisions[m.j.division].share.gain for m, c in poly.items()}
    adjoints = _fewest(_fold_weights(given), _combine_parts(given), _combine_inputs(given))
    constants: dict[Part, Polynomial] = {}
    for m, c in poly.items():
        if is_constant(m.i):
            constants.setdefault(m.j, {})[m] = c
    return Plan(
        divisions, tuple(forwards), tuple(map(_monic, adjoints)), reuse, constants, biases,
        differences,
    )  # fmt: skip


def split(rule: Rule) -> Plan:
    """Return the plan that follows the definition, term by term: the reference mode."""
    divisions = tuple(Division((share,)) for share in rule.shares)
    terms = [
        (j, term)
        for j, share in enumerate(rule.shares)
        for term in share.terms
        if term.input and term.weight
    ]
    forwards = tuple(Product(t.input, t.weight, ((Part(j), 1.0),)) for j, t in terms)
    adjoints = tuple(
        replace(p, parts=((p.parts[0][0], rule.shares[j].gain),))
        for p, (j, _) in zip(forwards, terms, strict=True)
    )
    biases = {j: form for j, form in _biases(rule, divisions).items() if form}
    return Plan(divisions, forwards, adjoints, biases=biases)


def weights_at_one(plan: Plan) -> Plan:
    """Return the plan of an operator whose weights are fixed: the inputs take their factors."""

    def moved(p: Product) -> Product:
        return Product(p.weight.get("w") * p.input, W, p.parts)

    forwards, adjoints = (tuple(map(moved, calls)) for calls in (plan.forwards, plan.adjoints))
    return replace(plan, forwards=forwards, adjoints=adjoints)


def is_constant(key: Basis) -> bool:
    """Whether an input basis element does not depend on the input."""
    return isinstance(key, Bound) or key == "1"


def _divisions(shares: tuple[Share, ...]) -> tuple[Division, ...]:
    waiting, divisions = list(shares), []
    while waiting:
        share = waiting.pop(0)
        other = {"positive": "negative", "negative": "positive"}.get(share.where)
        pair = next((s for s in waiting if s.where == other and s.gain == share.gain), None)
        if pair is not None:
            waiting.remove(pair)
            share, pair = sorted((share, pair), key=lambda s: s.where, reverse=True)
        divisions.append(Division((share,) if pair is None else (share, pair)))
    return tuple(divisions)


def _expand(divisions: tuple[Division, ...], nonnegative: bool) -> Polynomial:
    poly: Polynomial = {}
    for j, odd, scale, share in _shares(divisions):
        for term in share.terms:
            for i, a in term.input.coefficients:
                key = "x" if nonnegative and i == "|x|" else i
                for k, c in term.weight.coefficients:
                    m = Monomial(key, Part(j, odd), k)
                    poly[m] = poly.get(m, 0.0) + scale * a * c
    return {m: c for m, c in poly.items() if c}


def _shares(divisions: tuple[Division, ...]) -> list[tuple[int, bool, float, Share]]:
    return [
        (j, odd, division.coefficient(n, odd), share)
        for j, division in enumerate(divisions)
        for odd in (False, True)[: len(division.shares)]
        for n, share in enumerate(division.shares)
    ]


def _biases(rule: Rule, divisions: tuple[Division, ...]) -> dict[Part, Form]:
    found: dict[Part, Form] = {}
    for j, odd, scale, share in _shares(divisions):
        form = share.bias if rule.bias == "absorb" else NONE
        found[Part(j, odd)] = found.get(Part(j, odd), NONE) + scale * form
    return found


def bias_of(rule: Rule, division: Division) -> tuple[Form, Form]:
    """Return the bias's even and odd part in a division."""
    found = _biases(rule, (division,))
    return found[Part(0)], found.get(Part(0, True), NONE)


def _forwards(poly: Polynomial) -> tuple[dict[Part, float], list[Product], frozenset[Part]]:
    """Return the coefficients of the known output, the calls for the rest, and differences."""
    whole = _fold_weights(poly)
    rest = _complement(poly)
    if rest and [p.parts[0][0] for p in whole].count(rest[0]) == 1:
        first, second, c = rest
        call = next(p for p in whole if p.parts[0][0] == first)
        calls = [replace(call, parts=((first, 1.0), (second, -1.0)))]
        return {second: c}, calls, frozenset({second})
    reuse, calls = _grouped(poly, whole)
    return reuse, calls, frozenset(j for j, c in reuse.items() if _cancels(poly, j, c))


def _complement(poly: Polynomial) -> tuple[Part, Part, float] | None:
    """Return two parts that sum to a multiple of the known output, such as z⁺ and z⁻."""
    parts = list(dict.fromkeys(m.j for m in poly))
    if len(parts) != 2:
        return None
    sums: dict[tuple[Basis, Basis], float] = {}
    for m, c in poly.items():
        sums[m.i, m.k] = sums.get((m.i, m.k), 0.0) + c
    left = {key: c for key, c in sums.items() if c}
    return (parts[0], parts[1], left["x", "w"]) if list(left) == [("x", "w")] else None


def _grouped(poly: Polynomial, whole: list[Product]) -> tuple[dict[Part, float], list[Product]]:
    parts = dict.fromkeys(m.j for m in poly)
    rest = {m: c for m, c in poly.items() if (m.i, m.k) != ("x", "w")}
    others = _fewest(_combine_parts(rest), _combine_inputs(rest))
    folded = [p for p in whole if not _is_output(p)]
    if len(folded) <= len(others):
        known = {p.parts[0][0]: p.weight.get("w") for p in whole if _is_output(p)}
    else:
        known = {m.j: c for m, c in poly.items() if (m.i, m.k) == ("x", "w")}
    calls = folded if len(folded) <= len(others) else others
    return {j: known[j] for j in parts if j in known}, list(map(_monic, calls))


def _with_biases(
    calls: list[Product], lacking: dict[Part, Form]
) -> tuple[list[Product], dict[Part, Form]]:
    """Let calls bring in the biases that their parts lack, where one bias fits all of them."""
    done: list[Product] = []
    for call in calls:
        (first, _), *_ = call.parts
        fits = first in lacking and all(lacking.get(j) == c * lacking[first] for j, c in call.parts)
        if fits:
            call = replace(call, bias=lacking[first])
            lacking = {j: form for j, form in lacking.items() if j not in dict(call.parts)}
        done.append(call)
    return done, lacking


def _monic(p: Product) -> Product:
    """Let the weight take the coefficient of the first part."""
    scale = p.parts[0][1]
    return replace(p, weight=scale * p.weight, parts=tuple((j, c / scale) for j, c in p.parts))


def _fewest(*groupings: list[Product]) -> list[Product]:
    return min(groupings, key=len)


def _is_output(p: Product) -> bool:
    """Whether the product is a multiple of the output that the forward pass has."""
    return p.input == X and {key for key, _ in p.weight.coefficients} == {"w"}


def _fold_weights(poly: Polynomial) -> list[Product]:
    return [
        Product(
            Form.of({i: 1}),
            Form.of({m.k: c for m, c in poly.items() if (m.i, m.j) == (i, j)}),
            ((j, 1.0),),
        )
        for i, j in dict.fromkeys((m.i, m.j) for m in poly)
    ]


def _combine_parts(poly: Polynomial) -> list[Product]:
    return [
        Product(
            Form.of({i: 1}),
            Form.of({k: 1}),
            tuple((m.j, c) for m, c in poly.items() if (m.i, m.k) == (i, k)),
        )
        for i, k in dict.fromkeys((m.i, m.k) for m in poly)
    ]


def _combine_inputs(poly: Polynomial) -> list[Product]:
    return [
        Product(
            Form.of({m.i: c for m, c in poly.items() if (m.j, m.k) == (j, k)}),
            Form.of({k: 1}),
            ((j, 1.0),),
        )
        for j, k in dict.fromkeys((m.j, m.k) for m in poly)
    ]


def _cancels(poly: Polynomial, j: Part, reuse: float) -> bool:
    r"""Whether the part's \|w\| terms can take all of its output's part away."""
    return any(m.j == j and m.k == "|w|" and abs(c) == abs(reuse) for m, c in poly.items())


def vanishes_at_zero(rule: Rule) -> bool:
    r"""Whether an input of zero gets nothing: terms have x or \|x\|, and none is spread."""
    parts = {key for s in rule.shares for t in s.terms for key, _ in t.input.coefficients}
    return parts <= {"x", "|x|"} and not rule.stabilizer.spread
