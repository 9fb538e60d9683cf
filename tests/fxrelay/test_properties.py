"""What must hold of every relevance program (RULES section 4)."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import NETS, build, inputs, seed_at
from torch import nn

import fxrelay
from fxrelay import composites, rules

PRESETS = [name for name in composites.COMPOSITES if name != "epsilon_gamma_box"]
CONSERVING = ["epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1",
              "epsilon_alpha2_beta1_flat", "epsilon_gamma_box"]  # fmt: skip


def preset(name, **options):
    box = {"low": -6.0, "high": 6.0} if name == "epsilon_gamma_box" else {}
    return composites.COMPOSITES[name](**box, **options)


def program(model, composite, **options):
    graph = fxrelay.canonize(fxrelay.trace(model))
    return fxrelay.relay(fxrelay.annotate(graph, composite), **options)


def total(r):
    return r.flatten(1).sum(1)


@pytest.mark.parametrize("name", CONSERVING)
@pytest.mark.parametrize("net", NETS)
def test_without_biases_the_input_gets_everything(net, name):
    model = build(net, bias=False)
    x = inputs()
    composite = preset(name, epsilon=1e-9, stabilizer=1e-9)
    out = program(model, composite)(x, seed_at(model(x), [0, 3]))
    lost = out.sinks.get("undistributed", torch.zeros(2))
    torch.testing.assert_close(
        total(out.relevance) + lost, torch.ones(2).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", CONSERVING)
@pytest.mark.parametrize("net", NETS)
def test_with_biases_inputs_and_sinks_balance(net, name):
    model, x = build(net), inputs()
    out = program(model, preset(name))(x, seed_at(model(x), [1, 4]))
    booked = total(out.relevance) + sum(out.sinks.values())
    torch.testing.assert_close(booked, torch.ones(2).double(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*PRESETS, "epsilon_gamma_box"])
@pytest.mark.parametrize("net", NETS)
def test_cheap_program_equals_reference(net, name):
    model, x = build(net), inputs()
    seed = torch.randn_like(model(x))
    cheap, reference = (
        program(model, preset(name), reference=flag)(x, seed).relevance for flag in (False, True)
    )
    assert (cheap - reference).norm() <= 1e-9 * reference.norm()


@pytest.mark.parametrize("net", NETS)
def test_gradient_preset_is_the_gradient(net):
    model, x = build(net), inputs().requires_grad_()
    seed = torch.randn_like(model(x)).detach()
    (want,) = torch.autograd.grad(model(x), x, seed)
    got = program(model, "gradient")(x.detach(), seed).relevance
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("net", NETS)
def test_model_is_untouched(net):
    model = build(net)
    before = {name: (id(p), p._version, p.clone()) for name, p in model.named_parameters()}
    state, modules = copy.deepcopy(model.state_dict()), [id(m) for m in model.modules()]
    fxrelay.attribute(model, inputs(), composite="epsilon_plus")
    assert [id(m) for m in model.modules()] == modules
    for name, p in model.named_parameters():
        assert (id(p), p._version) == before[name][:2]
        assert p.requires_grad
        assert p.grad is None
        assert torch.equal(p, before[name][2])
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_module_called_twice_equals_separate_copies():
    shared = build("twice")
    separate = NETS["twice"](shared=False).double().eval()
    separate.load_state_dict({**shared.state_dict(), **{
        f"again.{k}": v for k, v in shared.conv.state_dict().items()
    }})  # fmt: skip
    x = inputs()
    seed = seed_at(shared(x), [0, 1])
    for name in CONSERVING:
        one, two = (program(m, preset(name))(x, seed).relevance for m in (shared, separate))
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["epsilon_plus_flat", "epsilon_gamma_box"])
def test_relevance_is_differentiable_in_input_weights_and_seed(name):
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 2)
    )
    model = model.double().eval()
    relay = program(model, preset(name, stabilizer=1e-3, epsilon=1e-3), live=True)
    x = torch.rand(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    seed = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, s: relay.graph(a, s)["relevance"]["input"], (x, seed))
    names = [n for n, _ in relay.graph.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in relay.graph.parameters())

    def of_weights(*weights):
        state = dict(zip(names, weights, strict=True))
        out = torch.func.functional_call(relay.graph, state, (x.detach(), seed.detach()))
        return out["relevance"]["input"]

    assert names
    assert torch.autograd.gradcheck(of_weights, values)


def test_snapshot_does_not_follow_the_model():
    model, x = build("plain"), inputs()
    relay = program(model, "epsilon_plus")
    seed = seed_at(model(x), [0, 0])
    before = relay(x, seed).relevance
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    assert torch.equal(relay(x, seed).relevance, before)


def test_program_is_a_graph_that_prints_exports_and_maps():
    model, x = build("residual"), inputs()
    relay = program(model, "epsilon_plus_flat")
    seeds = torch.stack([seed_at(model(x), [k, k]) for k in range(5)])
    assert isinstance(relay.graph, torch.fx.GraphModule)
    assert "conv_adjoint" in relay.code
    mapped = torch.func.vmap(lambda s: relay.graph(x, s)["relevance"]["x"])(seeds)
    looped = torch.stack([relay(x, s).relevance for s in seeds])
    torch.testing.assert_close(mapped, looped, rtol=1e-10, atol=1e-12)
    exported = torch.export.export(relay.graph, (x, seeds[0])).module()
    torch.testing.assert_close(exported(x, seeds[0])["relevance"]["x"], looped[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (rules.z_plus(), rules.alpha_beta(1, 0)),
        (rules.gamma(0), rules.epsilon()),
        (rules.z_plus(stabilizer=1e-12), rules.gamma(1e9, stabilizer=1e-3)),
    ],
    ids=["z_plus = alpha_beta(1, 0)", "gamma(0) = epsilon", "gamma(inf) -> z_plus"],
)
def test_identities(one, other):
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 6, 3), nn.ReLU()).double().eval()
    x = inputs()
    r = torch.rand_like(model(x)) * (model(x) > 0)
    a, b = (program(model, composites.uniform(rule))(x, r).relevance for rule in (one, other))
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(-3, 3))
def test_relevance_is_linear_in_the_seed(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    both = LINEAR(inputs(), a + scale * b).relevance
    apart = LINEAR(inputs(), a).relevance + scale * LINEAR(inputs(), b).relevance
    torch.testing.assert_close(both, apart, rtol=1e-8, atol=1e-9)


LINEAR = program(build("residual"), "epsilon_plus")


@given(
    gamma=st.floats(0, 100),
    alpha=st.floats(1, 4),
    terms=st.lists(st.sampled_from(["w", "|w|", "w2"]), min_size=1, max_size=3),
    relu=st.booleans(),
)
def test_cost_pass_keeps_any_rule(gamma, alpha, terms, relu):
    """A rule that the library does not know becomes cheap by the same algebra."""
    from fxrelay.terms import ABS_X, Form, Rule, Share, Term, W, X

    mine = Rule(
        (
            Share(
                (
                    Term(X, W + gamma * Form.of({"|w|": 1}), W),
                    Term(ABS_X, Form.of(dict.fromkeys(terms, 0.3))),
                )
            ),
            Share((Term(X, Form.of({terms[0]: alpha})),), gain=-0.5, where="positive"),
        ),
        stabilizer=1e-3,
        name="mine",
    )
    layers = [nn.Conv2d(3, 4, 3, padding=1)]
    model = nn.Sequential(*([nn.ReLU()] if relu else []), *layers).double().eval()
    x = inputs()
    seed = torch.randn_like(model(x))
    cheap, reference = (
        program(model, composites.uniform(mine), reference=f)(x, seed).relevance for f in (0, 1)
    )
    assert (cheap - reference).norm() <= 1e-8 * reference.norm()


@pytest.mark.parametrize("net", NETS)
def test_canonized_output_is_equal(net):
    model, x = build(net), inputs()
    canonized = fxrelay.canonize(fxrelay.trace(model))
    torch.testing.assert_close(canonized(x), model(x), rtol=1e-12, atol=1e-12)
    again = fxrelay.canonize(canonized)
    assert again.meta["rewrites"] == canonized.meta["rewrites"]


class Sequences(nn.Module):
    """Dense then batch norm over (batch, channel, feature): the channels are no features."""

    def __init__(self, length):
        super().__init__()
        self.fc, self.norm, self.out = nn.Linear(4, 4), nn.BatchNorm1d(length), nn.Linear(4, 4)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.out(self.norm(self.fc(x)))


@pytest.mark.parametrize(("shape", "folded"), [((4,), 1), ((4, 4), 0)], ids=["matrix", "sequence"])
def test_batch_norm_is_folded_into_dense_layers_of_matrices_only(shape, folded):
    model = Sequences(4).double().eval()
    x = torch.randn(3, *shape, dtype=torch.float64)
    graph = fxrelay.canonize(fxrelay.trace(model, x))
    assert len(graph.meta["rewrites"]) == folded
    torch.testing.assert_close(graph(x), model(x), rtol=1e-12, atol=1e-12)


def test_lrp_0_is_finite():
    model = nn.Sequential(nn.Linear(3, 2, bias=False)).double().eval()
    out = program(model, composites.uniform(rules.epsilon(0)))(
        torch.zeros(1, 3).double(), torch.ones(1, 2).double()
    )
    assert not out.relevance.any()
    assert float(out.sinks["undistributed"]) == 2


def test_sizes_may_be_given_one_by_one_or_whole():
    class Reshaped(nn.Module):
        def forward(self, x):
            n = x.size(0) * x.size(1)
            return x.view(n).reshape(x.shape).view(x.size()).flatten(1)

    x = torch.randn(2, 3)
    assert torch.equal(fxrelay.trace(Reshaped().eval())(x), x)
