"""Concept conditions, many targets and conditions at once, and how many fit into memory."""

import pytest
import torch
from counting import Convolutions
from nets import inputs
from torch import nn

import fxrelay
from fxrelay.memory import Peak

PRESET = "epsilon_plus_flat"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.below = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.above = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        return self.head(self.above(self.below(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Net().double().eval()


def attribute(model, **options):
    options = {"target": 1, "composite": PRESET} | options
    return fxrelay.attribute(model, inputs(3), **options)


def test_a_condition_lets_the_chosen_channels_pass(model):
    """Relevance below equals that of the chosen channels alone, handed on by hand."""
    conditions = [{"below.1": 2}, {"below.1": [0, 5]}, {}]
    ds = attribute(model, conditions=conditions, record=["below.1"])
    assert ds["relevance"].dims[:2] == ("sample", "condition")
    whole = attribute(model, record=["below.1"])
    at = torch.as_tensor(whole["relevance_at_below.1"].values)
    lower = fxrelay.relay(
        fxrelay.annotate(fxrelay.canonize(fxrelay.trace(model.below)), "epsilon_plus_flat")
    )
    for i, channels in enumerate([[2], [0, 5], range(6)]):
        seed = torch.zeros_like(at)
        seed[:, list(channels)] = at[:, list(channels)]
        want = lower(inputs(3), seed).relevance
        got = torch.as_tensor(ds["relevance"].isel(condition=i).values)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
        masked = torch.as_tensor(ds["relevance_at_below.1"].isel(condition=i).values)
        torch.testing.assert_close(masked, seed, rtol=1e-12, atol=0)


def test_conditions_are_linear_and_booked(model):
    """What single channels get adds up to the whole; what is masked is a sink."""
    single = attribute(model, conditions=[{"below.1": c} for c in range(6)], sinks=True)
    whole = attribute(model)
    assert abs(single["relevance"].sum("condition") - whole["relevance"]).max() < 1e-12
    sinks = sum(single[v].values for v in single if v.startswith("sink_"))
    total = single["relevance"].sum(("channel", "y", "x")).values + sinks
    assert abs(total - 1).max() < 1e-9
    assert "sink_below.1.condition" in single


def test_targets_and_conditions_together(model):
    conditions = [{"below.1": 1, "above.1": [2, 3]}, {"above.1": 0}]
    targets = [[0, 3]] * 3
    both = attribute(model, target=targets, conditions=conditions)
    assert both["relevance"].dims[:3] == ("sample", "target", "condition")
    for t, target in enumerate((0, 3)):
        for c, condition in enumerate(conditions):
            one = attribute(model, target=target, conditions=[condition, {"below.1": range(6)}])
            got = both["relevance"].isel(target=t, condition=c)
            assert abs(got - one["relevance"].isel(condition=0)).max() < 1e-12


def test_masks_may_be_arrays(model):
    mask = torch.rand(6, 1, 1).double()
    ds = attribute(model, conditions=[{"below.1": mask}])
    parts = attribute(model, conditions=[{"below.1": c} for c in range(6)])["relevance"]
    want = sum(float(mask[c]) * parts.isel(condition=c) for c in range(6))
    assert abs(ds["relevance"].isel(condition=0) - want).max() < 1e-7


@pytest.mark.parametrize("conditions", [None, [{"below.1": c} for c in range(6)]])
def test_memory_bounds_how_many_run_at_once(model, conditions):
    """Chunks give the same values, and a budget below one pass is an error."""
    targets = [[0, 1, 2, 3]] * 3
    whole = attribute(model, target=targets, conditions=conditions)
    with Peak() as peak:
        attribute(model, target=targets, conditions=conditions, memory=1e-3)
    assert peak.peak < 2**30 * 1e-3
    parts = attribute(model, target=targets, conditions=conditions, memory=1e-3)
    assert abs(parts["relevance"] - whole["relevance"]).max() < 1e-12
    with pytest.raises(ValueError, match="batch_size smaller"):
        attribute(model, target=targets, conditions=conditions, memory=1e-6)


def test_bad_conditions_are_one_error(model):
    with pytest.raises(ValueError, match=r"nothing matches \['nowhere'\]"):
        attribute(model, conditions=[{"nowhere": 1}])
    with pytest.raises(ValueError, match=r"channels \[6\] of 6") as error:
        attribute(model, conditions=[{"below.1": 6}, {"above.1": torch.rand(2, 3, 4)}])
    assert "(2, 3, 4)" in str(error.value)
    relay = fxrelay.relay(
        fxrelay.annotate(fxrelay.canonize(fxrelay.trace(model)), PRESET), masked=["below.1"]
    )
    with pytest.raises(ValueError, match="mask for each"):
        relay(inputs(2), torch.rand(2, 4).double())
    with pytest.raises(ValueError, match="that the program masks"):
        fxrelay.attribute(relay, inputs(2), 0, conditions=[{"above.1": 0}])


def test_what_conditions_share_runs_once(model):
    """Forward, denominators and all above the node are computed once for all conditions."""
    counts = []
    for k in (1, 5):
        with Convolutions() as counted:
            attribute(model, conditions=[{"above.1": c} for c in range(k)])
        counts.append(counted.samples)
    with Convolutions() as counted:
        attribute(model)
    plain = counted.samples
    below = 6  # three samples: the adjoint of a convolution, and that of the flat first layer
    assert 0 < counts[1] - counts[0] <= 4 * below
    assert counts[0] <= plain + below
