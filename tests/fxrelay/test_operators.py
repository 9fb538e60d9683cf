"""Rules on operators without weights, on sums and on ReLU: dense and closed forms."""

import oracle
import pytest
import torch
from torch import nn

import fxrelay
from fxrelay import composites, rules
from fxrelay.composites import Composite, everything, ops


class Call(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def program(model, composite, **options):
    return fxrelay.relay(fxrelay.annotate(fxrelay.trace(model), composite), **options)


POOLS = {
    "avg_pool1d": (nn.AvgPool1d(3, 2, 1), (3, 9)),
    "avg_pool2d": (nn.AvgPool2d(2), (3, 6, 6)),
    "avg_pool2d uncounted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (3, 7, 7)),
    "avg_pool3d": (nn.AvgPool3d(2), (2, 4, 4, 4)),
    "adaptive1d": (nn.AdaptiveAvgPool1d(3), (2, 8)),
    "adaptive2d": (nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 7)),
    "adaptive3d": (nn.AdaptiveAvgPool3d(2), (2, 4, 3, 5)),
    "mean": (Call(lambda x: x.mean((2, 3))), (2, 4, 4)),
    "sum": (Call(lambda x: x.sum(1)), (3, 4)),
}


@pytest.mark.parametrize("rule", ["norm", "epsilon", "z_plus", "flat", "w_square", "gradient"])
@pytest.mark.parametrize("case", POOLS)
def test_rule_on_operators_without_parameters_matches_dense_form(case, rule):
    model, shape = POOLS[case]
    x = torch.randn(2, *shape, dtype=torch.float64)
    r = torch.randn_like(model(x))
    composite = Composite([(everything(), getattr(rules, rule)())])
    got = program(model.eval(), composite)(x, r).relevance
    for i in range(2):
        w = oracle.dense(lambda t, _: model(t), None, x[i])
        flat, s = x[i].reshape(-1), r[i].reshape(-1)
        parts = {
            "norm": w * flat, "epsilon": w * flat, "z_plus": w * flat.clamp(min=0),
            "flat": w, "w_square": w**2,
        }  # fmt: skip
        if rule == "gradient":
            want = w.T @ s
        else:
            share = parts[rule]
            want = share.T @ (s / oracle.stabilize(share.sum(1)))
        error = (got[i].reshape(-1) - want).norm() / want.norm()
        assert error < (1e-4 if rule in ("flat", "w_square") else 1e-9)  # a factor before epsilon


def two(x):
    return x[:, 0] + x[:, 1]


ADDS = {
    "norm": (rules.norm(), lambda a, b, r: (a * r / (a + b), b * r / (a + b))),
    "flat is symmetric": (rules.flat(), lambda a, b, r: (r / 2, r / 2)),
    "ratio": (
        rules.ratio(),
        lambda a, b, r: (a.abs() * r / (a.abs() + b.abs()), b.abs() * r / (a.abs() + b.abs())),
    ),
    "gradient": (rules.gradient(), lambda a, b, r: (r, r)),
}


@pytest.mark.parametrize("name", ADDS)
def test_sum_divides_as_its_rule_says(name):
    rule, closed = ADDS[name]
    composite = Composite([(ops("add"), rule), (everything(), rules.gradient())])
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    r = torch.randn(3, 5, dtype=torch.float64)
    got = program(Call(two).eval(), composite)(x, r).relevance
    want = torch.stack(closed(x[:, 0], x[:, 1], r), 1)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("rule", "closed"),
    [
        (rules.passthrough(), lambda x, r: r),
        (rules.relu_deconvnet(), lambda x, r: r.clamp(min=0)),
        (rules.relu_guided_backprop(), lambda x, r: r.clamp(min=0) * (x > 0)),
        (rules.relu_beta_smooth(10), lambda x, r: torch.sigmoid(10 * x) * r),
        (rules.gradient(), lambda x, r: r * (x > 0)),
    ],
    ids=["passthrough", "deconvnet", "guided_backprop", "beta_smooth", "gradient"],
)
def test_rules_of_relu(rule, closed):
    x, r = torch.randn(2, 3, 7, dtype=torch.float64)
    got = program(nn.ReLU().eval(), composites.uniform(rule, rows=[(ops("relu"), rule)]))(x, r)
    torch.testing.assert_close(got.relevance, closed(x, r))


def test_by_hand_in_fractions():
    """w = [[2, -1], [1, 3]], b = [1, -2], x = (1, 2): z = (1, 5).

    epsilon(0), R = (1, 1): R_1 = 2/1 + 1/5 = 11/5, R_2 = -2/1 + 6/5 = -4/5, biases 1 - 2/5 = 3/5.
    z_plus: positive sums 2 + 1 = 3 and 1 + 6 = 7: R_1 = 2/3 + 1/7 = 17/21, R_2 = 6/7, bias 1/3.
    """
    layer = nn.Linear(2, 2).double().eval()
    layer.weight.data = torch.tensor([[2.0, -1.0], [1.0, 3.0]]).double()
    layer.bias.data = torch.tensor([1.0, -2.0]).double()
    x, r = torch.tensor([[1.0, 2.0]]).double(), torch.ones(1, 2).double()
    cases = {
        rules.epsilon(0): ([11 / 5, -4 / 5], 3 / 5),
        rules.z_plus(stabilizer=0): ([17 / 21, 6 / 7], 1 / 3),
    }
    for rule, (relevance, bias) in cases.items():
        out = program(layer, composites.uniform(rule))(x, r)
        torch.testing.assert_close(out.relevance, torch.tensor([relevance]).double())
        (name,) = [name for name in out.sinks if name.endswith("bias")]
        assert float(out.sinks[name]) == pytest.approx(bias)


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [3.1, -4.1, 0.1]),
        ({"clip": True}, [3.0, -4.0, 0.1]),
        ({"norm_scale": True}, [3.2887, -4.2887, 0.2887]),
        ({"clip": True, "norm_scale": True}, [3.0, -4.0, 0.2887]),
    ],
    ids=["plain", "clip", "norm_scale", "both"],
)
def test_stabilizer_moves_denominators_away_from_zero(options, want):
    from fxrelay.kernels import stabilize
    from fxrelay.terms import Stabilizer

    got = stabilize(torch.tensor([[3.0, -4.0, 0.0]]), 0.1, **options)
    torch.testing.assert_close(got, torch.tensor([want]), rtol=0, atol=1e-4)
    x = r = torch.tensor([[3.0, -4.0, 0.0]])
    identity = nn.Linear(3, 3, bias=False).eval()
    identity.weight.data = torch.eye(3)
    rule = rules.epsilon(stabilizer=Stabilizer(0.1, **options))
    relevance = program(identity, composites.uniform(rule))(x, r).relevance
    torch.testing.assert_close(relevance, x * r / got)
