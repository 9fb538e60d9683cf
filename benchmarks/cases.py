"""What the benchmarks of relevance programs measure: models, presets, and the peers' ways."""

import fxrelay.vision  # noqa: I001  (before torchvision)

import statistics
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import fxrelay
from fxrelay import composites, rules
from fxrelay.running import Relay

Run = Callable[[], Any]

LOW, HIGH = -3.0, 3.0
PRESETS: Mapping[str, Callable[[], composites.Composite]] = {
    "epsilon": lambda: composites.uniform(rules.epsilon()),
    "epsilon_plus": composites.epsilon_plus,
    "epsilon_plus_flat": composites.epsilon_plus_flat,
    "epsilon_gamma_box": lambda: composites.epsilon_gamma_box(LOW, HIGH),
    "epsilon_alpha2_beta1": composites.epsilon_alpha2_beta1,
    "epsilon_alpha2_beta1_flat": composites.epsilon_alpha2_beta1_flat,
    "epsilon_gamma_vit": composites.epsilon_gamma_vit,
}
#: the presets that a model is measured with
CNN = [name for name in PRESETS if name != "epsilon_gamma_vit"]
MODELS = {"vgg16": CNN, "resnet18": CNN, "resnet50": CNN, "vit_b_16": ["epsilon_gamma_vit"]}


@cache
def model(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a model of torchvision with random weights, frozen."""
    torch.manual_seed(0)
    net: nn.Module = torchvision.models.get_model(name, weights=None)
    return net.eval().requires_grad_(False).to(device, dtype)


def photo(batch: int = 1, size: int = 224) -> tuple[Tensor, Tensor]:
    """Return noise in the shape of photos, and a seed of class 7."""
    x = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    return x, nn.functional.one_hot(torch.full((batch,), 7), 1000).float()


def gradient(net: nn.Module, x: Tensor, seed: Tensor) -> Run:
    """Return the plain input gradient, eager."""

    def run() -> Tensor:
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(net(leaf), leaf, seed)[0]

    return run


def program(name: str, preset: str, dtype: torch.dtype = torch.float32, **options: Any) -> Relay:
    """Return a relevance program of a model, without sinks."""
    graph = fxrelay.canonize(fxrelay.trace(model(name, dtype=dtype)))
    graph = fxrelay.annotate(graph, PRESETS[preset]())
    return fxrelay.relay(graph, sinks=False, **options)


def relevance(relay: Relay, *arguments: Tensor) -> Run:
    """Return a call of a program."""

    @torch.no_grad()
    def run() -> Any:
        return relay.forward(*arguments)

    return run


def zennit(name: str, preset: str, x: Tensor, seed: Tensor) -> Run | None:
    """Return Zennit's way to the same attribution; None where it has none."""
    from zennit import composites as theirs
    from zennit.attribution import Gradient
    from zennit.torchvision import ResNetCanonizer, VGGCanonizer

    known: dict[str, Any] = {
        "epsilon_plus": theirs.EpsilonPlus,
        "epsilon_plus_flat": theirs.EpsilonPlusFlat,
        "epsilon_gamma_box": lambda **o: theirs.EpsilonGammaBox(low=LOW, high=HIGH, **o),
        "epsilon_alpha2_beta1": theirs.EpsilonAlpha2Beta1,
        "epsilon_alpha2_beta1_flat": theirs.EpsilonAlpha2Beta1Flat,
    }
    if preset not in known or not name.startswith(("vgg", "resnet")):
        return None
    canonizer = VGGCanonizer() if name.startswith("vgg") else ResNetCanonizer()

    def run() -> Any:
        composite = known[preset](canonizers=[canonizer])
        with Gradient(model(name, x.device.type), composite) as attributor:
            return attributor(x.clone(), seed)

    return run


def captum(name: str, preset: str, x: Tensor) -> Run | None:
    """Return Captum's LRP, which has the epsilon rule for all layers of sequential models."""
    if preset != "epsilon" or not name.startswith("vgg"):
        return None
    import copy

    from captum.attr import LRP

    net = copy.deepcopy(model(name))
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    attributor = LRP(net)
    return lambda: attributor.attribute(x.clone().requires_grad_(), target=7)


class Flops(TorchDispatchMode):
    """Count floating point operations of convolutions and matrix products."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        known = flop_registry.get(func._overloadpacket)
        if known is not None:
            self.total += known(*args, **(kwargs or {}), out_val=out)
        return out


def flops(run: Run) -> int:
    """Return the floating point operations of a call."""
    math = torch.nn.attention.SDPBackend.MATH
    with torch.nn.attention.sdpa_kernel(math), Flops() as counter:
        run()
    return counter.total


def medians(runs: Mapping[str, Run], repeats: int) -> dict[str, float]:
    """Return the median seconds of each, called in turn so that noise meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}
