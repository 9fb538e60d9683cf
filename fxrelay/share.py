"""Write a rule that is data into the program: denominators, quotients, adjoints, sinks."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Proxy

from fxrelay import algebra, forms, kernels
from fxrelay.algebra import Division, Part, Plan
from fxrelay.site import Linear, Site
from fxrelay.terms import Form, Rule, Share, Stabilizer, Term

#: fewer products than this in one output, and a difference of sums may lose its digits
FEW_TAPS = 16

#: how relevance is spread where nothing contributed; its denominators are counts, so it keeps none
FLAT = Rule((Share((Term(Form.of({"1": 1}), Form.of({"1": 1})),)),), Stabilizer(0.0), name="flat")

GATES: dict[str, Callable[..., Any]] = {
    "positive": kernels.where_positive,
    "negative": kernels.where_negative,
}


def of_linear(site: Site, rule: Rule, relevance: Proxy, *, reference: bool) -> Proxy:
    """Relevance of a linear operator's input.

    With `reference` the rule is followed term by term, without the cost pass.
    """
    op = site.linear()
    if op.weight is None:
        rule = _unweighted(rule)
    plan = algebra.split(rule) if reference else algebra.plan(
        rule, nonnegative=site.nonnegative, positive=site.positive, few_taps=op.taps < FEW_TAPS
    )  # fmt: skip
    if op.weight is None:
        plan = algebra.weights_at_one(plan)
    calls = _Calls(site, op, plan)
    quotients: dict[Part, Any] = {}
    missed = []
    for j, division in enumerate(plan.divisions):
        even, odd = Part(j), Part(j, True)
        sign = site.call(kernels.sign, site.output) if odd in plan.parts else None
        d = _signed_sum(site, calls.sum(even), calls.sum(odd), sign)
        rounded = even in plan.differences
        s = quotient(site, rule, division.share, d, relevance, rounded=rounded)
        quotients |= {even: s} if sign is None else {even: s, odd: s * sign}
        _book_bias(site, rule, division, op.bias, [s, quotients.get(odd)])
        missed.append(unserved(site, division.share, d, relevance))
    total = calls.pulled(quotients)
    if not spreads(site, rule):
        return total
    return total + of_linear(site, FLAT, forms.summed(missed), reference=reference)


class _Calls:
    """What a plan calls: the operator with other inputs and weights, and its transpose."""

    def __init__(self, site: Site, op: Linear, plan: Plan) -> None:
        self.site, self.op, self.plan, self.x = site, op, plan, site.inputs[0]
        self.inputs = forms.of_input(site, self.x)
        self.weights = forms.of_weight(site, op.weight)
        self.biases = forms.of_weight(site, op.bias)
        self._values: dict[int, Any] = {}

    def sum(self, part: Part) -> Any:
        """Return a part of a denominator; None where there is nothing in it."""
        plan, terms = self.plan, []
        for n, p in enumerate(plan.forwards):
            if part in dict(p.parts):
                if n not in self._values:
                    self._values[n] = self._forward(p.input, p.weight, p.bias)
                terms.append((dict(p.parts)[part], self._values[n]))
        if part in plan.constants:
            terms.append((1.0, self._constant(plan.constants[part])))
        if part in plan.biases and self.op.bias is not None:
            terms.append((1.0, self.biases(plan.biases[part])))
        reuse = plan.reuse.get(part, 0.0)
        if part in plan.differences:
            scales, others = zip(*terms, strict=True)
            parts = self.site.output, *others
            return self.site.call(kernels.difference, [reuse, *scales], *parts)
        return forms.combined(self.site, [*([(reuse, self.site.output)] if reuse else []), *terms])

    def _forward(self, form: Form, weight: Form, bias: Form) -> Any:
        added = self.biases(bias) if self.op.bias is not None and bias else None
        uniform = self._uniform(weight)
        if uniform is not None:
            return uniform.apply(self.inputs(form), weight.get("1"), added)
        return self.op.apply(self.inputs(form), self.weights(weight), added)

    def _constant(self, poly: algebra.Polynomial) -> Any:
        """Sum of the products of constant inputs, which are the same for every sample."""
        products = [(Form.of({m.i: c}), Form.of({m.k: 1})) for m, c in poly.items()]
        if self.op.constant is None or self._uniform(products[0][1]) is not None:
            return forms.summed(self._forward(form, w, Form()) for form, w in products)
        values = [
            (forms.bound(self.site, m.i) if isinstance(m.i, algebra.Bound) else 1.0, c,
             self.weights(Form.of({m.k: 1})))
            for m, c in poly.items()
        ]  # fmt: skip
        return self.op.constant(values, self.x)

    def _uniform(self, weight: Form) -> Linear | None:
        return self.op.uniform if weight.get("1") and len(weight.coefficients) == 1 else None

    def pulled(self, quotients: dict[Part, Any]) -> Any:
        """Return the relevance: each adjoint of the quotients it serves, times its input."""
        total: Any = None
        for p in self.plan.adjoints:
            s = forms.combined(self.site, [(c, quotients[j]) for j, c in p.parts])
            uniform = self._uniform(p.weight)
            if uniform is not None:
                amount = uniform.pull(s, p.weight.get("1"), self.x)
            else:
                amount = self.op.pull(s, self.weights(p.weight), self.x)
            if p.input == Form.of({"1": 1}):
                total = amount if total is None else total + amount
            elif total is None:
                total = self.inputs(p.input) * amount
            else:
                total = self.site.call(torch.addcmul, total, self.inputs(p.input), amount)
        return total


def _signed_sum(site: Site, even: Any, odd: Any, sign: Any) -> Any:
    if odd is None:
        return even if even is not None else site.call(torch.zeros_like, site.output)
    return sign * odd if even is None else site.call(torch.addcmul, even, sign, odd)


def _gated(site: Site, share: Share, relevance: Any) -> Any:
    """Relevance that a share divides; a gate that lets all pass is left out."""
    gate = None if site.positive and share.where == "positive" else GATES.get(share.where)
    return site.call(gate, relevance, site.output) if gate else relevance


def unserved(site: Site, share: Share, d: Any, relevance: Any) -> Any:
    """Relevance at outputs to which nothing contributed."""
    return forms.scaled(site.call(kernels.unserved, _gated(site, share, relevance), d), share.gain)


def spreads(site: Site, rule: Rule) -> bool:
    """Whether relevance that nothing contributed to is spread instead of booked."""
    return rule.stabilizer.spread and not site.operator.mixed


def _book_bias(site: Site, rule: Rule, division: Division, bias: Any, s: list[Any]) -> None:
    """Book what the bias takes of a quotient's even and odd part."""
    if bias is None or not site.program.sinks_wanted:
        return
    values = forms.of_weight(site, bias)
    for form, quotient in zip(algebra.bias_of(rule, division), s, strict=True):
        if form:
            site.book(f"{site.name}.bias", quotient * values(form), division.share.gain)


def quotient(
    site: Site, rule: Rule, share: Share, d: Any, relevance: Any, *, rounded: bool = False
) -> Any:
    """Write ``relevance / st(d)`` where the share serves, without its gain; book what is kept.

    With `rounded` the quotient is 0 where `d` is: what is pulled then would be rounding.
    """
    stable = rule.stabilizer
    options = [stable.epsilon, stable.clip, stable.norm_scale]
    while options and options[-1] is False:
        options.pop()
    st: Any = site.call(kernels.stabilize, d, *options)
    gated = _gated(site, share, relevance)
    spread = spreads(site, rule)
    s = site.call(kernels.served, gated, st, d) if spread or rounded else gated / st
    if site.program.sinks_wanted:
        whole = site.call(torch.broadcast_to, d, gated.shape)
        if not spread:
            site.book("undistributed", site.call(kernels.unserved, gated, whole), share.gain)
        site.book("stabilizer", site.call(kernels.absorbed, s, whole, st), share.gain)
    return s


def _unweighted(rule: Rule) -> Rule:
    """Return the rule for an operator whose weights are fixed, equal within an output and > 0.

    There ``w = |w|``, and w² or 1 differ from w by a factor that the denominator cancels.
    """
    shares = tuple(
        Share(tuple(_unweighted_term(t) for t in s.terms), s.gain, s.where) for s in rule.shares
    )
    return Rule(shares, rule.stabilizer, "zero", rule.name)


def _unweighted_term(term: Term) -> Term:
    factor = sum(c for _, c in term.weight.coefficients)
    return Term(term.input, Form.of({"w": factor}))
