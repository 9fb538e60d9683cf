"""Nine ways in which a cache of a peer returned old results: here none does."""

import numpy as np
import param
import pytest
import xarray as xr

from fxrelay_analysis import Store, stages

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
