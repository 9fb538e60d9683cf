"""Targets in all their forms: seeds, closed forms on a linear segmentation model, coordinates."""

import dataclasses
import re
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import fxrelay
from fxrelay import rules, schema, targets
from fxrelay.composites import Composite, ops
from fxrelay.entries import Space

EPSILON = Composite([(ops("linear"), rules.epsilon(1e-14))])
N, CLASSES, SIDE = 4, 3, 6


def raises(text):
    return pytest.raises(ValueError, match=f"^{re.escape(text)}$")


class Segmenter(nn.Module):
    """Linear: a 3×3 convolution, in a dict like torchvision's models."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.conv = nn.Conv2d(2, CLASSES, 3, padding=1, bias=False).double().eval()

    def forward(self, x):
        return OrderedDict(out=self.conv(x), aux=x.mean((2, 3)))


X = torch.randn(N, 2, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
LABEL = torch.tensor([0, 1, 2, 1])
MASK = torch.zeros(N, SIDE, SIDE, dtype=torch.bool)
for i in range(N):
    MASK[i, i : i + 2, 1 : 3 + i] = True


def explain(target, **options):
    return fxrelay.attribute(Segmenter().eval(), X, target, composite=EPSILON, **options)


def closed_form(seed):
    """``x ⊙ Jᵀ(seed / z)``, of a linear model."""
    conv = Segmenter().conv
    z = conv(X).detach()
    weight = conv.weight.detach()
    return X * torch.nn.functional.conv_transpose2d(seed / z, weight, padding=1)


def one_hot(entries):
    seed = torch.zeros(N, CLASSES, SIDE, SIDE, dtype=torch.float64)
    for i, entry in enumerate(entries):
        seed[(i, *entry)] = 1
    return seed


def test_pixel_for_all_samples():
    ds = explain((2, 3, 5))
    np.testing.assert_allclose(ds.relevance, closed_form(one_hot([(2, 3, 5)] * N)), atol=1e-9)
    assert ds.output.dims == ("sample", "class", "y_output", "x_output")
    found = {name: ds[name].values.tolist() for name in ("target", "target_y", "target_x")}
    assert found == {"target": [2] * N, "target_y": [3] * N, "target_x": [5] * N}
    assert ds.target_y.attrs["long_name"] == "y of the explained output"
    assert "prediction" not in ds


def test_pixel_for_each_sample_and_several_of_them():
    each = [(0, 0, 0), (1, 2, 3), (2, 5, 5), (0, 4, 1)]
    other = [(1, 1, 1)] * N
    both = explain(np.stack([each, other], 1))
    assert both.relevance.dims == ("sample", "target", "channel", "y", "x")
    for i, entries in enumerate((each, other)):
        want = closed_form(one_hot(entries))
        np.testing.assert_allclose(both.relevance[:, i], want, atol=1e-9)
        np.testing.assert_allclose(explain(entries).relevance, want, atol=1e-9)
    assert both.target_y.values.tolist() == [[0, 1], [2, 1], [5, 1], [4, 1]]


def mean_over(label, mask):
    seed = torch.zeros(N, CLASSES, SIDE, SIDE, dtype=torch.float64)
    for i in range(N):
        seed[i, label[i]] = mask[i] / mask[i].sum()
    return seed


MASKS = {
    "one for all": (LABEL, MASK[0], MASK[:1].expand(N, -1, -1)),
    "each its own": (LABEL, MASK, MASK),
    "one label": (1, MASK.numpy(), MASK),
    "weights": (LABEL, MASK * torch.arange(1, 7).double(), MASK * torch.arange(1, 7).double()),
}


@pytest.mark.parametrize("kind", MASKS)
def test_mask_explains_the_mean_within_it(kind):
    label, given, mask = MASKS[kind]
    ds = explain(targets.mask(label, given), batch_size=3)
    labels = LABEL if isinstance(label, torch.Tensor) else torch.full((N,), label)
    want = closed_form(mean_over(labels, mask))
    np.testing.assert_allclose(ds.relevance, want, atol=1e-9)
    np.testing.assert_allclose(ds.relevance.sum(("channel", "y", "x")), 1, atol=1e-9)
    assert ds.target.values.tolist() == labels.tolist()


def test_mask_with_several_classes():
    labels = torch.stack([LABEL, (LABEL + 1) % CLASSES], 1)
    ds = explain(targets.mask(labels, MASK), batch_size=3, memory=0.002)
    for i in range(2):
        want = closed_form(mean_over(labels[:, i], MASK))
        np.testing.assert_allclose(ds.relevance[:, i], want, atol=1e-9)


CONTRASTS = {
    "pixels": ((0, 1, 1), (1, 1, 1)),
    "each": ([(c, i, 2) for i, c in enumerate(LABEL)], [((c + 1) % 3, i, 2) for i, c in
                                                       enumerate(LABEL)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTRASTS)
def test_contrast_is_the_difference(kind):
    a, b = CONTRASTS[kind]
    ds = explain(targets.contrast(a, b))
    want = explain(a).relevance.values - explain(b).relevance.values
    np.testing.assert_allclose(ds.relevance, want, atol=1e-9)
    assert ds.against.values.tolist() == explain(b).target.values.tolist()
    assert ds.against_y.values.tolist() == explain(b).target_y.values.tolist()
    assert ds.against.attrs["long_name"] == "output argued against"


def test_contrast_of_labels_pairs_one_with_several():
    model = nn.Linear(5, 4, bias=False).double().eval()
    x = X.reshape(N, -1)[:, :5]
    several = [[1, 2], [0, 3], [3, 1], [2, 0]]
    ds = fxrelay.attribute(
        model, x, targets.contrast([0, 1, 2, 3], several), composite=EPSILON, memory=0.002
    )
    one = fxrelay.attribute(model, x, [[i, i] for i in range(4)], composite=EPSILON)
    two = fxrelay.attribute(model, x, several, composite=EPSILON)
    np.testing.assert_allclose(ds.relevance, one.relevance - two.relevance, atol=1e-9)
    assert ds.target.values.tolist() == [[i, i] for i in range(4)]
    assert ds.against.values.tolist() == several
    assert schema.validate(ds) is ds


def test_argmax_of_a_segmentation_is_its_largest_entry():
    ds = explain(None)
    flat = Segmenter().conv(X).flatten(1).argmax(1)
    want = np.stack(np.unravel_index(flat.numpy(), (CLASSES, SIDE, SIDE)))
    np.testing.assert_array_equal([ds.target, ds.target_y, ds.target_x], want)
    top = explain("top3", batch_size=3)
    assert top.target_x.dims == ("sample", "target")
    np.testing.assert_array_equal(top.target_x[:, 0], ds.target_x)


def test_targets_survive_netcdf(tmp_path):
    ds = explain(targets.contrast((0, 1, 1), (1, 1, 1)), classes=["sky", "sea", "sand"])
    ds.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as back:
        xr.testing.assert_identical(back.load(), ds)


TOKEN_SPACE = Space((5, 4), ("token_output", "class"))


def test_classes_last_where_inputs_are_tokens():
    seed = targets.mask(2, torch.tensor([1, 0, 1, 1, 1])).checked(TOKEN_SPACE, 2)(
        torch.zeros(2, 5, 4)
    )
    want = torch.zeros(2, 5, 4)
    want[:, [0, 2, 3, 4], 2] = 0.25
    torch.testing.assert_close(seed, want)


def test_targets_print():
    space = Space((3,), ("class",))
    assert str(targets.target_of(None)) == "argmax"
    assert str(targets.target_of("top2")) == "top2"
    assert str(targets.target_of([0, 1]).checked(space, 2)) == "entries (2,)"
    assert str(targets.mask(1, MASK)) == "mask(1, (4, 6, 6))"
    assert str(targets.contrast(0, 1)) == "contrast(0, 1)"
    assert str(targets.target_of(len)) == "len"


BAD = {
    "label": (
        1,
        "attribute: needs target as an index (class, y_output, x_output), or (4, 3) or (4, target, "
        "3) of them, or targets.mask(class, mask); got shape ().",
    ),
    "range": (
        [(0, 0, 0), (3, 0, 0), (0, 6, 0), (0, 0, -1)],
        "attribute: needs target in class 0..2, y_output 0..5, x_output 0..5; got 3 out of range "
        "(sample 1: (3, 0, 0), sample 2: (0, 6, 0), sample 3: (0, 0, -1)).",
    ),
    "mask shape": (
        targets.mask(0, torch.ones(3, 3)),
        "attribute: needs a mask of shape (6, 6) or (4, 6, 6), the output's without classes; got "
        "(3, 3). The output is (sample, class, y_output, x_output).",
    ),
    "empty mask": (
        targets.mask(0, MASK & (torch.arange(N) % 2 == 0)[:, None, None]),
        "attribute: needs a mask >= 0 with something in it for every sample; got 2 without "
        "(positions 1, 3). Drop these samples.",
    ),
    "mask class": (
        targets.mask([0, 1, 2, 3], MASK),
        "attribute: needs labels in 0..2; got 1 out of range (sample 3: 3). Check the class "
        "numbering.",
    ),
    "contrast": (
        targets.contrast([(0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 0, 0)], (0, 0, 0)),
        "attribute: needs contrast(a, b) of different entries; got 2 samples with equal ones "
        "(positions 0, 3). Their relevance would be 0.",
    ),
    "contrast of 2 and 3": (
        targets.contrast([[(0, 0, 0)] * 2] * N, [[(1, 0, 0)] * 3] * N),
        "attribute: needs contrast(a, b) with as many targets in both; got 2 and 3.",
    ),
    "function": (
        lambda output: output[0],
        "attribute: needs <lambda> to return seeds of the output's shape, (4, 3, 6, 6); got "
        "(3, 6, 6).",
    ),
    "top": ("top200", "attribute: needs target 'top<k>' with k in 1..108; got 'top200'."),
}


@pytest.mark.parametrize("kind", BAD)
def test_targets_that_do_not_fit(kind):
    target, text = BAD[kind]
    with raises(text):
        explain(target)


def test_masks_and_pixels_of_whole_datasets(tmp_path):
    options = {"composite": EPSILON, "shard_size": 3, "progress": False}

    def stream(target, folder="r", **more):
        return fxrelay.attribute_dataset(
            Segmenter().eval(), X, tmp_path / folder, target=target, **options, **more
        )

    ds = stream(targets.mask(LABEL, MASK))
    np.testing.assert_allclose(ds.relevance, explain(targets.mask(LABEL, MASK)).relevance)
    other = MASK.roll(1, 2)
    changed = stream(targets.mask(LABEL, other))
    np.testing.assert_allclose(changed.relevance, explain(targets.mask(LABEL, other)).relevance)
    with pytest.raises(ValueError, match="which differs in target"):
        stream((0, 1, 1))
    pair = targets.contrast((0, 1, 1), (1, 1, 1))
    got = stream(pair, "pair")
    np.testing.assert_allclose(got.relevance, explain(pair).relevance)
    assert stream("top2", "top").target_y.dims == ("sample", "target")


# outputs


@dataclasses.dataclass
class Result:
    score: torch.Tensor
    hidden: tuple
    loss: torch.Tensor | None = None


Pair = namedtuple("Pair", ["first", "second"])


class Nested(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form, self.fc = form, nn.Linear(3, 2).double()

    def forward(self, x):
        return self.form(self.fc(x), x)


OUTPUTS = {
    "tensor": (lambda y, x: y, None),
    "tuple of one": (lambda y, x: (y,), None),
    "tuple": (lambda y, x: (x, y), 1),
    "dict of one": (lambda y, x: {"any": y, "none": None}, None),
    "logits": (lambda y, x: {"hidden": x, "logits": y}, None),
    "out": (lambda y, x: OrderedDict(out=y, aux=x), None),
    "key": (lambda y, x: {"a": x, "b": y}, "b"),
    "key with a dot": (lambda y, x: {"a": x, "b.c": y}, "b.c"),
    "path": (lambda y, x: {"a": x, "b": (x, {"c": y})}, "b.1.c"),
    "path as tuple": (lambda y, x: {"a": x, "b": (x, {"c": y})}, ("b", 1, "c")),
    "path to one": (lambda y, x: {"a": x, "b": [None, {"c": y}]}, "b"),
    "dataclass": (lambda y, x: Result(y, (x, x)), "score"),
    "in a dataclass": (lambda y, x: Result(x, (x, {"y": y})), "hidden.1.y"),
    "named tuple": (lambda y, x: Pair(x, y), 1),
    "number of integer key": (lambda y, x: {0: x, 1: y}, 1),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_are_picked(kind):
    form, output = OUTPUTS[kind]
    model, x = Nested(form).eval(), X[:, 0, 0, :3]
    graph = fxrelay.trace(model, x, output=output)
    torch.testing.assert_close(graph(x), model.fc(x))
    captured = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(fxrelay.trace(captured, output=output)(x), model.fc(x))
    if "dataclass" not in kind:  # export would need it registered
        exported = torch.export.export(model, (x,))
        torch.testing.assert_close(fxrelay.trace(exported, output=output)(x), model.fc(x))


@pytest.mark.parametrize(
    ("form", "output", "text"),
    [
        (lambda y, x: {"a": x, "b": (x, y)}, None,
         "trace: needs one output tensor; got dict with ['a', 'b.0', 'b.1']. Choose one with "
         "output=..., for example output='a'."),
        (lambda y, x: (x, (x, y)), 1,
         "trace: needs one output tensor; got output=1 with ['0', '1']. Choose one with "
         "output=..., for example output='0'."),
        (lambda y, x: {"a": x, "b": y}, "c",
         "trace: needs output in ['a', 'b']; got 'c'."),
        (lambda y, x: (x, y), 2, "trace: needs output in ['0', '1']; got 2."),
        (lambda y, x: {"n": 3}, None,
         "trace: needs a tensor as output; got dict without. Let forward() return what is to be "
         "explained."),
        (lambda y, x: {"a": y, "b": torch.zeros_like(x)}, "b",
         "trace: needs an output that depends on x; got `zeros_like` (test_targets.py:1), which "
         "does not. Choose another with output=... or explain=..."),
    ],
    ids=["none", "part", "key", "number", "no tensor", "constant"],
)  # fmt: skip
def test_outputs_that_cannot_be_picked(form, output, text):
    with pytest.raises(ValueError, match=r"^trace: needs") as caught:
        fxrelay.trace(Nested(form).eval(), output=output)
    assert re.sub(r"py:\d+", "py:1", str(caught.value)) == text
