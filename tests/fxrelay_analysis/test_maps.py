"""Maps against scikit-image, scipy, brute force and hand-worked windows."""

import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import block_reduce
from skimage.transform import resize

from fxrelay_analysis import stages
from fxrelay_analysis.stages.windows import smallest

DIMS = ("sample", "channel", "y", "x")
MAPS = xr.DataArray(
    np.random.default_rng(0).normal(size=(5, 2, 9, 13)),
    {"sample": np.arange(10, 15), "channel": ["r", "g"], "y": np.arange(9)},
    DIMS,
    "relevance",
    {"long_name": "relevance of the input", "units": "output units"},
)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("shape", [(4, 5), (20, 17), (9, 13), (1, 1)])
def test_resizing_is_that_of_scikit_image(order, shape):
    out = stages.resize(MAPS, height=shape[0], width=shape[1], order=order)
    expected = [
        [resize(m, shape, order=order, mode="edge", anti_aliasing=True, clip=False) for m in ms]
        for ms in MAPS.values
    ]
    np.testing.assert_allclose(out, expected, atol=1e-13)
    assert out.dims == DIMS
    assert "y" not in out.coords
    assert out["channel"].values.tolist() == ["r", "g"]
    assert out.attrs == MAPS.attrs


def test_resizing_without_smoothing_and_with_kept_totals():
    sharp = stages.resize(MAPS, height=3, width=13, order=0, antialias=False)
    np.testing.assert_array_equal(sharp, MAPS.values[:, :, 1::3])
    ones = xr.ones_like(MAPS)
    kept = stages.resize(ones, height=4, width=20, conserve=True)
    np.testing.assert_allclose(kept.sum(("y", "x")), 9 * 13)


def test_rescaling_is_resizing_by_a_share():
    half = stages.rescale(MAPS, scale=0.5)
    np.testing.assert_array_equal(half, stages.resize(MAPS, height=4, width=6))
    assert stages.rescale(MAPS, scale=0.01).shape == (5, 2, 1, 1)
    line = MAPS.isel(y=0).transpose("sample", "x", "channel").drop_vars("y")
    assert stages.rescale(line, scale=2.0).sizes == {"sample": 5, "x": 26, "channel": 2}


@pytest.mark.parametrize("edge", ["mirror", "repeat", "zero", "wrap"])
@pytest.mark.parametrize("sigma", [0.7, 3.0])
def test_smoothing_is_that_of_scipy(edge, sigma):
    mode = {"mirror": "reflect", "repeat": "nearest", "zero": "constant", "wrap": "wrap"}[edge]
    out = stages.smooth(MAPS, sigma=sigma, edge=edge)
    expected = ndimage.gaussian_filter(MAPS.values, (0, 0, sigma, sigma), mode=mode)
    np.testing.assert_allclose(out, expected, atol=1e-12)
    if edge == "mirror":
        np.testing.assert_allclose(out.sum(("y", "x")), MAPS.sum(("y", "x")), atol=1e-10)
    assert out.coords.equals(MAPS.coords)


def test_no_smoothing_changes_nothing():
    xr.testing.assert_identical(stages.smooth(MAPS, sigma=0.0), MAPS)


def brute(mass, share):
    height, width = mass.shape
    return min(
        tall * wide
        for top in range(height)
        for tall in range(1, height - top + 1)
        for left in range(width)
        for wide in range(1, width - left + 1)
        if mass[top : top + tall, left : left + wide].sum() >= (share - 1e-9) * mass.sum()
    )


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=6),
    st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)
def test_the_window_is_the_smallest_of_all(rows, share):
    mass = np.array(rows, float)
    window = smallest(mass, share)
    if not mass.any():
        assert window == (0, 0, *mass.shape)
        return
    top, left, tall, wide = window
    assert mass[top : top + tall, left : left + wide].sum() >= (share - 1e-9) * mass.sum()
    assert tall * wide == brute(mass, share)


def test_cropping_finds_the_mass_wherever_it_is():
    maps = np.zeros((3, 1, 8, 8))
    maps[0, 0, 1:4, 2:6] = -1.0
    maps[1, 0, 4:7, 0:4] = -1.0
    maps[0, 0, 7, 7] = 0.5  # outside 90 % of the mass
    out = stages.crop_to_mass(xr.DataArray(maps, dims=DIMS), height=3, width=4)
    np.testing.assert_allclose(out[:2], -1.0)
    np.testing.assert_array_equal(out[2], 0.0)
    where = [out[n].values.tolist() for n in ("crop_y", "crop_x", "crop_height", "crop_width")]
    assert where == [[1, 4, 0], [2, 0, 0], [3, 3, 8], [4, 4, 8]]


def test_histograms_share_their_bins():
    values = xr.DataArray([[0.0, 1.0, 3.9], [2.0, 2.0, 4.0]], dims=("sample", "feature"))
    counts = stages.histogram(values, bins=4, density=False)
    np.testing.assert_array_equal(counts, [[1, 1, 0, 1], [0, 0, 2, 1]])
    assert counts.attrs == {"long_name": "values in the bin", "units": "1"}
    np.testing.assert_array_equal(counts["bin"], [0.5, 1.5, 2.5, 3.5])
    density = stages.histogram(values, bins=2, low=0.0, high=4.0)
    np.testing.assert_allclose(density, [[2 / 6, 1 / 6], [0, 3 / 6]])
    narrow = stages.histogram(values, bins=2, low=1.0, high=2.0, density=False)
    np.testing.assert_array_equal(narrow, [[2, 1], [0, 3]])  # values beyond are in the end bins


@pytest.mark.parametrize("per_channel", [True, False])
def test_histograms_are_those_of_numpy(per_channel):
    out = stages.histogram(MAPS, bins=7, per_channel=per_channel)
    span = float(MAPS.min()), float(MAPS.max())
    groups = MAPS.values.reshape(10, -1) if per_channel else MAPS.values.reshape(5, -1)
    expected = [np.histogram(v, 7, range=span, density=True)[0] for v in groups]
    np.testing.assert_allclose(out.values.reshape(-1, 7), expected)
    assert out.dims == ("sample", "channel", "bin") if per_channel else ("sample", "bin")


def test_equal_values_have_a_histogram():
    flat = stages.histogram(xr.DataArray(np.ones((2, 3)), dims=("sample", "x")), bins=2)
    np.testing.assert_array_equal(flat, [[0, 2], [0, 2]])
    with pytest.raises(ValueError, match="histogram") as caught:
        stages.histogram(MAPS, low=1.0, high=1.0)
    assert str(caught.value) == ("histogram: needs low < high; got 1 and 1. Widen the range.")


@pytest.mark.parametrize("operation", ["sum", "mean", "max", "min", "median"])
def test_pooling_is_block_reduction(operation):
    whole = MAPS[..., :8, :12]
    out = stages.pool(whole, size=4, width=3, channels=2, operation=operation)
    expected = block_reduce(whole.values, (1, 2, 4, 3), getattr(np, operation))
    np.testing.assert_allclose(out, expected)
    ragged = stages.pool(MAPS, size=8, operation=operation)
    np.testing.assert_allclose(
        ragged[:, :, 1, 1], getattr(np, operation)(MAPS.values[:, :, 8:, 8:], axis=(2, 3))
    )


def test_signed_totals_are_guarded():
    rows = xr.DataArray([[3.0, -1.0], [-3.0, 1.0], [1.0, -1.0], [0, 0]], dims=("sample", "feature"))
    out = stages.normalize(rows, norm="sum", guard=0.01)
    np.testing.assert_allclose(out, [[1.5, -0.5], [1.5, -0.5], [50, -50], [0, 0]])


def test_standardized_samples_have_mean_0_and_deviation_1():
    rows = xr.DataArray(np.random.default_rng(0).normal(3, 9, (4, 50)), dims=("sample", "feature"))
    rows[1] = 0.1
    out = stages.normalize(rows, norm="standardize")
    np.testing.assert_allclose(out.mean("feature"), 0, atol=1e-12)
    np.testing.assert_allclose(out.std("feature"), [1, 0, 1, 1])


def test_preprocessing_in_blocks_is_preprocessing(monkeypatch):
    whole = stages.preprocess(MAPS, size=2)
    monkeypatch.setattr(sys.modules["fxrelay_analysis.stages.preprocess"], "BLOCK", 1)
    assert whole.identical(stages.preprocess(MAPS, size=2))
    assert whole.dtype == np.float32
    exact = stages.preprocess(MAPS, size=2, single=False)
    assert exact.dtype == stages.preprocess(MAPS, norm="none").dtype == np.float64
    np.testing.assert_allclose(whole, exact, rtol=1e-6)


@pytest.mark.parametrize("name", ["resize", "rescale", "smooth"])
def test_maps_need_space(name):
    with pytest.raises(ValueError, match=name) as caught:
        stages.STAGES[name](xr.DataArray(np.ones((2, 3)), dims=("sample", "token")))
    assert str(caught.value) == (
        f"{name}: needs the dimension 'y' or 'x'; got ('sample', 'token'). Leave this stage out "
        "or .rename(...) the dimensions that are space."
    )


def test_cropping_needs_images():
    with pytest.raises(ValueError, match="crop_to_mass") as caught:
        stages.crop_to_mass(xr.DataArray(np.ones((2, 3)), dims=("sample", "x")))
    assert str(caught.value) == (
        "crop_to_mass: needs 'y' and 'x' as the last dimensions; got ('sample', 'x'). "
        "Use .transpose(..., 'y', 'x')."
    )
