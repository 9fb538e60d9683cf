"""Pipelines: data that print, compose and are checked as a whole; what runs, what is shared."""

import pickle
from typing import ClassVar

import numpy as np
import param
import pytest
import xarray as xr

from fxrelay_analysis import Store, netcdf, running, stages
from fxrelay_analysis.pipeline import Pipeline, Step
from fxrelay_analysis.presets import PIPELINES
from fxrelay_analysis.running import StepFailed, explain, run


class plus(stages.Stage):
    """Add `by` to the first input and count."""

    by = param.Number(1.0, bounds=(0, 100), doc="What is added.")
    seed = param.Integer(0, doc="Nothing.")
    calls: ClassVar[list[float]] = []

    @staticmethod
    def compute(data, *, by, seed):
        plus.calls.append(by)
        return (data + by).rename("plus").assign_attrs(flag=True)


class total(stages.Stage):
    """Sum all inputs."""

    @staticmethod
    def compute(first, *others):
        return sum(others, first).sum("sample").rename("total")


class broken(stages.Stage):
    """Fail as the parameter says."""

    kind = param.Selector(default="value", objects=["value", "zero"], doc="What is raised.")

    @staticmethod
    def compute(data, *, kind):
        if kind == "zero":
            return 1 // 0
        raise ValueError("broken: needs more; got less. Give more.")


def dataset(n=4):
    values = np.arange(2.0 * n).reshape(n, 2)
    return xr.Dataset(
        {"v": (("sample", "feature"), values), "w": ("sample", np.ones(n))},
        {"sample": np.arange(n) + 10},
    )


CHAIN = Pipeline(
    (
        Step("last", total, ("second", "v")),
        Step("second", plus, ("first",), {"by": 2.0}, suffix="twice"),
        Step("first", plus, ("v",), shown=False),
    )
)


def test_steps_run_in_the_order_in_which_they_need_each_other():
    assert [step.name for step in CHAIN.order] == ["first", "second", "last"]
    assert CHAIN.variables == ("v",)
    ds = dataset()
    found = run(CHAIN, ds)
    assert sorted(map(str, found.data_vars)) == ["plus_twice", "total"]
    np.testing.assert_array_equal(found["plus_twice"], ds["v"] + 3)
    np.testing.assert_array_equal(found["total"], (2 * ds["v"] + 3).sum("sample"))
    assert found["plus_twice"].attrs["flag"] == 1
    np.testing.assert_array_equal(found["sample"], ds["sample"])


def test_a_pipeline_prints_as_a_table():
    assert str(CHAIN) == "\n".join([
        "step    stage  inputs     parameters  in the tree",
        "------  -----  ---------  ----------  -----------",
        "first   plus   v                      no",
        "second  plus   first      by=2.0      yes, _twice",
        "last    total  second, v              yes",
    ])  # fmt: skip


def test_a_pipeline_is_a_value():
    again = pickle.loads(pickle.dumps(CHAIN))
    assert again == CHAIN
    assert again != CHAIN.given({"first": {"by": 3}})
    with pytest.raises(TypeError, match="does not support item assignment"):
        CHAIN.steps[1].parameters["by"] = 5


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(ValueError, match="Pipeline") as caught:
        Pipeline(
            (
                Step("a", plus, ("b",), {"by": -1}),
                Step("b", plus, ("a",), {"buy": 1}, suffix="b"),
                Step("c", plus, ("v", "w"), shown=False),
                Step("c", len, ("v",), shown=False),
                Step("d", plus, ("v",)),
            )
        )
    text = str(caught.value)
    assert text.startswith("Pipeline: needs steps that fit together; got:\n  - 2 steps named 'c'")
    assert text.endswith("\nChange what is named.")
    for part in (
        "step 'a': plus: needs values as help(stages.plus) says",
        "step 'b': plus: needs parameters among by, seed; got buy. Rename or drop them.",
        "step 'c': plus takes 1 inputs, not 2",
        "step 'c': <built-in function len> is no stage (a subclass of stages.Stage)",
        "steps a, d have one stage and so show the same variables; give each a suffix of its own",
        "steps that wait for each other: a -> b -> a",
    ):
        assert f"  - {part}" in text, part
    with pytest.raises(ValueError, match="no steps"):
        Pipeline(())


def test_variables_that_are_missing_are_named_before_work_starts():
    plus.calls.clear()
    two = Pipeline(
        (
            *CHAIN.steps,
            Step("more", total, ("x", "first", "y"), suffix="m"),
            Step("s", total, ("z",), suffix="s"),
        )
    )
    with pytest.raises(ValueError, match="run") as caught:
        run(two, dataset())
    assert str(caught.value) == (
        "run: needs variables among v, w, sample; got:\n"
        "  - step 'more': no step and no variable named x, y\n"
        "  - step 's': no step and no variable named z\n"
        "Change what is named."
    )
    assert not plus.calls


def test_optional_steps_are_left_out_with_all_that_needs_them():
    more = CHAIN.extend(
        Step("maybe", total, ("label",), optional=True, suffix="a"),
        Step("after", total, ("maybe", "v"), suffix="b"),
    )
    assert "total_a" not in run(more, dataset())
    found = run(more, dataset().assign(label=("sample", np.arange(4))))
    assert found["total_a"] == 6
    assert "total_b" in found


def test_a_step_of_the_same_name_takes_the_place_of_the_other():
    other = CHAIN.extend(Step("first", plus, ("v",), {"by": 10}, shown=False))
    assert other.by_name["first"].parameters == {"by": 10}
    assert len(other.steps) == 3
    assert [step.name for step in CHAIN.only("second").steps] == ["second", "first"]
    with pytest.raises(ValueError, match=r"Pipeline\.only: needs steps among last, second, first"):
        CHAIN.only("third")


def test_a_sweep_shares_all_that_is_before_it(tmp_path):
    swept = CHAIN.sweep("second", by=(5.0, 7.0))
    names = [step.name for step in swept.order]
    assert names == ["first", "second", "last", "second_by_5.0", "last_by_5.0", "second_by_7.0",
                     "last_by_7.0"]  # fmt: skip
    plus.calls.clear()
    found = run(swept, dataset())
    assert plus.calls == [1.0, 2.0, 5.0, 7.0]
    np.testing.assert_array_equal(found["plus_twice_by_7.0"], dataset()["v"] + 8)
    np.testing.assert_array_equal(found["total_by_5.0"], (2 * dataset()["v"] + 6).sum("sample"))
    with pytest.raises(ValueError, match=r"Pipeline\.sweep: needs steps among"):
        CHAIN.sweep("nothing", by=(1,))


def test_seeds_reach_the_steps_that_have_one_and_none_of_their_own():
    given = CHAIN.given({"second": {"seed": 9}}, seed=4)
    assert {s.name: s.parameters.get("seed") for s in given.steps} == {
        "last": None, "second": 9, "first": 4,
    }  # fmt: skip


def test_a_failing_step_tells_where_and_why():
    with pytest.raises(StepFailed) as caught:
        run(Pipeline((Step("b", broken, ("v",)),)), dataset())
    assert str(caught.value) == "step 'b': broken: needs more; got less. Give more."
    assert isinstance(caught.value.__cause__, ValueError)


def test_names_that_are_taken_are_an_error_and_dimensions_get_the_name_of_the_step():
    class clash(stages.Stage):
        """Give `plus` too."""

        @staticmethod
        def compute(data):
            return data.rename("plus")

    class short(stages.Stage):
        """Give another feature axis."""

        @staticmethod
        def compute(data):
            return data.isel(feature=[0]).rename("short")

    one = Step("one", plus, ("v",))
    with pytest.raises(StepFailed, match=r"step 'two': needs names of its own .* got plus, which"):
        run(Pipeline((one, Step("two", clash, ("v",)))), dataset())
    found = run(Pipeline((one, Step("two", short, ("v",)))), dataset())
    assert found["short"].dims == ("sample", "feature_two")


def test_a_warm_run_reads_one_file_and_no_intermediate(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "worth", lambda seconds, n_bytes: True)
    cold = run(CHAIN, dataset(), Store(tmp_path))
    assert len(list(tmp_path.rglob("*.nc"))) == 4
    read, seen = netcdf.read, []
    monkeypatch.setattr(netcdf, "read", lambda path: seen.append(path.parts[-3]) or read(path))
    plus.calls.clear()
    xr.testing.assert_identical(run(CHAIN, dataset(), Store(tmp_path)), cold)
    assert seen == ["pipeline"]
    seen.clear()
    changed = CHAIN.extend(Step("last", total, ("second",)))
    run(changed, dataset(), Store(tmp_path))
    # `second` is shown and an input; `first` is neither read nor computed; none is read back
    assert seen == ["plus"]
    assert not plus.calls


def test_explain_tells_what_differs_from_the_nearest_run(tmp_path):
    store = Store(tmp_path)
    assert explain(CHAIN, dataset(), Store(None)) == "miss: run: Store(None) keeps nothing"
    run(CHAIN, dataset(), store)
    run(CHAIN.given({"first": {"by": 9}}), dataset(5), store)
    assert explain(CHAIN, dataset(), store).startswith("hit: run: ")
    other = CHAIN.given({"second": {"by": 3.5}}).extend(Step("first", plus, ("w",), shown=False))
    text = explain(other, dataset(), store)
    assert text.splitlines()[:-1] == [
        "miss: run: the nearest of 2 entries differs",
        '  step first inputs: stored ["v"], now ["w"]',
        "  step second parameter by: stored 2.0, now 3.5",
    ]
    assert text.splitlines()[-1].startswith("  variable w: stored nothing, now ")


@pytest.mark.parametrize("victim", ["plus", "total", "pipeline"])
def test_damage_inside_a_chain_is_mended(tmp_path, monkeypatch, victim):
    monkeypatch.setattr(running, "worth", lambda seconds, n_bytes: True)
    cold = run(CHAIN, dataset(), Store(tmp_path))
    for file in [*(tmp_path / victim).rglob("*.nc"), *(tmp_path / "pipeline").rglob("*.nc")]:
        file.write_bytes(file.read_bytes()[:-300])
    for _ in range(2):
        xr.testing.assert_identical(run(CHAIN, dataset(), Store(tmp_path)), cold)
    plus.calls.clear()
    xr.testing.assert_identical(run(CHAIN, dataset(), Store(tmp_path)), cold)
    assert not plus.calls


@pytest.mark.parametrize("name", PIPELINES)
def test_presets_print_and_take_what_a_dataset_has(name):
    pipeline = PIPELINES[name]
    assert str(pipeline).count("\n") == len(pipeline.steps) + 1
    assert all(step.stage.__doc__ for step in pipeline.steps)
    needed = pipeline.without([s.name for s in pipeline.steps if s.optional])
    assert set(needed.variables) <= {"relevance"}


def test_clusters_are_counted_against_variables_of_the_dataset():
    ds = dataset(40).assign(prediction=("sample", np.arange(40) % 3))
    steps = (
        Step("kmeans", stages.kmeans, ("v",), {"n_clusters": [2, 3]}),
        Step("contingency", stages.contingency, ("kmeans", "prediction")),
    )
    found = run(Pipeline(steps), ds)
    assert found["count_prediction"].dims == ("n_clusters", "cluster", "prediction")
    assert found["count_prediction"].sum() == 80
