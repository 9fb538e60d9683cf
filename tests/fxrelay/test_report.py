"""The certificate: every node's relevance in, out and booked; leaks named; exit codes."""

import numpy as np
import pytest
import torch
import xarray as xr
from nets import NETS, build, inputs
from torch import nn
from typer.testing import CliRunner

import fxrelay
from fxrelay.composites import Composite, everything
from fxrelay.ledger import KINDS


def annotated(name, composite="epsilon_plus"):
    return fxrelay.annotate(fxrelay.canonize(fxrelay.trace(build(name))), composite)


@pytest.mark.parametrize("name", NETS)
def test_every_node_balances(name):
    found = fxrelay.report(annotated(name), inputs())
    assert found.complete
    assert found.balanced
    assert not found.leaks
    ds = found.dataset
    assert float(abs(ds["leak"]).max()) < 1e-9
    left = ds["relevance_in"] - ds["relevance_out"] - ds["booked"].sum("kind")
    xr.testing.assert_allclose(left, ds["leak"])
    total = ds["relevance_at_source"].sum("source") + ds["relevance_at_sink"].sum("sink")
    np.testing.assert_allclose(total, ds["seed"], atol=1e-9)
    booked, sinks = ds["booked"].sum(("node", "kind")), ds["relevance_at_sink"].sum("sink")
    np.testing.assert_allclose(booked, sinks, atol=1e-9)


def test_ledger_of_a_layer_by_hand():
    """w = (2, -1), b = 1, x = (1, 1): z = 2; inputs get 1 - 1/2 ... 2/2 - 1/2, the bias 1/2."""
    layer = nn.Linear(2, 1).double().eval()
    layer.weight.data[:], layer.bias.data[:] = torch.tensor([[2.0, -1.0]]), 1.0
    graph = fxrelay.annotate(
        fxrelay.trace(layer), Composite([(everything(), fxrelay.rules.epsilon(0))])
    )
    ds = fxrelay.report(graph, torch.ones(1, 2).double()).dataset
    (node,) = ds["node"].values
    row = ds.sel(node=node).isel(sample=0)
    assert float(row["relevance_in"]) == 1
    assert float(row["relevance_out"]) == pytest.approx(0.5)
    assert float(row["booked"].sel(kind="bias")) == pytest.approx(0.5)


def test_rules_that_do_not_conserve_are_named_with_their_leaks():
    found = fxrelay.report(annotated("residual", "gradient"), inputs())
    assert not found.balanced
    ds = found.dataset
    add = ds.sel(node="add")
    np.testing.assert_allclose(add["leak"], -add["relevance_in"])  # both operands get all
    text = str(found)
    assert "leaks: " in text
    assert "leaks: none" not in text
    assert set(found.leaks) >= {"add", "fc"}


def test_softmax_of_attn_lrp_books_what_its_expansion_keeps():
    model = nn.MultiheadAttention(4, 2, batch_first=True).double().eval()

    class Self(nn.Module):
        def __init__(self):
            super().__init__()
            self.attend = model

        def forward(self, x):
            return self.attend(x, x, x)[0].mean(1)

    x = torch.randn(2, 5, 4, dtype=torch.float64)
    graph = fxrelay.canonize(fxrelay.trace(Self().eval()))
    found = fxrelay.report(fxrelay.annotate(graph, "attn_lrp"), x)
    assert found.balanced
    booked = found.dataset["booked"].sel(kind="expansion")
    assert int((abs(booked).max("sample") > 0).sum()) == 1


def test_leaking_rule_of_a_user_is_found():
    def half(site, given, output, relevance):
        return (relevance / 2,)

    graph = fxrelay.trace(nn.Sequential(nn.ReLU(), nn.Tanh()).eval())
    rows = [(fxrelay.composites.named("1*"), half), (everything(), fxrelay.rules.passthrough())]
    found = fxrelay.report(fxrelay.annotate(graph, Composite(rows)), torch.ones(1, 3))
    assert list(found.leaks) == ["1"]
    assert "leaks: 1 50.00%" in str(found)
    assert fxrelay.report(graph).complete  # not annotated yet: nothing is missing


def test_dataset_is_described_and_kept(tmp_path):
    ds = fxrelay.report(annotated("fire"), inputs()).dataset
    assert ds["leak"].attrs["long_name"] == ("relevance that the node neither handed on nor booked")
    assert list(ds["kind"].values) == list(KINDS)
    ds.to_netcdf(tmp_path / "report.nc")
    with xr.open_dataset(tmp_path / "report.nc") as back:
        xr.testing.assert_identical(back.load(), ds)


def test_program_without_audit_is_the_same():
    graph = annotated("plain")
    assert "ledger" not in fxrelay.relay(graph).graph.code
    assert fxrelay.relay(graph)(inputs(), torch.eye(5)[[1, 2]].double()).ledger == {}


@pytest.fixture
def photos(tmp_path):
    xr.Dataset({"input": (("sample", "channel", "y", "x"), inputs().float().numpy())}).to_netcdf(
        tmp_path / "data.nc"
    )
    return tmp_path / "data.nc"


def run(*args):
    from fxrelay.cli import app

    return CliRunner().invoke(app, ["report", *map(str, args)])


def make():
    return build("plain", dtype=torch.float32)


def unknown():
    class Unknown(nn.Module):
        def forward(self, x):
            return torch.cumprod(x.flatten(1), 1)

    return Unknown().eval()


@pytest.mark.parametrize(
    ("model", "composite", "code", "text"),
    [
        ("make", "epsilon_plus", 0, "leaks: none"),
        ("make", "gradient", 1, "leaks: "),
        ("unknown", "epsilon_plus", 1, "1 calls have no row in the operator table"),
    ],
)
def test_exit_codes(photos, tmp_path, model, composite, code, text):
    options = "--data", photos, "--composite", composite, "--out", tmp_path / "report.nc"
    done = run(f"{__name__}:{model}", *options)
    assert done.exit_code == code, done.output
    assert text in done.output
    assert (tmp_path / "report.nc").exists() == (model == "make")


class Silent(nn.Module):
    """Outputs to which nothing positive contributes: a bias drives them, a sum cancels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1, groups=2)
        self.conv.weight.data[::2] = -self.conv.weight.data[::2].abs()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        y = self.conv(x.relu())
        return self.head((y - y.detach().clone() * 0 + y).mean((2, 3)))


@pytest.mark.parametrize("rule", ["z_plus", "gamma", "alpha_beta"])
@pytest.mark.parametrize("reference", [False, True])
def test_spread_gives_the_inputs_what_is_else_undistributed(rule, reference):
    from fxrelay.terms import Stabilizer

    torch.manual_seed(0)
    model = Silent().double().eval()
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    seed = torch.eye(3, dtype=torch.float64)[[0, 1]]
    found = []
    for spread in (False, True):
        stabilizer = Stabilizer(1e-9, spread=spread)
        conv = getattr(fxrelay.rules, rule)(stabilizer=stabilizer)
        composite = Composite([("conv", conv), ("dense", fxrelay.rules.epsilon(1e-9))])
        graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(model)), composite)
        found.append(fxrelay.relay(graph, reference=reference)(x, seed))
    booked, spread = found
    kept = [out.relevance.flatten(1).sum(1) for out in found]
    sinks = [sum(out.sinks.values()) for out in found]
    torch.testing.assert_close(kept[0] + sinks[0], kept[1] + sinks[1])
    assert float(spread.sinks["undistributed"].abs().max()) == 0
    if rule == "z_plus":
        assert float(booked.sinks["undistributed"].abs().min()) > 1e-3
        torch.testing.assert_close(kept[1] - kept[0], booked.sinks["undistributed"])


def test_sum_that_cancels_is_spread_evenly():
    from fxrelay.terms import Stabilizer

    class Difference(nn.Module):
        def forward(self, x):
            return x[:, 0] - x[:, 1]

    x = torch.ones(1, 2, 3)
    rows = [("add", fxrelay.rules.norm(stabilizer=Stabilizer(spread=True)))]
    graph = fxrelay.annotate(fxrelay.trace(Difference().eval()), Composite(rows))
    out = fxrelay.relay(graph)(x, torch.ones(1, 3))
    torch.testing.assert_close(out.relevance, torch.full((1, 2, 3), 0.5))
