"""Rules as data: symbolic maps, terms, shares and rules on linear operators.

A map of the input, weight or bias is a `Form`: a linear combination over a small basis, such as the
positive part ``x⁺ = ½·x + ½·|x|``. Being symbolic, a rule can be printed, compared and simplified
(`fxrelay.algebra`) before anything is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

Where = Literal["all", "positive", "negative"]


@dataclass(frozen=True, eq=False)
class Bound:
    """A basis element with a value of its own, such as the lower bound of a z_box rule.

    `value` is broadcast to a sample from the channel on: a scalar, one number a channel, or a whole
    sample. With `checked`, model inputs beyond the bound are an error.
    """

    name: str
    value: torch.Tensor
    checked: bool = True

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Bound)
            and (self.name, self.checked) == (other.name, other.checked)
            and self.value.shape == other.value.shape
            and torch.equal(self.value, other.value.to(self.value))
        )

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.value.shape)))

    def __str__(self) -> str:
        values = self.value.flatten().tolist()
        text = ", ".join(f"{v:g}" for v in values[:4]) + (", ..." if len(values) > 4 else "")
        return f"{self.name}[{text}]" if len(values) > 1 else f"{self.name}={text}"


Basis = str | Bound


@dataclass(frozen=True)
class Form:
    """A linear combination over a basis: ``0.5*x + 0.5*|x|`` is the positive part of x."""

    coefficients: tuple[tuple[Basis, float], ...] = ()

    @classmethod
    def of(cls, coefficients: Mapping[Basis, float]) -> "Form":
        """Drop zeros and keep a fixed order, so that equal forms are equal values."""
        items = [(key, float(c)) for key, c in coefficients.items() if c]
        return cls(tuple(sorted(items, key=lambda item: str(item[0]))))

    def get(self, key: Basis) -> float:
        """Coefficient of `key`, 0 where it does not occur."""
        return dict(self.coefficients).get(key, 0.0)

    def __add__(self, other: "Form") -> "Form":
        out = dict(self.coefficients)
        for key, c in other.coefficients:
            out[key] = out.get(key, 0.0) + c
        return Form.of(out)

    def __mul__(self, scale: float) -> "Form":
        return Form.of({key: scale * c for key, c in self.coefficients})

    __rmul__ = __mul__

    def __neg__(self) -> "Form":
        return self * -1.0

    def __sub__(self, other: "Form") -> "Form":
        return self + -other

    def __bool__(self) -> bool:
        return bool(self.coefficients)

    def __str__(self) -> str:
        return " + ".join(f"{c:g}·{key}" for key, c in self.coefficients) or "0"


NONE = Form()
ONE = Form.of({"1": 1})
X, ABS_X = Form.of({"x": 1}), Form.of({"|x|": 1})
X_POSITIVE, X_NEGATIVE = 0.5 * X + 0.5 * ABS_X, 0.5 * X - 0.5 * ABS_X
W, ABS_W, W_SQUARE = Form.of({"w": 1}), Form.of({"|w|": 1}), Form.of({"w2": 1})
W_POSITIVE, W_NEGATIVE = 0.5 * W + 0.5 * ABS_W, 0.5 * W - 0.5 * ABS_W


@dataclass(frozen=True)
class Stabilizer:
    """How a denominator is kept away from zero; zero counts as positive.

    ``d + ε·sgn(d)``; with `clip` ``sgn(d)·max(|d|, ε)``; with `norm_scale` ε is multiplied by the
    root mean square of d per sample. Where d is exactly 0 nothing contributed, and relevance is
    booked as "undistributed"; with `spread` linear operators (but norms that centre) divide it
    evenly instead, as the rule flat does, and sums give each operand the same.
    """

    epsilon: float = 1e-6
    clip: bool = False
    norm_scale: bool = False
    spread: bool = False

    def __str__(self) -> str:
        names = "clip", "norm_scale", "spread"
        options = "".join(f", {name}" for name in names if getattr(self, name))
        return f"{self.epsilon:g}{options}"


@dataclass(frozen=True)
class Term:
    """One summand of a denominator: ``op(input(x); weight(w)) + bias(b)``.

    The forms of weight and bias use the same basis: in `bias`, "w" stands for the bias itself.
    """

    input: Form = X
    weight: Form = W
    bias: Form = NONE


@dataclass(frozen=True)
class Share:
    """Terms that divide `gain` times the relevance by their own common sum.

    `where` says which outputs the share serves, by the sign of the operator's output.
    """

    terms: tuple[Term, ...]
    gain: float = 1.0
    where: Where = "all"

    @property
    def bias(self) -> Form:
        """The sum of the terms' bias forms."""
        return sum((term.bias for term in self.terms), NONE)


@dataclass(frozen=True)
class Rule:
    r"""Relevance for the input of a linear operator: a sum of shares.

    .. math:: R_i = \sum_k g_k \sum_t x_t \odot J_t^T (R / st(d_k)), \quad d_k = \sum_t z_t

    Parameters
    ----------
    shares : tuple of Share
        Each divides by its own denominator.
    stabilizer : Stabilizer or float, default 1e-6
        Keeps denominators away from zero; a number is the epsilon.
    bias : {"absorb", "zero"}
        "absorb": the bias keeps its share of relevance, booked as a sink; "zero": it leaves the
        denominator.
    name : str
        How reports print the rule.
    """

    shares: tuple[Share, ...]
    stabilizer: Stabilizer = field(default_factory=Stabilizer)
    bias: Literal["absorb", "zero"] = "absorb"
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.stabilizer, int | float):
            object.__setattr__(self, "stabilizer", Stabilizer(float(self.stabilizer)))
        if not isinstance(self.stabilizer, Stabilizer):
            raise TypeError(
                f"{self.name or 'Rule'}: needs stabilizer as a number or a Stabilizer; "
                f"got {self.stabilizer!r}. Pass for example 1e-6."
            )
        if self.bias not in ("absorb", "zero"):
            raise ValueError(
                f"{self.name or 'Rule'}: needs bias 'absorb' or 'zero'; got {self.bias!r}. "
                "'absorb' books the bias's relevance as a sink, 'zero' leaves it out."
            )

    def __str__(self) -> str:
        return self.name or "rule of " + str(len(self.shares)) + " shares"
