"""The torchvision families that the operator table covers so far, as they come."""

import fxrelay.vision  # noqa: I001
import pytest
import torch
import torchvision
from torch import nn

import fxrelay

SLOW = ["alexnet", "vgg11_bn", "resnet50", "resnext50_32x4d", "wide_resnet50_2"]
MODELS = ["resnet18", "squeezenet1_1", *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)]


def build(name):
    """The model in float64, with norms as after training and without biases."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None, num_classes=10).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    return model


@pytest.mark.parametrize("name", MODELS)
def test_total_relevance_arrives_at_the_input(name):
    model = build(name)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    graph = fxrelay.canonize(fxrelay.trace(model, x))
    torch.testing.assert_close(graph(x), model(x), rtol=1e-10, atol=1e-12)
    composite = fxrelay.composites.epsilon_plus_flat(epsilon=1e-12, stabilizer=1e-12)
    relay = fxrelay.relay(fxrelay.annotate(graph, composite))
    out = relay(x, torch.eye(10, dtype=torch.float64)[[1, 7]])
    total = out.relevance.flatten(1).sum(1)
    torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=1e-6)
