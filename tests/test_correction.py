"""From a cluster to a corrected model: an artefact is found at a node and held constant there."""

import numpy as np
import torch
from torch import nn

import fxrelay
from fxrelay_analysis import stages
from fxrelay_analysis.truth import match


class Cheat(nn.Module):
    """Ten features, the last of which is an artefact that the logits rely on."""

    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Linear(10, 10), nn.Linear(10, 2)

    def forward(self, x):
        return self.head(self.mix(x))


def cheat():
    random = torch.Generator().manual_seed(0)
    model = Cheat().double().eval()
    with torch.no_grad():
        mix = torch.linalg.qr(torch.randn(10, 10, generator=random, dtype=torch.float64))[0]
        model.mix.weight[:] = mix
        model.mix.bias[:] = 0
        told = torch.zeros(2, 10, dtype=torch.float64)
        told[0, 0], told[1, 9] = 1, 3  # class 0 by the first feature, class 1 by the artefact
        model.head.weight[:] = told @ mix.T
        model.head.bias[:] = torch.tensor([0.0, 0.5])
    return model


def data(n=200):
    random = np.random.default_rng(0)
    x = random.normal(0, 0.3, (n, 10))
    label = np.arange(n) % 2
    x[label == 0, 0] += 2
    marked = (label == 1) & (np.arange(n) % 4 == 1)
    x[:, 9] = 2.0 * marked
    return torch.as_tensor(x), label, marked


def test_a_found_artefact_is_taken_out():
    model, (x, label, marked) = cheat(), data()
    graph = fxrelay.trace(model)
    ds = fxrelay.attribute(
        graph, x, target=label, composite="epsilon_plus", label=label, record=["mix"],
        activations=True,
    )  # fmt: skip
    one = ds.isel(sample=label == 1)
    found = stages.kmeans(stages.concept_vectors(one["activation_at_mix"]), n_clusters=2)
    cluster = int(found.values[marked[label == 1]].mean() > 0.5)
    assert match(found.values[:, 0] == cluster, marked[label == 1])[1:] == (1.0, 1.0)
    concept = stages.concepts(one["activation_at_mix"], found).sel(n_clusters=2, cluster=cluster)
    assert concept["auroc"] == 1
    own = model.mix.weight[:, 9].detach().numpy()
    assert abs(concept["direction"].values @ own) > 0.99
    table = stages.contingency(found, ds[["label"]].isel(sample=label == 1))
    assert table["purity_label"].sel(n_clusters=2, cluster=cluster) == 1

    corrected = fxrelay.suppress(graph, "mix", concept["direction"], concept["origin"])
    attacked = x.clone()
    attacked[:, 9] = 2
    wrong = model(attacked)[label == 0].argmax(1)
    assert wrong.double().mean() == 1  # the mark alone decides
    assert (corrected(attacked).argmax(1).numpy() == label).mean() > 0.95
    assert (corrected(x).argmax(1).numpy() == label).mean() > 0.95
    assert set(dict(model.named_buffers())) == set()
    after = fxrelay.attribute(corrected, x, target=label, composite="epsilon_plus")
    relevance = [abs(d["relevance"].values[marked, 9]).mean() for d in (ds, after)]
    assert relevance[1] < 0.1 * relevance[0]
