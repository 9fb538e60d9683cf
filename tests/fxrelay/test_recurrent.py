"""Recurrent layers are unrolled: the same outputs, the gates of the literature, balanced books."""

import pytest
import torch
from torch import nn

import fxrelay
from fxrelay import composites

LAYERS = {
    "lstm": lambda: nn.LSTM(4, 5, batch_first=True),
    "lstm of two layers both ways": lambda: nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True),
    "lstm with projection": lambda: nn.LSTM(4, 5, batch_first=True, proj_size=3),
    "gru": lambda: nn.GRU(4, 5, 2, batch_first=True),
    "gru without bias": lambda: nn.GRU(4, 5, bias=False),
    "rnn": lambda: nn.RNN(4, 5, batch_first=True),
    "rnn of relu": lambda: nn.RNN(4, 5, batch_first=True, nonlinearity="relu"),
}
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


class Layer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        first = self.layer.batch_first
        out, state = self.layer(x if first else x.transpose(0, 1))
        state = state[0] if isinstance(state, tuple) else state
        return (out if first else out.transpose(0, 1)).sum(1) + state.sum((0, 2))[:, None]


class Cell(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = None
        for t in range(3):
            state = self.cell(x[:, t], state)
        return state[0] if isinstance(state, tuple) else state


def check(model, x):
    graph = fxrelay.canonize(fxrelay.trace(model, x))
    want = model(x)
    torch.testing.assert_close(graph(x), want, rtol=1e-12, atol=1e-12)
    for composite in ("cp_lrp", "attn_lrp"):
        preset = getattr(composites, composite)(epsilon=1e-9, stabilizer=1e-9)
        out = fxrelay.relay(fxrelay.annotate(graph, preset))(x, torch.ones_like(want))
        total = out.relevance.flatten(1).sum(1) + sum(out.sinks.values())
        torch.testing.assert_close(total, torch.full((2,), float(want.shape[1])).double())
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    relay = fxrelay.relay(fxrelay.annotate(graph, "gradient"))
    torch.testing.assert_close(relay(x.detach(), torch.ones_like(want)).relevance, gradient)


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    torch.manual_seed(0)
    check(Layer(LAYERS[name]()).double().eval(), torch.randn(2, 4, 4).double())


@pytest.mark.parametrize("name", CELLS)
def test_cell_that_a_model_unrolls_itself(name):
    torch.manual_seed(0)
    check(Cell(CELLS[name](4, 5)).double().eval(), torch.randn(2, 3, 4).double())


def test_lstm_of_one_step_by_hand():
    """One step, c' = i g: all relevance of h' goes to the candidate g, none to the gates."""
    torch.manual_seed(1)
    layer = nn.LSTM(3, 2, batch_first=True, bias=False).double().eval()
    x, r = torch.randn(1, 1, 3).double(), torch.tensor([[1.0, -2.0]]).double()

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x)[0][:, -1]

    graph = fxrelay.canonize(fxrelay.trace(Last().eval(), x))
    preset = composites.cp_lrp(epsilon=1e-12, stabilizer=1e-12)
    got = fxrelay.relay(fxrelay.annotate(graph, preset))(x, r).relevance[0, 0]
    w = layer.weight_ih_l0[4:6]
    contributions = w * x[0, 0]
    want = contributions.T @ (r[0] / contributions.sum(1))
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_recurrent_layer_needs_an_example():
    with pytest.raises(ValueError, match="recurrent layers are unrolled step by step: pass exampl"):
        fxrelay.trace(Layer(nn.LSTM(4, 5, batch_first=True)).eval())


def test_other_length_than_unrolled_for():
    model = Layer(nn.GRU(4, 5, batch_first=True)).eval()
    graph = fxrelay.trace(model, torch.randn(1, 3, 4))
    with pytest.raises(ValueError, match="needs 3 steps, for which it was unrolled; got 4"):
        fxrelay.relay(fxrelay.annotate(graph, "cp_lrp"))(torch.randn(1, 4, 4), torch.ones(1, 5))
