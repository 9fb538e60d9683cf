"""The cost pass: equal to the rules term by term, badly conditioned places included."""

import operator

import pytest
import torch
from counting import Convolutions
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import fxrelay
from fxrelay import composites, rules
from fxrelay.terms import (
    ABS_X,
    ONE,
    W_NEGATIVE,
    W_POSITIVE,
    X_NEGATIVE,
    X_POSITIVE,
    Form,
    Rule,
    Share,
    Stabilizer,
    Term,
)


def both(model, rule, x, seed):
    """Run the cheap program and the reference."""
    graph = fxrelay.canonize(fxrelay.trace(model))
    graph = fxrelay.annotate(graph, composites.uniform(rule))
    return [fxrelay.relay(graph, reference=flag)(x, seed) for flag in (False, True)]


def one_sided(channels, positive=0.0, dtype=torch.float32):
    """A convolution and inputs with negative contributions only, but for a small positive share."""
    torch.manual_seed(channels)
    conv = nn.Conv2d(channels, 6, 3, padding=1, bias=False)
    sign = torch.where(torch.arange(channels) % 2 == 0, 1.0, -1.0)[:, None, None]
    x = torch.randn(3, channels, 9, 9).abs() * sign
    with torch.no_grad():
        conv.weight[:] = -conv.weight.abs() * sign
        conv.weight[:, 0] *= -positive
        conv.weight[3:] = -conv.weight[3:]
    return conv.to(dtype).eval(), x.to(dtype), torch.rand(3, 6, 9, 9, dtype=dtype)


def booked(out):
    return out.relevance.sum() + sum(s.sum() for s in out.sinks.values())


@pytest.mark.parametrize("channels", [1, 4, 64, 512])
@pytest.mark.parametrize("rule", [rules.z_plus(), rules.alpha_beta(), rules.gamma()], ids=str)
def test_without_a_contribution_of_its_sign_a_part_gets_nothing(rule, channels):
    conv, x, seed = one_sided(channels)
    cheap, reference = both(conv, rule, x, seed)
    scale = reference.relevance.abs().max()
    assert (cheap.relevance - reference.relevance).abs().max() <= 1e-5 * scale
    torch.testing.assert_close(booked(cheap), seed.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        cheap.sinks["undistributed"], reference.sinks["undistributed"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("positive", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("channels", [4, 64])
@pytest.mark.parametrize("rule", [rules.z_plus(), rules.alpha_beta()], ids=str)
def test_small_parts_cost_digits_in_proportion(rule, channels, positive):
    """Float32 keeps 1e-7 of the larger part: of a part that is p times as large, 1e-7 / p."""
    conv, x, seed = one_sided(channels, positive)
    cheap, reference = both(conv, rule, x, seed)
    error = (cheap.relevance - reference.relevance).norm() / reference.relevance.norm()
    assert error <= 3e-5 / positive * (channels / 64)
    torch.testing.assert_close(booked(cheap), booked(reference), rtol=1e-3, atol=0)
    wide = [t.double() for t in (x, seed)]
    cheap, reference = both(conv.double(), rule, *wide)
    assert (cheap.relevance - reference.relevance).norm() <= 1e-9 * reference.relevance.norm()


class Random(nn.Module):
    """A chain of layers that keep the shape, some beside a shortcut."""

    def __init__(self, layers, shortcuts):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.shortcuts = shortcuts
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        for layer, shortcut in zip(self.layers, self.shortcuts, strict=True):
            x = x + layer(x) if shortcut else layer(x)
        return self.head(x.mean((2, 3)))


LAYERS = [
    lambda: nn.Conv2d(4, 4, 3, padding=1),
    lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2, bias=False),
    lambda: nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect"),
    lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4),
    lambda: nn.ConvTranspose2d(4, 4, 3, padding=1),
    lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
    nn.ReLU, nn.GELU, nn.ReLU,
    lambda: nn.MaxPool2d(3, 1, 1),
    lambda: nn.AvgPool2d(3, 1, 1),
]  # fmt: skip

FORMS = st.builds(
    lambda c: Form.of(c),
    st.dictionaries(st.sampled_from(["x", "|x|"]), st.floats(0.1, 2), min_size=1),
)  # fmt: skip
WEIGHTS = st.builds(
    lambda c: Form.of(c), st.dictionaries(st.sampled_from(["w", "|w|", "w2", "1"]),
                                          st.floats(0.1, 2), min_size=1)
)  # fmt: skip
SHARES = st.builds(
    lambda terms, gain, where: Share(
        (*(Term(i, w, Form.of({"w": 1})) for i, w in terms), Term(ABS_X, Form.of({"|w|": 3}))),
        gain,
        where,
    ),
    st.lists(st.tuples(st.one_of(FORMS, st.just(ONE)), WEIGHTS), min_size=1, max_size=2),
    st.sampled_from([1.0, 2.0, -0.5]),
    st.sampled_from(["all", "positive", "negative"]),
)
KNOWN = [rules.z_plus(), rules.gamma(), rules.gamma(10.0), rules.alpha_beta(), rules.w_square(),
         rules.alpha_beta(3, 2), rules.epsilon(), rules.flat(), rules.ratio(),
         rules.z_plus(stabilizer=Stabilizer(1e-4, spread=True))]  # fmt: skip
RULES = st.one_of(
    st.sampled_from(KNOWN),
    st.builds(
        lambda shares, bias: Rule(tuple(shares), Stabilizer(1e-2), bias, "random"),
        st.lists(SHARES, min_size=1, max_size=3),
        st.sampled_from(["absorb", "zero"]),
    ),
)


@settings(max_examples=30)
@given(
    layers=st.lists(st.tuples(st.sampled_from(LAYERS), st.booleans()), min_size=1, max_size=5),
    rule=RULES,
    first=RULES,
    seed=st.integers(0, 2**31),
)
def test_random_networks_and_rules_equal_the_reference(layers, rule, first, seed):
    """In float64 to 1e-9; in float32 to what rounding and the denominators allow; books hold."""
    torch.manual_seed(seed)
    model = Random([make() for make, _ in layers], [shortcut for _, shortcut in layers])
    model = model.double().eval()
    preset = composites.Composite(
        [(composites.first(composites.ops("conv")), first), (composites.ops("linear"), rule)]
    )
    graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(model)), preset)
    x, r = torch.randn(2, 4, 7, 7).double(), torch.randn(2, 3).double()
    cheap, reference = (fxrelay.relay(graph, reference=flag)(x, r) for flag in (False, True))
    size = reference.relevance.norm() + sum(s.norm() for s in reference.sinks.values()) + r.norm()
    assert (cheap.relevance - reference.relevance).norm() <= 1e-9 * size
    for name, value in reference.sinks.items():
        torch.testing.assert_close(cheap.sinks[name], value, rtol=0, atol=1e-9 * float(size))


#: rules that the library does not know, as a user writes them
HELPFUL, HARMFUL = W_POSITIVE + 0.1 * W_NEGATIVE, W_NEGATIVE + 0.1 * W_POSITIVE
LEAKY = Rule((Share((Term(X_POSITIVE, HELPFUL), Term(X_NEGATIVE, HARMFUL))),), name="leaky z+")
SIDES = Rule(
    (
        Share((Term(X_POSITIVE, HELPFUL), Term(X_NEGATIVE, HARMFUL)), where="positive"),
        Share((Term(X_POSITIVE, HARMFUL), Term(X_NEGATIVE, HELPFUL)), where="negative"),
    ),
    name="leaky, by the sign of the output",
)
WEIGHED = Rule((Share((Term(ABS_X, W_POSITIVE), Term(ABS_X, -0.5 * W_NEGATIVE))),), name="weighed")


@pytest.mark.parametrize(
    ("rule", "signed", "nonnegative", "split"),
    [(LEAKY, 4, 3, 5), (SIDES, 4, 4, 9), (WEIGHED, 3, 3, 5)], ids=str
)  # fmt: skip
def test_rules_of_a_user_become_cheap_by_the_same_pass(rule, signed, nonnegative, split):
    """Convolutions and adjoints of one layer, forward included: none of the rules is known."""
    conv, x = nn.Conv2d(8, 6, 3).double().eval(), torch.randn(2, 8, 9, 9).double()
    for model, calls in ((conv, signed), (nn.Sequential(nn.ReLU(), conv).eval(), nonnegative)):
        seed = torch.rand_like(model(x))
        graph = fxrelay.annotate(fxrelay.trace(model), composites.uniform(rule))
        cheap, reference = (fxrelay.relay(graph, reference=flag) for flag in (False, True))
        for relay, most in ((cheap, calls), (reference, split)):
            with Convolutions() as counted:
                relay(x, seed)
            assert counted.calls == most
        torch.testing.assert_close(cheap(x, seed).relevance, reference(x, seed).relevance,
                                   rtol=1e-9, atol=1e-12)  # fmt: skip


def test_what_targets_share_is_divided_once():
    """Only the seed itself is divided: below, x / d is the same for all targets."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    graph = fxrelay.trace(nn.Sequential(*layers).double().eval())
    relay = fxrelay.relay(fxrelay.annotate(graph, composites.uniform(rules.z_plus())), sinks=False)
    varying = {node for node in relay.graph.graph.nodes if node.target == "seed"}
    divided = 0
    for node in relay.graph.graph.nodes:
        if not varying.isdisjoint(node.all_input_nodes):
            varying.add(node)
            divided += node.target is operator.truediv
    assert divided == 1
