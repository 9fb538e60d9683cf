"""The order of samples and of dimensions changes nothing but the order of results."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fxrelay_analysis import stages
from tests.fxrelay_analysis.test_stages import INPUTS, RELEVANCE

#: starts that are drawn by a seed go to samples by position; edges and merges are listed by it
BY_POSITION = {
    "tsne", "umap", "kmeans", "gaussian_mixture", "spectral_clustering", "extend_mixture",
    "stability", "gap_statistic", "affinity",
}  # fmt: skip
#: clusters of equal size are numbered in the order of their first samples
NUMBERED = {"agglomerative", "cut_dendrogram"}
POSITIONS = {"neighbour", "edge_source", "edge_target"}
LISTED = {"merge_left", "merge_right", "leaf_order", "merge_place"}
NAMES = [n for n in stages.STAGES if n not in BY_POSITION | NUMBERED]


def permuted(item, order):
    """Return an input with its samples in another order, positions of samples likewise."""
    if "sample" not in item.dims:
        return item
    out = item.isel(sample=order)
    for dim in {"other"} & set(item.dims):
        out = out.isel({dim: order})
    if isinstance(out, xr.Dataset):
        where = np.argsort(order)
        moved = {n: out[n].copy(data=where[out[n].values]) for n in POSITIONS & set(out)}
        out = out.assign(moved)
    return out


def compared(one, other):
    """Check that two results say the same of each sample."""
    pair = [r if isinstance(r, xr.Dataset) else r.to_dataset(name="result") for r in (one, other)]
    for name in set(pair[0]) - POSITIONS - LISTED:
        a, b = pair[0][name], pair[1][name]
        b = b.sel({dim: a[dim] for dim in ("sample", "other") if dim in a.coords})
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_permuted_samples_give_permuted_results(name, seed):
    inputs = INPUTS.get(name, (RELEVANCE,))
    order = np.random.default_rng(seed).permutation(RELEVANCE.sizes["sample"])
    again = stages.STAGES[name](*(permuted(item, order) for item in inputs))
    compared(stages.STAGES[name](*inputs), again)


@pytest.mark.parametrize("name", sorted(NUMBERED))
def test_permuted_samples_are_clustered_alike(name):
    (given_item,) = INPUTS[name]
    order = np.random.default_rng(0).permutation(RELEVANCE.sizes["sample"])
    rows = INPUTS["agglomerative"][0].isel(sample=order)
    again = stages.dendrogram(rows) if name == "cut_dendrogram" else rows
    found = stages.compare(stages.STAGES[name](given_item), stages.STAGES[name](again))
    np.testing.assert_allclose(np.diag(found["adjusted_rand_index"]), 1)


MAPS = RELEVANCE.assign_coords(x=np.arange(6) * 2)
OF_MAPS = [
    "channel_sum", "absolute", "resize", "rescale", "smooth", "histogram", "pool", "compress",
    "normalize", "equalize",
]  # fmt: skip


@pytest.mark.parametrize("dims", [("sample", "y", "x", "channel"), ("sample", "x", "channel", "y")])
@pytest.mark.parametrize("name", OF_MAPS)
def test_the_order_of_dimensions_does_not_matter(name, dims):
    once, turned = stages.STAGES[name](MAPS), stages.STAGES[name](MAPS.transpose(*dims))
    xr.testing.assert_allclose(once, turned.transpose(*once.dims), rtol=1e-5)


@pytest.mark.parametrize("name", ["flatten", "preprocess"])
def test_flat_features_are_as_far_apart_in_any_order_of_dimensions(name):
    rows = [stages.STAGES[name](m) for m in (MAPS, MAPS.transpose("sample", "x", "channel", "y"))]
    one, other = (stages.distances(r, metric="euclidean") for r in rows)
    np.testing.assert_allclose(one, other, atol=1e-5)
