"""What every spelling is written with: canonical calls, and what is known of their arguments."""

from collections.abc import Callable
from typing import Any

from torch import fx
from torch.fx import Proxy

Spelling = Callable[..., Any]


def call(target: Callable[..., Any], *args: Any) -> Any:
    """Make the canonical call in the graph that the first proxy among `args` belongs to."""
    return tracer_of(args).create_proxy("call_function", target, args, {})


def method(name: str, *args: Any) -> Any:
    """Call a method of a tensor whose result is no signal, such as a size."""
    return tracer_of(args).create_proxy("call_method", name, args, {})


def tracer_of(args: Any) -> Any:
    """Return the tracer of the first proxy among `args`, lists included."""
    found: list[Proxy] = []
    fx.node.map_aggregate(args, lambda p: found.append(p) if isinstance(p, Proxy) else None)
    return found[0].tracer


def is_signal(value: Any) -> bool:
    """Whether the value is a tensor that depends on an explained input."""
    return isinstance(value, Proxy) and value.node in value.tracer.signals  # type: ignore[attr-defined]


def require_constant(*parameters: Any) -> None:
    """Raise where a weight or bias depends on the input."""
    if any(map(is_signal, parameters)):
        raise ValueError("its weight or bias depends on the input, which no rule divides")


def many(value: Any, n: int) -> list[Any]:
    """Return one value for each of `n` axes."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values * n if len(values) == 1 else values
