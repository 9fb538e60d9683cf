"""Size limit, pruning and stray files of a Store; safe beside readers and writers."""

import multiprocessing
import os
import time
from datetime import timedelta

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import Store, stages
from tests.fxrelay_analysis.toys import counted, mixed, named

SMALL = xr.DataArray(np.zeros(300), dims="sample")


def files(store):
    return sorted(store.path.rglob("*.nc"))


def fill(store, n, first=0):
    """Keep `n` results of equal size, each used later than the one before."""
    for i in range(first, first + n):
        store.cache(counted)(SMALL, by=float(i))
        for file in files(store):
            if file.stat().st_atime > time.time() - 5:
                os.utime(file, (1e9 + i, file.stat().st_mtime))


def kept(store):
    return [i for i in range(12) if store.explain(counted, SMALL, by=float(i)).startswith("hit")]


def test_prune_without_arguments_removes_only_what_killed_writers_left(store, data):
    store.cache(counted)(data)
    folder = files(store)[0].parent
    for name, age in ((".a.nc.0.tmp", 2), (".b.nc.0.tmp", 7200)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    done = store.prune()
    assert (done.n_removed, done.n_left, done.bytes_removed) == (0, 1, 0)
    assert done.bytes_left == files(store)[0].stat().st_size
    assert [p.name for p in store.path.rglob("*.tmp")] == [".a.nc.0.tmp"]


def test_prune_by_size_removes_what_was_used_least_recently(store):
    fill(store, 6)
    size = files(store)[0].stat().st_size
    done = store.prune(max_bytes=int(2.5 * size))
    assert (done.n_removed, done.n_left) == (4, 2)
    assert done.bytes_left == 2 * size
    assert kept(store) == [4, 5]
    assert store.prune(max_bytes=0).n_left == 0


def test_a_hit_counts_as_use(store):
    fill(store, 4)
    store.cache(counted)(SMALL, by=0.0)
    size = files(store)[0].stat().st_size
    store.prune(max_bytes=2 * size)
    assert kept(store) == [0, 3]


def test_prune_by_age_and_by_stage(store, data):
    fill(store, 3)
    store.cache(mixed)(data)
    assert store.prune(older_than=timedelta(days=1), stage=mixed).n_removed == 0
    assert store.prune(older_than=3600.0).n_removed == 3
    store.cache(named)(data)
    assert store.prune(stage="named").n_removed == 1
    assert store.explain(mixed, data).startswith("hit")
    assert Store(None).prune(max_bytes=0) == (0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"Store\.prune: needs max_bytes and older_than >= 0; got"):
        store.prune(max_bytes=-1)
    with pytest.raises(ValueError, match=r"Store: needs max_bytes >= 0; got -1\. None is no limit"):
        Store(store.path, max_bytes=-1)


def test_a_store_keeps_to_its_size(tmp_path):
    counted.calls.clear()
    fill(Store(tmp_path), 1)
    size = files(Store(tmp_path))[0].stat().st_size
    store = Store(tmp_path, max_bytes=4 * size)
    fill(store, 8, first=1)
    assert len(files(store)) <= 4
    assert kept(store)[-3:] == [6, 7, 8]
    tiny = Store(tmp_path, max_bytes=10)
    result = tiny.cache(counted)(SMALL, by=20.0)
    assert result.identical(counted(SMALL, by=20.0))
    assert files(tiny) == []


def test_what_was_read_stays_when_its_file_goes(store, data):
    result = store.cache(mixed)(data)
    store.prune(max_bytes=0)
    assert result.identical(mixed(data))
    assert store.cache(mixed)(data).identical(result)


def _churn(path):
    store = Store(path)
    near = store.cache(stages.flatten)
    for i in range(8):
        x = xr.DataArray(np.full((5, 2), i % 3 + 0.5), {"sample": np.arange(5)}, ("sample", "y"))
        if not near(x).identical(stages.flatten(x)):
            return "wrong"
        if i % 4 == 0:
            store.prune(max_bytes=0)
    return "right"


def test_pruning_beside_readers_and_writers_never_gives_a_wrong_result(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_churn, [tmp_path] * 3, chunksize=1) == ["right"] * 3


def test_a_folder_that_may_only_be_read_still_gives_hits(store, data, monkeypatch):
    expected = store.cache(mixed)(data)

    def denied(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "utime", denied)
    assert store.cache(mixed)(data).identical(expected)
