"""Which tensor of a model's output is explained."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch import Tensor, fx

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
    kind = "dict" if isinstance(value, Mapping) else "tuple"
    if not known:
        raise ValueError(
            f"trace: needs a tensor as output; got {kind if _entries(value) else value} "
            "without. Let forward() return what is to be explained."
        )
    got = f"{kind} with {list(known)}" if pick is None else f"output={pick!r} with {list(found)}"
    raise ValueError(
        f"trace: needs one output tensor; got {got}. Choose one with output=..., for example "
        f"output={next(iter(found or known))!r}."
    )


def plain(value: Any) -> Any:
    """Return an output as nested dicts and tuples of tensors; what else is in it becomes None.

    Classes of the model's own, such as caches, are no hindrance to tracing then.
    """
    if isinstance(value, Tensor | fx.Proxy):
        return value
    entries = _entries(value)
    if isinstance(value, list | tuple) and not _fields(type(value)):
        return tuple(plain(entry) for _, entry in entries)
    return {key: plain(entry) for key, entry in entries} or None


def _opened(value: Any) -> Any:
    """Return the fields of a dataclass or named tuple, of which tracing makes a call, as a dict."""
    node = value.node if isinstance(value, fx.Proxy) else None
    if node is None or not isinstance(node.target, type):
        return value

    def proxy(n: fx.Node) -> Any:
        return fx.Proxy(n, value.tracer)

    given = {**dict(zip(_fields(node.target), node.args, strict=False)), **node.kwargs}
    return {name: fx.map_arg(entry, proxy) for name, entry in given.items()}


def _fields(kind: type) -> list[str]:
    """Names of the fields of a named tuple or a dataclass; none for other classes."""
    return list(getattr(kind, "_fields", ()) or getattr(kind, "__dataclass_fields__", ()))


def _entries(value: Any) -> list[tuple[Any, Any]]:
    """Keys and entries of a container; dataclasses and named tuples count by their fields."""
    if isinstance(value, Mapping):
        return list(value.items())
    if names := _fields(type(value)):
        return [(name, getattr(value, name)) for name in names]
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _tensors(value: Any) -> Iterator[tuple[str, fx.Proxy]]:
    """Walk over the tensors in a nested value, with their paths."""
    value = _opened(value)
    if isinstance(value, fx.Proxy) and not value.node.meta.get(SIZE):
        yield "", value
    for key, entry in _entries(value):
        yield from ((f"{key}.{path}".rstrip("."), t) for path, t in _tensors(entry))


def _walked(value: Any, pick: Pick, known: Mapping[str, Any]) -> Any:
    """Follow a path of keys and positions; a key may have dots in it."""
    if isinstance(pick, int | str) and pick in dict(_entries(value)):
        return dict(_entries(value))[pick]
    keys = pick.split(".") if isinstance(pick, str) else [pick] if isinstance(pick, int) else pick
    for key in keys:
        entries = _entries(_opened(value))
        named = {str(i): entry for i, (_, entry) in enumerate(entries)}
        named |= {str(k): entry for k, entry in entries}
        if str(key) not in named:
            raise ValueError(f"trace: needs output in {list(known)}; got {pick!r}.")
        value = named[str(key)]
    return value
