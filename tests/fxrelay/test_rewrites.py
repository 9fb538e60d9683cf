"""Canonizing: every rewrite is exact, traps that break other tools, a fixpoint, a log."""

import fxrelay.vision  # noqa: I001
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torchvision.ops.misc import FrozenBatchNorm2d

import fxrelay
from fxrelay.facts import signal_calls
from fxrelay.meta import PATH
from fxrelay.operators import operator_of
from fxrelay.rewrites import REWRITES


def fill(model):
    """Random statistics and affines of either sign."""
    torch.manual_seed(3)
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm | FrozenBatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
            if m.weight is not None:
                m.weight.data.normal_()
                m.bias.data.normal_()
        if isinstance(m, nn.LayerNorm | nn.RMSNorm) and m.weight is not None:
            m.weight.data.normal_()
            if getattr(m, "bias", None) is not None:
                m.bias.data.normal_()
    return model.double().eval()


class Call(nn.Module):
    def __init__(self, function, **held):
        super().__init__()
        self.function = function
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def names(graph):
    return [operator_of(n).name for n in signal_calls(graph.graph)]


def check(model, *shapes, batches=(2, 1), rewrites=REWRITES):
    """Canonize, compare at all sizes and batches, check the books, return graph and log."""
    model = fill(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    traced = fxrelay.trace(model, torch.zeros(2, *shapes[0]).double())
    graph = fxrelay.canonize(traced, rewrites)
    for shape in shapes:
        for batch in batches:
            x = torch.randn(batch, *shape, dtype=torch.float64)
            torch.testing.assert_close(graph(x), model(x), rtol=1e-12, atol=1e-12)
    again = fxrelay.canonize(graph, rewrites)
    assert again.meta["rewrites"] == graph.meta["rewrites"], "not a fixpoint"
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    x = torch.randn(2, *shapes[0], dtype=torch.float64)
    out = graph(x)
    relay = fxrelay.relay(fxrelay.annotate(graph, "epsilon_plus"))
    found = relay(x, torch.ones_like(out))
    total = found.relevance.flatten(1).sum(1) + sum(found.sinks.values())
    torch.testing.assert_close(total, torch.ones_like(out).flatten(1).sum(1))
    return graph, [name for name, _ in graph.meta["rewrites"]]


def conv(*args, **options):
    return nn.Conv2d(*args, **options)


AFTER = {
    "conv": (lambda: [conv(3, 4, 3, padding=1), nn.BatchNorm2d(4)], (3, 6, 6), (3, 5, 8)),
    "conv without bias": (lambda: [conv(3, 4, 3, bias=False), nn.BatchNorm2d(4)], (3, 6, 6)),
    "grouped": (lambda: [conv(4, 6, 3, groups=2), nn.BatchNorm2d(6)], (4, 6, 6)),
    "transposed": (lambda: [nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), nn.BatchNorm2d(6)],
                   (4, 5, 5)),
    "dense": (lambda: [nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)], (3, 2, 2)),
    "conv1d": (lambda: [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)], (3, 7)),
    "conv3d": (lambda: [nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4)], (3, 4, 4, 4)),
    "norm without affine": (lambda: [conv(3, 4, 3), nn.BatchNorm2d(4, affine=False)], (3, 6, 6)),
}  # fmt: skip


@pytest.mark.parametrize("case", AFTER)
def test_batch_norm_after_linear(case):
    make, *shapes = AFTER[case]
    graph, log = check(nn.Sequential(*make()), *shapes)
    assert log == ["fold_batch_norm_into_linear"]
    assert "batch_norm" not in names(graph)


BEFORE = {
    "without padding": (lambda: conv(3, 4, 3), (3, 6, 6), (3, 7, 5)),
    "zero padding": (lambda: conv(3, 4, 3, padding=1), (3, 6, 6), (3, 7, 5)),
    "strided zero padding": (lambda: conv(3, 4, 3, 2, 2), (3, 6, 6), (3, 9, 5)),
    "grouped": (lambda: conv(4, 6, 3, padding=1, groups=2), (4, 6, 6)),
    "grouped without padding": (lambda: conv(4, 6, 3, groups=2), (4, 6, 6)),
    "depthwise": (lambda: conv(4, 4, 3, padding=1, groups=4, bias=False), (4, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), (4, 5, 5)),
}


@pytest.mark.parametrize("relu", [False, True], ids=["", "relu between"])
@pytest.mark.parametrize("case", BEFORE)
def test_batch_norm_before_linear(case, relu):
    """The naive bias is wrong at the border of a padded convolution; the map is not."""
    make, *shapes = BEFORE[case]
    between = [nn.ReLU()] if relu else []
    graph, log = check(
        nn.Sequential(nn.BatchNorm2d(shapes[0][0]), *between, make()), *shapes
    )  # fmt: skip
    assert log == ["lift_batch_norm_over_relu"] * relu + ["fold_batch_norm_into_next_linear"]
    assert "batch_norm" not in names(graph)
    assert ("threshold" in names(graph)) == relu


def test_batch_norm_of_no_scale_is_not_lifted():
    model = fill(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv(3, 4, 3, padding=1)))
    model[0].weight.data[1] = 0
    graph = fxrelay.canonize(fxrelay.trace(model), REWRITES)
    assert graph.meta["rewrites"] == ()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(graph(x), model(x), rtol=1e-12, atol=1e-12)


def test_pre_activation_block_as_in_densenet():
    block = Call(
        lambda m, x: torch.cat([x, m.conv2(F.relu(m.norm2(m.conv1(F.relu(m.norm1(x))))))], 1),
        norm1=nn.BatchNorm2d(3), conv1=conv(3, 5, 1, bias=False), norm2=nn.BatchNorm2d(5),
        conv2=conv(5, 4, 3, padding=1, bias=False),
    )  # fmt: skip
    _, log = check(block, (3, 6, 6), (3, 5, 8))
    assert sorted(log) == [
        "fold_batch_norm_into_linear", "fold_batch_norm_into_next_linear",
        "lift_batch_norm_over_relu",
    ]  # fmt: skip


def test_lifting_over_relu_is_left_out_unless_asked_for():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv(3, 4, 3, padding=1))
    graph = fxrelay.canonize(fxrelay.trace(fill(model)))
    assert names(graph) == ["batch_norm", "activation", "conv"]


def test_module_called_twice_keeps_its_weights():
    shared = conv(3, 3, 3, padding=1)
    model = Call(lambda m, x: m.norm(m.conv(F.relu(m.conv(x)))), conv=shared,
                 norm=nn.BatchNorm2d(3))  # fmt: skip
    graph, log = check(model, (3, 6, 6))
    assert log == ["fold_batch_norm_into_linear"]
    assert names(graph).count("conv") == 2


def test_linear_with_other_users_is_not_folded():
    model = Call(lambda m, x: m.norm(m.conv(x)) + m.conv(x).relu(), conv=conv(3, 3, 3),
                 norm=nn.BatchNorm2d(3))  # fmt: skip
    shared = Call(lambda m, x: (lambda y: m.norm(y) + y.relu())(m.conv(x)), conv=conv(3, 3, 3),
                  norm=nn.BatchNorm2d(3))  # fmt: skip
    assert check(model, (3, 6, 6))[1] == ["fold_batch_norm_into_linear"]
    graph, log = check(shared, (3, 6, 6))
    assert log == []
    assert "batch_norm" in names(graph)


def test_order_of_registration_does_not_matter():
    model = Call(lambda m, x: m.a(m.b(m.d(F.relu(m.c(x))))), a=nn.BatchNorm2d(4),
                 b=conv(5, 4, 3), c=nn.BatchNorm2d(3), d=conv(3, 5, 1))  # fmt: skip
    graph, log = check(model, (3, 6, 6))
    assert "batch_norm" not in names(graph)
    assert log.count("fold_batch_norm_into_linear") == 1


def test_frozen_batch_norm_is_folded():
    graph, log = check(nn.Sequential(conv(3, 4, 3), FrozenBatchNorm2d(4), nn.ReLU()), (3, 6, 6))
    assert log == ["fold_scale_into_linear", "fold_shift_into_linear"]
    assert names(graph) == ["conv", "activation"]


def test_norm_whose_output_is_used_elsewhere_stays():
    model = Call(lambda m, x: (lambda y: m.conv(y).mean() + y.relu().mean())(m.norm(x)),
                 norm=nn.BatchNorm2d(3), conv=conv(3, 4, 3))  # fmt: skip
    model = fill(model)
    graph = fxrelay.canonize(fxrelay.trace(model))
    assert graph.meta["rewrites"] == ()


@pytest.mark.parametrize("wrap", ["weight_norm", "spectral_norm"])
def test_parametrized_weights(wrap):
    layer = getattr(parametrizations, wrap)(conv(3, 4, 3))
    assert check(nn.Sequential(layer, nn.BatchNorm2d(4)), (3, 6, 6))[1] == [
        "fold_batch_norm_into_linear"
    ]


SCALES = {
    "convnext": lambda m, x: (
        m.g[:, None, None] * m.dense(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    ),
    "cait": lambda m, x: m.g * m.dense(x.permute(0, 2, 3, 1)),
    "conv": lambda m, x: m.conv(x) * m.g.reshape(1, -1, 1, 1),
    "number": lambda m, x: 0.5 * m.conv(x),
    "divided": lambda m, x: m.conv(x) / m.g.reshape(-1, 1, 1),
}


@pytest.mark.parametrize("name", SCALES)
def test_layer_scale(name):
    model = Call(SCALES[name], dense=nn.Linear(3, 4), conv=conv(3, 4, 1),
                 g=nn.Parameter(torch.tensor([0.5, -2.0, 3.0, 1.5])))  # fmt: skip
    graph, log = check(model, (3, 4, 5))
    assert log == ["fold_scale_into_linear"]
    assert "scale" not in names(graph)
    paths = {n.meta[PATH] for n in signal_calls(graph.graph)}
    assert paths & {"dense", "conv"}, "the folded layer keeps its path"


def test_constant_that_varies_over_space_is_not_folded():
    model = Call(lambda m, x: m.conv(x) * m.g + m.g, conv=conv(3, 4, 1),
                 g=nn.Parameter(torch.randn(4, 4, 5)))  # fmt: skip
    assert check(model, (3, 4, 5))[1] == []


NORMS = {
    "layer norm": lambda: nn.LayerNorm(6),
    "layer norm without bias": lambda: nn.LayerNorm(6, bias=False),
    "rms norm": lambda: nn.RMSNorm(6),
}


@pytest.mark.parametrize("name", NORMS)
def test_norm_affine_goes_into_the_dense_layers(name):
    model = Call(lambda m, x: (lambda y: m.q(y) * m.k(y).sigmoid() + m.v(y))(m.norm(x)),
                 norm=NORMS[name](), q=nn.Linear(6, 4), k=nn.Linear(6, 4, bias=False),
                 v=nn.Linear(6, 4))  # fmt: skip
    graph, log = check(model, (5, 6))
    assert log == ["fold_norm_affine_into_linear"] * 3
    assert sum(name.endswith("norm") for name in names(graph)) == 1


def test_rewrites_are_live():
    """Gradients of relevance reach the norm that was folded."""
    model = fill(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), conv(3, 4, 3, padding=1)))
    graph = fxrelay.canonize(fxrelay.trace(model), REWRITES)
    graph = fxrelay.annotate(graph, "epsilon_plus")
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    out = fxrelay.relay(graph, live=True)(x, torch.ones(2, 4, 5, 5, dtype=torch.float64))
    out.relevance.square().sum().backward()
    assert float(model[0].weight.grad.abs().sum()) > 0


def test_rows_can_be_left_out():
    model = fill(nn.Sequential(conv(3, 4, 3), nn.BatchNorm2d(4)))
    graph = fxrelay.canonize(fxrelay.trace(model), [r for r in REWRITES if "batch" not in r.name])
    assert graph.meta["rewrites"] == ()
    assert "batch_norm" in names(graph)
