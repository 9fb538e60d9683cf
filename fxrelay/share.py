"""Write a rule that is data into the program: denominators, quotients, adjoints, sinks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Proxy

from fxrelay import algebra, kernels
from fxrelay.roles import carries_signal
from fxrelay.site import Linear, Site
from fxrelay.terms import (
    W_NEGATIVE,
    W_POSITIVE,
    X_NEGATIVE,
    X_POSITIVE,
    Basis,
    Bound,
    Form,
    Rule,
    Share,
    Stabilizer,
    Term,
    W,
)

#: fewer products than this in one output, and a difference of sums may lose its digits
FEW_TAPS = 16

#: how relevance is spread where nothing contributed; its denominators are counts, so it keeps none
FLAT = Rule((Share((Term(Form.of({"1": 1}), Form.of({"1": 1})),)),), Stabilizer(0.0), name="flat")

GATES: dict[str, Callable[..., Any]] = {
    "positive": kernels.where_positive,
    "negative": kernels.where_negative,
}


@dataclass
class Evaluate:
    """Forms as program values; basis elements that are asked for twice merge later."""

    site: Site
    value: Any
    basis: Callable[[Basis], Any]

    def __call__(self, form: Form) -> Any:
        """Return the linear combination; None for the empty one."""
        if form in (X_POSITIVE, W_POSITIVE):
            return self.site.call(torch.clamp, self.value, min=0)
        if form in (X_NEGATIVE, W_NEGATIVE):
            return self.site.call(torch.clamp, self.value, max=0)
        parts = [_scaled(self.basis(key), c) for key, c in form.coefficients]
        return _sum(parts)


def _scaled(value: Any, coefficient: float) -> Any:
    return value if coefficient == 1 else value * coefficient


def _sum(parts: list[Any]) -> Any:
    total = None
    for part in parts:
        total = part if total is None else total + part
    return total


def of_linear(site: Site, rule: Rule, relevance: Proxy, *, reference: bool) -> Proxy:
    """Relevance of a linear operator's input.

    With `reference` the rule is followed term by term, without the cost pass.
    """
    op = site.linear()
    x = site.inputs[0]
    if op.weight is None:
        rule = _unweighted(rule)
    plan = algebra.split(rule) if reference else algebra.plan(
        rule, nonnegative=site.nonnegative, positive=site.positive, few_taps=op.taps < FEW_TAPS
    )  # fmt: skip
    if op.weight is None:
        plan = algebra.weights_at_one(plan)
    inputs = Evaluate(site, x, _input_basis(site, x))
    weights = Evaluate(site, op.weight, _weight_basis(site, op.weight))
    products = [(op.apply(inputs(p.input), weights(p.weight)), p.shares) for p in plan.forwards]
    denominators = [
        _denominator(site, op, rule, plan, j, products) for j in range(len(plan.shares))
    ]
    quotients = [
        quotient(site, rule, share, d, relevance, served_only=difference)
        for share, d, difference in zip(plan.shares, denominators, plan.differences, strict=True)
    ]
    pulled = [
        _times(
            inputs(p.input) if p.input != Form.of({"1": 1}) else None,
            op.pull(_sum([_scaled(quotients[j], c) for j, c in p.shares]), weights(p.weight), x),
        )
        for p in plan.adjoints
    ]
    missed = _unserved(site, rule, plan.shares, denominators, relevance)
    if missed is not None:
        pulled.append(of_linear(site, FLAT, missed, reference=reference))
    return _sum(pulled)


def _unserved(
    site: Site, rule: Rule, shares: Sequence[Share], denominators: list[Any], relevance: Any
) -> Any:
    """Relevance to spread: at outputs to which nothing contributed; None where it is booked."""
    if not rule.stabilizer.spread or site.operator.mixed:
        return None
    return _sum([
        site.call(kernels.unserved, _gated(site, share, relevance), d)
        for share, d in zip(shares, denominators, strict=True)
    ])  # fmt: skip


def _gated(site: Site, share: Share, relevance: Any) -> Any:
    """Relevance that a share divides."""
    gate = GATES.get(share.where)
    gated = site.call(gate, relevance, site.output) if gate else relevance
    return _scaled(gated, share.gain)


def _times(value: Any, pulled: Proxy) -> Proxy:
    return pulled if value is None else value * pulled


def _denominator(
    site: Site, op: Linear, rule: Rule, plan: algebra.Plan, j: int, products: list[Any]
) -> Any:
    reuse, share = plan.reuse[j], plan.shares[j]
    parts = [_scaled(site.output, reuse)] if reuse else []
    parts += [_scaled(value, c) for value, shares in products for k, c in shares if k == j]
    bias = share.bias if rule.bias == "absorb" else Form()
    left = bias - reuse * W  # the reused output has the whole bias in it
    if op.bias is not None and left:
        parts.append(Evaluate(site, op.bias, _weight_basis(site, op.bias))(left))
    if plan.differences[j]:
        return site.call(kernels.difference, *parts)
    return _sum(parts) if parts else site.call(torch.zeros_like, site.output)


def quotient(
    site: Site, rule: Rule, share: Share, d: Any, relevance: Any, *, served_only: bool = False
) -> Any:
    """Write ``relevance / st(d)`` as a share of the rule takes it; what is kept is booked.

    With `served_only` the quotient is 0 where d is: what is pulled then would be rounding.
    """
    stable = rule.stabilizer
    options = [stable.epsilon, stable.clip, stable.norm_scale]
    while options and options[-1] is False:
        options.pop()
    st: Any = site.call(kernels.stabilize, d, *options)
    gated = _gated(site, share, relevance)
    spread = stable.spread and not site.operator.mixed
    s = (site.call(kernels.served, gated, d) if spread or served_only else gated) / st
    if site.program.sinks_wanted:
        if not spread:
            whole = site.call(torch.broadcast_to, d, gated.shape)
            site.book("undistributed", site.call(kernels.unserved, gated, whole))
        _book(site, rule, share, s, d, st)
    return s


def _book(site: Site, rule: Rule, share: Share, s: Any, d: Any, st: Proxy) -> None:
    bias = site.linear().bias if site.operator.linear else None
    if bias is not None and rule.bias == "absorb" and share.bias:
        kept = Evaluate(site, bias, _weight_basis(site, bias))(share.bias)
        site.book(f"{site.name}.bias", s * kept)
    whole = site.call(torch.broadcast_to, d, s.shape)
    site.book("stabilizer", site.call(kernels.absorbed, s, whole, st))


def _input_basis(site: Site, x: Proxy) -> Callable[[Basis], Any]:
    def basis(key: Basis) -> Any:
        if isinstance(key, Bound):
            value = site.program.constant(key.name, key.value)
            return site.call(kernels.bound_of, value, x)
        return {
            "x": lambda: x,
            "|x|": lambda: site.call(torch.abs, x),
            "1": lambda: site.call(kernels.ones_of, x),
        }[key]()

    return basis


def _weight_basis(site: Site, w: Proxy | None) -> Callable[[Basis], Any]:
    def basis(key: Basis) -> Any:
        return {
            "w": lambda: w,
            "|w|": lambda: site.call(torch.abs, w),
            "w2": lambda: site.call(torch.square, w),
            "1": lambda: site.call(torch.ones_like, w),
        }[str(key)]()

    return basis


def _unweighted(rule: Rule) -> Rule:
    """Return the rule for an operator whose weights are fixed, equal within an output and > 0.

    There ``w = |w|``, and w² or 1 differ from w by a factor that the denominator cancels.
    """
    shares = tuple(
        Share(tuple(_unweighted_term(t) for t in s.terms), s.gain, s.where) for s in rule.shares
    )
    return Rule(shares, rule.stabilizer, "zero", rule.name)


def _unweighted_term(term: Any) -> Any:
    factor = sum(c for _, c in term.weight.coefficients)
    return type(term)(term.input, Form.of({"w": factor}))


def of_sum(site: Site, rule: Rule, relevance: Proxy) -> list[Proxy]:
    """Relevance of the operands of ``a + b`` or ``a - b``: linear with weights 1 and -1.

    A number among the operands gets its share too, booked as the sink of the site.
    """
    signs = [1.0, -1.0 if site.node.target is torch.sub else 1.0]
    operands = list(site.args[:2])
    carried = zip(site.carriers, site.inputs, strict=True)
    constants = [x for node, x in carried if not carries_signal(node)]
    given: list[list[Any]] = [[] for _ in operands]
    denominators = []
    for share in rule.shares:
        parts = [_contribution(site, share, x, w) for x, w in zip(operands, signs, strict=True)]
        denominators.append(_sum(parts))
        s = quotient(site, rule, share, denominators[-1], relevance)
        for x, amounts, part in zip(operands, given, parts, strict=True):
            fixed = any(x is c for c in constants)
            amounts.append(site.call(kernels.part_of, s, part) if fixed else part * s)
    missed = _unserved(site, rule, rule.shares, denominators, relevance)
    if missed is not None:
        for amounts in given:
            amounts.append(missed / len(operands))
    shaped: list[Proxy] = []
    for x, amounts in zip(operands, given, strict=True):
        if any(x is carrier for carrier in site.inputs):
            shaped.append(site.fitted(_sum(amounts), len(shaped)))
        elif site.program.sinks_wanted:
            site.book(f"{site.name}.constant", _sum(amounts))
    return shaped


def _contribution(site: Site, share: Share, x: Any, sign: float) -> Any:
    """Sum of the terms' products for one operand, with the sign as its weight."""
    weight = {"w": sign, "|w|": 1.0, "w2": 1.0, "1": 1.0}
    total = Form()
    for term in share.terms:
        factor = sum(c * weight[str(k)] for k, c in term.weight.coefficients)
        total = total + factor * term.input
    if not isinstance(x, Proxy):
        values = {"x": x, "|x|": abs(x), "1": 1.0}
        return sum(c * values[str(k)] for k, c in total.coefficients)
    value: Any = x
    if not total:
        return value * 0.0
    if total.get("x") and total.get("|x|"):
        return _signed(site, value, total)
    return Evaluate(site, x, _whole_input_basis(site, x))(total)


def _signed(site: Site, x: Any, form: Form) -> Any:
    """Write a form by the parts of x: of an infinite constant, x and |x| would cancel to NaN."""
    up, down = form.get("x") + form.get("|x|"), form.get("x") - form.get("|x|")
    parts = [_scaled(site.call(torch.clamp, x, min=0), up)] if up else []
    parts += [_scaled(site.call(torch.clamp, x, max=0), down)] if down else []
    rest = Form.of({key: c for key, c in form.coefficients if key not in ("x", "|x|")})
    return _sum([*parts, Evaluate(site, x, _whole_input_basis(site, x))(rest)] if rest else parts)


def _whole_input_basis(site: Site, x: Proxy) -> Callable[[Basis], Any]:
    known = _input_basis(site, x)
    return lambda key: site.call(torch.ones_like, x) if key == "1" else known(key)
