"""Rules that are functions of a site, not data: products, softmax, measures.

Notation as in `fxrelay.rules`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch.fx import Proxy

from fxrelay import kernels, roles, share
from fxrelay.terms import NONE, Rule, Share, Stabilizer, Term, W, X

if TYPE_CHECKING:
    from fxrelay.site import Site

Inputs = tuple[Proxy, ...]
Amounts = Sequence[Any]


def _proportional(stabilizer: Stabilizer) -> Rule:
    booked = replace(stabilizer, spread=False)
    return Rule((Share((Term(X, W, NONE),)),), booked, name="product")


@dataclass(frozen=True)
class Product:
    """Divide the relevance of a product of signals among its factors.

    Attributes
    ----------
    takes_none : callable, optional
        Which factors get nothing, unless all are of this kind; the others get equal shares.
    stabilizer : Stabilizer
        For products that also sum, such as a matrix product.
    """

    name: str
    takes_none: Callable[[Any], bool] | None = None
    stabilizer: Stabilizer = field(default_factory=Stabilizer)

    def __call__(self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any) -> Amounts:
        """Return the relevance of each factor; None for those that get nothing."""
        gains = self.gains(site.carriers)
        if site.operator.elementwise:
            return [
                None if not gain else site.fitted(_scaled(relevance, gain), i)
                for i, gain in enumerate(gains)
            ]
        rule = _proportional(self.stabilizer)
        s = share.quotient(site, rule, rule.shares[0], output, relevance)
        pulled: Any = site.adjoint(s)
        return [
            None if not gain else _scaled(x * p, gain)
            for x, p, gain in zip(inputs, pulled, gains, strict=True)
        ]

    def gains(self, factors: Sequence[Any]) -> list[float]:
        """Share of each factor."""
        served = [not (self.takes_none and self.takes_none(f)) for f in factors]
        if not any(served):
            served = [True] * len(factors)
        return [1 / sum(served) if s else 0.0 for s in served]

    def __str__(self) -> str:
        return self.name


def _scaled(value: Any, gain: float) -> Any:
    return value if gain == 1 else value * gain


@dataclass(frozen=True)
class Softmax:
    r"""Taylor expansion of softmax at its input, with its bias: the rule of AttnLRP.

    .. math:: R_i = x_i (R_i - s_i \sum_k R_k)
    """

    def __call__(self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any) -> Amounts:
        """Return the relevance of the logits; the expansion's bias is a sink of the site."""
        dim = site.args[1]
        if site.program.sinks_wanted:
            kept = site.call(kernels.softmax_bias, relevance, inputs[0], output, dim)
            site.book(f"{site.name}.expansion", kept)
        return (site.call(kernels.softmax_relevance, relevance, inputs[0], output, dim),)

    def __str__(self) -> str:
        return "softmax"


@dataclass(frozen=True)
class Homogeneous:
    r"""Divide what a homogeneous function of degree k gives by Euler's identity.

    .. math:: R_i = x_i \, (J^T (R / st(f)))_i / k
    """

    degree: int

    def __call__(self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any) -> Amounts:
        """Return the relevance of the input."""
        rule = _proportional(Stabilizer())
        s = share.quotient(site, rule, rule.shares[0], output, relevance)
        pulled: Any = site.adjoint(s)[0]
        return (_scaled(inputs[0] * pulled, 1 / self.degree),)

    def __str__(self) -> str:
        return f"homogeneous({self.degree})"


def signal_takes_all(*, stabilizer: float | Stabilizer = 1e-6) -> Product:
    """Give a product's relevance to the signal, none to its gate; the default of products.

    A gate is a factor known to be between 0 and 2 (sigmoid, hard sigmoid, softmax, ``1 - gate``,
    ``1 + tanh``), so attention weights are one: relevance goes through the values (CP-LRP). Without
    a gate the factors share equally.

    References
    ----------
    Arras et al. 2017, equation 4; Ali et al. 2022, section 3 (attention).
    """
    return Product("signal_takes_all", roles.is_gate, _stable(stabilizer))


def uniform(*, stabilizer: float | Stabilizer = 1e-6) -> Product:
    """Give each factor of a product an equal share: the bilinear rule of AttnLRP.

    References
    ----------
    Achtibat et al. 2024, equation 15.
    """
    return Product("uniform", None, _stable(stabilizer))


def detached() -> Product:
    """Hold what normalises constant: one over a size or spread gets no relevance.

    References
    ----------
    Ali et al. 2022, section 3 (layer norm).
    """
    return Product("detached", roles.is_normalizer)


@dataclass(frozen=True)
class OwnGate:
    """Hand the relevance of x g(x) to x: an activation that is written as a product."""

    def __call__(self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any) -> Amounts:
        """Return the relevance of both factors; None for the gate."""
        gate = roles.own_gate(site.node)
        return [None if i == gate else site.fitted(relevance, i) for i in range(2)]

    def __str__(self) -> str:
        return "passthrough"


@dataclass(frozen=True)
class Numerator:
    """Hold the divisor of a quotient of signals constant: the numerator takes all."""

    def __call__(self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any) -> Amounts:
        """Return the relevance of numerator and divisor."""
        return site.fitted(relevance, 0), None

    def __str__(self) -> str:
        return "detached"


def softmax() -> Softmax:
    """Attribute softmax through its Taylor expansion; what the expansion's bias keeps is a sink.

    References
    ----------
    Achtibat et al. 2024, proposition 3.1.
    """
    return Softmax()


def _stable(value: float | Stabilizer) -> Stabilizer:
    return value if isinstance(value, Stabilizer) else Stabilizer(float(value))
