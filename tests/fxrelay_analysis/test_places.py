"""The same tree wherever categories run; what a failure and an interruption cost."""

import functools
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import param
import pytest
import xarray as xr
from threadpoolctl import threadpool_info

from fxrelay.execute import Dask, Processes, Serial
from fxrelay_analysis import Store, running, spray, stages
from fxrelay_analysis.pipeline import Pipeline, Step
from fxrelay_analysis.presets import SPRAY
from fxrelay_analysis.progress import Progress
from fxrelay_analysis.running import StepFailed
from fxrelay_analysis.threads import one_thread
from tests.fxrelay_analysis.test_spray import FAST, relevance


class touchy(stages.Stage):
    """Mean per sample; fails where the class is the one that `bad` says."""

    bad = param.Integer(-1, doc="The class that fails.")
    how = param.Selector(default="value", objects=["value", "zero", "odd", "stop"], doc="How.")

    @staticmethod
    def compute(data, label, *, bad, how):
        if (label == bad).any():
            fail(how)
        return data.mean([d for d in data.dims if d != "sample"]).rename("touchy")


class Odd(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def fail(how):
    if how == "value":
        raise ValueError("touchy: needs another class; got this.")
    if how == "odd":
        raise Odd("one", "two")
    if how == "stop":
        raise KeyboardInterrupt
    return 1 // 0


TOUCHY = Pipeline(
    (
        Step("touchy", touchy, ("relevance", "label")),
        Step("pool", stages.pool, ("relevance",), shown=False),
        Step("flat", stages.flatten, ("pool",), shown=False),
        Step("after", stages.neighbours, ("flat",), {"n_neighbours": 3}),
    )
)
quiet = functools.partial(spray, progress=False)


@pytest.fixture(scope="module")
def ds():
    return relevance().isel(sample=slice(0, 150))


def test_serial_processes_and_dask_give_the_same_bits(ds, tmp_path):
    from distributed import Client, LocalCluster

    expected = quiet(ds, parameters=FAST)
    lazy = ds.chunk({"sample": 40})
    with Processes(2) as place:
        for data, folder in ((ds, "a"), (lazy, "b")):
            found = quiet(data, parameters=FAST, executor=place, store=Store(tmp_path / folder))
            xr.testing.assert_identical(found, expected)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as c,
        Client(c) as client,
        Dask(client) as place,
    ):
        xr.testing.assert_identical(quiet(lazy, parameters=FAST, executor=place), expected)
        with pytest.raises(StepFailed, match="spray: category 'b': step 'touchy': Odd: one two"):
            quiet(ds, pipeline=TOUCHY, parameters={"touchy": {"bad": 1, "how": "odd"}},
                  executor=place, errors="raise")  # fmt: skip


@pytest.mark.parametrize("how", ["value", "zero", "odd"])
def test_a_category_that_fails_does_not_lose_the_others(ds, how):
    given = {"touchy": {"bad": 1, "how": how}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = quiet(ds, pipeline=TOUCHY, parameters=given)
    reason = {"value": "touchy: needs another class; got this.", "odd": "Odd: one two",
              "zero": "ZeroDivisionError: integer division or modulo by zero"}[how]  # fmt: skip
    assert tree["b"].attrs["failed"] == tree["b"].attrs["not_analysed"] == f"touchy: {reason}"
    assert "neighbour" in tree["b"]
    assert "touchy" not in tree["b"]
    assert all("touchy" in tree[name] and "failed" not in tree[name].attrs for name in "ac")
    messages = [] if how == "value" else [
        f"spray: category 'b': touchy: {reason}. The group tells what it lacks; errors='raise' "
        "shows where it happened."
    ]  # fmt: skip
    assert [str(w.message) for w in caught] == messages


def test_threads_do_not_lift_the_limit_for_one_another():
    def blas():
        return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}

    entered, leave, done = threading.Event(), threading.Event(), []

    def other():
        with one_thread():
            entered.set()
            leave.wait(10)
        done.append(blas())

    before, thread = blas(), threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert entered.wait(10)
        assert blas() == {1}
    assert blas() == {1}
    leave.set()
    thread.join()
    assert done == [before]


def test_threads_of_one_process_give_the_same_bits_and_share_a_store(ds, tmp_path):
    expected, store = quiet(ds, parameters=FAST), Store(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: quiet(ds, parameters=FAST, store=store), range(4)))
    for tree in found:
        xr.testing.assert_identical(tree, expected)


def test_errors_may_be_raised_with_their_cause(ds):
    given = {"touchy": {"bad": 1, "how": "zero"}}
    with pytest.raises(StepFailed) as caught:
        quiet(ds, pipeline=TOUCHY, parameters=given, errors="raise")
    assert str(caught.value) == (
        "spray: category 'b': step 'touchy': ZeroDivisionError: integer division or modulo by zero"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with Processes(1) as place, pytest.raises(StepFailed) as caught:
        quiet(ds, pipeline=TOUCHY, parameters=given, errors="raise", executor=place)
    assert "1 // 0" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="spray: needs errors='report' or 'raise'; got 'ignore'"):
        quiet(ds, errors="ignore")


def test_an_interruption_loses_nothing_that_was_finished(ds, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "worth", lambda seconds, n_bytes: True)
    calls = []
    compute = stages.neighbours.compute

    def counting(features, **given):
        calls.append(len(features))
        return compute(features, **given)

    monkeypatch.setattr(stages.neighbours, "compute", staticmethod(counting))
    with pytest.raises(KeyboardInterrupt):
        quiet(ds, pipeline=TOUCHY, store=Store(tmp_path),
              parameters={"touchy": {"bad": 2, "how": "stop"}})  # fmt: skip
    assert calls == [40, 60]
    tree = quiet(ds, pipeline=TOUCHY, store=Store(tmp_path))
    assert calls == [40, 60, 50]
    xr.testing.assert_identical(tree, quiet(ds, pipeline=TOUCHY))


def test_branches_and_other_variables_reach_the_tree_under_their_names(ds):
    pipeline = SPRAY.only("spectral_embedding", "kmeans").extend(
        Step("kmeans_tsne", stages.kmeans, ("tsne",), {"n_clusters": [2, 4], "leading": False},
             suffix="tsne"),
        Step("tsne", stages.tsne, ("spectral_embedding",), FAST["tsne"]),
        Step("latent", stages.pool, ("relevance_at_fc",), optional=True),
    )  # fmt: skip
    tree = quiet(ds, pipeline=pipeline)
    group = tree["a"].to_dataset()
    assert tree.attrs["left_out"] == "latent"
    assert group["clustering_kmeans"].dims == ("sample", "n_clusters")
    assert group["clustering_kmeans_tsne"].dims == ("sample", "n_clusters_tsne")
    assert group["n_clusters_tsne"].values.tolist() == [2, 4]
    assert not tree["ranking"]["analysed"].any()
    latent = ds.assign(relevance_at_fc=("sample", np.arange(150.0)))
    assert "left_out" not in quiet(latent, pipeline=pipeline).attrs


def test_unknown_pipelines_and_missing_variables_are_refused_before_work_starts(ds):
    with pytest.raises(ValueError, match="spray: needs a Pipeline or the name of one, spray"):
        quiet(ds, pipeline="spry")
    with pytest.raises(ValueError, match="step 'touchy': no step and no variable named label"):
        quiet(ds.rename(label="kind"), category="kind", pipeline=TOUCHY)


def test_the_bar_counts_steps_here_and_categories_elsewhere():
    bar = Progress(3, 4, shown=False)
    drawn = Progress(3, 4, shown=True)
    for one in (bar, drawn):
        one.step()
        one.category("a")
        one.category("b")
    assert drawn._bar.n == 8
    drawn.close()
    assert pickle.loads(pickle.dumps(drawn))._bar.disable


@pytest.mark.parametrize("kind", ["one of each", "two alike", "constant", "huge ids", "few"])
def test_bad_categories_are_told_in_the_tree(kind):
    ds = relevance().isel(sample=slice(0, 60))
    if kind == "one of each":
        ds = ds.assign(label=("sample", np.arange(60))).drop_vars("class")
    if kind == "two alike":
        ds = ds.assign(relevance=ds["relevance"].isel(sample=0).broadcast_like(ds["relevance"]))
        ds["relevance"] = ds["relevance"].transpose("sample", "channel", "y", "x")
    if kind == "constant":
        ds["relevance"] = xr.zeros_like(ds["relevance"])
    if kind == "huge ids":
        ids = np.arange(60, dtype=np.int64) + 2**62
        ds = ds.assign_coords(sample=ids).assign(label=("sample", np.full(60, 2**62)))
    if kind == "few":
        ds = ds.isel(sample=[0, 1, 41])
    tree = quiet(ds, parameters=FAST)
    groups = [group for name, group in tree.children.items() if name != "ranking"]
    assert sum(group.sizes["sample"] for group in groups) == ds.sizes["sample"]
    for group in groups:
        told = group.attrs.get("not_analysed", "")
        assert ("suspicion" in group) != bool(told)
        if kind in ("one of each", "few"):
            assert told.startswith("neighbours: neighbours: needs more samples than")
        if kind == "huge ids":
            assert group.attrs["category"] == str(2**62)
            assert group["prototype"].isel(cluster=0).isin(group["sample"]).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda ds: ds.isel(sample=slice(0, 0)),
         "spray: needs samples; got none. Look at how they were selected."),
        (lambda ds: ds.drop_vars("label"), "spray: needs category='label' as a variable with dims"),
        (lambda ds: ds.assign(relevance=ds["relevance"].expand_dims(
            {"target": 2, "condition": 1}, axis=(1, 2))),
         "spray: needs one explained target and condition per sample; got the dimension 'target' "
         "and 'condition'. Pick one with ds.isel(target=0, condition=0)."),
        (lambda ds: ds.transpose("x", ..., "sample"), "'relevance' needs 'sample' as"),
        (lambda ds: ds.assign_coords(sample=np.zeros(150, int)),
         "'sample' ids need to be unique; got [0] more than once."),
        (lambda ds: ds.assign(label=-ds["label"]).drop_vars("class"), "got ['-1', '-2']. Rename"),
    ],
)  # fmt: skip
def test_bad_data_are_refused_before_work_starts(ds, change, text):
    with pytest.raises(ValueError, match=r"spray|validate") as caught:
        quiet(change(ds))
    assert text in str(caught.value)


def _square(x):
    if x == 7:
        raise Odd("seven", "is odd")
    return x * x


def test_executors_keep_the_order_and_the_cause():
    with Processes(2) as place:
        assert list(place.map(_square, iter(range(7)))) == [x * x for x in range(7)]
        results = place.map(_square, range(9))
        assert [next(results) for _ in range(7)] == [x * x for x in range(7)]
        with pytest.raises(RuntimeError, match=r"^Odd: seven is odd\n\nTraceback") as caught:
            next(results)
        assert "in _square" in str(caught.value)
    with pytest.raises(ValueError, match="Processes: needs workers >= 1; got 0"):
        Processes(0)
    with Serial() as place, pytest.raises(Odd):
        list(place.map(_square, [7]))


def _die(x):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_an_error_with_a_remedy():
    with Processes(1) as place, pytest.raises(RuntimeError) as caught:
        list(place.map(_die, [1]))
    assert str(caught.value) == (
        "Processes: needs workers that live; one was killed, perhaps for want of memory, or could "
        "not start. Use fewer workers, and call again: what is kept is not made again."
    )


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    with Processes(1) as place:
        results = place.map(abs, items())
        next(results)
        assert len(taken) == 2
        results.close()
