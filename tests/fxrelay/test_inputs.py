"""Models with several inputs, keyword arguments, tokens and constants, against closed forms."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from torch import nn

import fxrelay
from fxrelay import rules, schema
from fxrelay.arguments import arguments_of
from fxrelay.composites import Composite, ops
from fxrelay.execute import Processes

EPSILON = Composite([(ops("linear", "add", "reduce"), rules.epsilon(1e-14))])


def raises(error, text):
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


class Fusion(nn.Module):
    """Two inputs, added or concatenated, and a flag."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.left, self.right = nn.Linear(4, 3, bias=False), nn.Linear(5, 3, bias=False)
        self.joint = nn.Linear(6, 3, bias=False)
        self.double().eval()

    def forward(self, a, b, *, joined: bool = False, scale=None):
        x, y = self.left(a), self.right(b)
        out = self.joint(torch.cat([x, y], 1)) if joined else x + y
        return out if scale is None else out * scale


def products(fusion, a, b, target):
    """Closed form: the contributions of a linear model, ``x_i w_i / z``."""
    z = fusion(a, b)[torch.arange(len(a)), target][:, None]
    return a * fusion.left.weight[target] / z, b * fusion.right.weight[target] / z


FORMS = {
    "positional": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "keywords": lambda a, b: {"b": b, "a": a},
    "arrays": lambda a, b: (a.numpy(), b.numpy()),
    "flag": lambda a, b: {"a": a, "b": b, "joined": False, "scale": None},
}


@pytest.mark.parametrize("form", FORMS)
def test_two_inputs_get_what_they_contribute(form):
    model, a, b, target = Fusion(), normal(6, 4), normal(6, 5, seed=1), torch.arange(6) % 3
    ds = fxrelay.attribute(model, FORMS[form](a, b), target, composite=EPSILON, batch_size=4)
    want_a, want_b = products(model, a, b, target)
    np.testing.assert_allclose(ds.relevance, want_a.detach(), atol=1e-9)
    np.testing.assert_allclose(ds.relevance_of_b, want_b.detach(), atol=1e-9)
    assert ds.relevance.dims == ("sample", "feature")
    assert ds.relevance_of_b.dims == ("sample", "feature_b")
    assert ds.relevance_of_b.attrs["long_name"] == "relevance of b"
    np.testing.assert_array_equal(ds.input_b, b)


def test_flags_are_fixed_and_the_program_remembers_them():
    model, a, b = Fusion(), normal(2, 4), normal(2, 5)
    call = {"a": a, "b": b, "joined": True}
    graph = fxrelay.trace(model, call)
    torch.testing.assert_close(graph(a, b), model(a, b, joined=True))
    relay = fxrelay.relay(fxrelay.annotate(graph, EPSILON))
    assert (relay.inputs, relay.explained) == (["a", "b"], ["a", "b"])
    assert fxrelay.attribute(relay, call).output.shape == (2, 3)
    with raises(
        ValueError,
        "inputs: needs the values that the graph was traced with; got joined=False (was True). "
        "Trace the model again.",
    ):
        fxrelay.attribute(relay, call | {"joined": False})


def test_relay_takes_inputs_in_order_and_returns_a_dict():
    model, a, b = Fusion(), normal(2, 4), normal(2, 5)
    relay = fxrelay.relay(fxrelay.annotate(fxrelay.trace(model, (a, b)), EPSILON))
    seed = F.one_hot(torch.tensor([0, 1]), 3).double()
    out = relay(a, b, seed)
    assert list(out.relevance) == ["a", "b"]
    torch.testing.assert_close(out.relevance["b"], products(model, a, b, [0, 1])[1], rtol=1e-8,
                               atol=1e-9)  # fmt: skip
    with raises(
        ValueError,
        "relay: needs (a, b, seed); got 2 tensors. Inputs come in this order, the seed is last.",
    ):
        relay(a, seed)


def test_explain_chooses_and_the_rest_is_booked():
    model, a, b = Fusion(), normal(2, 4), normal(2, 5)
    ds = fxrelay.attribute(model, (a, b), 0, composite=EPSILON, explain=["b"], sinks=True)
    want = products(model, a, b, [0, 0])
    np.testing.assert_allclose(ds.relevance, want[1].detach(), atol=1e-9)
    assert "relevance_of_a" not in ds
    np.testing.assert_allclose(ds["sink_left.weight"], want[0].sum(1).detach(), atol=1e-9)
    assert ds.relevance.attrs["long_name"] == "relevance of b"
    assert set(ds.data_vars) >= {"input", "input_a"}


class Masked(nn.Module):
    """Embedded tokens, masked and averaged; also takes their embeddings."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.table, self.head = nn.Embedding(11, 4), nn.Linear(4, 3, bias=False)
        self.double().eval()

    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None):
        x = self.table(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:
            return {"logits": self.head(x.mean(1)), "hidden": x}
        kept = attention_mask.unsqueeze(-1).to(x.dtype)
        return {"logits": self.head((x * kept).sum(1) / kept.sum(1)), "hidden": x}


def token_products(model, ids, mask, target):
    weight = mask / mask.sum(1, keepdim=True)
    parts = (model.table(ids) @ model.head.weight[target][..., None])[..., 0] * weight
    return (parts / parts.sum(1, keepdim=True)).detach()


IDS = torch.arange(15).reshape(3, 5) % 11
MASK = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])


@pytest.mark.parametrize("mask", [MASK, MASK.bool()], ids=["int", "bool"])
def test_tokens_get_relevance_at_their_embedding_and_masks_none(mask):
    model, target = Masked(), torch.tensor([0, 1, 2])
    inputs = {"input_ids": IDS, "attention_mask": mask}
    ds = fxrelay.attribute(model, inputs, target, composite=EPSILON)
    assert ds.relevance.dims == ds.input_attention_mask.dims == ("sample", "token")
    assert [v for v in ds if v.startswith("relevance")] == ["relevance"]
    want = token_products(model, IDS, MASK, target)
    np.testing.assert_allclose(ds.relevance, want, atol=1e-9)
    assert (ds.relevance.values[MASK == 0] == 0).all()
    assert ds.input.dtype == np.int64


def test_inputs_that_are_left_out_keep_their_default():
    ds = fxrelay.attribute(Masked(), IDS, [0, 1, 2], composite=EPSILON)
    want = token_products(Masked(), IDS, torch.ones_like(MASK), [0, 1, 2])
    np.testing.assert_allclose(ds.relevance, want, atol=1e-9)


def test_embeddings_as_input_have_tokens_and_features():
    model = Masked()
    embedded = model.table(IDS).detach()
    ds = fxrelay.attribute(
        model, {"inputs_embeds": embedded, "attention_mask": MASK}, 0, composite=EPSILON
    )
    assert ds.relevance.dims == ("sample", "token", "feature")
    want = token_products(model, IDS, MASK, [0, 0, 0])
    np.testing.assert_allclose(ds.relevance.sum("feature"), want, atol=1e-9)


class Moved(nn.Module):
    """Ids that are cast and moved on their way to the table."""

    def __init__(self, move):
        super().__init__()
        self.move, self.table = move, nn.Embedding(11, 4).double()
        self.head = nn.Linear(4, 3, bias=False).double()

    def forward(self, ids):
        x = self.table(self.move(ids))
        return self.head(x.flatten(1, -2).sum(1))


MOVES = {
    "long": lambda i: i.long(),
    "to": lambda i: i.to(torch.int64),
    "reshape": lambda i: i.reshape(-1).view(i.shape[0], -1),
    "slice": lambda i: i[:, 1:4],
    "transpose": lambda i: i.unsqueeze(1).transpose(1, 2),
    "cat": lambda i: torch.cat([i, i[:, :1]], 1),
    "stack": lambda i: torch.stack([i, i], 1),
    "flip": lambda i: i.flip(1),
    "roll": lambda i: torch.roll(i, 1, 1),
    "split": lambda i: i.split(2, 1)[1],
    "where": lambda i: torch.where(i > 2, i, 0),
    "masked_fill": lambda i: i.masked_fill(i == 3, 7),
    "repeat": lambda i: i.repeat(1, 2),
    "clone": lambda i: i.clone().contiguous(),
}


@pytest.mark.parametrize("move", MOVES)
def test_ids_may_be_moved_before_the_table(move):
    model = Moved(MOVES[move]).eval()
    ids = IDS.short() if move == "long" else IDS
    ds = fxrelay.attribute(model, ids, 1, composite=EPSILON, sinks=True)
    assert ds.relevance.dtype == np.float64
    sinks = sum((ds[v] for v in ds if v.startswith("sink_")), xr.zeros_like(ds.sample * 1.0))
    np.testing.assert_allclose(ds.relevance.sum("token") + sinks, 1, atol=1e-8)
    used = model.move(torch.arange(15).reshape(3, 5))
    for row, (got, places) in enumerate(zip(ds.relevance.values, used.flatten(1), strict=True)):
        unused = sorted({*range(5 * row, 5 * row + 5)} - {*places.tolist()})
        assert (got[[i - 5 * row for i in unused]] == 0).all()


class Branching(nn.Module):
    """Control flow that only export captures, on keyword arguments and with nested results."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.fc = nn.Linear(4, 3, bias=False).double()
        self.gain = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x, *, other, deep=False, **more):
        if x.dim() != 2 or x.shape[1] != 4:
            raise ValueError("needs (batch, 4)")
        y = self.fc(x) + self.fc(other) * self.gain
        return {"y": (y, x) if deep else y, "third": more["third"] * 2}


def test_export_takes_keywords_flags_and_the_same_tensor_twice():
    model, x = Branching().eval(), normal(3, 4)
    call = {"x": x, "other": x, "third": x, "deep": True}
    graph = fxrelay.trace(model, call, output="y.0")
    torch.testing.assert_close(graph(x, -x, x), model(x, other=-x, third=x)["y"])
    ds = fxrelay.attribute(model, call, 0, composite=EPSILON, output=("y", 0))
    parts = x * model.fc.weight[0].detach()
    z = 3 * parts.sum(1, keepdim=True)
    np.testing.assert_allclose(ds.relevance, parts / z, atol=1e-9)
    np.testing.assert_allclose(ds.relevance_of_other, 2 * parts / z, atol=1e-9)
    np.testing.assert_array_equal(ds.relevance_of_third, 0)


def test_exported_program_and_graph_module_take_names_too():
    model, a, b = Fusion(), normal(3, 4), normal(3, 5)
    exported = torch.export.export(model, (a,), {"b": b, "joined": False})
    traced = torch.fx.symbolic_trace(model, {"joined": False, "scale": None})
    want = fxrelay.attribute(model, (a, b), 0, composite=EPSILON)
    for given in (exported, traced, fxrelay.trace(model, (a, b))):
        got = fxrelay.attribute(given, {"b": b, "a": a}, 0, composite=EPSILON)
        np.testing.assert_allclose(got.relevance_of_b, want.relevance_of_b, atol=1e-9)
    with raises(
        ValueError,
        "inputs: needs b too; got 1 positional. The graph has no default for them.",
    ):
        fxrelay.attribute(traced, a, composite=EPSILON)


class Nested(nn.Module):
    def forward(self, x, pair, *rest, **named):
        return x + pair[0] * pair[1]["z"] + sum(rest) + named["bias"]


class Cache:
    """What Hugging Face models keep of a sequence: a class that export does not know."""

    def __init__(self):
        self.keys = torch.tensor([])

    def update(self, keys):
        self.keys = torch.cat([self.keys, keys], -2)
        return self.keys


class Caching(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(11, 4).double(), nn.Linear(4, 3).double()

    def forward(self, ids, use_cache: bool = True):
        if ids.dim() != 2:
            raise ValueError("needs (batch, token)")
        cache = Cache()
        logits = self.head(cache.update(self.table(ids)).mean(1))
        return {"logits": logits, "cache": cache if use_cache else None}


def test_classes_in_the_output_are_left_out():
    ds = fxrelay.attribute(Caching().eval(), IDS, 0, composite=EPSILON, sinks=True)
    booked = ds.relevance.sum("token") + sum(ds[v] for v in ds if v.startswith("sink_"))
    np.testing.assert_allclose(booked, 1, atol=1e-9)


def test_nested_arguments_are_named_by_their_path():
    x = normal(2, 3)
    call = arguments_of(Nested(), {"x": x, "pair": (x, {"z": x}), "bias": x})
    assert call.names == list(call.tensors) == ["x", "pair_0", "pair_1_z", "bias"]
    call = arguments_of(nn.LSTM(3, 4), (x, (x, x)))
    assert call.names == ["input", "hx_0", "hx_1"]
    graph = fxrelay.trace(Nested().eval(), {"x": x, "pair": (x, {"z": 2 * x}), "bias": x})
    torch.testing.assert_close(graph(x, x, 2 * x, x), 2 * x + 2 * x * x)


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 3, 2).double()

    def forward(self, clip):
        return self.conv(clip).mean((2, 3, 4))


def test_video_has_time():
    ds = fxrelay.attribute(Video().eval(), normal(2, 2, 3, 4, 5), composite=EPSILON)
    assert ds.relevance.dims == ("sample", "channel", "time", "y", "x")
    assert schema.validate(ds) is ds


class Attended(nn.Module):
    """A mask that all samples share, and one number a sample."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False).double()

    def forward(self, x, shared, time):
        return self.fc(x * shared) * time.unsqueeze(1)


def test_inputs_shared_by_all_samples_and_numbers():
    model, x, time = Attended().eval(), normal(5, 4), normal(5).abs() + 1
    shared = torch.tensor([[1, 0, 1, 1]])
    ds = fxrelay.attribute(model, (x, shared, time), 0, composite=EPSILON, batch_size=2)
    assert "input_shared" not in ds
    assert ds.relevance_of_time.dims == ("sample",)
    np.testing.assert_array_equal(ds.relevance[:, 1], 0)
    both = ds.relevance.sum("feature") + ds.relevance_of_time
    np.testing.assert_allclose(both, 1, atol=1e-9)
    with raises(
        ValueError,
        "attribute: needs 5 samples in every explained input; got `shared` (1, 4). Expand it with "
        "x.expand(n, ...), or leave it out of explain=[...].",
    ):
        fxrelay.attribute(model, (x, shared.double(), time), composite=EPSILON)


def test_one_number_as_output():
    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 1, bias=False).double()

        def forward(self, x):
            return self.fc(x).squeeze(1)

    model, x = Regression().eval(), normal(3, 4)
    for target in (None, 0, "top1"):
        ds = fxrelay.attribute(model, x, target, composite=EPSILON)
        assert ds.output.dims == ("sample",)
        want = (x * model.fc.weight).detach() / model(x).detach()[:, None]
        np.testing.assert_allclose(ds.relevance.values.reshape(3, 4), want, atol=1e-9)


# datasets of several inputs


class Items:
    """A map-style dataset of ({name: tensor}, label)."""

    def __init__(self, paired=True, tuples=False, flag=None):
        self.paired, self.tuples, self.flag = paired, tuples, flag

    def __len__(self):
        return len(A)

    def __getitem__(self, i):
        inputs = {"a": A[i], "b": B[i]}
        inputs = inputs if self.flag is None else inputs | {"joined": self.flag}
        inputs = (A[i], B[i]) if self.tuples else inputs
        return (inputs, int(LABEL[i])) if self.paired else inputs


A, B, LABEL = normal(10, 4), normal(10, 5, seed=1), np.arange(10) % 3
DATASETS = {
    "dict": lambda: ({"a": A, "b": B}, LABEL),
    "tuple": lambda: ((A, B), LABEL),
    "arrays": lambda: ({"a": A.numpy(), "b": B.numpy(), "joined": False}, LABEL),
    "items": Items,
    "tuples": lambda: Items(tuples=True),
    "flags": lambda: Items(flag=False),
}


def stream(data, path, **options):
    options = {"composite": EPSILON, "shard_size": 4, "progress": False} | options
    return fxrelay.attribute_dataset(Fusion(), data, path, **options)


def contents(path):
    return {p.name: p.read_bytes() for p in sorted(path.glob("shard-*.nc"))}


@pytest.mark.parametrize("kind", DATASETS)
def test_datasets_of_several_inputs(kind, tmp_path):
    ds = stream(DATASETS[kind](), tmp_path)
    want = fxrelay.attribute(Fusion(), (A, B), LABEL, composite=EPSILON, label=LABEL)
    for name in ("relevance", "relevance_of_b", "input", "input_b", "label", "target"):
        np.testing.assert_allclose(ds[name], want[name], atol=1e-12)
    made = contents(tmp_path)
    (tmp_path / "shard-000001.nc").unlink()
    stream(DATASETS[kind](), tmp_path)
    assert contents(tmp_path) == made


def test_inputs_without_labels(tmp_path):
    ds = stream({"a": A, "b": B}, tmp_path / "dict", target="argmax")
    items = stream(Items(paired=False), tmp_path / "items", target="argmax")
    xr.testing.assert_identical(ds.load(), items.load())
    assert "label" not in ds


def test_processes_make_the_same_shards_of_several_inputs(tmp_path):
    options = {"explain": ["b"], "composite": "epsilon_plus"}
    one = stream(Items(flag=True), tmp_path / "one", **options)
    with Processes(1) as executor:
        two = stream(Items(flag=True), tmp_path / "two", executor=executor, **options)
    xr.testing.assert_identical(one.load(), two.load())


def test_a_change_in_any_input_is_seen(tmp_path):
    stream(({"a": A, "b": B}, LABEL), tmp_path / "r")
    changed = B.clone()
    changed[9] *= 2
    got = stream(({"a": A, "b": changed}, LABEL), tmp_path / "r")
    want = stream(({"a": A, "b": changed}, LABEL), tmp_path / "fresh")
    xr.testing.assert_identical(got.load(), want.load())


BAD = {
    "no label": (
        lambda: [(A[i], B[i]) for i in range(10)],
        "attribute_dataset: needs items x or (x, label) with an integer label; got shape (5,) in "
        "the label's place. Several inputs go into a dict or tuple of their own, "
        "({name: tensor}, label).",
    ),
    "tuple of three": (
        lambda: (A, B, LABEL),
        "attribute_dataset: needs (inputs, labels), a dict of inputs, or a dataset; got a tuple of "
        "3. Samples go into a list, inputs into a dict.",
    ),
    "ragged": (
        lambda: [({"a": A[i][: 3 + i], "b": B[i]}, 0) for i in range(2)],
        "attribute_dataset: needs samples of one shape; got `a` with (3,), (4,). Crop or pad them "
        "to one shape.",
    ),
    "flags that differ": (
        lambda: [({"a": A[i], "b": B[i], "joined": bool(i)}, 0) for i in range(2)],
        "attribute_dataset: needs `joined` as an array, or equal in all samples; got False and "
        "others. Make it a tensor.",
    ),
    "labels": (
        lambda: ({"a": A, "b": B}, LABEL[:3]),
        "attribute_dataset: needs a label for each input; got 10 inputs and 3 labels.",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_datasets_that_do_not_fit(kind, tmp_path):
    make, text = BAD[kind]
    with raises(ValueError, text):
        stream(make(), tmp_path)


def test_functions_as_targets_cannot_be_resumed(tmp_path):
    def margin(output):
        return output

    with raises(
        ValueError,
        "attribute_dataset: needs a target that can be told from others when a run resumes; got "
        "the function margin. Use fxrelay.targets, or labels that it computes.",
    ):
        stream(({"a": A, "b": B}, LABEL), tmp_path, target=margin)
