"""Small made-up projects without images: a table, signals, texts, videos, two inputs.

Each has two classes, and some of the first class are recognised by an artefact; they show what the
renderers do, and the tests open each.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from sklearn.datasets import load_wine

from fxrelay import schema
from fxrelay_viz.samples import analysis

N: Final = 60
#: samples of the first class that the artefact marks, fewer than half of it
ODD: Final = 12
WORDS: Final = (
    "the", "film", "was", "a", "quiet", "joy", "dull", "story", "with", "bright", "actors", "and",
    "no", "end", "##ing", "slow", "warm", "music", "review", "by", "staff",
)  # fmt: skip


def table(seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return scikit-learn's wines: 13 named features, relevance is feature times mean difference.

    Parameters
    ----------
    seed : int
        Of k-means.
    """
    wine = load_wine()
    x = (wine.data - wine.data.mean(0)) / wine.data.std(0)
    means = np.stack([x[wine.target == k].mean(0) for k in range(3)])
    dims = (schema.SAMPLE, schema.FEATURE)
    variables = {schema.RELEVANCE: (dims, x * means[wine.target]), schema.INPUT: (dims, wine.data)}
    names = {schema.FEATURE: list(wine.feature_names)}
    return _project(variables, wine.target, [f"cultivar {k + 1}" for k in range(3)], names, seed)


def signals(seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return two channels of 400 values, slow or fast waves; some of the slow ones with a spike."""
    rng, label = _start(seed)
    time = np.linspace(0, 1, 400)
    wave = np.sin(2 * np.pi * (3 + 6 * label)[:, None, None] * time + rng.uniform(0, 6, (N, 2, 1)))
    data = wave + rng.normal(0, 0.1, wave.shape)
    relevance = np.abs(wave) * 0.1
    data[:ODD, 0, 40:44] += 4
    relevance[:ODD, 0, 40:44] += 3
    dims = (schema.SAMPLE, schema.CHANNEL, schema.X)
    variables = {schema.RELEVANCE: (dims, relevance), schema.INPUT: (dims, data)}
    return _project(variables, label, ["slow", "fast"], {schema.CHANNEL: ["left", "right"]}, seed)


def texts(seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return 24 tokens as ids into a vocabulary; some of class 0 are signed by the staff."""
    rng, label = _start(seed)
    ids = rng.integers(0, len(WORDS) - 3, (N, 24))
    relevance = rng.normal(0, 0.1, ids.shape)
    relevance[ids == np.where(label, 6, 5)[:, None]] += 1
    ids[:ODD, -3:] = [len(WORDS) - 3, len(WORDS) - 2, len(WORDS) - 1]
    relevance[:ODD, -1] += 3
    dims = (schema.SAMPLE, schema.TOKEN)
    variables = {schema.RELEVANCE: (dims, relevance), schema.INPUT: (dims, ids)}
    ds, tree = _project(variables, label, ["kind", "harsh"], {}, seed)
    return ds.assign_coords(vocabulary=("word", list(WORDS))), tree


def videos(seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return 8 frames of 12 x 12 pixels: a dot that goes left or right; some with a bright edge."""
    rng, label = _start(seed)
    data = rng.uniform(0, 0.2, (N, 1, 8, 12, 12))
    for sample, side in enumerate(label):
        for frame in range(8):
            data[sample, 0, frame, 6, 2 + frame if side else 9 - frame] = 1
    data[:ODD, 0, :, 0] = 1
    relevance = np.where(data > 0.5, data, 0) * rng.uniform(0.8, 1.2, data.shape)
    dims = (schema.SAMPLE, schema.CHANNEL, schema.TIME, schema.Y, schema.X)
    variables = {schema.RELEVANCE: (dims, relevance), schema.INPUT: (dims, data)}
    return _project(variables, label, ["left", "right"], {}, seed)


def inputs(seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return an image and a table a sample, two targets each, and the relevance at a layer."""
    rng, label = _start(seed)
    image, meta = rng.uniform(size=(N, 3, 16, 16)), rng.normal(size=(N, 5))
    image[:ODD, :, :3, :3] = 1
    both = np.stack([image - 0.5, 0.5 - image], axis=1)
    lead, grid = (schema.SAMPLE, schema.TARGET), (schema.CHANNEL, schema.Y, schema.X)
    layer = f"{schema.RELEVANCE_AT}conv1"
    variables = {
        schema.RELEVANCE: ((*lead, *grid), both),
        schema.INPUT: ((schema.SAMPLE, *grid), image),
        f"{schema.RELEVANCE_OF}meta": ((*lead, "feature_meta"), np.stack([meta, -meta], axis=1)),
        f"{schema.INPUT_OF}meta": ((schema.SAMPLE, "feature_meta"), meta),
        layer: ((*lead, *(f"{d}_{layer}" for d in grid)), both[:, :, :2, ::2, ::2]),
    }
    coords = {schema.TARGET: (lead, np.stack([label, 1 - label], axis=1))}
    return _project(variables, label, ["cat", "dog"], coords, seed)


def _start(seed: int) -> tuple[np.random.Generator, np.ndarray]:
    return np.random.default_rng(seed), (np.arange(N) >= N // 2).astype(np.int64)


def _project(
    variables: Mapping[str, Any], label: np.ndarray, classes: list[str], coords: Mapping[str, Any],
    seed: int,
) -> tuple[xr.Dataset, xr.DataTree]:  # fmt: skip
    known = {schema.LABEL: (schema.SAMPLE, label), schema.PREDICTION: (schema.SAMPLE, label)}
    ds = xr.Dataset({**variables, **known}, attrs={schema.MODEL: "pretended"})
    named = {schema.SAMPLE: np.arange(len(label)), schema.CLASS: classes}
    ds = schema.describe(ds.assign_coords({**named, **coords}))
    return ds, analysis(ds, seed)


#: what is pretended, by name
PRETENDED: Final[Mapping[str, Callable[..., tuple[xr.Dataset, xr.DataTree]]]] = {
    "table": table,
    "signals": signals,
    "texts": texts,
    "videos": videos,
    "inputs": inputs,
}
