"""Suppress a direction in the space of a node's channels, as a rewrite of the graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from fxrelay import facts, kernels
from fxrelay.annotating import copied
from fxrelay.conditions import LAST
from fxrelay.constants import Constants
from fxrelay.meta import PATH, ROW, RULE
from fxrelay.operators import operator_of
from fxrelay.text import unique

#: a vector (channel,), or several (k, channel)
Direction = Any


def suppress(
    graph: fx.GraphModule,
    at: str,
    direction: Direction,
    origin: Any = None,
    *,
    axis: int | None = None,
) -> fx.GraphModule:
    r"""Return the model with a direction of a node's activations held constant.

    .. math:: x \to x - V^T V (x - z)

    with the rows of V an orthonormal basis of the given directions, at every pixel or token: what
    comes after the node sees the activations of `origin` along them. This is P-ClArC where the
    direction is that of an artefact and the origin the mean activation of samples without it.

    The direction is one of this graph's activations. Canonizing folds batch norms, so a
    convolution has others in a canonized graph, which `attribute` records: suppress there, or
    choose a node behind the norm. Relevance passes by the epsilon rule: none goes along the
    direction, and what the constant ``V^T V z`` gives to the output is booked as the sink
    ``<at>.suppressed.bias``.

    Parameters
    ----------
    graph : GraphModule
        From `trace`, `canonize` or `annotate`; it is not changed, and shares its parameters.
    at : str
        Path of the node, as for ``record=``.
    direction : array or Tensor, (channel,) or (k, channel)
        One direction or several, of any length; not zero, and not multiples of each other.
    origin : array or Tensor (channel,), optional
        What activations are held at along the directions; default 0.
    axis : int, optional
        Where the channels are; default as for conditions: last after dense layers and norms of
        features and in (batch, token, feature), else right after the batch.

    Returns
    -------
    GraphModule
        A model, ``suppress(...)(x)``, that everything which takes `graph` takes too; differentiable
        and exportable. The paths of its nodes stay, the new node's is ``<at>.suppressed``.

    Raises
    ------
    ValueError
        If there is no such node, or the directions or the origin do not fit it; names all of it.

    References
    ----------
    Anders et al. 2022, "Finding and removing Clever Hans", section 4.2 (P-ClArC).
    """
    rows, centre = _checked(direction, origin, _channels(graph, _node(graph, at)), at)
    out = copied(graph)
    node = _node(out, at)
    _insert(out, node, _basis(rows), centre, _axis(node) if axis is None else axis)
    new = fx.GraphModule(out, out.graph, type(graph).__name__)
    new.meta |= graph.meta
    new.graph.lint()
    return new


def _node(graph: fx.GraphModule, at: str) -> fx.Node:
    """Return the node of that path; nodes whose value is one tensor have one."""
    calls = facts.signal_calls(graph.graph)
    nodes = {str(n.meta[PATH]): n for n in calls if not any(map(facts.picks_part, n.users))}
    if at not in nodes:
        known = f"known are {', '.join(list(nodes)[:8])}, ..." if nodes else "none has a path"
        raise ValueError(
            f"suppress: needs the path of a node of a graph from fxrelay.trace; got {at!r}, "
            f"{known}. fxrelay.report(graph) prints all."
        )
    return nodes[at]


def _checked(
    direction: Direction, origin: Any, channels: int | None, at: str
) -> tuple[Tensor, Tensor | None]:
    """Return directions (k, channel) and the origin in float64; raise with all that is wrong."""
    rows = _double(direction)
    given = rows.shape
    rows = rows[None] if rows.dim() == 1 else rows
    centre = None if origin is None else _double(origin)
    wrong = []
    size = channels if channels is not None else rows.shape[-1] if rows.dim() else 0
    if rows.dim() != 2 or 0 in rows.shape or rows.shape[-1] != size:
        wrong.append(f"direction of shape {tuple(given)}")
    elif not bool(rows.isfinite().all()):
        wrong.append("direction with NaN or infinity")
    elif not bool((rows.norm(dim=1) > 0).all()) or _rank(rows) < len(rows):
        wrong.append("direction that is zero, or several that depend on each other")
    if centre is not None and tuple(centre.shape) != (size,):
        wrong.append(f"origin of shape {tuple(centre.shape)}")
    elif centre is not None and not bool(centre.isfinite().all()):
        wrong.append("origin with NaN or infinity")
    if wrong:
        expected = "n" if channels is None else channels
        raise ValueError(
            f"suppress: needs a direction ({expected},) or (k, {expected}) and an origin "
            f"({expected},) at `{at}`; got {', '.join(wrong)}. Take them from this node's "
            "activations."
        )
    return rows, centre


def _double(values: Any) -> Tensor:
    given = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, np.float64))
    return given.detach().double().cpu()


def _rank(rows: Tensor) -> int:
    return int(torch.linalg.matrix_rank(rows / rows.norm(dim=1, keepdim=True)))


def _basis(rows: Tensor) -> Tensor:
    """Return an orthonormal basis (k, channel) of the rows."""
    return torch.linalg.qr(rows.t())[0].t().contiguous()


def _channels(graph: fx.GraphModule, node: fx.Node) -> int | None:
    """Return how many channels a node has where a weight tells; None elsewhere."""
    target, source = node.target, node.args[0] if node.args else None
    if target in (torch.convolution, torch.nn.functional.linear):
        transposed = target is torch.convolution and node.args[6]
        return None if transposed else int(Constants(graph).value(node.args[1]).shape[0])  # type: ignore[arg-type]
    if operator_of(node).name in SAME and isinstance(source, fx.Node):
        return _channels(graph, source)
    return None


#: operators whose output has the channels of their input
SAME: Sequence[str] = ("activation", "batch_norm", "suppress")


def _axis(node: fx.Node) -> int | None:
    """Return the axis of the channels; None where only the value tells."""
    if operator_of(node).name in LAST:
        return -1
    return None if facts.rank(node) is None else 1


def _insert(
    out: fx.GraphModule, node: fx.Node, basis: Tensor, centre: Tensor | None, axis: int | None
) -> None:
    """Let all that uses a node use its suppressed value."""
    shift = None if centre is None else basis.t() @ (basis @ centre)
    users = list(node.users)
    with out.graph.inserting_before(node.next):
        fixed = [_buffer(out, node, name, value) for name, value in
                 (("directions", basis), ("shift", shift))]  # fmt: skip
        new = out.graph.call_function(kernels.suppressed, (node, *fixed, axis))
    paths = {str(n.meta[PATH]) for n in facts.signal_calls(out.graph)}
    new.meta[PATH] = unique(f"{node.meta[PATH]}.suppressed", paths)
    new._rename(str(new.meta[PATH]).replace(".", "_"))
    new.stack_trace = node.stack_trace
    if RULE in node.meta:
        new.meta[RULE], new.meta[ROW] = operator_of(new).default, "default"
    for user in users:
        user.replace_input_with(node, new)


def _buffer(out: fx.GraphModule, node: fx.Node, what: str, value: Tensor | None) -> Any:
    if value is None:
        return None
    like = next((p for p in (*out.parameters(), *out.buffers()) if p.is_floating_point()), None)
    taken = {name for name, _ in out.named_buffers()}
    name = unique(f"{node.name}_{what}", taken)
    out.register_buffer(
        name, value.to(torch.get_default_dtype()) if like is None else value.to(like)
    )
    return out.graph.get_attr(name)
