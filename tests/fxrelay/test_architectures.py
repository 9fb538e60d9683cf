"""Hand-written models of every style: exact graphs, true gradients, balanced books."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import fxrelay
from fxrelay import composites


class UNet(nn.Module):
    """Down, up by interpolation and by transposed convolution, skips, group norm."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.deep = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.last = nn.Conv2d(24, 4, 1)

    def forward(self, x):
        skip = F.silu(self.norm(self.down(x)))
        y = F.relu(self.deep(skip))
        up = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([skip, up, self.up(y)], 1)).mean((2, 3))


class Tied(nn.Module):
    """One weight as embedding of patches and, transposed, as head; one block called three times."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 12) / 3)
        self.block = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU())

    def forward(self, x):
        x = F.unfold(x, 2, stride=2).transpose(1, 2) @ self.weight.T
        for _ in range(3):
            x = x + self.block(x)
        return F.linear(x.mean(1), self.weight.T)


class Parametrized(nn.Module):
    """Weight norm, spectral norm and orthogonal weights."""

    def __init__(self):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(3, 6, 3))
        self.mix = parametrizations.spectral_norm(nn.Conv2d(6, 6, 1))
        self.head = parametrizations.orthogonal(nn.Linear(6, 6))

    def forward(self, x):
        return self.head(torch.tanh(self.mix(F.relu(self.conv(x)))).amax((2, 3)))


class Functional(nn.Module):
    """No submodules at all: parameters, einsum, a softmax that pools, a normalised embedding."""

    def __init__(self):
        super().__init__()
        self.project = nn.Parameter(torch.randn(3, 10))
        self.query = nn.Parameter(torch.randn(10))

    def forward(self, x):
        tokens = torch.einsum("bchw,cd->bhwd", x, self.project).flatten(1, 2)
        weights = (tokens @ self.query).softmax(1)
        pooled = (tokens * weights.unsqueeze(-1)).sum(dim=1)
        return F.normalize(pooled, dim=-1)


class MixtureOfExperts(nn.Module):
    """Dense routing: every expert runs, the router weighs them."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(12, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 6), nn.ReLU()) for _ in range(3))

    def forward(self, x):
        x = F.adaptive_avg_pool2d(x, 2).flatten(1)
        weights = self.router(x).softmax(-1)
        return torch.stack([e(x) * weights[:, i : i + 1] for i, e in enumerate(self.experts)]).sum(
            0
        )


class ControlFlow(nn.Module):
    """Sizes decide how often a block runs; only torch.export follows them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        while x.shape[-1] > 2:
            x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x[:, 0] *= 2
        return self.head(x.sum((2, 3)))


class SelectiveScan(nn.Module):
    """A state space layer: gates from the input, a recurrence written out."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 6)
        self.gate = nn.Linear(3, 6)
        self.out = nn.Linear(6, 4)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)[:, :5]
        u, forget = self.inner(x), torch.sigmoid(self.gate(x))
        state = torch.zeros_like(u[:, 0])
        for t in range(5):
            state = forget[:, t] * state + (1 - forget[:, t]) * u[:, t]
        return self.out(state)


STYLES = [
    UNet, Tied, Parametrized, Functional, MixtureOfExperts, ControlFlow, SelectiveScan,
]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_style(style):
    torch.manual_seed(0)
    model = style().double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    graph = fxrelay.canonize(fxrelay.trace(model, x))
    want = model(x.clone())
    torch.testing.assert_close(graph(x.clone()), want, rtol=1e-12, atol=1e-12)
    seed = torch.zeros_like(want)
    seed[:, 1] = 1
    for name in ("epsilon_plus", "attn_lrp"):
        preset = getattr(composites, name)(epsilon=1e-9, stabilizer=1e-9)
        out = fxrelay.relay(fxrelay.annotate(graph, preset))(x.clone(), seed)
        total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
        torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=1e-7)
    traced = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(traced.clone()), traced, seed)
    relay = fxrelay.relay(fxrelay.annotate(graph, "gradient"))
    torch.testing.assert_close(relay(x.clone(), seed).relevance, gradient)


@pytest.mark.parametrize("style", [UNet, Tied, Functional])
def test_exported_program_is_taken_as_it_is(style):
    torch.manual_seed(0)
    model = style().double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    exported = torch.export.export(model, (x,))
    ours = [fxrelay.attribute(m, x, 1, composite="cp_lrp") for m in (model, exported)]
    torch.testing.assert_close(*(torch.tensor(ds["relevance"].values) for ds in ours))


def test_shared_block_equals_separate_copies():
    torch.manual_seed(0)
    shared = Tied().double().eval()

    class Apart(Tied):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(3)
            )

        def forward(self, x):
            x = F.unfold(x, 2, stride=2).transpose(1, 2) @ self.weight.T
            for block in self.blocks:
                x = x + block(x)
            return F.linear(x.mean(1), self.weight.T)

    apart = Apart().double().eval()
    apart.weight = shared.weight
    for block in apart.blocks:
        block.load_state_dict(shared.block.state_dict())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    ours = [fxrelay.attribute(m, x, 1, composite="attn_lrp") for m in (shared, apart)]
    torch.testing.assert_close(*(torch.tensor(ds["relevance"].values) for ds in ours))
