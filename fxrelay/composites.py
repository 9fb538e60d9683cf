"""Composites: which rule each operator gets. Ordered rows, the first match wins."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fxrelay import rules
from fxrelay.rules import AnyRule, Bias, Stable
from fxrelay.selectors import Selector, between, everything, first, last, named, ops, where
from fxrelay.terms import Rule


@dataclass(frozen=True)
class Row:
    """A selector and the rule of the nodes it selects."""

    selector: Selector
    rule: AnyRule

    def __str__(self) -> str:
        return f"{self.selector} -> {self.rule}"


@dataclass(frozen=True, init=False)
class Composite:
    """Ordered rows (selector, rule); the first match wins.

    Parameters
    ----------
    rows : iterable of (Selector or str, rule)
        A str is short for ``ops(str)``.
    name : str
        How reports and results print it.
    """

    rows: tuple[Row, ...]
    name: str

    def __init__(
        self,
        rows: Iterable[Row | tuple[Selector | str, AnyRule]],
        name: str = "composite",
    ) -> None:
        object.__setattr__(self, "rows", tuple(map(_row, rows)))
        object.__setattr__(self, "name", name)

    def __str__(self) -> str:
        return f"{self.name}: " + "; ".join(map(str, self.rows))


def _row(row: Any) -> Row:
    if isinstance(row, Row):
        return row
    selector, rule = row
    selector = ops(selector) if isinstance(selector, str) else selector
    if not isinstance(selector, Selector) or not (isinstance(rule, Rule) or callable(rule)):
        raise TypeError(
            f"Composite: needs rows (selector, rule); got ({selector!r}, {rule!r}). "
            "For example (ops('conv'), rules.gamma(0.25))."
        )
    return Row(selector, rule)


Rows = Iterable[Row | tuple[Selector | str, AnyRule]]
OwnRows = list[tuple[Selector, AnyRule]]


def uniform(rule: AnyRule, *, rows: Rows = ()) -> Composite:
    """One rule for every operator that needs one."""
    return Composite([*rows, (ops("linear", "batch_norm"), rule)], f"uniform({rule})")


def _preset(name: str, rows: Rows, own: OwnRows) -> Composite:
    return Composite([*rows, *own], name)


def _base(epsilon: float, stabilizer: Stable, bias: Bias) -> OwnRows:
    """Return the rows that the epsilon presets share."""
    return [
        (ops("dense"), rules.epsilon(epsilon, bias=bias)),
        (ops("norm"), rules.epsilon(epsilon, bias=bias)),
        (ops("avg_pool", "reduce", "add", "interpolate"), rules.norm(stabilizer=stabilizer)),
        (ops("bilinear", "gate"), rules.signal_takes_all(stabilizer=stabilizer)),
    ]


def epsilon_gamma_box(
    low: Any, high: Any, *, epsilon: float = 1e-6, gamma: float = 0.25,
    stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = (),
) -> Composite:  # fmt: skip
    """z_box on the first convolution, gamma on the others, epsilon on dense layers.

    Parameters
    ----------
    low, high : float, per channel, or a whole sample
        Bounds of the input.
    rows : rows
        Put before the preset's own.
    """
    return _preset("epsilon_gamma_box", rows, [
        (first(ops("conv")), rules.z_box(low, high, stabilizer=stabilizer)),
        (ops("conv"), rules.gamma(gamma, stabilizer=stabilizer, bias=bias)),
        *_base(epsilon, stabilizer, bias),
    ])  # fmt: skip


def epsilon_plus(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """z_plus on convolutions, epsilon on dense layers."""
    return _preset("epsilon_plus", rows, _plus(epsilon, stabilizer, bias))


def epsilon_plus_flat(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """As `epsilon_plus`, with flat on the first convolution or dense layer."""
    own = [_flat(stabilizer), *_plus(epsilon, stabilizer, bias)]
    return _preset("epsilon_plus_flat", rows, own)


def epsilon_alpha2_beta1(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """alpha_beta(2, 1) on convolutions, epsilon on dense layers."""
    return _preset("epsilon_alpha2_beta1", rows, _alpha2_beta1(epsilon, stabilizer, bias))


def epsilon_alpha2_beta1_flat(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """As `epsilon_alpha2_beta1`, with flat on the first convolution or dense layer."""
    own = [_flat(stabilizer), *_alpha2_beta1(epsilon, stabilizer, bias)]
    return _preset("epsilon_alpha2_beta1_flat", rows, own)


def _flat(stabilizer: Stable) -> tuple[Selector, AnyRule]:
    return first(ops("linear")), rules.flat(stabilizer=stabilizer)


def _plus(epsilon: float, stabilizer: Stable, bias: Bias) -> OwnRows:
    conv = rules.z_plus(stabilizer=stabilizer, bias=bias)
    return [(ops("conv"), conv), *_base(epsilon, stabilizer, bias)]


def _alpha2_beta1(epsilon: float, stabilizer: Stable, bias: Bias) -> OwnRows:
    conv = rules.alpha_beta(2, 1, stabilizer=stabilizer, bias=bias)
    return [(ops("conv"), conv), *_base(epsilon, stabilizer, bias)]


def cp_lrp(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """Epsilon on linear layers; attention weights, gates and spreads are constants.

    References
    ----------
    Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """
    return _preset("cp_lrp", rows, _dense(epsilon, stabilizer, bias))


def attn_lrp(
    *, epsilon: float = 1e-6, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """Epsilon on linear layers; products share equally, softmax by its Taylor expansion.

    The expansion's bias keeps relevance: it is a sink, "<path>.expansion", of every softmax.

    References
    ----------
    Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation".
    """
    return _preset("attn_lrp", rows, [
        (ops("bilinear", "gate"), rules.uniform(stabilizer=stabilizer)),
        (ops("softmax"), rules.softmax()),
        *_dense(epsilon, stabilizer, bias),
    ])  # fmt: skip


def epsilon_gamma_vit(
    *, gamma_conv: float = 0.25, gamma_dense: float = 0.05, epsilon: float = 1e-6,
    stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = (),
) -> Composite:  # fmt: skip
    """`cp_lrp` with gamma on convolutions and dense layers, which steadies vision transformers.

    References
    ----------
    Achtibat et al. 2024, appendix on vision transformers.
    """
    return _preset("epsilon_gamma_vit", rows, [
        (ops("conv"), rules.gamma(gamma_conv, stabilizer=stabilizer, bias=bias)),
        (ops("dense"), rules.gamma(gamma_dense, stabilizer=stabilizer, bias=bias)),
        *_base(epsilon, stabilizer, bias),
    ])  # fmt: skip


def _dense(epsilon: float, stabilizer: Stable, bias: Bias) -> OwnRows:
    """Return `_base` with epsilon on convolutions too."""
    conv = rules.epsilon(epsilon, bias=bias)
    return [(ops("conv"), conv), *_base(epsilon, stabilizer, bias)]


def excitation_backprop(
    *, stabilizer: Stable = 1e-6, bias: Bias = "absorb", rows: Rows = ()
) -> Composite:
    """z_plus on every linear layer; activations hand on their gradient (Zhang et al. 2016)."""
    return _preset("excitation_backprop", rows, [
        (ops("linear"), rules.z_plus(stabilizer=stabilizer, bias=bias)),
        (ops("avg_pool", "reduce", "add"), rules.norm(stabilizer=stabilizer)),
        (everything(), rules.gradient()),
    ])  # fmt: skip


def deconvnet(*, rows: Rows = ()) -> Composite:
    """Gradient, with only positive relevance through ReLU (Zeiler and Fergus 2014)."""
    own: OwnRows = [(ops("relu"), rules.relu_deconvnet()), (everything(), rules.gradient())]
    return _preset("deconvnet", rows, own)


def guided_backprop(*, rows: Rows = ()) -> Composite:
    """Gradient, with only positive relevance through open ReLUs (Springenberg et al. 2015)."""
    own: OwnRows = [(ops("relu"), rules.relu_guided_backprop()), (everything(), rules.gradient())]
    return _preset("guided_backprop", rows, own)


def beta_smooth(beta: float = 10.0, *, rows: Rows = ()) -> Composite:
    """Gradient, with softplus's derivative instead of ReLU's (Dombrowski et al. 2019)."""
    own: OwnRows = [(ops("relu"), rules.relu_beta_smooth(beta)), (everything(), rules.gradient())]
    return _preset("beta_smooth", rows, own)


def gradient(*, rows: Rows = ()) -> Composite:
    """Plain gradient everywhere."""
    return _preset("gradient", rows, [(everything(), rules.gradient())])


COMPOSITES: Mapping[str, Callable[..., Composite]] = {
    "epsilon_gamma_box": epsilon_gamma_box,
    "epsilon_plus": epsilon_plus,
    "epsilon_plus_flat": epsilon_plus_flat,
    "epsilon_alpha2_beta1": epsilon_alpha2_beta1,
    "epsilon_alpha2_beta1_flat": epsilon_alpha2_beta1_flat,
    "excitation_backprop": excitation_backprop,
    "guided_backprop": guided_backprop,
    "deconvnet": deconvnet,
    "beta_smooth": beta_smooth,
    "gradient": gradient,
    "attn_lrp": attn_lrp,
    "cp_lrp": cp_lrp,
    "epsilon_gamma_vit": epsilon_gamma_vit,
}


def composite_of(choice: Composite | str) -> Composite:
    """Return the composite itself, or the preset of that name.

    Raises
    ------
    ValueError
        For unknown names, and for presets with parameters that have no default.
    """
    if isinstance(choice, Composite):
        return choice
    if choice not in COMPOSITES:
        raise ValueError(
            f"composite: needs a name of {', '.join(COMPOSITES)}; got {choice!r}. "
            "Or pass a Composite."
        )
    preset = COMPOSITES[choice]
    needed = [p.name for p in inspect.signature(preset).parameters.values() if p.default is p.empty]
    if needed:
        raise ValueError(
            f"composite: {choice!r} needs {' and '.join(needed)}; got a name alone. "
            f"Pass composites.{choice}({', '.join(f'{n}=...' for n in needed)})."
        )
    return preset()


__all__ = [
    "COMPOSITES", "Composite", "Row", "Selector", "attn_lrp", "beta_smooth", "between",
    "composite_of", "cp_lrp", "deconvnet", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box", "epsilon_gamma_vit", "epsilon_plus",
    "epsilon_plus_flat", "everything", "excitation_backprop", "first", "gradient",
    "guided_backprop", "last", "named", "ops", "uniform", "where",
]  # fmt: skip
