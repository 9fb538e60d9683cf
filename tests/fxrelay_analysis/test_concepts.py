"""Concept vectors and activation vectors: closed forms, planted directions, suppression."""

import sys

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import stages
from tests.fxrelay_analysis.test_contingency import clustering

RANDOM = np.random.default_rng(0)
N, C = 120, 6
MEMBER = np.arange(N) % 3 == 0
FOUND = clustering(MEMBER.astype(int), np.where(MEMBER, 1, np.arange(N) % 2 * 2))
METHODS = list(stages.concepts.param.method.objects)


def planted(strength=4.0, space=(2, 2)):
    """Noise that two channels share, and a concept on channels 0 and 1."""
    u = np.array([3.0, 4, 0, 0, 0, 0]) / 5
    noise = RANDOM.normal(size=(N, C, *space))
    noise[:, 2] += 3 * noise[:, 0]
    values = noise + strength * np.where(MEMBER[:, None], u, 0)[..., None, None] + 7
    dims = ("sample", "channel_activation_at_layer", "y_activation", "x_activation")
    return xr.DataArray(values, {"sample": np.arange(N)}, dims, attrs={"units": "V"}), u


def test_vectors_are_pooled_over_space():
    array, _ = planted()
    for pooling, expected in {
        "sum": array.values.sum((2, 3)),
        "mean": array.values.mean((2, 3)),
        "max": array.values.max((2, 3)),
        "absolute": np.abs(array.values).sum((2, 3)),
    }.items():
        got = stages.concept_vectors(array, pooling=pooling)
        assert got.dims == ("sample", "channel")
        assert got.attrs["units"] == "V"
        np.testing.assert_allclose(got, expected)
    tokens = array.stack(token=array.dims[2:]).transpose("sample", "token", ...)
    bare = tokens.drop_vars(["token", "y_activation", "x_activation"], errors="ignore")
    np.testing.assert_allclose(stages.concept_vectors(bare, last=True), array.values.sum((2, 3)))
    lazy = stages.concept_vectors(array.chunk(sample=50))
    np.testing.assert_allclose(lazy, array.values.sum((2, 3)))


def test_the_pattern_is_covariance_over_variance():
    array, _ = planted()
    found = stages.concepts(array, FOUND).sel(n_clusters=2, cluster=1)
    x, t = array.values.mean((2, 3)), MEMBER.astype(float)
    signal = (x - x.mean(0)).T @ (t - t.mean()) / len(t) / t.var()
    np.testing.assert_allclose(found["direction"], signal / np.linalg.norm(signal))
    np.testing.assert_allclose(found["origin"], x[~MEMBER].mean(0))
    own = stages.concepts(array, FOUND, origin="cluster").sel(n_clusters=2, cluster=1)
    np.testing.assert_allclose(own["origin"], x[MEMBER].mean(0))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_points_to_the_concept_and_is_scored_on_held_out_samples(method):
    array, u = planted()
    out = stages.concepts(array, FOUND, method=method)
    assert out["direction"].dims == ("n_clusters", "cluster", "channel")
    found = out.sel(n_clusters=2, cluster=1)
    assert np.linalg.norm(found["direction"]) == pytest.approx(1)
    assert found["auroc"] > 0.99
    assert found["accuracy"] > 0.95
    if method == "pattern":  # filters turn against the noise that channels share
        assert found["direction"].values @ u > 0.9
    opposite = out["direction"].sel(n_clusters=2, cluster=0)
    np.testing.assert_allclose(opposite, -found["direction"], atol=1e-5)
    assert np.isnan(out["direction"].sel(n_clusters=2, cluster=2)).all()


def test_noise_cannot_be_told():
    array, _ = planted(strength=0)
    assert abs(stages.concepts(array, FOUND)["auroc"].sel(n_clusters=2, cluster=1) - 0.5) < 0.15
    alone = clustering([1] + [0] * (N - 1))
    assert np.isnan(stages.concepts(array, alone)["auroc"]).all()
    assert np.isnan(stages.concepts(array, clustering([0] * N))["direction"]).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_samples_changes_nothing(method):
    array, _ = planted(strength=1)
    given = array.assign_coords(sample=[f"img/{i}" for i in range(N)])
    found = FOUND.assign_coords(sample=given["sample"])
    once = stages.concepts(given, found, method=method)
    order = np.random.default_rng(5).permutation(N)
    for turned in (given, given.isel(sample=order[::-1])):
        again = stages.concepts(turned, found.isel(sample=order), method=method)
        xr.testing.assert_identical(once, again)


def test_solvers_that_end_early_are_told(monkeypatch):
    array, _ = planted(strength=1)
    assert stages.concepts(array, FOUND, method="svm")["converged"].all()
    monkeypatch.setattr(sys.modules["fxrelay_analysis.stages.concepts"], "STEPS", 1)
    for method, ended in [("svm", False), ("logistic", False), ("ridge", True), ("pattern", True)]:
        out = stages.concepts(array, FOUND, method=method)["converged"]
        assert out.dtype == bool
        assert (out.sel(n_clusters=2, cluster=[0, 1]) == ended).all()
        assert out.sel(n_clusters=2, cluster=2)  # no such cluster, no solver


@pytest.mark.parametrize("method", METHODS)
def test_constant_activations_and_hundreds_of_channels_warn_of_nothing(method):
    array, _ = planted()
    flat = stages.concepts(array * 0, FOUND, method=method).sel(n_clusters=2, cluster=1)
    assert flat["auroc"] == 0.5
    assert not flat["direction"].any()
    wide = xr.concat([array] * 50, "channel_activation_at_layer")
    found = stages.concepts(wide, FOUND, method=method, strength=1e-9, n_folds=2)
    assert found["auroc"].sel(n_clusters=2, cluster=1) > 0.99


def test_sensitivity_is_the_directional_derivative():
    array, _ = planted()
    concept = stages.concepts(array, FOUND)
    gradients = array.copy(data=RANDOM.normal(size=array.shape))
    out = stages.sensitivity(gradients, concept)
    assert out["sensitivity"].dims == ("sample", "n_clusters", "cluster")
    v = concept["direction"].sel(n_clusters=2, cluster=1).values
    along = gradients.values.sum((2, 3)) @ v
    np.testing.assert_allclose(out["sensitivity"].sel(n_clusters=2, cluster=1), along)
    assert out["tcav"].sel(n_clusters=2, cluster=1) == (along > 0).mean()
    assert np.isnan(out["tcav"].sel(n_clusters=2, cluster=2))


def test_what_does_not_fit_is_named():
    array, _ = planted()
    with pytest.raises(ValueError, match="concepts") as caught:
        stages.concepts(array[:100], FOUND)
    assert str(caught.value) == (
        "concepts: needs every sample of the clustering once; got an array of 100 that lacks 20 of "
        "120. Give both the same 'sample' ids."
    )
    with pytest.raises(ValueError, match="needs an array") as caught:
        stages.concept_vectors(array.transpose())
    assert str(caught.value) == (
        "concept_vectors: needs an array ('sample', channel, ...); got ('x_activation', "
        "'y_activation', 'channel_activation_at_layer', 'sample'). Pass a variable such as "
        "ds['activation_at_layer4']; pick a target with .isel(target=0)."
    )
    with pytest.raises(ValueError, match="sensitivity") as caught:
        stages.sensitivity(array[:, :5], stages.concepts(array, FOUND))
    assert str(caught.value) == (
        "sensitivity: needs gradients of 6 channels, as the directions; got 5. Record them at the "
        "node of the activations."
    )
    with pytest.raises(ValueError, match="finite"):
        stages.concepts(array * np.nan, FOUND)


def test_a_subset_of_samples_may_be_clustered():
    array, _ = planted()
    some = FOUND[::-2]
    out = stages.concepts(array, some)
    np.testing.assert_allclose(
        out["origin"], stages.concepts(array.sel(sample=some["sample"]), some)["origin"]
    )
