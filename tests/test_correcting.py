"""The ways to take an artefact out of a network: what they train, and what they leave alone."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import correcting
from planted import Case, untrained

import fxrelay
from fxrelay.demo.data import Digits


@pytest.fixture(scope="module")
def found():
    case = Case("watermark", 0.5, 1, "mlp", per_class=20)
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    images = random.random((200, 1, 28, 28), np.float32)
    carries = (labels == 1) & (np.arange(200) % 2 == 0)
    images[carries, 0, :3, :3] = 3
    torch.manual_seed(0)
    model = untrained(case).eval().requires_grad_(False)
    logits = model(torch.from_numpy(images))
    model[5].bias[1] += (logits.max(1).values - logits[:, 1]).median()  # takes half for a 1
    graph = fxrelay.trace(model)
    return correcting.Found(case, graph, Digits(images, labels, labels >= 0, carries), carries)


def parameters(graph):
    return {name: value.detach().clone() for name, value in graph.named_parameters()}


def test_what_comes_after_a_node(found):
    assert correcting.behind(found.graph, "2") == {"3.weight", "3.bias", "5.weight", "5.bias"}
    assert correcting.behind(found.graph, "5") == set()


def test_the_direction_is_that_between_the_means(found):
    v, without, step = correcting.direction(found)
    x = torch.from_numpy(found.data.images[found.own]).flatten(1)
    h = torch.relu(
        x @ found.graph.get_parameter("1.weight").T + found.graph.get_parameter("1.bias")
    )
    has = found.carries[found.own]
    shift = h[has].mean(0) - h[~has].mean(0)
    assert step * v == pytest.approx(shift.detach().numpy(), abs=1e-5)
    assert without == pytest.approx(h[~has].mean(0).detach().numpy(), abs=1e-5)


TRAINED = {
    "projected": set(),
    "learned on": {"3", "5"},
    "balanced": {"3", "5"},
    "relearned": {"3", "5"},
    "both": {"3", "5"},
    "augmented": {"3", "5"},
    "oracle": {"1", "3", "5"},
}


@pytest.mark.parametrize("way", TRAINED)
def test_what_is_trained(found, way):
    before = parameters(found.graph)
    after = parameters(correcting.WAYS[way](found))
    changed = {name.split(".")[0] for name, value in after.items() if (value != before[name]).any()}
    assert changed == TRAINED[way]
    assert all((value == before[n]).all() for n, value in parameters(found.graph).items())


def test_only_what_is_taken_for_the_class_is_reactive(found):
    x = torch.from_numpy(found.data.images)
    before, cut = found.graph(x), correcting.projected(found)(x)
    taken = before.argmax(1) == 1
    assert 0 < taken.sum() < len(x)
    out = correcting.reactive(found)(x)
    assert (out[taken] == cut[taken]).all()
    assert (out[~taken] == before[~taken]).all()


def test_projected_networks_see_one_value_along_the_direction(found):
    v, without, _ = correcting.direction(found)
    graph = correcting.relearned(found)
    ds = fxrelay.attribute(graph, found.data.images, found.data.labels, composite="gradient",
                           record=["2.suppressed"], activations=True)  # fmt: skip
    along = ds["activation_at_2.suppressed"].values @ v
    assert along == pytest.approx(np.full(200, without @ v), abs=1e-4)
