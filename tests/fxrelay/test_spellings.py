"""Every spelling of every operator: one row of the table, the right adjoint, also under vmap."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fxrelay
from fxrelay import rules
from fxrelay.composites import Composite, everything
from fxrelay.facts import picks_part, signal_calls
from fxrelay.operators import operator_of

W = torch.randn(4, 3, 3, 3, dtype=torch.float64)
WT = torch.randn(3, 4, 2, 2, dtype=torch.float64)
STATS = (torch.randn(3).double(), torch.rand(3).double() + 0.5)


def module(m):
    return m.double().eval()


class Call(nn.Module):
    """A function as a model, with its modules registered."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function = function
        self.held = nn.ModuleList(modules)

    def forward(self, x):
        return self.function(x)


def batch_norm():
    norm = nn.BatchNorm2d(3)
    norm.running_mean.copy_(STATS[0])
    norm.running_var.copy_(STATS[1])
    return module(norm)


def after_zero(inplace):
    return Call(lambda x: inplace(x + 0), inplace)


A = torch.randn(6, 5, dtype=torch.float64)
MASK = torch.rand(6, 6) > 0.5
INDEX = torch.tensor([2, 0, 1])
PLACES = torch.randint(0, 6, (2, 3, 6, 4))


def at(x):
    """Two parts of a signal, of one shape."""
    return x[:, :1], x[:, 1:2]


#: operator -> spellings that compute the same
SPELLINGS = {
    "conv": [
        lambda x: F.conv2d(x, W, padding=1),
        lambda x: torch.conv2d(x, W, None, 1, 1),
        lambda x: torch.ops.aten.conv2d.default(x, W, None, [1, 1], [1, 1]),
        lambda x: F.conv2d(x, W, padding="same"),
    ],
    "conv ": [
        lambda x: F.conv_transpose2d(x, WT, stride=2),
        lambda x: torch.conv_transpose2d(x, WT, None, 2),
    ],
    "batch_norm": [
        lambda x: F.batch_norm(x, *STATS),
        lambda x: torch.batch_norm(x, None, None, *STATS, False, 0.1, 1e-5, False),
        batch_norm(),
    ],
    "activation": [
        nn.ReLU(), after_zero(nn.ReLU(inplace=True)), F.relu, torch.relu, lambda x: x.relu(),
        lambda x: (x + 0).relu_(), lambda x: torch.relu_(x + 0), lambda x: F.relu(x + 0, True),
        torch.ops.aten.relu.default,
    ],
    "activation ": [nn.GELU(), F.gelu],
    "activation  ": [nn.SiLU(), F.silu, lambda x: F.silu(x + 0, inplace=True),
                     after_zero(nn.SiLU(True))],
    "activation   ": [nn.Sigmoid(), torch.sigmoid, F.sigmoid, lambda x: x.sigmoid()],
    "activation    ": [nn.Hardswish(), F.hardswish],
    "activation     ": [nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)],
    "activation      ": [nn.Softplus(), F.softplus],
    "activation       ": [nn.ELU(), F.elu, lambda x: F.elu_(x + 0)],
    "max_pool": [
        nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2), lambda x: torch.max_pool2d(x, 2),
        lambda x: F.max_pool2d(x, (2, 2), (2, 2), 0),
    ],
    "max_pool ": [nn.AdaptiveMaxPool2d(2), lambda x: F.adaptive_max_pool2d(x, 2)],
    "avg_pool": [nn.AvgPool2d(2), lambda x: F.avg_pool2d(x, 2),
                 lambda x: F.avg_pool2d(x, [2, 2], 2)],
    "avg_pool ": [nn.AdaptiveAvgPool2d((2, 3)), lambda x: F.adaptive_avg_pool2d(x, (2, 3))],
    "mean": [lambda x: x.mean((2, 3)), lambda x: torch.mean(x, dim=[2, 3]),
             lambda x: x.mean([-1, -2])],
    "sum": [lambda x: x.sum(1, keepdim=True), lambda x: torch.sum(x, 1, True)],
    "add": [lambda x: x + 2, lambda x: torch.add(x, 2), lambda x: x.add(2),
            lambda x: operator.iadd(x + 0, 2), lambda x: (x + 0).add_(2),
            lambda x: torch.add(x, 1, alpha=2)],
    "add ": [lambda x: x - 2, lambda x: torch.sub(x, 2), lambda x: x.sub(2)],
    "scale": [lambda x: x * 0.5, lambda x: 0.5 * x, lambda x: torch.mul(x, 0.5), lambda x: x / 2,
              lambda x: x.div(2)],
    "cat": [lambda x: torch.cat([x, x], 1), lambda x: torch.concat((x, x), dim=1),
            lambda x: torch.ops.aten.cat.default([x, x], 1)],
    "stack": [lambda x: torch.stack([x, x], 1)],
    "split": [lambda x: x.chunk(3, 1)[1], lambda x: torch.chunk(x, 3, dim=1)[1],
              lambda x: x.split(1, 1)[1], lambda x: torch.split(x, [1, 1, 1], 1)[1]],
    "getitem": [lambda x: x[:, 1:, ::2, :3], lambda x: x[:, [2, 1], ..., 0:6:2][:, :, :, :3]],
    "reshape": [nn.Flatten(), lambda x: torch.flatten(x, 1), lambda x: x.flatten(1),
                lambda x: x.view(x.size(0), -1), lambda x: x.reshape(x.shape[0], -1)],
    "reshape ": [lambda x: x.unsqueeze(1), lambda x: torch.unsqueeze(x, 1), lambda x: x[:, None]],
    "permute": [lambda x: x.permute(0, 2, 3, 1), lambda x: torch.permute(x, (0, 2, 3, 1)),
                lambda x: x.transpose(1, 2).transpose(2, 3)],
    "expand": [lambda x: x[:, :1].expand(-1, 5, -1, -1)],
    "dense": [lambda x: x @ A, lambda x: torch.matmul(x, A), lambda x: F.linear(x, A.T),
              lambda x: x.matmul(A), lambda x: torch.einsum("bcij,jk->bcik", x, A)],
    "dense ": [lambda x: A.T @ x, lambda x: torch.einsum("ki, bcij -> bckj", A.T, x)],
    "dense  ": [lambda x: torch.addmm(A[0], x[:, 0, 0], A), lambda x: x[:, 0, 0] @ A + A[0]],
    "bilinear": [lambda x: x @ x.mT, lambda x: torch.matmul(x, x.transpose(-2, -1)),
                 lambda x: torch.einsum("bcij,bckj->bcik", x, x),
                 lambda x: torch.bmm(x.flatten(0, 1), x.flatten(0, 1).mT).unflatten(0, (-1, 3))],
    "layer_norm": [nn.LayerNorm(6), lambda x: F.layer_norm(x, (6,)),
                   lambda x: torch.layer_norm(x, [6]),
                   lambda x: torch.ops.aten.layer_norm.default(x, [6])],
    "group_norm": [nn.GroupNorm(1, 3), lambda x: F.group_norm(x, 1)],
    "instance_norm": [nn.InstanceNorm2d(3), F.instance_norm],
    "rms_norm": [nn.RMSNorm(6, eps=1e-6), lambda x: F.rms_norm(x, (6,), eps=1e-6)],
    "softmax": [nn.Softmax(-1), lambda x: x.softmax(-1), lambda x: torch.softmax(x, -1),
                lambda x: F.softmax(x, dim=-1), lambda x: F.softmin(-x, dim=-1)],
    "log_softmax": [nn.LogSoftmax(1), lambda x: F.log_softmax(x, 1)],
    "interpolate": [nn.Upsample(scale_factor=2), lambda x: F.interpolate(x, scale_factor=2),
                    lambda x: F.interpolate(x, (12, 12)), nn.UpsamplingNearest2d(12)],
    "interpolate ": [lambda x: F.interpolate(x, (9, 7), mode="bilinear", align_corners=True),
                     nn.Upsample((9, 7), mode="bilinear", align_corners=True)],
    "interpolate  ": [lambda x: F.interpolate(x, (9, 7), mode="bicubic")],
    "sum ": [lambda x: x.cumsum(1), lambda x: torch.cumsum(x, 1)],
    "sum  ": [lambda x: torch.einsum("bcij->bi", x), lambda x: x.sum((1, 3))],
    "winner": [lambda x: x.max(1).values, lambda x: x.max(1)[0], lambda x: x.amax(1),
               lambda x: torch.max(x, dim=1)[0], lambda x: x.topk(1, 1)[0][:, 0]],
    "winner ": [lambda x: torch.maximum(*at(x)), lambda x: torch.max(*at(x)),
                lambda x: torch.fmax(*at(x))],
    "winner  ": [lambda x: x.min(1, True).values, lambda x: torch.amin(x, 1, keepdim=True)],
    "winner   ": [lambda x: x.logsumexp(1), lambda x: torch.logsumexp(x, 1)],
    "measure": [lambda x: x.norm(dim=1), lambda x: torch.linalg.vector_norm(x, dim=1)],
    "measure ": [lambda x: x.var(1), lambda x: torch.var(x, 1, correction=1)],
    "measure  ": [lambda x: x.std(1, unbiased=False)],
    "gate": [lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
             lambda x: x.mean((2, 3), True).sigmoid() * x,
             lambda x: torch.mul(x, torch.sigmoid(x.mean((2, 3), True)))],
    "gate ": [nn.GLU(-1), lambda x: F.glu(x, -1),
              lambda x: x.chunk(2, -1)[0] * x.chunk(2, -1)[1].sigmoid()],
    "gate  ": [lambda x: at(x)[0] * at(x)[1]],
    "activation       *": [lambda x: x * torch.sigmoid(x), nn.SiLU()],
    "normalize": [lambda x: F.normalize(x, dim=1), lambda x: x / x.norm(dim=1, keepdim=True)],
    "normalize ": [lambda x: x * torch.rsqrt(x.square().mean(1, True) + 1e-6),
                   lambda x: x * (x.pow(2).mean(1, True) + 1e-6) ** -0.5,
                   lambda x: x / (x.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()],
    "activation      *": [lambda x: 1 / x, lambda x: x.reciprocal(), lambda x: x**-1],
    "activation     *": [torch.exp, lambda x: x.exp()],
    "activation    *": [lambda x: x.clamp(-0.5, 0.5), lambda x: torch.clip(x, -0.5, 0.5),
                        nn.Hardtanh(-0.5, 0.5), lambda x: x.clamp(min=-0.5).clamp(max=0.5)],
    "activation   *": [lambda x: x**2, lambda x: x.pow(2), torch.square],
    "activation  *": [nn.GELU(approximate="tanh")],
    "activation *": [nn.Mish(), F.mish, lambda x: x * torch.tanh(F.softplus(x))],
    "where": [lambda x: torch.where(MASK, x, 0.5), lambda x: x.masked_fill(~MASK, 0.5)],
    "where ": [lambda x: torch.where(x > 0, x, 2 * x)],
    "split ": [lambda x: x.unbind(1)[1], lambda x: torch.unbind(x, 1)[1], lambda x: x[:, 1],
               lambda x: x.select(1, 1)],
    "move": [lambda x: x.roll((1, 2), (2, 3)), lambda x: torch.roll(x, (1, 2), (2, 3))],
    "move ": [lambda x: x.flip(2), lambda x: torch.flip(x, [2])],
    "move  ": [lambda x: x.repeat(1, 2, 1, 1), lambda x: x.tile(1, 2, 1, 1)],
    "move   ": [lambda x: x.repeat_interleave(2, 1)],
    "move    ": [lambda x: x.index_select(1, INDEX), lambda x: x[:, INDEX]],
    "move     ": [lambda x: x.gather(3, PLACES)],
    "move      ": [nn.PixelUnshuffle(2), lambda x: F.pixel_unshuffle(x, 2)],
    "move       ": [nn.Unfold(2), lambda x: F.unfold(x, 2)],
    "move        ": [lambda x: x.unfold(2, 3, 2)],
    "where  ": [torch.tril, lambda x: x.tril()],
    "sum   ": [lambda x: F.fold(F.unfold(x, 2, padding=1), 6, 2, padding=1)],
    "pad    ": [lambda x: F.unfold(x, 3, padding=1), nn.Unfold(3, padding=1)],
    "getitem ": [lambda x: x.narrow(2, 1, 3), lambda x: x[:, :, 1:4],
                 lambda x: torch.ops.aten.slice.Tensor(x, 2, 1, 4)],
    "cast": [lambda x: x.float(), lambda x: x.to(torch.float32), lambda x: x.type_as(W.float())],
    "permute ": [lambda x: x.mT, lambda x: x.transpose(-2, -1), lambda x: x.swapaxes(2, 3)],
    "reshape  ": [lambda x: x.view_as(torch.ones(2, 9, 12)), lambda x: x.reshape(-1, 9, 12)],
    "expand ": [lambda x: x[:, :1].expand_as(x), lambda x: x[:, :1].broadcast_to(x.shape)],
    "pad": [nn.ZeroPad2d(1), lambda x: F.pad(x, (1, 1, 1, 1))],
    "pad ": [nn.ReflectionPad2d(2), lambda x: F.pad(x, (2, 2, 2, 2), mode="reflect")],
    "pad  ": [nn.CircularPad2d((1, 2, 0, 1)), lambda x: F.pad(x, (1, 2, 0, 1), mode="circular")],
    "pad   ": [nn.ReplicationPad2d(1), lambda x: F.pad(x, (1, 1, 1, 1), "replicate")],
}  # fmt: skip
#: spellings that are other operators, though they compute the same
ELSEWHERE = {("getitem", 1), ("reshape", 2), ("sum", 1), ("split", 2), ("split", 3), ("move", 1)}
EACH = [(name.strip(" *"), i, f) for name, fs in SPELLINGS.items() for i, f in enumerate(fs)]
GRADIENT = Composite([(everything(), rules.gradient())])


def model_of(spelling):
    return module(spelling if isinstance(spelling, nn.Module) else Call(spelling))


def x_of(batch=2):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(batch, 3, 6, 6, dtype=torch.float64, generator=generator)


def program(model, composite, **options):
    return fxrelay.relay(fxrelay.annotate(fxrelay.trace(model), composite), **options)


@pytest.mark.parametrize(("name", "i", "spelling"), EACH, ids=[f"{n} {i}" for n, i, _ in EACH])
def test_spelling_is_known_and_its_adjoint_is_the_gradient(name, i, spelling):
    model = model_of(spelling)
    graph = fxrelay.trace(model)
    words = {operator_of(n).name for n in signal_calls(graph.graph) if not picks_part(n)}
    assert name in words or (name, i) in ELSEWHERE
    assert "unknown" not in words
    torch.testing.assert_close(graph(x_of()), model(x_of()))
    x = x_of().requires_grad_()
    out = model(x)
    seed = torch.randn_like(out)
    (want,) = torch.autograd.grad(out, x, seed)
    relay = program(model, GRADIENT)
    got = relay(x.detach().clone(), seed).relevance
    torch.testing.assert_close(got, want)
    seeds = torch.stack([seed, 2 * seed])
    key = relay.inputs[0]
    mapped = torch.func.vmap(lambda s: relay.graph(x.detach(), s)["relevance"][key])(seeds)
    torch.testing.assert_close(mapped, torch.stack([got, 2 * got]))


#: what torch.export makes of the 80 classifiers of torchvision, before decomposition
EXPORTED = """conv2d.default linear.default adaptive_avg_pool2d.default flatten.using_ints
batch_norm.default relu_.default mul.Tensor add.Tensor max_pool2d.default add_.Tensor
dropout.default cat.default sigmoid.default dropout_.default permute.default layer_norm.default
gelu.default view.default contiguous.default transpose.int reshape.default unsqueeze.default
silu_.default select.int relu.default expand.default mean.dim index.Tensor softmax.int
avg_pool2d.default pad.default matmul.default alias.default roll.default new_zeros.default
slice.Tensor sub.Tensor ne.Scalar masked_fill.Scalar eq.Scalar chunk.default unflatten.int
squeeze.dim scaled_dot_product_attention.default clone.default linalg_vector_norm.default
clamp_min.default expand_as.default div.Tensor clamp.default exp.default hardswish_.default
hardsigmoid.default silu.default einsum.default swapaxes.default tanh.default hardtanh_.default
lstm.input gru.input embedding.default rms_norm.default group_norm.default instance_norm.default
upsample_nearest2d.vec upsample_bilinear2d.vec masked_fill.Tensor where.self split.Tensor
bmm.default unbind.int pow.Tensor_Scalar rsqrt.default log_softmax.int"""


@pytest.mark.parametrize("name", EXPORTED.split())
def test_every_exported_operator_has_a_spelling(name):
    from fxrelay.roles import SILENT
    from fxrelay.spellings import spelling_of

    packet, _, overload = name.partition(".")
    target = getattr(getattr(torch.ops.aten, packet), overload)
    assert spelling_of(target) is not None or packet in SILENT


def test_rows_that_share_a_target_are_told_apart():
    """The first row that holds is a node's, so only the last row of a target may hold always."""
    from fxrelay.operators import BY_TARGET, Operator

    always = Operator.__dataclass_fields__["when"].default
    for rows in BY_TARGET.values():
        assert all(row.when is not always for row in rows[:-1])
