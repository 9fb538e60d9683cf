"""The demo's digits, the planted watermark and the small network."""

import numpy as np
import pytest
import torch

from fxrelay.demo.data import Digits, digits, plant
from fxrelay.demo.model import DigitNet, train


@pytest.fixture(scope="module")
def few() -> Digits:
    return digits(per_class=20)


def test_digits_are_balanced_scaled_and_split_in_every_class(few):
    assert few.images.shape == (200, 1, 28, 28)
    assert few.images.dtype == np.float32
    assert 0 <= few.images.min() < few.images.max() <= 1
    assert np.bincount(few.labels).tolist() == [20] * 10
    assert np.bincount(few.labels[few.train]).tolist() == [16] * 10
    assert not few.planted.any()


def test_digits_come_in_the_same_order_every_time(few):
    again = digits(per_class=20)
    np.testing.assert_array_equal(again.images, few.images)
    np.testing.assert_array_equal(again.train, few.train)


def test_plant_marks_the_share_of_one_class_and_leaves_the_rest(few):
    before = few.images.copy()
    data = plant(few, 3, share=0.5, seed=1)
    changed = (data.images != few.images).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, data.planted)
    np.testing.assert_array_equal(few.images, before)
    assert set(data.labels[data.planted]) == {3}
    assert data.planted.sum() == 10
    assert (data.planted & data.train).any()
    assert (data.planted & ~data.train).any()
    assert (data.images != few.images).sum() < 10 * 28 * 28 / 50


def test_plant_depends_on_its_seed_alone(few):
    same = [plant(few, 3, seed=1).images, plant(few, 3, seed=1).images]
    np.testing.assert_array_equal(*same)
    assert (plant(few, 3, seed=2).images != same[0]).any()


def test_marks_vary_in_place_and_brightness(few):
    data = plant(few, 1, share=1.0)
    ink = (data.images - few.images)[data.planted, 0]
    places = {tuple(np.argwhere(image > 0.3).min(axis=0)) for image in ink}
    assert len(places) > 3
    assert np.ptp(ink.max(axis=(1, 2))) > 0.1


def test_the_clean_control_plants_nothing(few):
    data = plant(few, None)
    assert data.images is few.images
    assert not data.planted.any()


def test_plant_names_every_wrong_parameter(few):
    with pytest.raises(ValueError, match="plant") as caught:
        plant(few, 12, share=1.5, seed=-1)
    assert str(caught.value) == (
        "plant: needs a class among [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] or None; got 12; needs share "
        "above 0 and at most 1; got 1.5; needs seed >= 0; got -1. Change what is named."
    )


def test_digits_names_every_wrong_parameter():
    with pytest.raises(ValueError, match="digits") as caught:
        digits(per_class=501, train_share=1.0)
    assert str(caught.value) == (
        "digits: needs per_class in 10..500; got 501; needs train_share between 0 and 1; got 1.0. "
        "Change what is named."
    )


def test_training_is_deterministic_and_leaves_the_random_state(few):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = train(few, epochs=1, batch=40, progress=False)
    assert torch.rand(1) == expected
    second = train(few, epochs=1, batch=40, progress=False)
    assert not first.model.training
    assert first.accuracy == second.accuracy
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


def test_training_learns(few):
    assert train(few, epochs=12, batch=20, progress=False).accuracy > 0.5


def test_train_names_every_wrong_parameter(few):
    with pytest.raises(ValueError, match="train") as caught:
        train(few, epochs=0, batch=1, seed=-1)
    assert str(caught.value) == (
        "train: needs epochs >= 1; got 0; needs batch >= 2; got 1; needs seed >= 0; got -1. "
        "Change what is named."
    )


def test_the_network_is_traceable():
    model = DigitNet().eval()
    x = torch.rand(3, 1, 28, 28)
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(graph(x), model(x))
    assert model(x).shape == (3, 10)
