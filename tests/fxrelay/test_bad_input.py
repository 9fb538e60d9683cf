"""Bad models and bad inputs: one clear error each, before work starts, and nothing printed."""

import re
import warnings

import numpy as np
import pytest
import torch
from nets import build, inputs
from torch import nn

import fxrelay
from fxrelay import errors
from fxrelay.preconditions import CHECKS


def raises(text, error=ValueError):
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def attribute(model, x, **options):
    return fxrelay.attribute(model, x, composite="epsilon_plus", **options)


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


X = torch.ones(2, 4)


@pytest.fixture(autouse=True)
def _nothing_is_printed(capfd):
    yield
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# models


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net())


def half_scripted():
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model[2] = torch.jit.trace(model[2], torch.ones(1, 3))
    return model


def quantized():
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model[0] = torch.ao.nn.quantized.dynamic.Linear(4, 3)
        model.register_buffer("packed", torch.quantize_per_tensor(X, 0.1, 0, torch.qint8))
    return model.eval()


def on_meta():
    model = net()
    model[2] = nn.Linear(3, 2, device="meta")
    return model.eval()


def lazy():
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model[2] = nn.LazyLinear(2)
    return model.eval()


def mixed():
    model = net()
    model[2].double()
    return model


def complex_buffer():
    model = net()
    model.register_buffer("phases", torch.ones(2, dtype=torch.complex64))
    return model


def training():
    model = net()
    model[1].train()
    return model


MODELS = {
    "scripted": (
        scripted,
        "trace: needs a model of Python modules; got 4 that are scripted:\n"
        "  - `the model` (RecursiveScriptModule)\n  - `0` (RecursiveScriptModule)\n"
        "  - `1` (RecursiveScriptModule)\n  - `2` (RecursiveScriptModule)\n"
        "Pass the nn.Module that torch.jit.script or torch.jit.trace was given.",
    ),
    "half scripted": (
        half_scripted,
        "trace: needs a model of Python modules; got 1 that are scripted:\n"
        "  - `2` (TopLevelTracedModule)\n"
        "Pass the nn.Module that torch.jit.script or torch.jit.trace was given.",
    ),
    "train mode": (
        training,
        "trace: needs the model in eval mode; got 1 modules in train mode:\n  - `1` (ReLU)\n"
        "Call model.eval() first.",
    ),
    "quantized": (
        quantized,
        "trace: needs a model that computes with real numbers; got 3 that are quantized:\n"
        "  - `packed` (torch.qint8)\n  - `0` (Linear)\n  - `0._packed_params` "
        "(LinearPackedParams)\nPass the model as it was before quantization.",
    ),
    "meta": (
        on_meta,
        "trace: needs parameters and buffers with values; got 2 without, on the meta device or "
        "lazy:\n  - `2.weight`\n  - `2.bias`\n"
        "Load the weights first: model.to_empty(device=...), then model.load_state_dict(...); run "
        "a lazy model once.",
    ),
    "lazy": (
        lazy,
        "trace: needs parameters and buffers with values; got 2 without, on the meta device or "
        "lazy:\n  - `2.weight`\n  - `2.bias`\n"
        "Load the weights first: model.to_empty(device=...), then model.load_state_dict(...); run "
        "a lazy model once.",
    ),
    "complex": (
        complex_buffer,
        "trace: needs real parameters and buffers; got 1 that are complex:\n"
        "  - `phases` (torch.complex64)\n"
        "Write the model with real and imaginary parts as real tensors.",
    ),
    "mixed types": (
        mixed,
        "trace: needs parameters of one floating point type; got 2 that differ:\n"
        "  - `2.weight` (torch.float64, most torch.float32)\n"
        "  - `2.bias` (torch.float64, most torch.float32)\nCall model.float() or model.double().",
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_that_cannot_be_explained(kind):
    make, text = MODELS[kind]
    with raises(text):
        attribute(make(), X)
    with raises(text):
        fxrelay.trace(make())


def test_mixed_devices():
    faults = CHECKS[-1].faults(on_meta())  # meta stands for a second device
    assert faults == ["`2.weight` (meta, most cpu)", "`2.bias` (meta, most cpu)"]


def test_no_model():
    with raises(
        "trace: needs an nn.Module, a GraphModule or an ExportedProgram; got builtin_function_or_"
        "method. Wrap a function in a module.",
        TypeError,
    ):
        attribute(torch.relu, X)


def test_exported_programs_are_checked_too():
    exported = torch.export.export(mixed_that_runs(), (X,))
    with pytest.raises(ValueError, match="needs parameters of one floating point type; got 2"):
        attribute(exported, X)


def mixed_that_runs():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 3), nn.Linear(3, 2).double()

        def forward(self, x):
            return self.two(self.one(x).double())

    return Mixed().eval()


# inputs

TOKENS = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2)).eval()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, a, b=None):
        return self.fc(a) if b is None else self.fc(a) + self.fc(b)


INPUTS = {
    "complex": (
        lambda: (Two(), {"a": X, "b": X.to(torch.complex64)}),
        "attribute: needs real inputs; got `b` (torch.complex64). Use torch.view_as_real and a "
        "model of real numbers.",
    ),
    "integers": (
        lambda: (net(), X.long()),
        "trace: needs inputs that can carry relevance, floating point or integers that an "
        "embedding looks up; got\n  - `input`: torch.int64, not embedded\n"
        "Pass x.float(), or choose others with explain=[...].",
    ),
    "only constants": (
        lambda: (Two(), (X.bool(), X.to(torch.uint8))),
        "trace: needs inputs that can carry relevance, floating point or integers that an "
        "embedding looks up; got\n  - `a`: torch.bool\n  - `b`: torch.uint8, not embedded\n"
        "Pass x.float(), or choose others with explain=[...].",
    ),
    "empty": (
        lambda: (net(), X[:0]),
        "attribute: needs samples; got an empty batch, (0, 4).",
    ),
    "empty second": (
        lambda: (Two(), (X, X[:0])),
        "attribute: needs samples; got an empty batch, `a` (2, 4), `b` (0, 4).",
    ),
    "no batch axis": (
        lambda: (net(), X[0]),
        "attribute: needs x of shape (sample, ...) with samples; got (4,). "
        "Add a batch axis with x[None].",
    ),
    "samples that differ": (
        lambda: (Two(), (X, torch.ones(3, 4))),
        "attribute: needs as many samples in every input; got `a` (2, 4), `b` (3, 4). The first "
        "axis counts samples; what all samples share has 1 there.",
    ),
    "not finite": (
        lambda: (Two(), (X, X * torch.tensor([[1.0], [float("nan")]]))),
        "attribute: needs finite inputs; got NaN or infinity in 1 of 2 samples of `b` "
        "(positions 1). Drop or mend them.",
    ),
    "unknown name": (
        lambda: (Two(), {"a": X, "c": X}),
        "inputs: needs arguments that the model takes, (a, [b]); got a, c: got an unexpected "
        "keyword argument 'c'. Pass one tensor, a sequence of positional arguments, or a mapping "
        "of names; stack samples into one tensor with torch.stack.",
    ),
    "too many": (
        lambda: (net(), list(X)),
        "inputs: needs arguments that the model takes, (input); got 2 positional: too many "
        "positional arguments. Pass one tensor, a sequence of positional arguments, or a mapping "
        "of names; stack samples into one tensor with torch.stack.",
    ),
    "missing": (
        lambda: (Two(), {"b": X}),
        "inputs: needs arguments that the model takes, (a, [b]); got b: missing a required "
        "argument: 'a'. Pass one tensor, a sequence of positional arguments, or a mapping of "
        "names; stack samples into one tensor with torch.stack.",
    ),
    "no tensor": (
        lambda: (Two(), {"a": 3}),
        "inputs: needs at least one tensor or array; got a without. For example "
        "torch.as_tensor(x).",
    ),
    "objects": (
        lambda: (net(), np.array([["a", None]], dtype=object)),
        "inputs: needs arrays of numbers; got dtype object. Use .astype(...).",
    ),
    "too many axes": (
        lambda: (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.ones(1, 1, 1, 2, 1, 2)),
        "attribute: needs inputs of 1 to 4 axes a sample; got `input` with 5. Leave them out with "
        "explain=[...], or use fxrelay.relay, which takes any.",
    ),
    "token out of range": (
        lambda: (TOKENS, torch.tensor([[0, 4, 5], [1, -1, 0]])),
        "attribute: needs ids in 0..4, the rows of `0`; got 2 of 6 outside, range -1 to 5. "
        "Check the vocabulary.",
    ),
    "samples not first": (
        lambda: (Transposed(), X),
        "attribute: needs an output with samples first; got shape (4, 2) for 2 samples. Let "
        "forward() keep the batch axis, or choose another output=...",
    ),
}


class Transposed(nn.Module):
    def forward(self, x):
        return torch.relu(x).t()


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_that_do_not_fit(kind):
    model, x = INPUTS[kind][0]()
    with raises(INPUTS[kind][1]):
        attribute(model.eval(), x)


@pytest.mark.parametrize(
    ("explain", "text"),
    [
        (["c"], "trace: needs explain in ['a', 'b']; got ['c']."),
        (["a", "b"], "trace: needs inputs that can carry relevance, floating point or integers "
         "that an embedding looks up; got\n  - `b`: torch.bool\n"
         "Pass x.float(), or choose others with explain=[...]."),
    ],
)  # fmt: skip
def test_explain_that_does_not_fit(explain, text):
    with raises(text):
        attribute(Two().eval(), (X, X.bool()), explain=explain)


def test_relay_alone():
    relay = fxrelay.relay(fxrelay.annotate(fxrelay.trace(net()), "epsilon_plus"))
    with raises(
        "attribute: needs a Relay alone; got composite, record, output or explain with it. They "
        "are fixed when a program is built: pass them to fxrelay.trace and fxrelay.relay."
    ):
        fxrelay.attribute(relay, X, explain=["input"])


# shapes: found before anything runs, with nothing of torch's own on the terminal


class Rows(nn.Module):
    """Needs export, as it asks for the number of axes."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = x.flatten(1) if x.dim() > 2 else x
        return self.fc(x)


def test_shapes_of_a_traced_model():
    with pytest.raises(ValueError, match=(
        r"^attribute: needs x that fits the model; got shape \(2, 5, 8, 8\), which stops at "
        r"`features.0` \(nets.py:\d+\): [^\n]*$"
    )):  # fmt: skip
        attribute(build("plain"), torch.zeros(2, 5, 8, 8))


def test_shapes_of_several_inputs():
    with pytest.raises(ValueError, match=(
        r"^attribute: needs x that fits the model; got shapes `a` \(2, 4\), `b` \(2, 5\), which "
        r"stops at `fc_1` \(test_bad_input.py:\d+\): [^\n]*$"
    )):  # fmt: skip
        attribute(Two().eval(), (X, torch.ones(2, 5)))


def test_shapes_of_an_exported_model():
    with pytest.raises(ValueError, match=(
        r"^trace: needs inputs that fit the model; got shape \(2, 3, 6\), which stop it at "
        r"test_bad_input.py:\d+ \(return self.fc\(x\)\): [^\n]*$"
    )):  # fmt: skip
        attribute(Rows().eval(), torch.ones(2, 3, 6))


def test_shapes_given_to_a_relay():
    relay = fxrelay.relay(fxrelay.annotate(fxrelay.trace(net()), "epsilon_plus"))
    with pytest.raises(ValueError, match=(
        r"^relay: needs x that fits the model; got shape \(2, 5\), which stops at `0` "
        r"\(container.py:\d+\): [^\n]*$|^relay: needs x that fits the model; got shape \(2, 5\), "
        r"which stops at `0`: [^\n]*$"
    )):  # fmt: skip
        relay(torch.ones(2, 5), torch.ones(2, 2))
    with raises("relay: needs a seed of the output's shape, (2, 2); got (2, 7)."):
        relay(X, torch.ones(2, 7))


# control flow and unknown operators


class Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


HERE = "test_bad_input.py:1 (return x * 2 if x.sum() > 0 else x)"


def lines(caught):
    return re.sub(r"py:\d+", "py:1", str(caught.value)).splitlines()


def test_control_flow_names_the_line():
    with pytest.raises(errors.TraceFailed) as caught:
        fxrelay.trace(Branching().eval())
    assert lines(caught) == [
        f"trace: needs a model that torch.fx can follow; got Branching, which stops it at {HERE}: "
        "symbolically traced variables cannot be used as inputs to control flow",
        "Pass example inputs, trace(model, example), so that torch.export can be tried; or keep "
        "the module whole with leaf=[...].",
    ]


def test_control_flow_on_values_names_both_lines_and_a_remedy():
    with pytest.raises(errors.TraceFailed) as caught:
        attribute(Branching().eval(), X)
    text = lines(caught)
    assert text[0] == "trace: neither torch.fx nor torch.export can follow Branching."
    assert text[1].startswith(f"torch.fx stops at {HERE}: symbolically traced variables")
    assert text[2].startswith(f"torch.export stops at {HERE}: Could not guard on data-dependent")
    assert text[3:] == [
        "Take the control flow that depends on values out of forward(), or write it with "
        "torch.where."
    ]


class Unknown(nn.Module):
    def forward(self, x):
        x = torch.special.erfcx(x)
        x = torch.cummax(x, 1)[0]
        return torch.fft.rfft(x).abs()


def test_unknown_operators_are_all_named_with_their_lines():
    with pytest.raises(errors.UnsupportedOperation) as caught:
        attribute(Unknown().eval(), X)
    text = lines(caught)
    assert text[0] == "annotate: 3 calls have no row in the operator table:"
    assert [line.split(":")[0] + ":1" for line in text[1:4]] == [
        f"  - `{name}` (test_bad_input.py:1" for name in ("special_erfcx", "cummax", "fft_rfft")
    ]
    assert text[4].startswith("Give each a rule of its own")


# what is mended silently


def test_inputs_are_moved_to_the_type_of_the_model():
    one = attribute(build("plain"), inputs())
    two = attribute(build("plain"), inputs().float())
    assert two.relevance.dtype == one.relevance.dtype == np.float64
    np.testing.assert_allclose(one.relevance, two.relevance, atol=1e-5)


def test_values_that_shapes_depend_on():
    class Selecting(nn.Module):
        def forward(self, x, keep):
            return torch.relu(x * keep[keep.nonzero()[:, 0] * 0][: x.shape[0]].sum())

    ds = attribute(Selecting().eval(), (X, torch.ones(2)))
    assert ds.output.shape == (2, 4)


class Columns(nn.Module):
    """A table for each column, of its own size; missing ids are given row 0."""

    def __init__(self):
        super().__init__()
        self.small, self.large = nn.Embedding(3, 2), nn.Embedding(9, 2)

    def forward(self, ids):
        first = ids[:, 0]
        return self.small(torch.where(first < 0, 0, first)) + self.large(ids[:, 1])


def test_each_column_is_checked_against_its_own_table():
    model, ids = Columns().eval(), torch.tensor([[2, 8], [-1, 0]])
    assert attribute(model, ids).sizes["sample"] == 2
    with pytest.raises(ValueError, match=re.escape("needs ids in 0..2, the rows of `small` (")):
        attribute(model, ids.flip(1).clamp(min=0))
