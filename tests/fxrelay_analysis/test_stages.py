"""The contract of every row of STAGES, the preprocessing and every error text."""

import inspect

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import Store, digest, stages

RELEVANCE = xr.DataArray(
    np.random.default_rng(0).normal(size=(40, 2, 6, 6)).astype(np.float32),
    {"sample": np.arange(100, 140)},
    ("sample", "channel", "y", "x"),
    "relevance",
    {"long_name": "relevance of the input", "units": "output units"},
)
ROWS = stages.preprocess(RELEVANCE, size=2)
NEAR = stages.neighbours(ROWS)
GRAPH = stages.affinity(NEAR)
EMBEDDED = stages.spectral_embedding(GRAPH)
LABELS = stages.kmeans(EMBEDDED, n_clusters=range(2, 5))
SIZES, FISHER = stages.sizes(LABELS), stages.fisher(ROWS, LABELS)
JUDGED = (FISHER, SIZES, stages.surplus(ROWS, LABELS))
FACTS = xr.Dataset({"label": LABELS.isel(n_clusters=0, drop=True)})
VECTORS = stages.concept_vectors(RELEVANCE)
INPUTS = {
    "neighbours": (ROWS,),
    "affinity": (NEAR,),
    "spectral_embedding": (GRAPH,),
    "diffusion_map": (GRAPH,),
    "pca": (ROWS,),
    "kernel_pca": (ROWS,),
    "tsne": (EMBEDDED,),
    "umap": (ROWS,),
    "lle": (ROWS,),
    "isomap": (ROWS,),
    "mds": (ROWS,),
    "select": (EMBEDDED,),
    "kmeans": (EMBEDDED,),
    "gaussian_mixture": (EMBEDDED,),
    "spectral_clustering": (EMBEDDED,),
    "agglomerative": (ROWS,),
    "dendrogram": (ROWS,),
    "cut_dendrogram": (stages.dendrogram(ROWS),),
    "dbscan": (ROWS,),
    "hdbscan": (ROWS,),
    "eigengap": (EMBEDDED,),
    "sizes": (LABELS,),
    "fisher": (ROWS, LABELS),
    "isolation": (GRAPH, LABELS),
    "silhouette": (EMBEDDED, LABELS),
    "calinski_harabasz": (EMBEDDED, LABELS),
    "davies_bouldin": (EMBEDDED, LABELS),
    "stability": (EMBEDDED, LABELS),
    "gap_statistic": (ROWS,),
    "choose_n_clusters": (stages.eigengap(EMBEDDED), stages.silhouette(EMBEDDED, LABELS)),
    "nystroem": (EMBEDDED, NEAR, ROWS, ROWS),
    "extend_pca": (stages.pca(ROWS), ROWS),
    "extend_kernel_pca": (stages.kernel_pca(ROWS), ROWS, ROWS),
    "extend_nearest": (stages.mds(ROWS), ROWS, ROWS),
    "extend_clustering": (LABELS, ROWS, ROWS),
    "extend_mixture": (ROWS, ROWS),
    "prototypes": (EMBEDDED, LABELS),
    "surplus": (ROWS, LABELS),
    "contingency": (LABELS, FACTS),
    "compare": (LABELS, LABELS),
    "concept_prototypes": (VECTORS, stages.gaussian_mixture(VECTORS, n_clusters=[2, 3])),
    "mean_maps": (RELEVANCE, LABELS),
    "concepts": (RELEVANCE, LABELS),
    "outliers": (ROWS,),
    "sensitivity": (RELEVANCE, stages.concepts(RELEVANCE, LABELS)),
    "suspicion": JUDGED,
    "verdict": (stages.suspicion(*JUDGED),) * 2,
}
SLOW = ("umap",)  # compiles itself first
ROWS_OF_TABLE = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in stages.STAGES]
)


@ROWS_OF_TABLE
def test_a_stage_is_documented_and_versioned(name):
    stage = stages.STAGES[name]
    assert stage.__name__ == name
    assert stage.__doc__
    assert stage.compute.__doc__
    assert isinstance(stage.version, int)
    declared = {p for p in stage.param if p != "name"}
    taken = inspect.signature(stage.compute).parameters.values()
    named = {p.name for p in taken if p.kind is p.KEYWORD_ONLY}
    assert named <= declared
    assert named == declared or any(p.kind is p.VAR_KEYWORD for p in taken)
    for parameter in declared:
        assert stage.param[parameter].doc, parameter


@ROWS_OF_TABLE
def test_a_stage_is_pure_and_deterministic(name):
    stage, inputs = stages.STAGES[name], INPUTS.get(name, (RELEVANCE,))
    before = [digest(item) for item in inputs]
    once, twice = stage(*inputs), stage(*inputs)
    assert [digest(item) for item in inputs] == before
    assert digest(once) == digest(twice)
    for variable in [once] if isinstance(once, xr.DataArray) else once.data_vars.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"]
        if "sample" in variable.dims:
            np.testing.assert_array_equal(variable["sample"], RELEVANCE["sample"])


@ROWS_OF_TABLE
def test_a_result_is_the_same_from_the_store(name, tmp_path):
    stage, inputs = stages.STAGES[name], INPUTS.get(name, (RELEVANCE,))
    kept = Store(tmp_path).cache(stage)
    first, second = kept(*inputs), kept(*inputs)
    xr.testing.assert_identical(first, second)
    assert digest(second) == digest(stage(*inputs))


@ROWS_OF_TABLE
def test_a_result_is_plain_netcdf(name, tmp_path):
    stages.STAGES[name](*INPUTS.get(name, (RELEVANCE,))).to_netcdf(tmp_path / "plain.nc")


@ROWS_OF_TABLE
def test_precision_of_the_input_does_not_matter(name):
    """Equal values in float32 and float64 give the same labels, and numbers to 1e-5."""
    stage = stages.STAGES[name]
    narrow = [_as(item, np.float32) for item in INPUTS.get(name, (RELEVANCE,))]
    one, two = stage(*narrow), stage(*(_as(item, np.float64) for item in narrow))
    pairs = [(one, two)] if isinstance(one, xr.DataArray) else [(one[v], two[v]) for v in one]
    for a, b in pairs:
        if a.dtype.kind == "f":
            scale = max(1.0, float(np.nanmax(np.abs(b.values), initial=0)))
            np.testing.assert_allclose(a / scale, b / scale, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(a, b)


def _as(data, kind):
    if isinstance(data, xr.Dataset):
        return data.assign({name: _as(array, kind) for name, array in data.data_vars.items()})
    return data.astype(kind) if data.dtype.kind == "f" else data


@ROWS_OF_TABLE
def test_unknown_and_wrong_parameters_are_named(name):
    stage = stages.STAGES[name]
    declared = [p for p in sorted(stage.param) if p != "name"]
    with pytest.raises(TypeError) as caught:
        stage(*INPUTS.get(name, (RELEVANCE,)), wrong=1)
    assert str(caught.value) == (
        f"{name}: needs parameters among {', '.join(declared) or 'none'}; got wrong. "
        "Rename or drop them."
    )
    if declared:
        with pytest.raises(ValueError, match=f"^{name}: needs values as help") as fault:
            stage(*INPUTS.get(name, (RELEVANCE,)), **dict.fromkeys(declared, object()))
        assert all(f"  - {parameter}=" in str(fault.value) for parameter in declared)


def test_every_wrong_value_is_in_one_text():
    with pytest.raises(ValueError, match="kmeans") as caught:
        stages.kmeans(EMBEDDED, n_clusters=[0, 2], n_starts=0)
    assert str(caught.value) == (
        "kmeans: needs values as help(stages.kmeans) says; got:\n"
        "  - n_clusters=[0, 2]: 'n_clusters' must be an integer >= 1 or a range, list or tuple of "
        "such, not [0, 2].\n"
        "  - n_starts=0: Integer parameter 'kmeans.n_starts' must be at least 1, not 0.\n"
        "Change what is named."
    )


def test_preprocess_is_the_composition_of_its_parts():
    parts = stages.pool(stages.channel_sum(RELEVANCE), size=2)
    rows = stages.flatten(stages.normalize(stages.compress(parts)))
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_allclose(np.square(ROWS).sum("feature"), 1, rtol=1e-6)
    assert ROWS.dims == ("sample", "feature")
    assert ROWS.sizes["feature"] == 9


def test_pooling_keeps_the_total_and_pads_ragged_edges():
    pooled = stages.pool(RELEVANCE, size=4)
    assert pooled.shape == (40, 2, 2, 2)
    np.testing.assert_allclose(pooled.sum(("y", "x")), RELEVANCE.sum(("y", "x")), rtol=1e-4)


def test_relevance_without_pixels_passes():
    tokens = xr.DataArray(np.ones((5, 7)), dims=("sample", "token"))
    assert stages.preprocess(tokens).shape == (5, 7)


@pytest.mark.parametrize(
    ("norm", "length"),
    [("l1", 3.0), ("l2", np.sqrt(5.0)), ("max", 2.0), ("none", 1.0)],
)
def test_norms(norm, length):
    rows = xr.DataArray([[1.0, -2.0], [0.0, 0.0]], dims=("sample", "feature"))
    out = stages.normalize(rows, norm=norm)
    np.testing.assert_allclose(out, [[1 / length, -2 / length], [0, 0]])


def test_absolute_and_compress():
    rows = xr.DataArray([[4.0, -9.0]], dims=("sample", "feature"))
    np.testing.assert_array_equal(stages.absolute(rows), [[4, 9]])
    np.testing.assert_array_equal(stages.compress(rows), [[2, -3]])
    assert not np.shares_memory(stages.compress(rows, power=1), rows)


def test_nan_relevance_is_refused():
    bad = RELEVANCE.copy(deep=True)
    bad[3, 0, 1, 1] = np.nan
    bad[5, 0, 1, 1] = np.inf
    with pytest.raises(ValueError, match="preprocess") as caught:
        stages.preprocess(bad)
    assert str(caught.value) == (
        "preprocess: needs finite values; got NaN or infinity in 2 of 40 samples, first at "
        "position 3. Drop them with .isel(sample=...)."
    )


def test_other_shapes_and_names_are_refused():
    with pytest.raises(ValueError, match="normalize") as caught:
        stages.normalize(RELEVANCE.transpose())
    assert str(caught.value) == (
        "normalize: needs values with 'sample' as their first dimension; got dims "
        "('x', 'y', 'channel', 'sample') of shape (6, 6, 2, 40). Use .transpose('sample', ...)."
    )
    with pytest.raises(ValueError, match="kmeans") as caught:
        stages.kmeans(GRAPH)
    assert str(caught.value) == (
        "kmeans: needs a DataArray or a Dataset with 'embedding_spectral'; got edge_source, "
        "edge_target, edge_weight. Pass the variable itself."
    )


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="neighbours") as caught:
        stages.neighbours(ROWS[:10])
    assert str(caught.value) == (
        "neighbours: needs more samples than n_neighbours=10; got 10. "
        "Lower n_neighbours or add samples."
    )
    with pytest.raises(ValueError, match="kmeans") as caught:
        stages.kmeans(ROWS[:5])
    assert str(caught.value) == (
        "kmeans: needs at least as many samples as clusters, 8; got 5. Lower n_clusters."
    )
    with pytest.raises(ValueError, match="tsne") as caught:
        stages.tsne(ROWS[:3])
    assert str(caught.value) == "tsne: needs 4 or more samples; got 3. Leave it out."


@pytest.mark.parametrize("unit", [1e-25, 1.0, 1e25])
def test_lengths_do_not_depend_on_the_unit(unit):
    rows = xr.DataArray(np.float32([[3, 4]]) * np.float32(unit), dims=("sample", "feature"))
    np.testing.assert_allclose(stages.normalize(rows), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("kind", "wide"), [("f2", "f4"), ("i8", "f8"), ("?", "f4")])
def test_narrow_numbers_are_widened(kind, wide):
    maps = xr.DataArray(np.full((1, 3, 1, 2), 40000).astype(kind),
                        dims=("sample", "channel", "y", "x"))  # fmt: skip
    total = stages.channel_sum(maps)
    assert total.dtype == wide
    np.testing.assert_array_equal(total, 3 * maps.values[:, 0].astype(wide))
    np.testing.assert_allclose(stages.normalize(maps), 6**-0.5, rtol=1e-6)


def test_text_is_no_relevance():
    with pytest.raises(ValueError, match="normalize") as caught:
        stages.normalize(xr.DataArray([["a"]], dims=("sample", "feature")))
    assert str(caught.value) == "normalize: needs real numbers; got <U1. Use .astype(...)."
