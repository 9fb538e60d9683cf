"""New samples on maps that exist: who was there stays, who is new lands among his like."""

import itertools

import hypothesis
import numpy as np
import pytest
import xarray as xr
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, KernelPCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from fxrelay_analysis import stages
from fxrelay_analysis.stages.crossing import CROSS_METRICS, closest

RANDOM = np.random.default_rng(0)


def rows(values):
    values = np.asarray(values, float)
    return xr.DataArray(values, {"sample": np.arange(len(values)) + 7}, ("sample", "feature"))


OLD = rows(np.concatenate([RANDOM.normal(0, 1, (40, 4)), RANDOM.normal(5, 1, (40, 4))]))
NEW = rows(np.concatenate([RANDOM.normal(0, 1, (5, 4)), RANDOM.normal(5, 1, (5, 4))]))
NEAR = stages.neighbours(OLD, n_neighbours=8)


@hypothesis.given(
    arrays(float, (3, 9), elements=st.sampled_from([0.0, 1.0, 2.5, np.inf])), st.integers(1, 12)
)
def test_the_closest_are_ordered_by_position_where_equal(away, k):
    index, distance = closest(away, k)
    expected = np.argsort(away, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(distance, np.take_along_axis(away, expected, axis=1))


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_transforms(whiten):
    fitted = stages.pca(OLD, n_components=3, whiten=whiten)
    np.testing.assert_allclose(stages.extend_pca(fitted, OLD), fitted.embedding_pca, atol=1e-12)
    oracle = PCA(3, whiten=whiten).fit(OLD).transform(NEW)
    found = stages.extend_pca(fitted, NEW)
    np.testing.assert_allclose(abs(found), abs(oracle), atol=1e-10)
    assert found.dims == fitted.embedding_pca.dims
    np.testing.assert_array_equal(found["sample"], NEW["sample"])


@pytest.mark.parametrize("kernel", ["linear", "poly", "rbf", "cosine"])
def test_kernel_pca_transforms(kernel):
    fitted = stages.kernel_pca(OLD, kernel=kernel, gamma=0.05)
    again = stages.extend_kernel_pca(fitted, OLD, OLD)
    np.testing.assert_allclose(again, fitted.embedding_kernel_pca, atol=1e-9)
    oracle = KernelPCA(2, kernel=kernel, gamma=0.05).fit(OLD).transform(NEW)
    np.testing.assert_allclose(
        abs(stages.extend_kernel_pca(fitted, OLD, NEW)), abs(oracle), atol=1e-8
    )


def test_a_precomputed_kernel_transforms():
    fitted = stages.kernel_pca(rows(OLD.values @ OLD.values.T), kernel="precomputed")
    new = rows(NEW.values @ OLD.values.T)
    found = stages.extend_kernel_pca(fitted, rows(OLD.values @ OLD.values.T), new)
    np.testing.assert_allclose(found, stages.extend_pca(stages.pca(OLD), NEW), atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "mean"},
        {"mode": "binary"},
        {"mode": "mutual"},
        {"mode": "weighted"},
        {"mode": "weighted", "scale_rank": 4},
        {"mode": "rbf"},
        {"mode": "rbf", "sigma": 2.0},
    ],
)
@pytest.mark.parametrize("laplacian", ["symmetric", "random_walk", "unnormalised", "diffusion"])
def test_who_was_there_stays(options, laplacian):
    graph = stages.affinity(NEAR, **options)
    if laplacian == "diffusion":
        fitted = stages.diffusion_map(graph, n_components=3, steps=2, density=0.5)
        known = fitted.embedding_diffusion_map
    else:
        fitted = stages.spectral_embedding(graph, n_components=6, laplacian=laplacian)
        known = fitted.embedding_spectral
    found = stages.nystroem(fitted, NEAR, OLD, OLD)
    assert found.name == known.name
    assert found.dims == known.dims
    edges = np.isfinite(found).all(axis=1).values
    assert edges.mean() > 0.9  # mutual leaves some without an edge
    np.testing.assert_allclose(found[edges], known[edges], atol=1e-8)


@pytest.mark.parametrize("metric", ["cosine", "cityblock", "pearson"])
def test_who_was_there_stays_by_any_metric(metric):
    near = stages.neighbours(OLD, n_neighbours=8, metric=metric)
    fitted = stages.spectral_embedding(stages.affinity(near), n_components=4)
    found = stages.nystroem(fitted, near, OLD, OLD)
    np.testing.assert_allclose(found, fitted.embedding_spectral, atol=1e-6)


def test_new_samples_land_among_their_like():
    fitted = stages.spectral_embedding(stages.affinity(NEAR), n_components=2)
    found = stages.nystroem(fitted, NEAR, OLD, NEW).values
    for here, there in ((slice(0, 40), slice(0, 5)), (slice(40, 80), slice(5, 10))):
        middle = fitted.embedding_spectral.values[here].mean(axis=0)
        other = fitted.embedding_spectral.values.mean(axis=0) * 2 - middle
        near, far = (np.linalg.norm(found[there] - m, axis=1) for m in (middle, other))
        assert (near < far).all()


def test_scaled_rows_cannot_be_extended():
    fitted = stages.spectral_embedding(stages.affinity(NEAR), unit_rows=True)
    with pytest.raises(ValueError, match="nystroem") as caught:
        stages.nystroem(fitted, NEAR, OLD, NEW)
    assert str(caught.value) == (
        "nystroem: needs eigenvectors of unit length; got others. Embed with unit_rows=False."
    )


def test_metrics_of_all_samples_cannot_be_extended():
    near = stages.neighbours(OLD, metric="seuclidean")
    fitted = stages.spectral_embedding(stages.affinity(near))
    with pytest.raises(ValueError, match="nystroem") as caught:
        stages.nystroem(fitted, near, OLD, NEW)
    assert str(caught.value) == (
        f"nystroem: needs a metric among {', '.join(CROSS_METRICS)}; got seuclidean. Others depend "
        "on all samples or on parameters: pass distances and metric='precomputed'."
    )


@pytest.mark.parametrize("n_neighbours", [1, 5])
def test_the_nearest_place_new_samples_on_any_map(n_neighbours):
    known = stages.tsne(OLD, n_iterations=250)
    again = stages.extend_nearest(known, OLD, OLD, n_neighbours=n_neighbours)
    np.testing.assert_allclose(again, known, rtol=1e-6)
    assert again.name == "embedding_tsne"
    found = stages.extend_nearest(known, OLD, NEW, n_neighbours=n_neighbours)
    assert (found.min() >= known.min()).all()
    assert (found.max() <= known.max()).all()


def test_weights_by_hand():
    old, place = rows([[0.0], [3], [10]]), rows([[0.0], [1], [5]])
    at_one = stages.extend_nearest(place, old, rows([[1.0]]), n_neighbours=2)
    np.testing.assert_allclose(at_one, [[(0 / 1 + 1 / 2) / (1 / 1 + 1 / 2)]])
    even = stages.extend_nearest(place, old, rows([[1.0]]), n_neighbours=2, weights="uniform")
    np.testing.assert_allclose(even, [[0.5]])
    away = rows([[1.0, 2, 9]])
    same = stages.extend_nearest(place, old, away, n_neighbours=2, metric="precomputed")
    np.testing.assert_allclose(same, at_one)


def test_clusters_are_voted_for():
    known = stages.kmeans(OLD, n_clusters=[2, 3])
    np.testing.assert_array_equal(stages.extend_clustering(known, OLD, OLD), known)
    found = stages.extend_clustering(known, OLD, NEW)
    assert found.dims == ("sample", "n_clusters")
    assert found.dtype == np.int32
    assert len(set(found[:5, 0].values)) == len(set(found[5:, 0].values)) == 1
    assert found[0, 0] != found[9, 0]
    noise = xr.DataArray(np.array([-1, -1, 0]), dims="sample")
    old = rows([[0.0], [1], [2]])
    votes = stages.extend_clustering(noise, old, rows([[0.9]]), n_neighbours=3, weights="uniform")
    assert votes.item() == -1


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_mixtures_judge_new_samples(covariance):
    options = {"n_clusters": [2, 3], "covariance": covariance}
    known = stages.gaussian_mixture(OLD, **options)
    xr.testing.assert_identical(stages.extend_mixture(OLD, OLD, **options), known)
    found = stages.extend_mixture(OLD, NEW, **options)
    model = GaussianMixture(2, covariance_type=covariance, n_init=4, max_iter=200, random_state=0)
    model.fit(OLD)
    np.testing.assert_allclose(found.log_likelihood[:, 0], model.score_samples(NEW))
    np.testing.assert_array_equal(found["sample"], NEW["sample"])
    few = stages.extend_mixture(OLD, NEW[5:], **options).clustering_gaussian_mixture
    np.testing.assert_array_equal(few, found.clustering_gaussian_mixture[5:])  # not renumbered
    far = stages.extend_mixture(OLD, NEW + 50, **options).log_likelihood
    assert far.max() < found.log_likelihood.min()


def test_new_samples_have_the_features_of_the_old():
    with pytest.raises(ValueError, match="extend_pca") as caught:
        stages.extend_pca(stages.pca(OLD), NEW[:, :3])
    assert str(caught.value) == (
        "extend_pca: needs new samples with 4 features like the old ones; got 3. "
        "Preprocess both alike."
    )
    with pytest.raises(ValueError, match="extend_nearest") as fault:
        stages.extend_nearest(OLD, OLD, NEW[:, :3])
    assert str(fault.value) == (
        "extend_nearest: needs new samples like the old ones, shape and dims ((4,), ('sample', "
        "'feature')); got ((3,), ('sample', 'feature')). Preprocess both alike."
    )


def test_features_are_those_that_were_mapped():
    spectrum = stages.spectral_embedding(stages.affinity(NEAR))
    calls = {
        "nystroem": (spectrum, NEAR),
        "extend_kernel_pca": (stages.kernel_pca(OLD),),
        "extend_nearest": (OLD,),
        "extend_clustering": (stages.kmeans(OLD),),
    }
    gots = {
        "30": OLD[:30], "other 'sample' ids, or another order of them": OLD[::-1],
    }  # fmt: skip
    for name, (got, features) in itertools.product(calls, gots.items()):
        with pytest.raises(ValueError, match=name) as caught:
            stages.STAGES[name](*calls[name], features, NEW)
        assert str(caught.value) == (
            f"{name}: needs the 80 samples of the map in its order; got {got}. Select them with "
            ".sel(sample=map.sample)."
        )
    with pytest.raises(ValueError, match="nystroem: needs the 80 samples of the neighbours"):
        stages.nystroem(spectrum, NEAR.isel(sample=slice(None, None, -1)), OLD, NEW)


def test_a_map_has_what_an_extension_needs():
    spectrum = stages.spectral_embedding(stages.affinity(NEAR))
    with pytest.raises(ValueError, match="extend_pca") as caught:
        stages.extend_pca(spectrum.rename(degree="pca_centre"), NEW)
    assert str(caught.value) == (
        "extend_pca: needs 'fitted' with embedding_pca (sample, any), pca_centre (feature), "
        "pca_direction (any, feature); got no embedding_pca, pca_centre (sample), no "
        "pca_direction. Pass the whole result of the stage that gives them."
    )


def test_only_graphs_whose_weights_are_known_extend():
    graph = stages.affinity(NEAR).drop_attrs()
    with pytest.raises(ValueError, match="nystroem") as caught:
        stages.nystroem(stages.spectral_embedding(graph), NEAR, OLD, NEW)
    assert str(caught.value) == (
        "nystroem: needs an embedding of a graph from stages.affinity, which notes 'mode'; got "
        "attributes laplacian, long_name, units. Embed such a graph."
    )


def test_a_saved_analysis_extends(tmp_path):
    """What an extension needs survives merging and a file."""
    graph = stages.affinity(NEAR)
    spectrum, walked = stages.spectral_embedding(graph), stages.diffusion_map(graph, density=1.0)
    parts = [stages.pca(OLD).rename(axis="axis_pca"), walked, spectrum]
    merged = xr.merge(parts, combine_attrs="drop_conflicts")
    merged.to_netcdf(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as kept:
        found = stages.extend_pca(kept, NEW)
        np.testing.assert_allclose(found, stages.extend_pca(parts[0], NEW))
        assert found.dims == ("sample", "axis_pca")
        only = kept.drop_vars("embedding_spectral")
        again = stages.nystroem(only, NEAR, OLD, OLD)
        np.testing.assert_allclose(again, walked.embedding_diffusion_map, atol=1e-8)


def test_new_digits_join_the_clusters_of_their_kind():
    images, digits = load_digits(return_X_y=True)
    old, new = rows(images[:500]), rows(images[500:600])
    near = stages.neighbours(old)
    spectrum = stages.spectral_embedding(stages.affinity(near))
    clusters = stages.kmeans(spectrum, n_clusters=10)
    assert adjusted_rand_score(digits[:500], clusters[:, 0]) > 0.65
    placed = stages.nystroem(spectrum, near, old, new)
    joined = stages.extend_clustering(clusters, spectrum.embedding_spectral, placed)
    assert adjusted_rand_score(digits[500:600], joined[:, 0]) > 0.6
    flat = stages.tsne(old, n_iterations=400)
    assert trustworthiness(old, flat) > 0.98
    both = np.concatenate([flat, stages.extend_nearest(flat, old, new)])
    assert trustworthiness(images[:600], both) > 0.95
