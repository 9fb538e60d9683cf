"""Suppressing a direction: the closed form, what it leaves alone, its books, and its errors."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

import fxrelay
from tests.nets import Plain, Residual

X = torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
V, Z = np.random.default_rng(0).normal(size=(2, 8))


def plain():
    torch.manual_seed(0)
    return Plain().double().eval()


def by_hand(model, x, v, z):
    """The model with x - v v^T (x - z) behind features.6, written out."""
    u = torch.as_tensor(v) / np.linalg.norm(v)
    h = model.features[:7](x)
    along = torch.einsum("nchw,c->nhw", h - torch.as_tensor(z)[:, None, None], u)
    h = h - along[:, None] * u[:, None, None]
    return model.classifier(torch.flatten(model.features[7:](h), 1))


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), held=st.booleans())
@settings(max_examples=20, deadline=None)
def test_it_is_the_closed_form(seed, scale, held):
    model, random = plain(), np.random.default_rng(seed)
    v, z = random.normal(size=(2, 8)) * scale
    got = fxrelay.suppress(fxrelay.trace(model), "features.6", v, z if held else None)
    torch.testing.assert_close(
        got(X), by_hand(model, X, v, z if held else 0 * z), atol=1e-12, rtol=0
    )


def test_several_directions_are_projected_off_together():
    rows = np.array([[1.0, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0, 0]])
    graph = fxrelay.trace(plain())
    got = fxrelay.suppress(graph, "features.6", rows, Z)
    again = fxrelay.suppress(got, "features.6.suppressed", rows[0] - rows[1], Z)
    torch.testing.assert_close(again(X), got(X))
    probe = fxrelay.relay(fxrelay.annotate(got, "epsilon_plus"), record=["features.6.suppressed"])
    held = probe(X, torch.ones(3, 5).double()).activations["features.6.suppressed"]
    expected = torch.as_tensor(rows @ Z)[:, None, None].expand(3, 2, 4, 4)
    torch.testing.assert_close(torch.einsum("kc,nchw->nkhw", torch.as_tensor(rows), held), expected)


def test_the_graph_and_the_model_stay_as_they_are():
    model = plain()
    graph = fxrelay.trace(model)
    code, before = graph.code, {k: v.clone() for k, v in model.state_dict().items()}
    new = fxrelay.suppress(graph, "features.6", V)
    assert graph.code == code
    assert set(model.state_dict()) == set(before)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert new.get_parameter("classifier.0.weight") is model.classifier[0].weight
    torch.testing.assert_close(graph(X), model(X))


@pytest.mark.parametrize("stage", ["traced", "canonized", "annotated"])
def test_every_stage_of_a_graph_takes_it(stage):
    graph = fxrelay.trace(plain())
    graph = graph if stage == "traced" else fxrelay.canonize(graph)
    graph = fxrelay.annotate(graph, "epsilon_plus") if stage == "annotated" else graph
    new = fxrelay.suppress(graph, "features.6", V, Z)
    if stage == "annotated":
        out = fxrelay.relay(new)(X, torch.eye(5).double()[:3]).output
    else:
        out = torch.as_tensor(fxrelay.attribute(new, X, composite="epsilon_plus")["output"].values)
    torch.testing.assert_close(out, by_hand(plain(), X, V, Z))


def test_relevance_of_the_direction_is_booked():
    graph = fxrelay.suppress(fxrelay.trace(plain()), "features.6", V, Z)
    ds = fxrelay.attribute(
        graph, X, composite=fxrelay.composites.epsilon_plus(epsilon=1e-12), sinks=True,
        record=["features.6*"], activations=True,
    )  # fmt: skip
    after, before = (ds[f"relevance_at_features.6{s}"].sum(...) for s in (".suppressed", ""))
    booked = ds["sink_features.6.suppressed.bias"].sum()
    np.testing.assert_allclose(before + booked, after, rtol=1e-5)
    u = V / np.linalg.norm(V)
    share = (
        ds["relevance_at_features.6.suppressed"] / ds["activation_at_features.6.suppressed"].values
    )
    constant = np.einsum("nchw,c->n", share.values, u * (u @ Z))
    np.testing.assert_allclose(ds["sink_features.6.suppressed.bias"], constant, rtol=1e-4)
    total = sum(ds[n].sum() for n in ds.data_vars if n.startswith("sink_"))
    np.testing.assert_allclose(total + ds["relevance"].sum(), 3, rtol=1e-9)


def test_a_model_that_uses_the_direction_alone_loses_all():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2)).double().eval()
    with torch.no_grad():
        model[2].weight[:] = torch.outer(torch.tensor([1.0, -2]), torch.tensor([1.0, 2, 3, 4]))
    new = fxrelay.suppress(fxrelay.trace(model), "1", [1, 2, 3, 4])
    x = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(new(x), model[2].bias.expand(5, 2))


def test_channels_are_last_in_rows_of_features_and_where_axis_says():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.last(F.gelu(self.first(x)))

    model, x = Rows().double().eval(), torch.randn(2, 6, 4, dtype=torch.float64)
    v = torch.randn(6, dtype=torch.float64)
    u = v / v.norm()
    for at in ("first", "gelu"):
        h = model.first(x) if at == "first" else F.gelu(model.first(x))
        h = h - (h @ u)[..., None] * u
        expected = model.last(F.gelu(h) if at == "first" else h)
        torch.testing.assert_close(fxrelay.suppress(fxrelay.trace(model), at, v)(x), expected)
    h = F.gelu(model.first(x))
    h = h - torch.einsum("ntf,t->nf", h, u)[:, None] * u[:, None]
    new = fxrelay.suppress(fxrelay.trace(model), "gelu", v, axis=1)
    torch.testing.assert_close(new(x), model.last(h))


def test_it_is_differentiable_exportable_and_can_be_vmapped():
    new = fxrelay.suppress(fxrelay.trace(plain()), "features.6", V, Z)
    assert torch.autograd.gradcheck(new, X[:1].clone().requires_grad_())
    exported = torch.export.export(new, (X,)).module()
    torch.testing.assert_close(exported(X), new(X))
    torch.testing.assert_close(torch.func.vmap(lambda x: new(x[None])[0])(X), new(X))
    again = fxrelay.attribute(torch.export.export(new, (X,)), X, composite="epsilon_plus")
    np.testing.assert_allclose(again["output"], new(X).detach())


def test_residual_networks_half_precision_and_the_output_itself():
    model = Residual().eval()
    graph = fxrelay.trace(model)
    new = fxrelay.suppress(graph, "fc", [1.0, 0, 0, 0, 0])
    assert (new(X.float())[:, 0].abs() < 1e-6).all()
    torch.testing.assert_close(new(X.float())[:, 1:], model(X.float())[:, 1:])
    half = fxrelay.suppress(fxrelay.trace(Residual().bfloat16().eval()), "relu", np.ones(8), Z)
    assert half(X.bfloat16()).dtype == torch.bfloat16


def fault(*arguments):
    with pytest.raises(ValueError, match="suppress") as caught:
        fxrelay.suppress(*arguments)
    return str(caught.value)


def test_errors_name_the_node_and_all_that_does_not_fit():
    graph = fxrelay.trace(plain())
    assert fault(graph, "features.9", V) == (
        "suppress: needs the path of a node of a graph from fxrelay.trace; got 'features.9', known "
        "are features.0, features.1, features.2, features.3, features.4, features.5, features.6, "
        "features.7, .... fxrelay.report(graph) prints all."
    )
    raw = torch.fx.symbolic_trace(plain())
    assert "got 'features.6', none has a path" in fault(raw, "features.6", V)
    assert fault(graph, "features.6", V[:7], np.append(Z, 1)) == (
        "suppress: needs a direction (8,) or (k, 8) and an origin (8,) at `features.6`; got "
        "direction of shape (7,), origin of shape (9,). Take them from this node's activations."
    )
    assert "got direction that is zero, or several" in fault(graph, "features.6", 0 * V)
    assert "got direction that is zero, or several" in fault(graph, "features.6", [V, 2 * V])
    assert "got direction with NaN or infinity, origin with" in fault(
        graph, "features.6", V * np.nan, Z * np.inf
    )
    new = fxrelay.suppress(graph, "features.7", V[:3])
    with pytest.raises(ValueError, match="suppress") as caught:
        new(X)
    assert str(caught.value) == (
        "suppress: needs a direction of 8 channels, as the node has on axis 1 of (3, 8, 2, 2); got "
        "3. Take it from this node's activations."
    )
