"""The cost pass: equal to the rules term by term, badly conditioned places included."""

import pytest
import torch
from torch import nn

import fxrelay
from fxrelay import composites, rules


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
