"""Nine ways in which a cache of a peer returned old results: here none does."""

import numpy as np
import param
import pytest
import xarray as xr

from fxrelay_analysis import Store, stages
from fxrelay_analysis.pipeline import Pipeline, Step
from fxrelay_analysis.running import explain, run

X = xr.DataArray(
    np.random.default_rng(0).normal(size=(40, 1, 8, 8)),
    {"sample": np.arange(40)},
    ("sample", "channel", "y", "x"),
    "relevance",
)
ROWS = stages.flatten(X)
GRAPH = stages.affinity(stages.neighbours(ROWS))
EMBEDDED = stages.spectral_embedding(GRAPH)


def stage(body, version=1):
    """Return a stage named `same` with another body."""
    return type("same", (stages.Stage,), {"compute": staticmethod(body), "version": version})


class minkowski(stages.Stage):
    """Distance to the first sample, with an exponent that is not a keyword of its own."""

    options = param.Dict(default={"p": 2}, doc="Options of the metric.")

    @staticmethod
    def compute(data, *, options):
        return (abs(data - data[0]) ** options["p"]).sum("feature")


def scaled(factor):
    return stage(lambda data: data * factor)


PROBES = {
    "another function body": [
        (stage(lambda d: d + 1), ROWS, {}),
        (stage(lambda d: d * 2), ROWS, {}),
    ],
    "another declared version": [
        (stage(lambda d: d + 1), ROWS, {}),
        (stage(lambda d: d + 1, 2), ROWS, {}),
    ],
    "preprocessing parameters": [(stages.pool, X, {"size": 4}), (stages.pool, X, {"size": 2})],
    "options of the metric": [
        (minkowski, ROWS, {"options": {"p": 1}}),
        (minkowski, ROWS, {"options": {"p": 3}}),
    ],
    "columns and seeds of k-means": [
        (stages.kmeans, EMBEDDED, {"n_clusters": 5, "n_starts": 1, "seed": 0, "leading": False}),
        (stages.kmeans, EMBEDDED, {"n_clusters": 5, "n_starts": 1, "seed": 7, "leading": True}),
    ],
    "size of the eigenproblem": [
        (stages.spectral_embedding, GRAPH, {"n_components": 3}),
        (stages.spectral_embedding, GRAPH, {"n_components": 5}),
    ],
    "what a closure holds": [(scaled(1), ROWS, {}), (scaled(5), ROWS, {})],
    "sweeps of another range": [
        (stages.kmeans, EMBEDDED, {"n_clusters": 2}),
        (stages.kmeans, EMBEDDED, {"n_clusters": range(7, 8)}),
    ],
    "data that differ by one bit": [
        (stages.neighbours, ROWS, {}),
        (stages.neighbours, ROWS * (1 + 2**-30), {}),
    ],
}


@pytest.mark.parametrize("probe", PROBES)
def test_no_old_result_comes_back(probe, tmp_path):
    store = Store(tmp_path)
    results = []
    for made, data, given in PROBES[probe]:
        assert store.explain(made, data, **given).startswith("miss")
        results.append(store.cache(made)(data, **given))
        assert results[-1].identical(made(data, **given))
        assert store.explain(made, data, **given).startswith("hit")
    if probe != "another declared version":
        assert not results[0].identical(results[1])


def test_comments_and_layout_are_not_the_body():
    def one(data):
        """Tell something else."""
        return data + 1

    def two(data):
        """Document it."""
        # and comment it

        return data + 1

    assert stage(one).code() == stage(two).code()
    assert stage(one).code() != stage(lambda data: data - 1).code()


def test_a_function_as_a_parameter_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"got builtins\.function\. Pass plain values instead\."):
        Store(tmp_path).cache(minkowski)(ROWS, options={"p": lambda: 1})


def test_what_a_try_block_covers_is_the_body():
    def one(data):
        try:
            data = data + 1
            data = data.sel(y=3)
        except KeyError:
            data = data - 1
        return data

    def two(data):
        data = data + 1
        try:
            data = data.sel(y=3)
        except KeyError:
            data = data - 1
        return data

    assert stage(one).code() != stage(two).code()
    assert stage(lambda data: data).code() != stage(lambda *data: data).code()


def chain(k=2, scale=1.0):
    """Return a pipeline with a child whose parameters a coarse cache would overlook."""
    steps = [
        Step("pool", stages.pool, ("relevance",), {"size": 2}, shown=False),
        Step("flat", stages.flatten, ("pool",), shown=False),
        Step("own", scaled(scale), ("flat",), shown=False),
        Step("near", stages.neighbours, ("own",), shown=False),
        Step("graph", stages.affinity, ("near",), shown=False),
        Step("embedded", stages.spectral_embedding, ("graph",), {"n_components": 4}),
        Step("kmeans", stages.kmeans, ("embedded",), {"n_clusters": k}),
    ]
    return Pipeline(tuple(steps))


WHOLE = {
    "two clusters, then seven": [chain(2), chain(7)],
    "another child with the same name": [chain(scale=1.0), chain(scale=-1.0)],
    "another first step": [chain(), chain().given({"pool": {"size": 4}})],
    "another wiring": [chain(), chain().extend(Step("near", stages.neighbours, ("flat",)))],
}


@pytest.mark.parametrize("probe", WHOLE)
def test_no_old_run_comes_back(probe, tmp_path):
    ds = X.to_dataset()
    for pipeline in WHOLE[probe]:
        assert explain(pipeline, ds, Store(tmp_path)).startswith("miss")
        fresh = run(pipeline, ds)
        for _ in range(2):
            xr.testing.assert_identical(run(pipeline, ds, Store(tmp_path)), fresh)
        assert explain(pipeline, ds, Store(tmp_path)).startswith("hit")
    assert explain(WHOLE[probe][0], ds * (1 + 2**-30), Store(tmp_path)).startswith("miss")


def test_an_error_poisons_nothing(tmp_path):
    attempts = []

    def moody(data):
        attempts.append(1)
        if len(attempts) == 1:
            raise TypeError("not now")
        return data + 1

    made = stage(moody)
    with pytest.raises(TypeError, match="not now"):
        Store(tmp_path).cache(made)(ROWS)
    assert Store(tmp_path).cache(made)(ROWS).identical(ROWS + 1)


def test_duplicates_and_isolated_nodes_are_no_special_case():
    twice = xr.concat([ROWS[:20], ROWS[:20]], "sample").assign_coords(sample=np.arange(40))
    near = stages.neighbours(twice, n_neighbours=3)
    own = near["neighbour"].values == np.arange(40)[:, None]
    assert not own.any()
    assert (near["distance"].isel(rank=0) == 0).all()
