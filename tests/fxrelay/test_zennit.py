"""The presets agree with Zennit where it is right, in float64."""

import pytest
import torch
from nets import build, inputs, seed_at
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval as fuse

import fxrelay
import fxrelay.vision
from fxrelay import composites

pytestmark = [pytest.mark.external, pytest.mark.filterwarnings("ignore")]
zennit = pytest.importorskip("zennit", reason="zennit is not installed")

PRESETS = {
    "epsilon_plus": "EpsilonPlus",
    "epsilon_plus_flat": "EpsilonPlusFlat",
    "epsilon_alpha2_beta1": "EpsilonAlpha2Beta1",
    "epsilon_alpha2_beta1_flat": "EpsilonAlpha2Beta1Flat",
    "epsilon_gamma_box": "EpsilonGammaBox",
    "excitation_backprop": "ExcitationBackprop",
    "guided_backprop": "GuidedBackprop",
    "deconvnet": "DeconvNet",
    "beta_smooth": "BetaSmooth",
}
BOX = {"low": -6.0, "high": 6.0}


def plain():
    """The plain net, and a copy without batch norms: Zennit 0.5's merging keeps their epsilon."""
    ours, theirs = build("plain"), build("plain")
    layers = list(theirs.features)
    folded = [fuse(layers[i], layers[i + 1]) for i in (0, 4)]
    theirs.features = nn.Sequential(folded[0], *layers[2:4], folded[1], *layers[6:])
    for module in theirs.modules():  # Zennit keeps the input that an in-place ReLU overwrites
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return ours, theirs.eval()


def residual():
    """The residual net written the way Zennit needs it: the add as a module, ReLUs as modules."""
    from zennit.layer import Sum

    ours = build("residual")

    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = fuse(ours.stem, ours.norm)
            self.relu0 = nn.ReLU()
            self.pool = nn.MaxPool2d(2)
            self.conv1, self.relu1 = fuse(ours.conv1, ours.norm1), nn.ReLU()
            self.conv2 = fuse(ours.conv2, ours.norm2)
            self.sum, self.relu2, self.avg = Sum(), nn.ReLU(), nn.AvgPool2d(2)
            self.mean, self.fc = nn.AdaptiveAvgPool2d(1), ours.fc

        def forward(self, x):
            x = self.pool(self.relu0(self.stem(x)))
            y = self.conv2(self.relu1(self.conv1(x)))
            x = self.relu2(self.sum(torch.stack([y, x], -1)))
            return self.fc(torch.flatten(self.mean(self.avg(x)), 1))

    return ours, Theirs().double().eval()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("net", ["plain", "residual"])
def test_preset_agrees_with_zennit(net, name):
    ours, theirs = {"plain": plain, "residual": residual}[net]()
    x = inputs()
    seed = seed_at(ours(x), [0, 3])
    box = BOX if name == "epsilon_gamma_box" else {}
    graph = fxrelay.annotate(
        fxrelay.canonize(fxrelay.trace(ours)), composites.COMPOSITES[name](**box)
    )
    got = fxrelay.relay(graph)(x, seed)
    torch.testing.assert_close(got.output, theirs(x), rtol=1e-9, atol=1e-9)
    want = zennit_relevance(theirs, PRESETS[name], x, seed, box)
    assert (got.relevance - want).norm() <= 1e-9 * want.norm()


def zennit_relevance(model, preset, x, seed, box):
    from zennit import composites as presets
    from zennit.attribution import Gradient

    bounds = {k: torch.full_like(x[:1], v) for k, v in box.items()}
    composite = getattr(presets, preset)(**bounds)
    with Gradient(model, composite) as attributor:
        _, relevance = attributor(x.clone().requires_grad_(), seed)
    return relevance
