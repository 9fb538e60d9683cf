"""The rules: how relevance passes an operator.

A rule on a linear operator is a `Rule`, plain data. A rule of another kind is a callable
``(site, inputs, output, relevance) -> relevances``, one per input; the ones below are frozen
dataclasses, and a user's function is as good. Notation: x input, w weight, b bias, z output,
R relevance, J the operator's Jacobian, st the stabilizer. Zero counts as positive everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.fx import Proxy

from fxrelay import kernels
from fxrelay.passing import detached, signal_takes_all, softmax, uniform
from fxrelay.terms import (
    ABS_W,
    ABS_X,
    NONE,
    ONE,
    W_NEGATIVE,
    W_POSITIVE,
    W_SQUARE,
    X_NEGATIVE,
    X_POSITIVE,
    Bound,
    Form,
    Rule,
    Share,
    Stabilizer,
    Term,
    W,
    X,
)

if TYPE_CHECKING:
    from fxrelay.site import Site

Bias = Literal["absorb", "zero"]
Stable = float | Stabilizer
Inputs = tuple[Proxy, ...]

EPSILON = 1e-6


def epsilon(
    epsilon: float = EPSILON, *, stabilizer: Stable | None = None, bias: Bias = "absorb"
) -> Rule:
    r"""Divide by the output; used on dense and middle layers. With 0 it is LRP-0.

    .. math:: R_i = x \odot J^T (R / st(z))

    Parameters
    ----------
    epsilon : float, default 1e-6
        Amount added to the denominator, away from zero.
    stabilizer : Stabilizer, optional
        Instead of `epsilon`, for its options.
    bias : {"absorb", "zero"}
        Whether the bias keeps its share.

    References
    ----------
    Bach et al. 2015, equation 58.
    """
    name = f"epsilon({_text(stabilizer if stabilizer is not None else epsilon)})"
    stable = stabilizer if stabilizer is not None else epsilon
    return _rule(name, (Share((Term(X, W, W),)),), stable, bias)


def norm(*, stabilizer: Stable = EPSILON) -> Rule:
    r"""Divide in proportion to the contributions; for operators without parameters.

    .. math:: R_i = x \odot J^T (R / st(z))

    Used on pooling, sums and means, where it is the default.
    """
    return _rule("norm", (Share((Term(X, W, NONE),)),), stabilizer)


def z_plus(*, stabilizer: Stable = EPSILON, bias: Bias = "absorb") -> Rule:
    r"""Only positive contributions count; used on convolutions.

    .. math:: R_i = x^+ \odot J_{W^+}^T s + x^- \odot J_{W^-}^T s,
              \quad s = R / st(z^{++} + z^{--} + b^+)

    References
    ----------
    Montavon et al. 2017, equation 15, extended to signed inputs.
    """
    return _rule("z_plus", (Share(_POSITIVE),), stabilizer, bias)


def alpha_beta(
    alpha: float = 2.0, beta: float = 1.0, *, stabilizer: Stable = EPSILON, bias: Bias = "absorb"
) -> Rule:
    r"""Positive contributions weigh alpha, negative ones beta; used on convolutions.

    Parameters
    ----------
    alpha, beta : float, >= 0, alpha - beta = 1
        Weights of the two parts.

    Raises
    ------
    ValueError
        If alpha or beta is negative or alpha - beta is not 1.

    References
    ----------
    Bach et al. 2015, equation 60.
    """
    if alpha < 0 or beta < 0 or abs(alpha - beta - 1) > 1e-9:
        raise ValueError(
            f"alpha_beta: needs alpha, beta >= 0 and alpha - beta = 1; "
            f"got alpha={alpha:g}, beta={beta:g}. Take for example alpha=2, beta=1."
        )
    shares = (Share(_POSITIVE, gain=alpha), Share(_NEGATIVE, gain=-beta))
    kept = tuple(share for share in shares if share.gain)
    return _rule(f"alpha_beta({alpha:g}, {beta:g})", kept, stabilizer, bias)


def gamma(gamma: float = 0.25, *, stabilizer: Stable = EPSILON, bias: Bias = "absorb") -> Rule:
    r"""Favour contributions of the output's own sign; used on convolutions.

    Where z >= 0 the weights are :math:`W + \gamma W^+` for x⁺ and :math:`W + \gamma W^-` for x⁻;
    where z < 0 the other way round.

    Parameters
    ----------
    gamma : float, >= 0, default 0.25
        0 is epsilon; large values approach z_plus.

    References
    ----------
    Montavon et al. 2019, section 10.2.1; Andéol et al. 2021, the generalised form.
    """
    if gamma < 0:
        raise ValueError(f"gamma: needs gamma >= 0; got {gamma:g}. Take for example 0.25.")
    up, down = W + gamma * W_POSITIVE, W + gamma * W_NEGATIVE
    shares = (
        Share((Term(X_POSITIVE, up, up), Term(X_NEGATIVE, down)), where="positive"),
        Share((Term(X_POSITIVE, down, down), Term(X_NEGATIVE, up)), where="negative"),
    )
    return _rule(f"gamma({gamma:g})", shares, stabilizer, bias)


def z_box(
    low: Any, high: Any, *, stabilizer: Stable = EPSILON, allow_outside: bool = False
) -> Rule:
    r"""Measure contributions from the ends of the input's range; used on the first layer.

    .. math:: R_i = x \odot J^T s - l \odot J_{W^+}^T s - h \odot J_{W^-}^T s,
              \quad s = R / st(z - z_l^+ - z_h^-)

    Parameters
    ----------
    low, high : float, sequence of floats per channel, or array (channel, ...)
        Smallest and largest value that the input can take, low < high.
    allow_outside : bool, default False
        Whether inputs may leave the bounds; otherwise that is an error when the program is called.

    References
    ----------
    Montavon et al. 2017, equation 17.
    """
    ends = {"low": low, "high": high}
    bounds = [Bound(k, torch.as_tensor(v).double(), not allow_outside) for k, v in ends.items()]
    if not bool((bounds[0].value < bounds[1].value).all()):
        raise ValueError(f"z_box: needs low < high; got {bounds[0]}, {bounds[1]}. Swap them.")
    lowest, highest = Form.of({bounds[0]: -1}), Form.of({bounds[1]: -1})
    terms = (
        Term(X, W, W),
        Term(lowest, W_POSITIVE, -W_POSITIVE),
        Term(highest, W_NEGATIVE, -W_NEGATIVE),
    )
    name = f"z_box({bounds[0]}, {bounds[1]})" + (" outside allowed" if allow_outside else "")
    return _rule(name, (Share(terms),), stabilizer)


def w_square(*, stabilizer: Stable = EPSILON, bias: Bias = "absorb") -> Rule:
    r"""Divide by squared weights alone; used on the first layer of unbounded inputs.

    .. math:: R_i = J_{W^2}^T (R / st(1 W^2 + b^2))

    References
    ----------
    Montavon et al. 2017, equation 12.
    """
    return _rule("w_square", (Share((Term(ONE, W_SQUARE, W_SQUARE),)),), stabilizer, bias)


def flat(*, stabilizer: Stable = EPSILON) -> Rule:
    r"""Divide evenly over the receptive field; used on the first layer.

    .. math:: R_i = J_1^T (R / st(J_1 1))

    References
    ----------
    Lapuschkin et al. 2019, supplement.
    """
    return _rule("flat", (Share((Term(ONE, Form.of({"1": 1})),)),), stabilizer)


def ratio(*, stabilizer: Stable = EPSILON) -> Rule:
    r"""Divide by magnitudes, :math:`R |x_i| / \sum |x|`; an option for sums and residuals.

    References
    ----------
    Otsuki et al. 2024.
    """
    return _rule("ratio", (Share((Term(ABS_X, ABS_W),)),), stabilizer)


@dataclass(frozen=True)
class Passthrough:
    """Hand relevance on unchanged."""

    def __call__(
        self, site: "Site", inputs: Inputs, output: Proxy, relevance: Proxy
    ) -> tuple[Proxy, ...]:
        """Return the relevance for the only input, which a constant may have broadcast."""
        constants = [a for a in site.args if isinstance(a, Proxy) and a is not inputs[0]]
        return (site.fitted(relevance, 0) if constants else relevance,)

    def __str__(self) -> str:
        return "passthrough"


@dataclass(frozen=True)
class Gradient:
    r"""Hand on the vector-Jacobian product :math:`J^T R`."""

    def __call__(
        self, site: "Site", inputs: Inputs, output: Proxy, relevance: Proxy
    ) -> Sequence[Proxy | None]:
        """Return the product for every input."""
        return site.adjoint(relevance)

    def __str__(self) -> str:
        return "gradient"


@dataclass(frozen=True)
class ReLU:
    """A rule for ReLU: what to do with the relevance that arrives at it."""

    kind: Literal["deconvnet", "guided_backprop", "beta_smooth"]
    beta: float = 10.0

    def __call__(
        self, site: "Site", inputs: Inputs, output: Proxy, relevance: Any
    ) -> tuple[Proxy, ...]:
        """Return the relevance for ReLU's input."""
        if self.kind == "beta_smooth":
            x: Any = inputs[0]
            return (relevance * site.call(torch.sigmoid, x * self.beta),)
        positive = site.call(torch.relu, relevance)
        if self.kind == "deconvnet":
            return (positive,)
        return (site.call(kernels.relu_adjoint, positive, inputs[0]),)

    def __str__(self) -> str:
        suffix = f"({self.beta:g})" if self.kind == "beta_smooth" else ""
        return f"relu_{self.kind}{suffix}"


def passthrough() -> Passthrough:
    """Hand relevance on unchanged; the default of activations."""
    return Passthrough()


def gradient() -> Gradient:
    """Hand on the gradient; the default of max pooling (winner takes all) and of index maps."""
    return Gradient()


def relu_deconvnet() -> ReLU:
    """Only positive relevance passes ReLU (Zeiler and Fergus 2014)."""
    return ReLU("deconvnet")


def relu_guided_backprop() -> ReLU:
    """Only positive relevance passes, and only where ReLU is open (Springenberg et al. 2015)."""
    return ReLU("guided_backprop")


def relu_beta_smooth(beta: float = 10.0) -> ReLU:
    """ReLU's gradient as if it were a softplus, sigmoid(beta x) (Dombrowski et al. 2019)."""
    if beta <= 0:
        raise ValueError(f"relu_beta_smooth: needs beta > 0; got {beta:g}. Take for example 10.")
    return ReLU("beta_smooth", beta)


Propagate = Callable[["Site", Inputs, Proxy, Proxy], Sequence[Any]]
AnyRule = Rule | Propagate

_POSITIVE = (Term(X_POSITIVE, W_POSITIVE, W_POSITIVE), Term(X_NEGATIVE, W_NEGATIVE))
_NEGATIVE = (Term(X_POSITIVE, W_NEGATIVE, W_NEGATIVE), Term(X_NEGATIVE, W_POSITIVE))


def _text(stable: Stable) -> str:
    return str(stable) if isinstance(stable, Stabilizer) else f"{stable:g}"


def _rule(name: str, shares: tuple[Share, ...], stable: Stable, bias: Bias = "absorb") -> Rule:
    stabilizer = stable if isinstance(stable, Stabilizer) else Stabilizer(stable)
    return Rule(shares, stabilizer, bias, name + (" bias=zero" if bias == "zero" else ""))


RULES: Mapping[str, Callable[..., AnyRule]] = {
    "epsilon": epsilon,
    "gamma": gamma,
    "z_plus": z_plus,
    "alpha_beta": alpha_beta,
    "z_box": z_box,
    "w_square": w_square,
    "flat": flat,
    "norm": norm,
    "ratio": ratio,
    "passthrough": passthrough,
    "gradient": gradient,
    "relu_deconvnet": relu_deconvnet,
    "relu_guided_backprop": relu_guided_backprop,
    "relu_beta_smooth": relu_beta_smooth,
    "signal_takes_all": signal_takes_all,
    "uniform": uniform,
    "detached": detached,
    "softmax": softmax,
}
