"""What a model has to be before it is traced: one table of checks, each naming every offender."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from fxrelay.errors import listed

#: where torch keeps its quantized modules
QUANTIZED: Final = re.compile(r"torch\..*\bquantized\b")


@dataclass(frozen=True)
class Check:
    """A row: what is needed, what is wrong with a model, and what to do.

    Attributes
    ----------
    needs, remedy : str
        Sentences of the error.
    counted : str
        What the offenders are.
    faults : callable
        ``model -> list of offenders``, empty for a good model.
    most : int
        How many offenders are listed.
    """

    needs: str
    counted: str
    remedy: str
    faults: Callable[[nn.Module], list[str]]
    most: int = 20


def require_traceable(model: nn.Module | ExportedProgram) -> None:
    """Raise for the first row of `CHECKS` that a model breaks.

    Raises
    ------
    TypeError
        If `model` is no module at all.
    ValueError
        Names every offender of the row.
    """
    if isinstance(model, ExportedProgram):
        model = model.module(check_guards=False)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"trace: needs an nn.Module, a GraphModule or an ExportedProgram; got "
            f"{type(model).__name__}. Wrap a function in a module."
        )
    for check in CHECKS:
        faults = check.faults(model)
        if faults:
            raise ValueError(
                f"trace: needs {check.needs}; got {len(faults)} {check.counted}:\n"
                f"{listed(faults, check.most)}\n{check.remedy}"
            )


def _named(name: str, kind: object) -> str:
    return f"`{name or 'the model'}` ({kind})"


def _modules(model: nn.Module, wrong: Callable[[nn.Module], bool]) -> list[str]:
    return [_named(n, type(m).__name__) for n, m in model.named_modules() if wrong(m)]


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _training(model: nn.Module) -> list[str]:
    graph = isinstance(model, fx.GraphModule)
    return [] if graph else _modules(model, lambda m: m.training)


def _scripted(model: nn.Module) -> list[str]:
    return _modules(model, lambda m: isinstance(m, torch.jit.ScriptModule))


def _quantized(model: nn.Module) -> list[str]:
    packed = [_named(n, t.dtype) for n, t in _tensors(model) if t.is_quantized]
    return packed + _modules(model, lambda m: bool(QUANTIZED.match(type(m).__module__)))


def _unmaterialized(model: nn.Module) -> list[str]:
    lazy = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    unset = [n for n, t in _tensors(model) if isinstance(t, lazy)]
    return [f"`{n}`" for n, t in _tensors(model) if n in unset or t.is_meta]


def _complex(model: nn.Module) -> list[str]:
    return [_named(n, t.dtype) for n, t in _tensors(model) if t.is_complex()]


def _mixed_types(model: nn.Module) -> list[str]:
    held = [(n, p.dtype) for n, p in model.named_parameters() if p.is_floating_point()]
    return _odd(held)


def _mixed_devices(model: nn.Module) -> list[str]:
    return _odd([(n, t.device) for n, t in _tensors(model)])


def _odd(held: Sequence[tuple[str, object]]) -> list[str]:
    """Name those that differ from most; nothing where all agree."""
    kinds = [kind for _, kind in held]
    most = max(kinds, key=kinds.count, default=None)
    return [_named(name, f"{kind}, most {most}") for name, kind in held if kind != most]


CHECKS: Final[tuple[Check, ...]] = (
    Check("a model of Python modules", "that are scripted",
          "Pass the nn.Module that torch.jit.script or torch.jit.trace was given.", _scripted),
    Check("the model in eval mode", "modules in train mode", "Call model.eval() first.",
          _training, most=5),
    Check("a model that computes with real numbers", "that are quantized",
          "Pass the model as it was before quantization.", _quantized),
    Check("parameters and buffers with values", "without, on the meta device or lazy",
          "Load the weights first: model.to_empty(device=...), then model.load_state_dict(...); "
          "run a lazy model once.", _unmaterialized),
    Check("real parameters and buffers", "that are complex",
          "Write the model with real and imaginary parts as real tensors.", _complex),
    Check("parameters of one floating point type", "that differ",
          "Call model.float() or model.double().", _mixed_types),
    Check("parameters and buffers on one device", "that differ",
          "Call model.to(device).", _mixed_devices),
)  # fmt: skip
