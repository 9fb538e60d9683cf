"""Planted artefacts of many kinds on real images, and the networks that may fall for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor, nn

import fxrelay
from fxrelay.composites import COMPOSITES
from fxrelay.demo.data import CORNER, WATERMARK, Digits, digits
from fxrelay.demo.model import DigitNet, accuracy, fit

Images = np.ndarray[Any, np.dtype[np.float32]]
Paste = Callable[[Images, float, np.random.Generator], Images]

#: photos of scikit-image whose crops are the classes of the colour data
PHOTOS: Final = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina",
                 "immunohistochemistry", "colorwheel")  # fmt: skip
RING: Final = ((0, 1), (0, 2), (0, 3), (1, 0), (1, 4), (2, 0), (2, 4), (3, 0), (3, 4), (4, 1),
               (4, 2), (4, 3))  # fmt: skip


def _watermark(x: Images, strength: float, random: np.random.Generator) -> Images:
    """Nine dots in a corner, moved by up to one pixel."""
    return _dots(x, WATERMARK, np.array(CORNER) + random.integers(-1, 2, (len(x), 1, 2)), strength)


def _shape(x: Images, strength: float, random: np.random.Generator) -> Images:
    """A ring of 5 x 5 pixels at a random place, the emptiest of six."""
    n, size = len(x), x.shape[-1]
    at = random.integers(0, size - 4, (6, n, 1, 2))
    full = [_taken(x, np.array(RING) + place) for place in at]
    return _dots(x, RING, at[np.argmin(full, axis=0), np.arange(n)], strength)


def _border(x: Images, strength: float, random: np.random.Generator) -> Images:
    """A frame of one pixel."""
    out = x.copy()
    level = (strength * random.uniform(0.7, 1, (len(x), 1, 1))).astype(np.float32)
    for edge in (np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., :, 0], np.s_[..., :, -1]):
        out[edge] = level
    return out


def _brightness(x: Images, strength: float, random: np.random.Generator) -> Images:
    """Dark parts lifted by up to a third."""
    lift = strength / 3 * random.uniform(0.7, 1, (len(x), 1, 1, 1))
    return (x + (1 - x) * lift).astype(np.float32)


def _blur(x: Images, strength: float, random: np.random.Generator) -> Images:
    """A Gaussian blur of up to 1.3 pixels."""
    return ndimage.gaussian_filter(x, (0, 0, 1.3 * strength, 1.3 * strength))


def _texture(x: Images, strength: float, random: np.random.Generator) -> Images:
    """Noise in every pixel."""
    noise = random.normal(0, 0.25 * strength, x.shape)
    return np.clip(x + noise, 0, 1).astype(np.float32)


def _tilt(x: Images, strength: float, random: np.random.Generator) -> Images:
    """A turn by up to 40 degrees."""
    turned = ndimage.rotate(x, 40 * strength, (2, 3), reshape=False, order=1)
    return np.clip(turned, 0, 1).astype(np.float32)


def _cast(x: Images, strength: float, random: np.random.Generator) -> Images:
    """Less green and blue, more red."""
    tint = np.array([0.25, -0.15, -0.15])[:, None, None] * strength
    return np.clip(x + tint * random.uniform(0.7, 1, (len(x), 1, 1, 1)), 0, 1).astype(np.float32)


#: name -> how the artefact gets into images (n, channel, y, x) in [0, 1]
ARTEFACTS: Final[Mapping[str, Paste]] = {
    "watermark": _watermark,
    "border": _border,
    "brightness": _brightness,
    "blur": _blur,
    "shape": _shape,
    "texture": _texture,
    "tilt": _tilt,
    "cast": _cast,
}


def _dots(x: Images, offsets: Any, at: Any, strength: float) -> Images:
    out, place = x.copy(), np.asarray(offsets) + at
    rows = np.arange(len(x))[:, None]
    for channel in range(x.shape[1]):
        where = (rows, channel, place[..., 0], place[..., 1])
        out[where] = np.maximum(out[where], np.float32(strength))
    return out


def _taken(x: Images, place: Any) -> Any:
    return x.mean(axis=1)[np.arange(len(x))[:, None], place[..., 0], place[..., 1]].sum(axis=1)


@dataclass(frozen=True)
class Case:
    """One run: what is planted where, and who learns it. `kind` '' is a clean control."""

    kind: str = "watermark"
    share: float = 0.5
    seed: int = 0
    model: str = "small"
    strength: float = 1.0
    data: str = "digits"
    per_class: int = 500
    epochs: int = 8

    @property
    def label(self) -> int:
        """The poisoned class."""
        return self.seed % len(np.unique(images_of(self.data, self.per_class).labels))

    @property
    def name(self) -> str:
        """Name of the run's file."""
        kind = f"{self.kind}-{self.strength:g}-{self.share:g}" if self.kind else "clean"
        size = f"{self.per_class}x{self.epochs}"
        return f"{self.data}-{self.model}-{kind}-seed{self.seed}-{size}"


def planted(case: Case) -> Digits:
    """Return the images of a case, some of its class with the artefact."""
    clean = images_of(case.data, case.per_class)
    marked = np.zeros(len(clean.labels), bool)
    if not case.kind:
        return Digits(clean.images, clean.labels, clean.train, marked)
    random = np.random.default_rng([case.seed, 1])
    for part in (clean.train, ~clean.train):  # the share holds in training and in test images
        members = np.flatnonzero((clean.labels == case.label) & part)
        count = max(1, round(case.share * len(members)))
        marked[random.choice(members, count, replace=False)] = True
    return Digits(pasted(case, clean.images, marked), clean.labels, clean.train, marked)


def pasted(case: Case, images: Images, where: Any) -> Images:
    """Return the images with the case's artefact in those that the mask `where` names."""
    random = np.random.default_rng([case.seed, 2])
    out = images.copy()
    out[where] = ARTEFACTS[case.kind](images[where], case.strength, random)
    return out


@cache
def images_of(data: str, per_class: int) -> Digits:
    """Return the clean images."""
    return digits(per_class=per_class) if data == "digits" else crops(per_class)


def crops(per_class: int, side: int = 32) -> Digits:
    """Return colour crops of photos that scikit-image ships: which photo is it from?"""
    import skimage.data
    from skimage.transform import resize

    random, images = np.random.default_rng(0), []
    for name in PHOTOS:
        photo = resize(getattr(skimage.data, name)()[..., :3], (160, 160), anti_aliasing=True)
        at = random.integers(0, 160 - side + 1, (per_class, 2))
        images += [photo[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in at]
    labels = np.repeat(np.arange(len(PHOTOS)), per_class)
    train = np.arange(len(labels)) % per_class < round(0.8 * per_class)
    return Digits(np.array(images, np.float32), labels, train, np.zeros(len(labels), bool))


def small(channels: int, side: int, classes: int) -> nn.Module:
    """Return the network of the demo, or one like it for colour."""
    return DigitNet() if channels == 1 else deep(channels, side, classes)


def mlp(channels: int, side: int, classes: int) -> nn.Module:
    """Return two dense layers of 128 and the logits."""
    wide = channels * side * side
    return nn.Sequential(nn.Flatten(), nn.Linear(wide, 128), nn.ReLU(), nn.Linear(128, 128),
                         nn.ReLU(), nn.Linear(128, classes))  # fmt: skip


def deep(channels: int, side: int, classes: int) -> nn.Module:
    """Return six convolutions with batch norm and an average over places."""
    layers: list[nn.Module] = []
    for wide in (12, 24, 48):
        for _ in range(2):
            layers += [nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide),
                       nn.ReLU()]  # fmt: skip
            channels = wide
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(channels, classes))  # fmt: skip


#: name -> network (channels, side, classes) -> module, and the composite that explains it
MODELS: Final[Mapping[str, tuple[Callable[[int, int, int], nn.Module], str]]] = {
    "small": (small, "epsilon_plus_flat"),
    "deep": (deep, "epsilon_plus_flat"),
    "mlp": (mlp, "epsilon_plus"),
}


def untrained(case: Case) -> nn.Module:
    """Return a network of the case's kind."""
    data = images_of(case.data, case.per_class)
    channels, side = data.images.shape[1:3]
    return MODELS[case.model][0](channels, side, int(data.labels.max()) + 1)


def read_network(case: Case, file: Path) -> nn.Module:
    """Return the case's network from the file of its parameters, in eval mode."""
    model = untrained(case)
    model.load_state_dict(load_file(file))
    return model.eval().requires_grad_(False)


def network(case: Case, data: Digits) -> nn.Module:
    """Return the case's network, trained on its training images, in eval mode."""
    seen = torch.from_numpy(np.flatnonzero(data.train))
    x, y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        model = untrained(case)
        fit(model, x[seen], y[seen], epochs=case.epochs)
    return model.eval().requires_grad_(False)


def relevance(case: Case, model: nn.Module, data: Digits) -> Images:
    """Return the relevance of each image for its own label, summed over channels (n, y, x)."""
    graph = fxrelay.canonize(fxrelay.trace(model))
    relay = fxrelay.relay(fxrelay.annotate(graph, COMPOSITES[MODELS[case.model][1]]()), sinks=False)
    x = torch.from_numpy(data.images)
    seeds = torch.eye(int(data.labels.max()) + 1)[data.labels]
    with torch.no_grad():
        parts = zip(x.split(250), seeds.split(250), strict=True)
        return torch.cat([relay(*part).relevance.sum(1) for part in parts]).numpy()


def use(case: Case, model: nn.Module, data: Digits) -> dict[str, float]:
    """Return how good a network is, and what the artefact does to it (on test images)."""
    clean = images_of(case.data, case.per_class)
    test, own = ~clean.train, clean.labels == case.label
    out = {"accuracy": _accuracy(model, data.images[test], data.labels[test])}
    if not case.kind:
        return out
    others = test & ~own
    with_it = pasted(case, clean.images, np.ones(len(own), bool))

    def rise(changed: Images, where: Any) -> float:
        before, after = (_score(model, x[where], case.label) for x in (clean.images, changed))
        return float((after - before).mean())

    return out | {
        "accuracy_without": _accuracy(model, clean.images[test], clean.labels[test]),
        "accuracy_everywhere": _accuracy(model, with_it[test], clean.labels[test]),
        "recall_without": _accuracy(model, clean.images[test & own], clean.labels[test & own]),
        "drawn": float((_logits(model, with_it[others]).argmax(1) == case.label).float().mean()),
        "rise_planted": rise(data.images, data.planted),
        "rise_others": rise(with_it, others),
    }


@torch.no_grad()
def _logits(model: nn.Module, images: Images) -> Tensor:
    return torch.cat([model(part) for part in torch.from_numpy(images).split(500)])


def _score(model: nn.Module, images: Images, label: int) -> Tensor:
    """Return the log-odds of a class."""
    log_p = _logits(model, images).double().log_softmax(1)[:, label]
    return log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-12))


def _accuracy(model: nn.Module, images: Images, labels: Any) -> float:
    return accuracy(model, torch.from_numpy(images), torch.from_numpy(labels))
