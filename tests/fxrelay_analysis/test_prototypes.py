"""What stands for a cluster: mean maps in one pass, and prototypes of concept vectors."""

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import stages
from tests.fxrelay_analysis.test_contingency import clustering

RANDOM = np.random.default_rng(0)
FOUND = clustering([0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 2, -1])


def maps(**options):
    values = RANDOM.normal(size=(6, 2, 3, 4)).astype(np.float32)
    coords = {"sample": np.arange(6), "channel": [10, 20]}
    return xr.DataArray(values, coords, ("sample", "channel", "y", "x"), **options)


def by_hand(array, labels, cluster):
    return array.values[np.array(labels) == cluster].mean(0)


@pytest.mark.parametrize("block", [2**26, 1])
@pytest.mark.parametrize("lazy", [False, True])
def test_mean_maps_are_the_means(monkeypatch, block, lazy):
    import sys

    monkeypatch.setattr(sys.modules[stages.mean_maps.__module__], "BLOCK", block)
    array = maps(name="relevance", attrs={"units": "output units"})
    out = stages.mean_maps(array.chunk(sample=4) if lazy else array, FOUND)
    assert out.name == "mean_relevance"
    assert out.dims == ("n_clusters", "cluster", "channel", "y", "x")
    assert out.dtype == np.float32
    assert out.attrs == {"long_name": "mean relevance of the cluster", "units": "output units"}
    assert out["channel"].values.tolist() == [10, 20]
    for k, column in enumerate(FOUND.values.T):
        for cluster in (-1, 0, 1, 2):
            got = out.isel(n_clusters=k).sel(cluster=cluster)
            if (column == cluster).any():
                np.testing.assert_allclose(got, by_hand(array, column, cluster), rtol=1e-5)
            else:
                assert np.isnan(got).all()


def test_mean_maps_of_magnitudes_of_some_samples_and_of_anything():
    array = maps()
    some = FOUND.isel(sample=[5, 0, 2])
    out = stages.mean_maps(array, some, magnitude=True)
    assert out.name == "mean_map"
    both = np.abs(array.values[[5, 2]]).mean(0)
    np.testing.assert_allclose(out.sel(n_clusters=2, cluster=1), both, rtol=1e-5)
    flat = array.isel(channel=0, y=0, drop=True)
    assert stages.mean_maps(flat, FOUND.isel(n_clusters=0, drop=True)).dims == ("cluster", "x")
    with pytest.raises(ValueError, match="mean_maps") as caught:
        stages.mean_maps(array[:4], FOUND)
    assert str(caught.value) == (
        "mean_maps: needs every sample of the clustering once; got an array of 4 that lacks 2 of "
        "6. Give both the same 'sample' ids."
    )


def test_medoids_of_any_features_and_any_sweep():
    rows = xr.DataArray([[0.0], [1], [5], [9], [10], [50]], {"sample": list("abcdef")},
                        ("sample", "feature"))  # fmt: skip
    found = xr.DataArray([[0, 0, 0, 1, 1, -1]], dims=("eps", "sample")).transpose()
    found = found.assign_coords(sample=list("abcdef"), eps=[0.5])
    out = stages.prototypes(rows, found)
    assert out.dims == ("eps", "cluster")
    assert out.sel(cluster=[0, 1]).values.tolist() == [["b", "d"]]
    assert out.sel(cluster=-1).values.tolist() == [""]
    with pytest.raises(ValueError, match="prototypes") as caught:
        stages.prototypes(rows[:3], found)
    assert str(caught.value) == (
        "prototypes: needs the 6 samples of the clustering in its order; got 3. Select them with "
        ".sel(sample=clustering.sample)."
    )


def strategies():
    """Two ways to a prediction on four concepts, and one odd sample."""
    first = RANDOM.normal([4, 0, 1, 0], 0.3, (40, 4))
    second = RANDOM.normal([0, 3, 1, 0], 0.3, (20, 4))
    values = np.concatenate([first, second, [[4, 0, 1, 6]]])
    coords = {"sample": np.arange(61) + 100, "channel": np.arange(4)}
    return xr.DataArray(values, coords, ("sample", "channel"), "concept")


def test_prototypes_of_concepts_say_what_a_sample_uses_more_and_less():
    vectors = strategies()
    mixture = stages.gaussian_mixture(vectors, n_clusters=[2, 3], covariance="diag", reg_covar=0.01)
    out = stages.concept_prototypes(vectors, mixture)
    two = out.sel(n_clusters=2)
    np.testing.assert_allclose(two["prototype_mean"][1], [0, 3, 1, 0], atol=0.2)
    assert np.isnan(two["prototype_mean"][2]).all()
    assert two["prototype"].values.tolist()[2] == -1
    assert two["prototype_coverage"].values[:2].tolist() == [41 / 61, 20 / 61]
    first = vectors.values[:41]
    share = mixture["responsibility"].sel(n_clusters=2).values[:, :1]
    centre = (share * vectors.values).sum(0) / share.sum()
    np.testing.assert_allclose(two["prototype_mean"][0], centre)
    spread = np.sqrt((share * (vectors.values - centre) ** 2).sum(0) / share.sum())
    np.testing.assert_allclose(two["prototype_spread"][0], spread)
    nearest = 100 + np.argmin(((first - centre) ** 2).sum(1))
    assert two["prototype"][0] == nearest
    odd = two.sel(sample=160)
    np.testing.assert_allclose(odd["deviation"], vectors.values[-1] - centre)
    assert odd["deviation"].argmax("channel") == 3
    assert odd["ordinariness"] < 0.2
    scaled = stages.concept_prototypes(vectors, mixture, scaled=True).sel(n_clusters=2, sample=160)
    np.testing.assert_allclose(scaled["deviation"], (vectors.values[-1] - centre) / spread)


def test_vectors_and_mixture_belong_together():
    vectors = strategies()
    mixture = stages.gaussian_mixture(vectors, n_clusters=2)
    with pytest.raises(ValueError, match="concept_prototypes") as caught:
        stages.concept_prototypes(vectors.rename(channel="feature"), mixture)
    assert str(caught.value) == (
        "concept_prototypes: needs vectors ('sample', 'channel'); got ('sample', 'feature'). Use "
        "stages.concept_vectors."
    )
