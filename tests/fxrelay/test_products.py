"""Gates, norms and attention against closed forms and explicit float64 formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fxrelay
from fxrelay import composites, rules
from fxrelay.composites import Composite, everything, ops


class Call(nn.Module):
    def __init__(self, function, **held):
        super().__init__()
        self.function = function
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def build(function, **held):
    return Call(function, **held).double().eval()


def program(model, composite, x, **options):
    graph = fxrelay.canonize(fxrelay.trace(model, x))
    return fxrelay.relay(fxrelay.annotate(graph, composite), **options)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


TAKE = Composite([(everything(), rules.gradient())])


def split(model, rule=None):
    """Relevance of the two parts of x that a model multiplies."""
    rows = [] if rule is None else [(ops("gate", "bilinear"), rule)]
    x, r = randn(3, 2, 5), randn(3, 5, seed=1)
    return x, r, program(model, Composite(rows), x)(x, r).relevance


GATES = {
    "sigmoid": lambda a, b: a * b.sigmoid(),
    "hard sigmoid first": lambda a, b: F.hardsigmoid(b) * a,
    "softmax": lambda a, b: a * b.softmax(-1),
    "one minus gate": lambda a, b: (1 - b.sigmoid()) * a,
    "half of one plus tanh": lambda a, b: 0.5 * a * (1 + b.tanh()),
    "relu6 over 6": lambda a, b: a * (F.relu6(b + 3) / 6),
}


@pytest.mark.parametrize("name", GATES)
def test_signal_takes_all_and_its_gate_nothing(name):
    _, r, got = split(build(lambda m, x: GATES[name](x[:, 0], x[:, 1])))
    torch.testing.assert_close(got, torch.stack([r, torch.zeros_like(r)], 1))


def test_uniform_halves_a_gated_product():
    model = build(lambda m, x: x[:, 0] * x[:, 1].sigmoid())
    _, r, got = split(model, rules.uniform())
    torch.testing.assert_close(got, torch.stack([r / 2, r / 2], 1))


def test_product_without_a_gate_is_halved():
    _, r, got = split(build(lambda m, x: F.silu(x[:, 0]) * x[:, 1]))
    torch.testing.assert_close(got, torch.stack([r / 2, r / 2], 1))


def test_broadcast_gate_and_signal():
    """Squeeze and excitation: the signal takes all, whatever the shape of its gate."""
    model = build(lambda m, x: x * x.mean((2, 3), keepdim=True).sigmoid())
    x, r = randn(2, 3, 4, 4), randn(2, 3, 4, 4, seed=1)
    torch.testing.assert_close(program(model, Composite([]), x)(x, r).relevance, r)


OWN_GATES = {
    "silu": lambda x: x * x.sigmoid(),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu by tanh": lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * x.pow(3)))),
    "hard swish": lambda x: x * F.relu6(x + 3) / 6,
    "square": lambda x: x * x,
}


@pytest.mark.parametrize("rule", [None, rules.uniform()], ids=["default", "uniform"])
@pytest.mark.parametrize("name", OWN_GATES)
def test_activation_by_hand_passes_relevance(name, rule):
    model = build(lambda m, x: OWN_GATES[name](x))
    _, _, got = split(build(lambda m, x: OWN_GATES[name](x[:, 0]) + 0 * x[:, 1]), rule)
    x, r = randn(2, 5), randn(2, 5, seed=1)
    out = program(model, Composite([] if rule is None else [(ops("gate"), rule)]), x)(x, r)
    torch.testing.assert_close(out.relevance, r)
    assert torch.isfinite(got).all()


NORMS = {
    "layer": (nn.LayerNorm(6), (4, 6)),
    "layer of two axes": (nn.LayerNorm((4, 6)), (4, 6)),
    "group": (nn.GroupNorm(2, 4), (4, 3, 2)),
    "instance": (nn.InstanceNorm1d(4, affine=True), (4, 6)),
    "root mean square": (nn.RMSNorm(6, eps=1e-5), (4, 6)),
}


def detached(norm, x):
    """The norm of one sample as a linear map: its spread is that of `x`, held constant."""
    if isinstance(norm, nn.RMSNorm):
        scale = (x.square().mean(-1, keepdim=True) + norm.eps).rsqrt()
        return lambda t: t * scale * norm.weight
    if isinstance(norm, nn.LayerNorm):
        axes = tuple(range(-len(norm.normalized_shape), 0))
        scale = (x.var(axes, correction=0, keepdim=True) + norm.eps).rsqrt()
        return lambda t: (t - t.mean(axes, keepdim=True)) * scale * norm.weight
    groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else norm.num_features
    parts = x.reshape(groups, -1)
    scale = (parts.var(1, correction=0, keepdim=True) + norm.eps).rsqrt()
    weight = norm.weight.reshape(-1, *[1] * (x.dim() - 1))

    def apply(t):
        p = t.reshape(groups, -1)
        return ((p - p.mean(1, keepdim=True)) * scale).reshape(x.shape) * weight

    return apply


@pytest.mark.parametrize("name", NORMS)
def test_norm_is_a_linear_map_with_its_spread_held_constant(name):
    norm, shape = NORMS[name]
    norm = norm.double().eval()
    for i, parameter in enumerate(norm.parameters()):
        parameter.data = randn(*parameter.shape, seed=i) + 1
    x, r = randn(2, *shape), randn(2, *shape, seed=1)
    composite = Composite([(ops("norm"), rules.epsilon(1e-9))])
    out = program(norm, composite, x)(x, r)
    for i in range(2):
        jacobian = torch.func.jacrev(detached(norm, x[i]))(x[i]).reshape(x[i].numel(), -1)
        z = norm(x[i : i + 1]).flatten()
        want = x[i].flatten() * (jacobian.T @ (r[i].flatten() / z))
        torch.testing.assert_close(out.relevance[i].flatten(), want, rtol=1e-6, atol=1e-6)
    total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
    torch.testing.assert_close(total, r.flatten(1).sum(1))


def test_norms_that_centre_refuse_rules_on_signs():
    x = randn(2, 4, 6)
    composite = Composite([(ops("norm"), rules.z_plus())])
    with pytest.raises(fxrelay.errors.RuleError, match="norms that centre take only epsilon"):
        program(nn.LayerNorm(6).double().eval(), composite, x)


def test_softmax_expansion_and_its_bias():
    """R_i = x_i (R_i - s_i sum R); the bias of the expansion keeps the rest."""
    model = build(lambda m, x: x.softmax(-1))
    x, r = randn(2, 5), randn(2, 5, seed=1)
    out = program(model, Composite([(ops("softmax"), rules.softmax())]), x)(x, r)
    s = x.softmax(-1)
    torch.testing.assert_close(out.relevance, x * (r - s * r.sum(-1, keepdim=True)))
    torch.testing.assert_close(out.sinks["softmax.expansion"], (r - out.relevance).sum(1))


class Attention(nn.Module):
    """One head by hand, no biases: what the oracle below divides."""

    def __init__(self, mask=None):
        super().__init__()
        self.qkv = nn.ParameterList([randn(4, 4, seed=i) for i in range(3)])
        self.mask = mask

    def forward(self, x):
        q, k, v = (x @ w for w in self.qkv)
        return F.scaled_dot_product_attention(q, k, v, self.mask)


def epsilon_dense(x, w, r, eps):
    """R_i = sum_j x_i w_ij R_j / z_j for a sequence (token, feature)."""
    z = x @ w
    return x * ((r / (z + eps * torch.where(z >= 0, 1.0, -1.0))) @ w.T)


def oracle(model, x, r, kind, eps):
    """CP-LRP and AttnLRP of one head and one sample, written element by element."""
    w_q, w_k, w_v = model.qkv
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    n, d = q.shape
    scores = torch.stack([torch.stack([q[i] @ k[j] for j in range(n)]) for i in range(n)])
    logits = scores / math.sqrt(d)
    if model.mask is not None:
        logits = logits.masked_fill(~model.mask, -math.inf)
    a = logits.softmax(-1)
    o = a @ v
    share = 1.0 if kind == "cp_lrp" else 0.5
    r_v, r_a = torch.zeros_like(v), torch.zeros_like(a)
    for i in range(n):
        for p in range(v.shape[1]):
            for j in range(n):
                part = a[i, j] * v[j, p] * r[i, p] / (o[i, p] + eps * (1 if o[i, p] >= 0 else -1))
                r_v[j, p] += share * part
                r_a[i, j] += 0.5 * part
    relevance = epsilon_dense(x, w_v, r_v, eps)
    if kind == "cp_lrp":
        return relevance
    finite = torch.where(a == 0, 0.0, logits)
    r_s = finite * (r_a - a * r_a.sum(-1, keepdim=True))
    r_q, r_k = torch.zeros_like(q), torch.zeros_like(k)
    for i in range(n):
        for j in range(n):
            z = scores[i, j] + eps * (1 if scores[i, j] >= 0 else -1)
            r_q[i] += 0.5 * q[i] * k[j] * r_s[i, j] / z
            r_k[j] += 0.5 * q[i] * k[j] * r_s[i, j] / z
    return relevance + epsilon_dense(x, w_q, r_q, eps) + epsilon_dense(x, w_k, r_k, eps)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("kind", ["cp_lrp", "attn_lrp"])
def test_attention_matches_explicit_formulas(kind, masked):
    mask = torch.ones(5, 5, dtype=torch.bool).tril() if masked else None
    model = Attention(mask).eval()
    x, r = randn(2, 5, 4), randn(2, 5, 4, seed=9)
    composite = getattr(composites, kind)(epsilon=1e-9, stabilizer=1e-9)
    out = program(model, composite, x)(x, r)
    want = torch.stack([oracle(model, x[i], r[i], kind, 1e-9) for i in range(2)])
    torch.testing.assert_close(out.relevance, want, rtol=1e-9, atol=1e-9)
    total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
    torch.testing.assert_close(total, r.flatten(1).sum(1))


MHA = {
    "plain": {},
    "learnt and zero positions": {"add_bias_kv": True, "add_zero_attn": True},
    "own widths": {"kdim": 6, "vdim": 3},
    "sequence first": {"batch_first": False},
    "no bias": {"bias": False},
}


class Cross(nn.Module):
    """Multi-head attention in all its forms, with every kind of mask."""

    def __init__(self, masks, **options):
        super().__init__()
        options = {"batch_first": True} | options
        self.attend = nn.MultiheadAttention(4, 2, **options)
        self.first, self.masks = options["batch_first"], masks
        self.widths = [options.get("kdim", 4), options.get("vdim", 4)]

    def forward(self, x):
        q, k, v = x, *(torch.cat([x, x], -1)[..., :w] for w in self.widths)
        if not self.first:
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        out, _ = self.attend(q, k, v, **self.masks)
        return (out if self.first else out.transpose(0, 1)).sum(1)


MASKS = {
    "none": {},
    "of truth values": {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)},
    "added": {"attn_mask": randn(5, 5)},
    "by head": {"attn_mask": randn(4, 5, 5)},
    "of keys": {"key_padding_mask": torch.tensor([[False] * 4 + [True]] * 2)},
    "both": {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1),
             "key_padding_mask": torch.tensor([[False] * 4 + [True]] * 2)},
    "no weights": {"need_weights": False},
}  # fmt: skip


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("form", MHA)
def test_multi_head_attention_is_expanded_exactly(form, masks):
    torch.manual_seed(0)
    model = Cross(MASKS[masks], **MHA[form]).double().eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)
    x, want = randn(2, 5, 4), None
    graph = fxrelay.canonize(fxrelay.trace(model))
    want = model(x)
    torch.testing.assert_close(graph(x), want, rtol=1e-12, atol=1e-12)
    relay = fxrelay.relay(fxrelay.annotate(graph, "attn_lrp"))
    out = relay(x, torch.ones_like(want))
    total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
    torch.testing.assert_close(total, torch.full((2,), 4.0).double())
    seed = randn(2, 4, seed=3)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x), x, seed)
    relay = fxrelay.relay(fxrelay.annotate(graph, "gradient"))
    torch.testing.assert_close(relay(x.detach(), seed).relevance, gradient)
