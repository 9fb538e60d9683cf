"""Spellings of recurrent layers: unrolled step by step into dense layers, gates and sums."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from fxrelay import kernels
from fxrelay.spellings.arithmetic import add, mul, sub
from fxrelay.spellings.calls import Spelling, call
from fxrelay.spellings.linear import linear


class Weights(NamedTuple):
    """Parameters of one layer in one direction."""

    ih: Any
    hh: Any
    b_ih: Any = None
    b_hh: Any = None
    hr: Any = None


State = tuple[Any, ...]
#: (input's part, weights, state) -> the next state, whose first entry is the output
Cell = Callable[[Any, Weights, State], State]


def _at(parts, k):
    return call(operator.getitem, parts, k)


def _lstm_cell(x, w: Weights, state: State) -> State:
    """C' = f c + i g, h' = o tanh(c'), all gates sigmoid and g tanh."""
    h, c = state
    parts = call(torch.chunk, add(x, linear(h, w.hh, w.b_hh)), 4, -1)
    i, f, g, o = (_at(parts, k) for k in range(4))
    i, f, o = (call(torch.sigmoid, gate) for gate in (i, f, o))
    c = add(mul(f, c), mul(i, call(torch.tanh, g)))
    h = mul(o, call(torch.tanh, c))
    return (h if w.hr is None else linear(h, w.hr)), c


def _gru_cell(x, w: Weights, state: State) -> State:
    """H' = (1 - z) n + z h, n = tanh(x_n + r h_n)."""
    (h,) = state
    own = call(torch.chunk, x, 3, -1)
    past = call(torch.chunk, linear(h, w.hh, w.b_hh), 3, -1)
    x_r, x_z, x_n = (_at(own, k) for k in range(3))
    h_r, h_z, h_n = (_at(past, k) for k in range(3))
    r, z = call(torch.sigmoid, add(x_r, h_r)), call(torch.sigmoid, add(x_z, h_z))
    n = call(torch.tanh, add(x_n, mul(r, h_n)))
    return (add(mul(sub(1, z), n), mul(z, h)),)


def _plain_cell(activation: Callable[..., Any]) -> Cell:
    def cell(x, w: Weights, state: State) -> State:
        return (call(activation, add(x, linear(state[0], w.hh, w.b_hh))),)

    return cell


class Kind(NamedTuple):
    """A recurrent layer: its cell, and how many tensors its state has."""

    cell: Cell
    states: int


KINDS: Mapping[str, Kind] = {
    "lstm": Kind(_lstm_cell, 2),
    "gru": Kind(_gru_cell, 1),
    "rnn_tanh": Kind(_plain_cell(torch.tanh), 1),
    "rnn_relu": Kind(_plain_cell(torch.relu), 1),
}


def _grouped(params: Sequence[Any], layers: int, directions: int, biases: bool) -> list[Weights]:
    size = len(params) // (layers * directions)
    groups = [list(params[i : i + size]) for i in range(0, len(params), size)]
    if biases:
        return [Weights(*group) for group in groups]
    return [Weights(g[0], g[1], hr=g[2] if size == 3 else None) for g in groups]


def unrolled(kind: str) -> Spelling:
    """Recurrent layer with aten's arguments; `shape` is the input's, for the number of steps."""

    def spelled(
        input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
        *, shape=None,
    ):  # fmt: skip
        if shape is None:
            raise ValueError(
                "recurrent layers are unrolled step by step: pass example inputs of the length to "
                "explain, trace(model, example)"
            )
        if len(shape) != 3:
            raise ValueError(f"recurrent layers need input (batch, step, feature); got {shape}")
        axis = 1 if batch_first else 0
        directions = 2 if bidirectional else 1
        weights = _grouped(params, num_layers, directions, has_biases)
        given = hx if isinstance(hx, list | tuple) else [hx]
        first = [tuple(_at(s, k) for s in given) for k in range(len(weights))]
        x, last = input, []
        for layer in range(num_layers):
            outs = []
            for direction in range(directions):
                k = layer * directions + direction
                out, state = _direction(
                    KINDS[kind], x, weights[k], first[k], axis, shape[axis], direction
                )
                outs.append(out)
                last.append(state)
            x = outs[0] if directions == 1 else call(torch.cat, outs, 2)
        return (x, *(call(torch.stack, [s[i] for s in last], 0) for i in range(KINDS[kind].states)))

    return spelled


def _direction(kind: Kind, x, w: Weights, state: State, axis: int, steps: int, backward: int):
    parts = call(kernels.steps, linear(x, w.ih, w.b_ih), axis, steps)
    outs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if backward else range(steps):
        state = kind.cell(_at(parts, t), w, state)
        outs[t] = state[0]
    return call(torch.stack, outs, axis), state


def _cell(kind: str) -> Spelling:
    """One step: ``nn.LSTMCell`` and its kin."""

    def spelled(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
        state = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
        after = KINDS[kind].cell(linear(input, w_ih, b_ih), Weights(w_ih, w_hh, b_ih, b_hh), state)
        return after if len(after) > 1 else after[0]

    return spelled


BY_NAME: Mapping[str, Spelling] = {
    **{kind: unrolled(kind) for kind in KINDS},
    **{f"{kind}_cell": _cell(kind) for kind in KINDS},
}
