"""The labelled result, targets in all their forms, and the report."""

import numpy as np
import pytest
import torch
import xarray as xr
from nets import build, inputs, seed_at
from torch import nn

import fxrelay
from fxrelay import composites, rules, schema
from fxrelay.composites import Composite, between, everything, first, last, named, ops, where


def attribute(**options):
    return fxrelay.attribute(build("plain"), inputs(4), **({"composite": "epsilon_plus"} | options))


def test_result_follows_the_schema_and_survives_netcdf(tmp_path):
    ds = attribute(label=[0, 1, 2, 3], classes=list("abcde"), sinks=True, record=["features.*"])
    assert schema.validate(ds) is ds
    assert ds.relevance.dims == ("sample", "channel", "y", "x")
    assert ds.attrs["composite"].startswith("epsilon_plus: ops(conv) -> z_plus")
    ds.to_netcdf(tmp_path / "ds.nc")
    with xr.open_dataset(tmp_path / "ds.nc") as back:
        xr.testing.assert_identical(back.load(), ds)


def test_books_balance_in_the_dataset():
    ds = attribute(sinks=True)
    sinks = sum(ds[name] for name in ds if name.startswith("sink_"))
    np.testing.assert_allclose(ds.relevance.sum(("channel", "y", "x")) + sinks, 1, atol=1e-9)


def test_default_target_is_the_prediction():
    ds = attribute()
    assert (ds.target == ds.prediction).all()
    xr.testing.assert_allclose(ds, attribute(target=ds.prediction.values))


def test_several_targets_share_one_call():
    both = attribute(target=[[0, 1], [1, 2], [2, 3], [3, 4]])
    assert both.relevance.dims == ("sample", "target", "channel", "y", "x")
    for i, labels in enumerate(([0, 1, 2, 3], [1, 2, 3, 4])):
        one = attribute(target=labels)
        np.testing.assert_allclose(both.relevance.isel(target=i), one.relevance, atol=1e-12)


def test_top_targets_are_the_largest_outputs():
    ds = attribute(target="top2", memory=0.002)
    largest = np.sort(np.argsort(-ds.output.values, 1)[:, :2], 1)
    np.testing.assert_array_equal(np.sort(ds.target.values, 1), largest)


def test_function_of_the_output_as_target():
    def margin(output):
        top = output.topk(2, 1).indices
        return seed_at(output, top[:, 0]) - seed_at(output, top[:, 1])

    ds = attribute(target=margin)
    top = attribute(target="top2").relevance
    np.testing.assert_allclose(ds.relevance, top[:, 0] - top[:, 1], atol=1e-9)


def test_batches_do_not_matter():
    xr.testing.assert_allclose(attribute(batch_size=1), attribute(batch_size=3), atol=1e-12)


def test_relay_is_reused_as_it_is():
    graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(build("plain"))), "epsilon_plus")
    relay = fxrelay.relay(graph, sinks=False)
    one = fxrelay.attribute(relay, inputs(4))
    xr.testing.assert_allclose(one, attribute(), atol=1e-12)


def test_recorded_relevance_and_activation():
    model, x = build("plain"), inputs()
    graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(model)), "epsilon_plus")
    out = fxrelay.relay(graph, record=["features.4", "classifier.1"])(x, seed_at(model(x), [0, 1]))
    torch.testing.assert_close(out.activations["features.4"], model.features[:6](x))
    total = out.recorded["classifier.1"].sum() + out.sinks["classifier.2.bias"].sum()
    assert float(total) == pytest.approx(2, abs=1e-4)


def test_selectors_choose_by_operator_name_and_position():
    graph = fxrelay.trace(build("residual"))
    composite = Composite([
        (first(ops("conv")), rules.flat()), (last("linear"), rules.w_square()),
        (between("conv", 1, 2), rules.gamma(0.5)), (named("norm*"), rules.epsilon()),
        (where(lambda n: n.meta["path"] == "conv2"), rules.z_plus()),
        (everything(), rules.gradient()),
    ])  # fmt: skip
    annotated = fxrelay.annotate(graph, composite)
    chosen = {
        n.meta["path"]: str(n.meta["rule"]) for n in annotated.graph.nodes if "rule" in n.meta
    }
    assert chosen["stem"] == "flat"
    assert chosen["fc"] == "w_square"
    assert chosen["conv1"] == "gamma(0.5)"
    assert chosen["norm1"] == "epsilon(1e-06)"
    assert chosen["conv2"] == "z_plus"
    assert chosen["add"] == "gradient"


def test_first_means_first_on_the_data_path():
    class HeadFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Conv2d(4, 2, 1)
            self.body = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.head(self.body(x)).mean((2, 3))

    graph = fxrelay.annotate(fxrelay.trace(HeadFirst().eval()), "epsilon_plus_flat")
    assert [str(n.meta["rule"]) for n in graph.graph.nodes if n.meta.get("path") == "body"] == [
        "flat"
    ]


def test_rule_as_a_function():
    def all_to_the_largest(site, inputs, output, relevance):
        return (relevance * 0 + inputs[0] * 2,)

    model = nn.Sequential(nn.ReLU()).eval()
    graph = fxrelay.annotate(
        fxrelay.trace(model), Composite([(ops("activation"), all_to_the_largest)])
    )
    x = torch.randn(2, 3)
    torch.testing.assert_close(fxrelay.relay(graph)(x, x).relevance, 2 * x)


def test_report_prints_what_was_decided():
    graph = fxrelay.canonize(fxrelay.trace(build("fire")))
    want = """\
node     operator    rule            from row
-------  ----------  --------------  ----------------------------
squeeze  conv        flat            first(ops(linear))
relu     activation  passthrough     default
left     conv        z_plus          ops(conv)
relu_1   activation  passthrough     default
right    conv        z_plus          ops(conv)
relu_2   activation  passthrough     default
cat      cat         gradient        default
head     conv        z_plus          ops(conv)
relu_3   activation  passthrough     default
adaptive_avg_pool  avg_pool    norm            ops(avg_pool, reduce, add, interpolate)
reshape  reshape     gradient        default"""
    got = fxrelay.report(fxrelay.annotate(graph, "epsilon_plus_flat"))
    assert [line.split() for line in str(got).splitlines()[2:]] == [
        line.split() for line in want.splitlines()[2:]
    ]


def test_report_balances_the_books():
    graph = fxrelay.annotate(fxrelay.canonize(fxrelay.trace(build("plain"))), "epsilon_plus")
    lines = str(fxrelay.report(graph, inputs())).splitlines()
    balance = {" ".join(line.split()[:-2]): line.split()[-1] for line in lines if "%" in line}
    assert balance["seed"] == "100.00%"
    assert balance["missing"] in ("0.00%", "-0.00%")


def test_exported_program_is_accepted():
    model, x = build("plain"), inputs()
    exported = torch.export.export(model, (x,))
    one = fxrelay.attribute(exported, x, composite="epsilon_plus")
    two = fxrelay.attribute(model, x, composite="epsilon_plus")
    np.testing.assert_allclose(one.relevance, two.relevance, atol=1e-12)


class Branching(nn.Module):
    """A branch on a value of the shape's kind that symbolic tracing cannot follow."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 3)])

    def forward(self, x):
        if x.dim() > 2:
            x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def test_example_allows_the_export_fallback():
    model, x = Branching().double().eval(), torch.randn(4, 2, 3, dtype=torch.float64)
    with pytest.raises(fxrelay.errors.TraceFailed):
        fxrelay.trace(model)
    graph = fxrelay.trace(model, x)
    torch.testing.assert_close(graph(x), model(x))
    relay = fxrelay.relay(fxrelay.annotate(graph, composites.uniform(rules.epsilon())))
    out = relay(x, torch.ones(4, 3, dtype=torch.float64))
    booked = out.relevance.sum() + sum(v.sum() for v in out.sinks.values())
    assert float(booked) == pytest.approx(12)


def test_activations_of_recorded_nodes_are_kept_without_targets_and_conditions(tmp_path):
    model, x = build("plain"), inputs(4)
    options = {"composite": "epsilon_plus", "record": ["features.[26]"], "activations": True}
    ds = fxrelay.attribute(
        model, x, [[0, 1]] * 4, conditions=[{"features.2": 0}, {"features.2": 1}], **options
    )
    assert ds["relevance_at_features.6"].shape == (4, 2, 2, 8, 4, 4)
    np.testing.assert_allclose(
        ds["activation_at_features.6"], model.features[:7](x).detach(), atol=1e-9
    )
    assert ds["activation_at_features.2"].attrs["long_name"] == "activation at features.2"
    assert "activation_at_features.2" not in fxrelay.attribute(
        model, x, composite="epsilon_plus", record=["features.2"]
    )
    folder = fxrelay.attribute_dataset(model, x, tmp_path, target=0, shard_size=3, **options)
    np.testing.assert_array_equal(
        folder["activation_at_features.6"], ds["activation_at_features.6"]
    )
    with pytest.raises(ValueError, match="differs in activations"):
        fxrelay.attribute_dataset(
            model, x, tmp_path, target=0, shard_size=3, **options | {"activations": False}
        )
