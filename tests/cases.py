"""Linear operators to test rules on: a module, the shape of one sample, and its bare operator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIZES = {1: (9,), 2: (7, 6), 3: (5, 4, 5)}


@dataclass(frozen=True)
class Case:
    """`make` gives the module; `apply(x, w)` is the operator without bias, padding included."""

    name: str
    make: object
    shape: tuple
    apply: object

    def module(self, *, bias=True):
        module = self.make(bias).double().eval()
        return module

    def __str__(self):
        return self.name


def _conv(n, name, mode="zeros", channels=4, **options):
    def apply(x, w):
        padding = options.get("padding", 0)
        if mode != "zeros":
            widths = [padding] * (2 * n)
            x, padding = F.pad(x, widths, mode=mode), 0
        rest = {k: v for k, v in options.items() if k != "padding"}
        return CONV[n](x, w, None, padding=padding, **rest)

    kind = getattr(nn, f"Conv{n}d")
    return Case(
        f"conv{n}d {name}",
        lambda bias: kind(channels, 6, 3, padding_mode=mode, bias=bias, **options),
        (channels, *SIZES[n]),
        apply,
    )


def _same(n, kernel):
    def apply(x, w):
        return CONV[n](x, w, None, padding="same")

    kind = getattr(nn, f"Conv{n}d")
    return Case(
        f"conv{n}d same {kernel}",
        lambda bias: kind(4, 6, kernel, padding="same", bias=bias),
        (4, *SIZES[n]),
        apply,
    )


def _transposed(n, name, **options):
    kind = getattr(nn, f"ConvTranspose{n}d")
    return Case(
        f"conv_transpose{n}d {name}",
        lambda bias: kind(4, 6, 3, bias=bias, **options),
        (4, *(s - 2 for s in SIZES[n])),
        lambda x, w: TRANSPOSED[n](x, w, None, **options),
    )


CASES = [
    Case("dense", lambda bias: nn.Linear(7, 5, bias=bias), (7,), F.linear),
    Case("dense tokens", lambda bias: nn.Linear(7, 5, bias=bias), (3, 7), F.linear),
    *(_conv(n, "plain") for n in (1, 2, 3)),
    *(_conv(n, "strided padded", stride=2, padding=1) for n in (1, 2, 3)),
    *(_conv(n, "dilated", dilation=2, padding=2) for n in (1, 2, 3)),
    *(_conv(n, "grouped", groups=2, padding=1) for n in (1, 2, 3)),
    _conv(2, "depthwise", channels=6, groups=6, padding=1),
    *(_transposed(n, "plain") for n in (1, 2, 3)),
    *(_transposed(n, "output padding", stride=2, padding=1, output_padding=1) for n in (1, 2, 3)),
    _transposed(2, "grouped dilated", groups=2, dilation=2),
    *(_same(2, k) for k in (3, 4)),
    *(_conv(2, mode, mode=mode, padding=2) for mode in ("reflect", "replicate", "circular")),
    _conv(1, "reflect", mode="reflect", padding=1),
    _conv(3, "replicate", mode="replicate", padding=1),
]
CASES_BY_NAME = {case.name: case for case in CASES}


def padded_apart(case):
    """Whether padding is an operator of its own, split from the convolution."""
    return any(word in case.name for word in ("reflect", "replicate", "circular"))


def random_input(case, *, nonnegative=False, batch=2):
    x = torch.randn(batch, *case.shape, dtype=torch.float64)
    return x.abs() if nonnegative else x
