"""Every message that a user can meet, in full; all are raised before work starts."""

import re

import numpy as np
import pytest
import torch
from nets import build, inputs
from torch import nn

import fxrelay
from fxrelay import composites, errors, rules
from fxrelay.composites import Composite, everything, named, ops


def raises(error, text):
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def attribute(model=None, x=None, **options):
    options.setdefault("composite", "epsilon_plus")
    return fxrelay.attribute(
        build("plain") if model is None else model, inputs() if x is None else x, **options
    )


def test_train_mode():
    model = build("plain")
    model.features[1].train()
    with raises(
        ValueError,
        "trace: needs the model in eval mode; got 1 modules in train mode:\n"
        "  - `features.1` (BatchNorm2d)\nCall model.eval() first.",
    ):
        attribute(model)


def test_not_a_number():
    x = inputs(7)
    x[2, 0, 0, 0], x[5, 1, 1, 1] = float("nan"), float("inf")
    with raises(
        ValueError,
        "attribute: needs finite inputs; got NaN or infinity in 2 of 7 samples (positions 2, 5). "
        "Drop or mend them.",
    ):
        attribute(x=x)


def test_wrong_shape_names_the_node_and_the_line():
    with pytest.raises(ValueError, match=re.escape(
        "attribute: needs x that fits the model; got shape (2, 5, 8, 8), which stops at "
        "`features.0` (nets.py:"
    )):  # fmt: skip
        attribute(x=torch.zeros(2, 5, 8, 8))


def test_missing_batch_axis():
    with raises(
        ValueError,
        "attribute: needs x of shape (sample, ...) with samples; got (5,). "
        "Add a batch axis with x[None].",
    ):
        attribute(x=torch.zeros(5))


def test_label_out_of_range():
    with raises(
        ValueError,
        "attribute: needs labels in 0..4; got 1 out of range (sample 1: 9). "
        "Check the class numbering.",
    ):
        attribute(target=[0, 9])


def test_target_of_another_length():
    with raises(
        ValueError,
        "attribute: needs target for 2 samples, (2,) or (2, target); got shape (3,).",
    ):
        attribute(target=[0, 1, 2])


def test_target_as_floats():
    with raises(ValueError, "attribute: needs target as integers; got torch.float64. Use .long()."):
        attribute(target=np.array([0.0, 1.0]))


def test_unknown_target_word():
    with raises(
        ValueError,
        "attribute: needs target 'argmax', 'top<k>', labels, an index, targets.mask, "
        "targets.contrast, or a function of the output; got 'best'.",
    ):
        attribute(target="best")


def test_operator_without_a_rule():
    only_dense = Composite([(ops("dense"), rules.epsilon())])
    with pytest.raises(errors.RuleError) as caught:
        attribute(composite=only_dense)
    lines = str(caught.value).splitlines()
    assert lines[0] == "annotate: 2 operators need a rule and got none:"
    assert re.fullmatch(r"  - `features\.0` \(nets\.py:\d+\): conv", lines[1])
    assert lines[-1] == (
        "Add a row to the composite, for example (ops('linear'), rules.epsilon())."
    )


def test_row_that_never_matches():
    rows = [(named("layer9.*"), rules.flat()), (everything(), rules.gradient()),
            (named("classifier.0"), rules.epsilon())]  # fmt: skip
    with raises(
        errors.RuleError,
        "annotate: every row needs a node; 2 never apply:\n"
        "  - row 0, named(layer9.*) -> flat: no node matches\n"
        "  - row 2, named(classifier.0) -> epsilon(1e-06): every node has a row above\n"
        "Mend the names (fxrelay.report(graph) prints them), or move the row up.",
    ):
        attribute(composite=Composite(rows))


class Cumulative(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return torch.special.gammaln(torch.cumprod(self.fc(x), 1))


def test_unsupported_operators_are_all_named():
    with pytest.raises(errors.UnsupportedOperation) as caught:
        attribute(Cumulative().eval(), torch.zeros(1, 4))
    text = re.sub(r"py:\d+", "py:1", str(caught.value))
    assert text == (
        "annotate: 2 calls have no row in the operator table:\n"
        "  - `cumprod` (test_errors.py:1): cumprod\n"
        "  - `special_gammaln` (test_errors.py:1): special_gammaln\n"
        "Give each a rule of its own, a function (site, inputs, output, relevance) -> relevances, "
        "with a row named(...)."
    )


class Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_control_flow_without_example():
    with pytest.raises(errors.TraceFailed, match=re.escape(
        "Pass example inputs, trace(model, example), so that torch.export can be tried; or keep "
        "the module whole with leaf=[...]."
    )):  # fmt: skip
        fxrelay.trace(Branching().eval())


class BatchStatistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        return nn.functional.dropout(self.norm(x), 0.5)


def test_calls_that_depend_on_the_batch_or_on_chance():
    with pytest.raises(ValueError, match="trace: 2 calls cannot be explained") as caught:
        fxrelay.trace(BatchStatistics().eval())
    text = str(caught.value)
    assert "uses the statistics of the batch" in text
    assert "dropout is active (training=True)" in text


def test_two_outputs():
    class Two(nn.Module):
        def forward(self, x):
            return {"main": x * 2, "aux": x}

    with raises(
        ValueError,
        "trace: needs one output tensor; got dict with ['main', 'aux']. Choose one with "
        "output=..., for example output='main'.",
    ):
        fxrelay.trace(Two().eval())
    assert fxrelay.trace(Two().eval(), output="main")(torch.ones(1)) == 2


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: rules.alpha_beta(1, 1),
         "alpha_beta: needs alpha, beta >= 0 and alpha - beta = 1; got alpha=1, beta=1. "
         "Take for example alpha=2, beta=1."),
        (lambda: rules.gamma(-1), "gamma: needs gamma >= 0; got -1. Take for example 0.25."),
        (lambda: rules.z_box(1.0, 0.0), "z_box: needs low < high; got low=1, high=0. Swap them."),
        (lambda: rules.relu_beta_smooth(0),
         "relu_beta_smooth: needs beta > 0; got 0. Take for example 10."),
        (lambda: rules.epsilon(bias="none"),
         "epsilon(1e-06): needs bias 'absorb' or 'zero'; got 'none'. 'absorb' books the bias's "
         "relevance as a sink, 'zero' leaves it out."),
        (lambda: composites.composite_of("epsilon_gamma_box"),
         "composite: 'epsilon_gamma_box' needs low and high; got a name alone. "
         "Pass composites.epsilon_gamma_box(low=..., high=...)."),
        (lambda: attribute(composite=None),
         "attribute: needs composite; got none. For example composite='epsilon_plus_flat'."),
    ],
    ids=["alpha_beta", "gamma", "z_box", "beta_smooth", "bias", "preset", "composite"],
)  # fmt: skip
def test_parameters(make, text):
    with raises(ValueError, text):
        make()


def test_input_outside_its_box():
    x = inputs().clamp(-1, 1)
    x[0, 0, 0, 0] = 7
    with raises(
        ValueError,
        "z_box: needs `x` between low and high; got 1 of 384 values outside, range -1 to 7. "
        "Widen the bounds or pass allow_outside=True.",
    ):
        attribute(x=x, composite=composites.epsilon_gamma_box(-1.0, 1.0))


def test_record_that_matches_nothing():
    with pytest.raises(ValueError, match=re.escape(
        "relay: record needs paths of nodes; nothing matches ['head']. Known are features.0, "
    )):  # fmt: skip
        attribute(record=["head"])


def test_operator_word_that_nothing_has():
    with pytest.raises(ValueError, match=re.escape(
        "ops: needs words of the operator table; got ['convolution']. Known are activation, add, "
    )):  # fmt: skip
        ops("convolution")


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen.add_(1)
        return x * self.seen


def test_model_that_writes_its_buffers_is_put_back():
    model = Counting().eval()
    with raises(
        ValueError,
        "trace: needs a model that leaves its buffers alone in eval mode; got writes to seen. "
        "They were put back; take the writes out of forward().",
    ):
        fxrelay.trace(model)
    assert not model.seen.any()


def test_batch_size():
    with raises(ValueError, "attribute: needs batch_size >= 1; got 0."):
        attribute(batch_size=0)
