"""Categories beside each other: which samples are drawn, and who gets what of them."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fxrelay.execute import Processes
from fxrelay_analysis import Pipeline, Step, Store, spray, stages
from fxrelay_analysis.background import drawn
from fxrelay_analysis.presets import SPRAY
from fxrelay_analysis.running import explain, run
from fxrelay_analysis.stage import Stage


class nearness(Stage):
    """Count the samples of the background, and of each other category."""

    @staticmethod
    def compute(features, background):
        """Return `n_beside` and the names of all categories."""
        names = np.unique(background["category"].values)
        return xr.Dataset(
            {"n_beside": background.sizes["sample"], "names": ",".join(names),
             "total": float(background.sum()), "own": float(features.sum())}
        )  # fmt: skip


PIPELINE = Pipeline(
    (
        Step("rows", stages.flatten, ("relevance",), shown=False),
        Step("nearness", nearness, ("rows", "background/rows")),
    )
)


@pytest.fixture
def ds():
    label = np.repeat([0, 1, 2], [5, 3, 4])
    values = np.arange(48.0).reshape(12, 1, 2, 2)
    return xr.Dataset(
        {"relevance": (("sample", "channel", "y", "x"), values), "label": ("sample", label)},
        {"sample": np.arange(12)},
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 60))
def test_as_many_of_each_category_as_of_any_other(sizes, most):
    names = [f"c{i}" for i in range(len(sizes))]
    positions = np.random.default_rng(0).permutation(sum(sizes))
    parts = np.split(positions, np.cumsum(sizes)[:-1])
    rows = {name: np.sort(part) for name, part in zip(names, parts, strict=True)}
    found, of = drawn(rows, most)
    assert (np.diff(found) > 0).all()
    assert len(found) <= max(most, len(sizes))
    counts = np.array([(of == name).sum() for name in names])
    share = counts.max()
    np.testing.assert_array_equal(counts, np.minimum(sizes, share))
    assert all(set(found[of == name]) <= set(rows[name]) for name in names)
    if share < max(sizes):  # one more of each would be too many
        assert np.minimum(sizes, share + 1).sum() > most or share == 1
    again = drawn(dict(reversed(rows.items())), most)
    np.testing.assert_array_equal(found, again[0])


def test_every_category_gets_samples_of_all(ds):
    tree = spray(ds, pipeline=PIPELINE, progress=False)
    for name, own in (("0", 190.0), ("1", 306.0), ("2", 632.0)):
        group = tree[name].to_dataset()
        assert group["n_beside"] == 12
        assert group["names"] == "0,1,2"
        assert group["total"] == ds["relevance"].sum()
        assert group["own"] == own


def test_another_category_that_changes_is_a_miss(ds, tmp_path):
    store = Store(tmp_path)
    first = spray(ds, pipeline=PIPELINE, store=store, progress=False)
    changed = ds.copy(deep=True)
    changed["relevance"][11] += 1
    second = spray(changed, pipeline=PIPELINE, store=store, progress=False)
    assert second["0"]["total"] == first["0"]["total"] + 4
    assert second["0"]["own"] == first["0"]["own"]
    xr.testing.assert_identical(spray(ds, pipeline=PIPELINE, store=store, progress=False), first)


def test_other_processes_get_the_same_background(ds, tmp_path):
    one = spray(ds, pipeline=PIPELINE_OF_STAGES, progress=False)
    with Processes(2) as place:
        two = spray(ds, pipeline=PIPELINE_OF_STAGES, executor=place, progress=False)
    xr.testing.assert_identical(one, two)
    lazy = ds.chunk({"sample": 5})
    xr.testing.assert_identical(spray(lazy, pipeline=PIPELINE_OF_STAGES, progress=False), one)


PIPELINE_OF_STAGES = Pipeline(
    (
        Step("rows", stages.flatten, ("relevance",), shown=False),
        Step("pca", stages.pca, ("background/rows",), {"n_components": 1}, shown=False),
        Step("moved", stages.extend_pca, ("pca", "rows")),
    )
)


def test_one_dataset_is_its_own_background(ds, tmp_path):
    found = run(PIPELINE, ds, Store(tmp_path))
    assert found["n_beside"] == 12
    assert found["names"] == ""
    assert explain(PIPELINE, ds, Store(tmp_path)).startswith("hit")


def test_branches_and_parts_keep_their_background():
    pooled = Pipeline((Step("pool", stages.pool, ("relevance",)), *PIPELINE.steps[1:],
                       Step("rows", stages.flatten, ("pool",), shown=False)))  # fmt: skip
    assert [step.name for step in pooled.order] == ["pool", "rows", "nearness"]
    assert [step.name for step in pooled.only("nearness").order] == ["pool", "rows", "nearness"]
    branches = pooled.sweep("pool", size=(2, 3))
    assert branches.backgrounds == ("background/rows",
                                    "background/rows_size_2", "background/rows_size_3")  # fmt: skip
    assert pooled.after(["pool"]) == {"pool", "rows", "nearness"}


def test_backgrounds_that_nothing_gives_are_refused():
    rows, near = PIPELINE.steps
    with pytest.raises(ValueError, match="input 'background/rows': no step named 'rows'"):
        Pipeline((Step("other", stages.flatten, ("relevance",)),
                  Step("nearness", nearness, ("other", "background/rows"))))  # fmt: skip
    nested = Step("again", nearness, ("rows", "background/nearness"), suffix="again")
    with pytest.raises(ValueError, match="step 'nearness' needs a background itself"):
        Pipeline((rows, near, nested))


def test_what_fails_on_the_background_is_told(ds):
    near = Step("near", stages.neighbours, ("rows",), {"n_neighbours": 50})
    far = Step("far", nearness, ("rows", "background/near"), suffix="far")
    few = PIPELINE.extend(near, far)
    with pytest.raises(ValueError, match="spray: background, step 'near': neighbours: needs more"):
        spray(ds, pipeline=few, progress=False)
    ds["relevance"][3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        spray(ds, pipeline=PIPELINE, progress=False)


def test_a_branch_accuses_clusters_of_its_own_clustering():
    swept = SPRAY.sweep("kmeans_equalized", n_clusters=(range(2, 4),)).by_name
    assert swept["suspicion"].parameters["clustering"] == "kmeans"
    assert swept["suspicion_equalized"].parameters["clustering"] == "kmeans_equalized"
    copy = "_n_clusters_range(2, 4)"
    assert swept[f"suspicion_equalized{copy}"].parameters["clustering"] == f"kmeans_equalized{copy}"
    assert swept[f"verdict{copy}"].inputs == ("suspicion", f"suspicion_equalized{copy}")
