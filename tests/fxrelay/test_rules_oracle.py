"""Every rule on every linear operator equals the dense matrix form, in float64."""

import oracle
import pytest
import torch
from cases import CASES, padded_apart, random_input
from torch import nn

import fxrelay
from fxrelay import composites, rules

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")

LOW, HIGH = -8.0, 8.5
RULES = {
    "epsilon": rules.epsilon(),
    "z_plus": rules.z_plus(),
    "alpha_beta": rules.alpha_beta(),
    "gamma": rules.gamma(),
    "z_box": rules.z_box(LOW, HIGH),
    "w_square": rules.w_square(),
    "flat": rules.flat(),
    "gradient": rules.gradient(),
}


def program(model, rule, **options):
    graph = fxrelay.annotate(fxrelay.trace(model), composites.uniform(rule))
    return fxrelay.relay(graph, **options)


def expected(case, module, name, x, r, *, bias=True):
    """The oracle, sample by sample; padding of a mode of its own is pulled back apart."""
    pad, x_in = None, x
    if padded_apart(case):
        widths = [p for p in reversed(module.padding) for _ in (0, 1)]

        def pad(t):
            return nn.functional.pad(t, widths, mode=module.padding_mode)

        x_in = pad(x)
    z = module(x)
    apply = case.apply if pad is None else _bare(module)
    b = module.bias
    shaped = None if b is None or not bias else b.reshape(-1, *[1] * (z.dim() - 2))
    if b is not None and bias and isinstance(module, nn.Linear):
        shaped = b
    bounds = (LOW, HIGH) if name == "z_box" else ()
    rows = []
    for i in range(len(x)):
        op = oracle.Operator(apply, x_in[i], module.weight, shaped, z[i])
        rows.append(oracle.RULES[name](op, r[i].reshape(-1), *bounds).reshape(x_in[i].shape))
    relevance = torch.stack(rows)
    return relevance if pad is None else torch.func.vjp(pad, x)[1](relevance)[0]


def _bare(module):
    functions = {
        nn.Conv1d: nn.functional.conv1d,
        nn.Conv2d: nn.functional.conv2d,
        nn.Conv3d: nn.functional.conv3d,
    }
    return lambda x, w: functions[type(module)](x, w)


def relative(a, b):
    return ((a - b).norm() / b.norm().clamp(min=1e-30)).item()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_matches_dense_matrix_form(case, name):
    module = case.module()
    x = random_input(case)
    r = torch.randn_like(module(x))
    with torch.no_grad():
        want = expected(case, module, name, x, r)
    for reference in (False, True):
        got = program(module, RULES[name], reference=reference)(x, r).relevance
        assert relative(got, want) < 1e-9, f"reference={reference}"


@pytest.mark.parametrize("name", ["epsilon", "z_plus", "alpha_beta", "gamma", "w_square"])
def test_bias_zero_leaves_the_denominator(name):
    from cases import CASES_BY_NAME

    case = CASES_BY_NAME["conv2d strided padded"]
    module, x = case.module(), random_input(case)
    z = module(x)
    r = torch.randn_like(z)
    with torch.no_grad():
        want = expected(case, module, name, x, r, bias=False)
    rule = getattr(rules, name)(bias="zero")
    assert relative(program(module, rule)(x, r).relevance, want) < 1e-9


@pytest.mark.parametrize("name", RULES)
def test_nonnegative_input_keeps_the_rule(name):
    """Behind a ReLU the cost pass drops what cannot happen; the result stays."""
    from cases import CASES_BY_NAME

    case = CASES_BY_NAME["conv2d strided padded"]
    module = case.module()
    x = random_input(case)
    model = nn.Sequential(nn.ReLU(), module).eval()
    r = torch.randn_like(module(x))
    with torch.no_grad():
        want = expected(case, module, name, x.relu(), r)
    rows = [(composites.ops("linear"), RULES[name]), (composites.everything(), rules.passthrough())]
    graph = fxrelay.annotate(fxrelay.trace(model), composites.Composite(rows))
    got = fxrelay.relay(graph)(x, r).relevance
    assert relative(got, want) < 1e-9
