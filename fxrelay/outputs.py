"""Which tensor of a model's output is explained."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch import fx

from fxrelay.meta import SIZE

#: a key, a position, or a path of them, "aux.0" or ("aux", 0)
Pick = str | int | Sequence[str | int]

#: keys that are taken when `output` is not given: classifiers of Hugging Face, torchvision's
#: segmentation models
DEFAULT_KEYS: Final = ("logits", "out")


def picked(value: Any, pick: Pick | None) -> fx.Proxy:
    """Return the tensor that `pick` names in a nested output; the only one needs no name.

    Without `pick`, a dict with one of `DEFAULT_KEYS` gives that entry.

    Raises
    ------
    ValueError
        If nothing or more than one tensor is picked; lists the paths of all tensors.
    """
    value = _opened(value)
    known = dict(_tensors(value))
    part = value if pick is None else _walked(value, pick, known)
    found = dict(_tensors(part))
    if len(found) > 1 and pick is None and isinstance(value, Mapping):
        found = next((dict(_tensors(value[k])) for k in DEFAULT_KEYS if k in value), found)
    if len(found) == 1:
        return next(iter(found.values()))
    if not known:
        raise ValueError(
            f"trace: needs a tensor as output; got {type(value).__name__} without. "
            "Let forward() return what is to be explained."
        )
    kind = "dict" if isinstance(value, Mapping) else "tuple"
    got = f"{kind} with {list(known)}" if pick is None else f"output={pick!r} with {list(found)}"
    raise ValueError(
        f"trace: needs one output tensor; got {got}. Choose one with output=..., for example "
        f"output={next(iter(found or known))!r}."
    )


def _opened(value: Any) -> Any:
    """Return a dataclass, of which tracing makes a call, as the dict of its fields."""
    node = value.node if isinstance(value, fx.Proxy) else None

    def proxy(n: fx.Node) -> Any:
        return fx.Proxy(n, value.tracer)

    if node is not None and isinstance(node.target, type) and dataclasses.is_dataclass(node.target):
        return {name: fx.map_arg(entry, proxy) for name, entry in node.kwargs.items()}
    return value


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and entries of a container; dataclasses count by their fields."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))


def _tensors(value: Any) -> Iterator[tuple[str, fx.Proxy]]:
    """Walk over the tensors in a nested value, with their paths."""
    value = _opened(value)
    if isinstance(value, fx.Proxy) and not value.node.meta.get(SIZE):
        yield "", value
    for key, entry in _entries(value):
        yield from ((f"{key}.{path}".rstrip("."), t) for path, t in _tensors(entry))


def _walked(value: Any, pick: Pick, known: Mapping[str, Any]) -> Any:
    """Follow a path of keys; a key may have dots in it, and positions count in dicts too."""
    if isinstance(pick, int | str) and pick in dict(_entries(value)):
        return dict(_entries(value))[pick]
    keys = pick.split(".") if isinstance(pick, str) else [pick] if isinstance(pick, int) else pick
    for key in keys:
        entries = {str(k): entry for k, entry in _entries(_opened(value))}
        if str(key) not in entries:
            raise ValueError(f"trace: needs output in {list(known)}; got {pick!r}.")
        value = entries[str(key)]
    return value
