"""One model of each family of torchvision, as it comes: exact graphs, balanced books.

`benchmarks/zoo.py` does the same for every model.
"""

import pytest
import torch

import fxrelay
from benchmarks import zoo

FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t",
    "vit_b_32", "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "mc3_18", "swin3d_t",
]  # fmt: skip
SLOW = [
    "vgg11_bn", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "maxvit_t", "fcn_resnet50",
    "r2plus1d_18", "r3d_18", "s3d", "mvit_v1_b", "mvit_v2_s",
]  # fmt: skip
MODELS = [*FAMILIES, *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)]
#: networks of ReLU and sums without biases: all arrives at the input, if what nothing contributed
#: to is spread
RELU = {
    "alexnet", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "mobilenet_v2",
    "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "vgg11_bn", "resnet50",
    "resnext50_32x4d", "wide_resnet50_2", "mc3_18",
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:Initializing")
def test_family(name):
    found = zoo.examine(name)
    assert found.difference < max(1e-10, 10 * found.jitter)
    assert found.missing < 1e-6
    if name in RELU:
        assert found.spread_share == pytest.approx(1, abs=1e-3)


def test_swin_at_sizes_that_need_padding():
    model = zoo.build("swin_t")
    graph = fxrelay.canonize(fxrelay.trace(model))
    x = torch.randn(1, 3, 100, 76, dtype=torch.float64)
    torch.testing.assert_close(graph(x), model(x), rtol=1e-10, atol=1e-12)
    relay = fxrelay.relay(fxrelay.annotate(graph, "gradient"))
    seed = torch.eye(1000, dtype=torch.float64)[[3]]
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x), x, seed)
    torch.testing.assert_close(relay(x.detach(), seed).relevance, gradient)
