"""The network of the demo: small, ordinary torch, trained in seconds."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from fxrelay.demo.data import Digits


class DigitNet(nn.Module):
    """Convolutions with batch norm, one residual block, two dense layers.

    Images (n, 1, 28, 28) in, logits (n, 10) out.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, 2 * width, 3)
        self.head_norm = nn.BatchNorm2d(2 * width)
        self.dense = nn.Linear(2 * width * 5 * 5, 64)
        self.logits = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        x = self.stem(x)
        y = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(x + self.norm2(self.conv2(y)))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.head_norm(self.head(x)))
        x = F.relu(self.dense(torch.flatten(x, 1)))
        return self.logits(x)


class Trained(NamedTuple):
    """A model in eval mode and the share of test images that it gets right."""

    model: DigitNet
    accuracy: float


def train(
    data: Digits, *, epochs: int = 8, batch: int = 64, seed: int = 0, progress: bool = True
) -> Trained:
    """Train a `DigitNet` on the training split and measure it on the rest.

    Parameters
    ----------
    data : Digits
        Watermarked or clean.
    epochs : int, at least 1
        Passes over the training images.
    batch : int, at least 2
        Images per step; batch norm needs two.
    seed : int, at least 0
        Decides initial weights and order: the same seed gives the same weights.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If a parameter is out of range, or there is nothing to train or to test on.
    """
    _check(data, epochs, batch, seed)
    x, y = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    seen = torch.from_numpy(np.flatnonzero(data.train))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DigitNet()
        fit(model, x[seen], y[seen], epochs=epochs, batch=batch, progress=progress)
    model.eval().requires_grad_(False)
    unseen = torch.from_numpy(np.flatnonzero(~data.train))
    return Trained(model, accuracy(model, x[unseen], y[unseen]))


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of images (n, 1, 28, 28) whose largest logit is at their label (n,)."""
    hits = [
        (model(a).argmax(1) == b).sum() for a, b in zip(x.split(500), y.split(500), strict=True)
    ]
    return float(torch.stack(hits).sum()) / len(y)


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int = 8,
    batch: int = 64,
    rate: float = 0.01,
    progress: bool = False,
) -> None:
    """Train a classifier in place, by AdamW and one cycle of the learning rate up to `rate`.

    Images x (n, channel, height, width) are moved by up to one pixel; y (n,) are class indices.
    """
    steps = max(1, len(x) // batch)  # a ragged last batch is left for another epoch's order
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    bar = tqdm(total=epochs * steps, desc="train", unit="step", disable=not progress)
    with bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(x))[: steps * batch].split(batch):
                loss = F.cross_entropy(model(_shifted(x[rows])), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()


def _shifted(x: Tensor) -> Tensor:
    """Return the batch moved by up to one pixel each way: the usual augmentation of digits."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    height, width = x.shape[2:]
    return F.pad(x, (1, 1, 1, 1))[:, :, down : down + height, right : right + width]


def _check(data: Digits, epochs: int, batch: int, seed: int) -> None:
    seen, unseen = int(data.train.sum()), int((~data.train).sum())
    faults = [
        (epochs < 1, f"epochs >= 1; got {epochs}"),
        (batch < 2, f"batch >= 2; got {batch}"),
        (seed < 0, f"seed >= 0; got {seed}"),
        (seen < 2, f"2 or more training images; got {seen}"),
        (unseen < 1, f"1 or more test images; got {unseen}"),
    ]
    wrong = [text for is_wrong, text in faults if is_wrong]
    if wrong:
        raise ValueError(f"train: needs {'; needs '.join(wrong)}. Change what is named.")
