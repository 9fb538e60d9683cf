"""Rules that are data, on the operands of ``a + b`` and ``a - b``."""

from typing import Any

import torch
from torch.fx import Proxy

from fxrelay import forms, kernels
from fxrelay.roles import carries_signal
from fxrelay.share import quotient, spreads, unserved
from fxrelay.site import Site
from fxrelay.terms import Form, Rule, Share, X


def of_sum(site: Site, rule: Rule, relevance: Proxy) -> list[Proxy]:
    """Relevance of the operands of a sum: linear with weights 1 and -1.

    A number among the operands gets its share too, booked as the sink of the site.
    """
    signs = [1.0, -1.0 if site.node.target is torch.sub else 1.0]
    operands = list(site.args[:2])
    carried = zip(site.carriers, site.inputs, strict=True)
    constants = [x for node, x in carried if not carries_signal(node)]
    given: list[list[Any]] = [[] for _ in operands]
    denominators = []
    for share in rule.shares:
        totals = [_total(share, sign) for sign in signs]
        parts = [_contribution(site, t, x) for t, x in zip(totals, operands, strict=True)]
        whole = totals == [X, signs[1] * X]
        denominators.append(site.output if whole else forms.summed(parts))
        s = forms.scaled(quotient(site, rule, share, denominators[-1], relevance), share.gain)
        for x, amounts, part in zip(operands, given, parts, strict=True):
            fixed = any(x is c for c in constants)
            amounts.append(site.call(kernels.part_of, s, part) if fixed else part * s)
    if spreads(site, rule):
        missed = forms.summed(
            unserved(site, share, d, relevance)
            for share, d in zip(rule.shares, denominators, strict=True)
        )
        for amounts in given:
            amounts.append(missed / len(operands))
    return _given(site, operands, given)


def _given(site: Site, operands: list[Any], given: list[list[Any]]) -> list[Proxy]:
    shaped: list[Proxy] = []
    for x, amounts in zip(operands, given, strict=True):
        if any(x is carrier for carrier in site.inputs):
            shaped.append(site.fitted(forms.summed(amounts), len(shaped)))
        elif site.program.sinks_wanted:
            site.book(f"{site.name}.constant", forms.summed(amounts))
    return shaped


def _total(share: Share, sign: float) -> Form:
    """Sum of the terms' inputs for one operand, with the sign as its weight."""
    weight = {"w": sign, "|w|": 1.0, "w2": 1.0, "1": 1.0}
    total = Form()
    for term in share.terms:
        factor = sum(c * weight[str(k)] for k, c in term.weight.coefficients)
        total = total + factor * term.input
    return total


def _contribution(site: Site, total: Form, x: Any) -> Any:
    if not isinstance(x, Proxy):
        values = {"x": x, "|x|": abs(x), "1": 1.0}
        return sum(c * values[str(k)] for k, c in total.coefficients)
    if not total:
        value: Any = x
        return value * 0.0
    if total.get("x") and total.get("|x|"):
        return _signed(site, x, total)
    return forms.of_operand(site, x)(total)


def _signed(site: Site, x: Any, form: Form) -> Any:
    """Write a form by the parts of x: of an infinite constant, x and |x| would cancel to NaN."""
    up, down = form.get("x") + form.get("|x|"), form.get("x") - form.get("|x|")
    parts = [forms.scaled(site.call(torch.clamp, x, min=0), up)] if up else []
    parts += [forms.scaled(site.call(torch.clamp, x, max=0), down)] if down else []
    rest = Form.of({key: c for key, c in form.coefficients if key not in ("x", "|x|")})
    return forms.summed([*parts, forms.of_operand(site, x)(rest)] if rest else parts)
