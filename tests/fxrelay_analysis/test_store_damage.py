"""The Store under damage, full disks, kills and several writers."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import unicodedata
import warnings

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import Store, netcdf, stages
from tests.fxrelay_analysis.toys import counted, mixed, odd


def _files(store):
    return sorted(store.path.rglob("*.nc"))


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_a_miss(store, data, keep):
    expected = store.cache(mixed)(data)
    (file,) = _files(store)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    assert store.explain(mixed, data).startswith("miss")
    assert store.cache(mixed)(data).identical(expected)
    assert store.explain(mixed, data).startswith("hit")


def test_flipped_bits_never_change_a_result(store, data):
    expected = store.cache(mixed)(data)
    (file,) = _files(store)
    content = file.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(content), 60):
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        assert store.cache(mixed)(data).identical(expected)


def test_garbage_and_a_file_under_another_key_are_misses(store, data):
    store.cache(counted)(data)
    (one,) = _files(store)
    expected = store.cache(counted)(data, by=2.0)
    other = next(file for file in _files(store) if file != one)
    other.write_bytes(one.read_bytes())
    assert store.cache(counted)(data, by=2.0).identical(expected)
    other.write_bytes(b"not netCDF")
    assert store.cache(counted)(data, by=2.0).identical(expected)


def test_a_result_that_no_file_keeps_is_returned_with_a_warning(store, data):
    with pytest.warns(UserWarning, match="Store: needs to write odd to .*is returned but not kept"):
        result = store.cache(odd)(data)
    assert result.identical(odd(data))


@pytest.mark.parametrize(
    "ds",
    [
        xr.Dataset({unicodedata.normalize("NFD", "é"): ("d", np.arange(3.0))}),
        xr.Dataset({"text": ("d", np.array(["a\0b"], object))}),
        xr.Dataset({256 * "n": ("d", np.arange(3.0))}),
        xr.DataTree.from_dict({unicodedata.normalize("NFD", "é"): xr.Dataset({"v": ("d", [1.0])})}),
        xr.Dataset({"a": ("x", [1.0, 2.0])}, {"q": (("q", "x"), np.ones((3, 2)))}),
    ],
)
def test_what_a_file_would_change_is_read_back_and_not_kept(store, ds):
    with pytest.warns(UserWarning, match="its content does not survive the file"):
        held = store.keep("odd", {"key": 1}, ds)
    assert held.value.identical(ds)
    assert not _files(store)


def test_a_tree_of_any_shape_is_kept(store):
    one = xr.Dataset({"v": ("x", np.arange(3.0))})
    tree = xr.DataTree.from_dict({"/b": one, "/b/c": one, "/a": one, "/a/d/e": one})
    store.keep("tree", {"key": 1}, tree)
    assert Store(store.path).recall("tree", {"key": 1}).value.identical(tree)


def test_a_full_disk_costs_no_result(store, data, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(netcdf, "write", full)
    with pytest.warns(UserWarning, match="Store") as caught:
        result = store.cache(counted)(data)
    assert str(caught[0].message) == (
        f"Store: needs to write counted to {str(store.path)!r}; got: [Errno 28] No space left on "
        "device. "
        "The result is returned but not kept. Free some space or change what the stage returns."
    )
    assert result.identical(counted(data))


def _features() -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(60, 5))
    return xr.DataArray(values, {"sample": np.arange(60)}, ("sample", "feature"))


def _work(path):
    warnings.simplefilter("error")
    near = Store(path).cache(stages.neighbours)
    return [near(_features(), n_neighbours=k) for k in range(3, 9)]


def test_eight_writers_share_a_folder(tmp_path):
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        results = pool.map(_work, [tmp_path] * 8, chunksize=1)
    for found in results:
        for a, k in zip(found, range(3, 9), strict=True):
            assert a.identical(stages.neighbours(_features(), n_neighbours=k))
    assert len(list(tmp_path.rglob("*.nc"))) == 6
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_killed_writer_leaves_a_usable_store(tmp_path):
    code = """
        import sys, numpy as np, xarray as xr, pathlib
        from fxrelay_analysis import Store, stages, netcdf
        write = netcdf.write_atomically
        def slow(path, fill, flush):
            def half(p):
                fill(p)
                p.write_bytes(p.read_bytes()[:1000])
                print("half", flush=True)
                import time; time.sleep(60)
            write(path, half)
        netcdf.write_atomically = slow
        x = xr.DataArray(np.random.default_rng(0).normal(size=(60, 5)),
                         {"sample": np.arange(60)}, ("sample", "feature"))
        Store(sys.argv[1]).cache(stages.neighbours)(x)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*.nc"))
    store = Store(tmp_path)
    result = store.cache(stages.neighbours)(_features())
    assert result.identical(stages.neighbours(_features()))
    assert store.explain(stages.neighbours, _features()).startswith("hit")
