"""Ways to take a found artefact out of a network, and what each needs to know."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import xarray as xr
from planted import Case, pasted
from torch import Tensor, fx, nn

import fxrelay
from fxrelay.demo.data import Digits
from fxrelay.demo.model import fit
from fxrelay.meta import PATH
from fxrelay_analysis import stages

Images = np.ndarray[Any, np.dtype[np.float32]]
#: images (n, channel, y, x) -> logits (n, class)
Model = Callable[[Tensor], Tensor]
#: kind of network -> the node where activations are told apart; chosen on seeds from 100
NODES: Final[Mapping[str, str]] = {"small": "getitem", "mlp": "2", "deep": "19"}
#: of the other classes' images, how many get the artefact where it is added: were it in nearly all
#: images, its evidence and the class's bias could not be told apart
HALF: Final = 0.5
EPOCHS: Final = 3
RATE: Final = 0.003


@dataclass(frozen=True)
class Found:
    """What a user has: a poisoned network, its training images, and who carries an artefact.

    `carries` (n,) holds for training images; only images of the case's class are told apart.
    """

    case: Case
    graph: fx.GraphModule
    data: Digits
    carries: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def at(self) -> str:
        """Path of the node where the artefact is suppressed."""
        return NODES[self.case.model]

    @property
    def own(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Rows of the class's training images."""
        return np.flatnonzero(self.data.train & (self.data.labels == self.case.label))


def direction(found: Found) -> tuple[Any, Any, float]:
    """Return the direction at the node, the mean without the artefact, the step between means."""
    rows = found.own
    ds = fxrelay.attribute(
        found.graph, found.data.images[rows], found.data.labels[rows], composite="gradient",
        record=[found.at], activations=True, sample=rows,
    )  # fmt: skip
    carries = xr.DataArray(found.carries[rows].astype(np.int32), {"sample": rows}, ["sample"])
    concepts = stages.concepts(ds[f"activation_at_{found.at}"], carries)
    v = concepts["direction"].sel(cluster=1).values
    with_it, without = (concepts["origin"].sel(cluster=c).values for c in (0, 1))  # of the rest
    return v, without, float((with_it - without) @ v)


def projected(found: Found, graph: fx.GraphModule | None = None) -> fx.GraphModule:
    """P-ClArC: hold the network at the mean of samples without the artefact."""
    v, origin, _ = direction(found)
    return fxrelay.suppress(graph or found.graph, found.at, v, origin)


def reactive(found: Found) -> Model:
    """P-ClArC, but only for what the network takes for the poisoned class."""
    cut = projected(found)

    def model(x: Tensor) -> Tensor:
        before = found.graph(x)
        taken = before.argmax(1, keepdim=True) == found.case.label
        return torch.where(taken, cut(x), before)

    return model


def relearned(found: Found) -> fx.GraphModule:
    """P-ClArC, then what comes after the node learns on: the same images, three epochs."""
    return tuned(projected(found, copy.deepcopy(found.graph)), found, f"{found.at}.suppressed")


def augmented(found: Found) -> fx.GraphModule:
    """A-ClArC: learn on with the direction of the artefact in half of the other classes' images."""
    out = copy.deepcopy(found.graph)
    moved = Moved(out, found, *direction(found)[::2])
    return tuned(out, found, found.at, moved)


class Moved(fx.Interpreter):
    """A network in which half of the images of other classes move along the direction.

    They are what the network as it was takes for another class: all but a few of its training
    images.
    """

    def __init__(self, graph: fx.GraphModule, found: Found, v: Any, step: float) -> None:
        super().__init__(graph)
        self.found, self.step = found, torch.from_numpy(v * step).float()

    def run_node(self, n: fx.Node) -> Any:
        """Return a node's value, moved at the found node."""
        value = super().run_node(n)
        if n.meta.get(PATH) != self.found.at:
            return value
        step = self.moved[:, None] * self.step
        return value + step.reshape(*step.shape, *[1] * (value.dim() - 2))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        with torch.no_grad():
            other = self.found.graph(x).argmax(1) != self.found.case.label
        self.moved = (other & (torch.rand(len(x)) < HALF)).float()
        return self.run(x)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return those of the network."""
        return self.module.parameters()


def only_tuned(found: Found) -> fx.GraphModule:
    """Control: learn on as long, with nothing suppressed."""
    return tuned(copy.deepcopy(found.graph), found, found.at)


def balanced(found: Found) -> fx.GraphModule:
    """Control: learn on as long, nothing suppressed, half of the class without the artefact."""
    return tuned(copy.deepcopy(found.graph), found, found.at, rows=halves(found))


def both(found: Found) -> fx.GraphModule:
    """P-ClArC, then learn on with half of the class without the artefact."""
    graph = projected(found, copy.deepcopy(found.graph))
    return tuned(graph, found, f"{found.at}.suppressed", rows=halves(found))


def halves(found: Found) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return training rows in which half of the class lacks the artefact: those come repeatedly."""
    own, random = found.own, np.random.default_rng(found.case.seed)
    has = found.carries[own]
    half = [random.choice(own[which], len(own) // 2) for which in (has, ~has)]
    others = np.flatnonzero(found.data.train & (found.data.labels != found.case.label))
    return np.concatenate([others, *half])


def oracle(found: Found) -> fx.GraphModule:
    """Oracle: all of the network learns on, the true artefact in half of the others' images."""
    case, data = found.case, found.data
    random = np.random.default_rng(case.seed)
    where = (random.random(len(data.labels)) < HALF) & (data.labels != case.label)
    images = pasted(case, data.images, where & data.train)
    return tuned(copy.deepcopy(found.graph), found, "", images=images)


def tuned(graph: fx.GraphModule, found: Found, at: str, model: Any = None, *,
          rows: Any = None, images: Images | None = None) -> fx.GraphModule:  # fmt: skip
    """Train what comes after a node (all where it is '') on the training images, in place."""
    late = behind(graph, at) if at else dict(graph.named_parameters())
    for name, parameter in graph.named_parameters():
        parameter.requires_grad_(name in late)
    rows = np.flatnonzero(found.data.train) if rows is None else rows
    x = torch.from_numpy((found.data.images if images is None else images)[rows])
    y = torch.from_numpy(found.data.labels[rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(found.case.seed)
        fit(graph if model is None else model, x, y, epochs=EPOCHS, rate=RATE)
    return graph.requires_grad_(False)


def behind(graph: fx.GraphModule, at: str) -> set[str]:
    """Return the names of what nodes that come after a node read."""
    late: set[fx.Node] = set()
    read: set[str] = set()
    for node in graph.graph.nodes:
        if late & set(node.all_input_nodes):
            read |= {str(n.target) for n in node.all_input_nodes if n.op == "get_attr"}
            late.add(node)
        elif node.meta.get(PATH) == at:
            late.add(node)
    return read


#: name -> correction
WAYS: Final[Mapping[str, Callable[[Found], Model]]] = {
    "projected": projected,
    "reactive": reactive,
    "learned on": only_tuned,
    "balanced": balanced,
    "relearned": relearned,
    "both": both,
    "augmented": augmented,
    "oracle": oracle,
}
