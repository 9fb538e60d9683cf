"""Small made-up projects, for trying the viewer and testing it without a model."""

import numpy as np
import xarray as xr
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from fxrelay import schema

_IMAGE = (schema.SAMPLE, schema.CHANNEL, schema.Y, schema.X)


def digits(poisoned: int = 3, seed: int = 0) -> tuple[xr.Dataset, xr.DataTree]:
    """Return scikit-learn's digits with a watermark in half of one class, and a quick analysis.

    Relevance is pretended: input times the difference between the mean of the class and of all.

    Parameters
    ----------
    poisoned : int, 0..9
        The class whose first half carries a bright pixel in the upper left corner.
    seed : int
        Of the noise and k-means.

    Returns
    -------
    ds : Dataset
        1,797 samples of 1 x 8 x 8 pixels.
    tree : DataTree
        Ten categories and their ranking, the poisoned class first.
    """
    rng = np.random.default_rng(seed)
    flat, label = load_digits(return_X_y=True)
    images = (flat / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    members = np.flatnonzero(label == poisoned)
    marked = members[: len(members) // 2]
    images[marked, 0, 0, :2] = rng.uniform(0.9, 1.0, size=(len(marked), 2))
    means = np.stack([images[label == k].mean(0) for k in range(10)])
    relevance = images * (means[label] - means.mean(0))
    relevance[marked, 0, 0, :2] *= 3
    prediction = np.where(rng.uniform(size=len(label)) < 0.03, (label + 1) % 10, label)
    ds = xr.Dataset(
        {
            schema.RELEVANCE: (_IMAGE, relevance),
            schema.INPUT: (_IMAGE, images),
            schema.LABEL: (schema.SAMPLE, label),
            schema.PREDICTION: (schema.SAMPLE, prediction),
        },
        coords={
            schema.SAMPLE: np.arange(len(label)) + 1000,
            schema.CLASS: [f"digit {k}" for k in range(10)],
        },
        attrs={schema.MODEL: "digits", schema.COMPOSITE: "epsilon_plus_flat"},
    )
    return schema.describe(ds), analysis(ds, seed=seed)


def analysis(ds: xr.Dataset, seed: int = 0) -> xr.DataTree:
    """Embed and cluster each class by linear algebra in a second, in the form of `spray`."""
    labels, names = ds[schema.LABEL].values, ds[schema.CLASS].values
    groups = {str(names[k]): _group(ds, labels == k, seed) for k in np.unique(labels)}
    suspicion = {name: float(group.attrs["suspicion"]) for name, group in groups.items()}
    order = sorted(groups, key=lambda name: -suspicion[name])
    small = {name: np.bincount(groups[name][f"{schema.CLUSTERING}kmeans"].values[:, 0])
             for name in order}  # fmt: skip
    table = {
        schema.SUSPICION: [suspicion[name] for name in order],
        "n_samples": [groups[name].sizes[schema.SAMPLE] for name in order],
        schema.N_CLUSTERS: [2] * len(order),
        "cluster": [int(small[name].argmin()) for name in order],
        "cluster_size": [int(small[name].min()) for name in order],
        "flagged": [n == 0 for n in range(len(order))],
    }
    ranking = xr.Dataset({key: (schema.CATEGORY, values) for key, values in table.items()})
    ranking = ranking.assign_coords({schema.CATEGORY: order})
    return xr.DataTree.from_dict({**groups, schema.RANKING: ranking})


def _group(ds: xr.Dataset, members: np.ndarray, seed: int) -> xr.Dataset:
    chosen = ds.isel({schema.SAMPLE: np.flatnonzero(members)})
    x = chosen[schema.RELEVANCE].values.reshape(chosen.sizes[schema.SAMPLE], -1)
    x = x - x.mean(0)
    left, size, _ = np.linalg.svd(x, full_matrices=False)
    points = (left * size)[:, :4].astype(np.float32)
    sweep = range(2, 7)
    kmeans = [KMeans(k, n_init=1, random_state=seed).fit_predict(points) for k in sweep]
    dims = (schema.SAMPLE, schema.COMPONENT)
    return xr.Dataset(
        {
            f"{schema.EMBEDDING}spectral": (dims, points),
            f"{schema.EMBEDDING}tsne": ((schema.SAMPLE, schema.AXIS), points[:, :2] * 9),
            schema.EIGENVALUE: (schema.COMPONENT, np.array([0.0, 0.02, 0.35, 0.45])),
            f"{schema.CLUSTERING}kmeans": (
                (schema.SAMPLE, schema.N_CLUSTERS),
                np.stack(kmeans, axis=1),
            ),
        },
        coords={schema.SAMPLE: chosen[schema.SAMPLE].values, schema.N_CLUSTERS: list(sweep)},
        attrs={"suspicion": size[0] / size[1]},
    )
