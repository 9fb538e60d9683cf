"""The Store: hits identical to fresh results, never stale, never broken by damage."""

import pickle

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import Store
from fxrelay_analysis import store as store_module
from tests.fxrelay_analysis.toys import counted, mixed, named, tree


@pytest.mark.parametrize("stage", [counted, mixed, tree, named])
def test_a_hit_is_identical_to_a_fresh_result(store, data, stage):
    fresh = stage(data)
    results = [
        store.cache(stage)(data),
        store.cache(stage)(data),
        Store(store.path).cache(stage)(data),
    ]
    assert store.explain(stage, data).startswith("hit: ")
    for result in results:
        assert type(result) is type(fresh)
        assert result.identical(fresh)
        assert store_module.digest(result) == store_module.digest(fresh)


def test_the_second_call_computes_nothing(store, data):
    add = store.cache(counted)
    for _ in range(3):
        add(data)
        add(data.copy())
    assert len(counted.calls) == 1
    add(data, by=2.0)
    assert len(counted.calls) == 2


def test_store_none_computes_every_time(data):
    counted.calls.clear()
    add = Store(None).cache(counted)
    assert add(data).identical(add(data))
    assert len(counted.calls) == 2


def test_a_chain_hashes_no_result_again(store, data, monkeypatch):
    add = store.cache(counted)
    add(add(data))
    hashed = []
    monkeypatch.setattr(
        store_module, "digest", lambda o: hashed.append(o) or store_module_digest(o)
    )
    first = add(data)
    before = len(hashed)
    add(first)
    assert all(item is not first for item in hashed[before:])


store_module_digest = store_module.digest


def _assign(d):
    d["more"] = d["bool"]


def _replace(d):
    d["a_grid"] = d["a_grid"] + 1


def _values(d):
    d["a_grid"].values = d["a_grid"].values + 1


def _coordinate(d):
    d["sample"] = [1, 2, 3]


def _delete(d):
    del d["half"]


def _attrs(d):
    d.attrs["list"].append(4)


def _variable_attrs(d):
    d["a_grid"].attrs["units"] = "m"


def _rename(d):
    d["a_grid"] = d["a_grid"].rename(y="z")


MUTATIONS = [_assign, _replace, _values, _coordinate, _delete, _attrs, _variable_attrs, _rename]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_a_changed_result_is_digested_anew(store, data, mutate):
    result = store.cache(mixed)(data)
    known = store._known.digest(result)
    mutate(result)
    assert store._known.digest(result) == store_module.digest(result) != known
    assert store.cache(mixed)(data).identical(mixed(data))


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["a_grid"].values.__setitem__(0, 5),
        lambda d: d["a_grid"].__setitem__(0, 5),
        lambda d: d["a_grid"].values.sort(),
        lambda d: d["a_grid"].values.setflags(write=True),
        lambda d: d.__setitem__({"sample": 0}, 3),
        lambda d: d["sample"].values.__setitem__(0, 5),
    ],
)
def test_arrays_of_a_result_cannot_be_written(store, data, edit):
    result = store.cache(mixed)(data)
    with pytest.raises((ValueError, TypeError)):
        edit(result[["a_grid"]])
    assert result.identical(mixed(data))


def test_arithmetic_and_copies_are_new_content(store, data):
    first = store.cache(counted)(data)
    copy = first.copy(deep=True)
    copy.values[0] = -1
    for other in (first + 1, copy, first.rename("w"), first.isel(sample=[0])):
        assert store._known.digest(other) == store_module.digest(other)
        assert store._known.digest(other) != store._known.digest(first)
    first.name = "renamed"
    assert store._known.digest(first) == store_module.digest(first)


def test_inputs_of_the_user_stay_writable(store, data):
    store.cache(counted)(data)
    data.values[0, 0] = 100
    assert store.cache(counted)(data).values[0, 0] == 101


def test_results_do_not_stay_in_memory(store, data):
    result = store.cache(counted)(data)
    assert len(store._known._entries) == 1
    del result
    assert not store._known._entries


def _files(store):
    return sorted(store.path.rglob("*.nc"))


def test_explain_names_the_part_that_differs(store, data):
    label = f"{counted.__module__}.counted"
    assert Store(None).explain(counted, data) == f"miss: {label}: Store(None) keeps nothing"
    assert store.explain(counted, data) == f"miss: {label}: no entry of this stage"
    store.cache(counted)(data)
    assert store.explain(counted, data) == f"hit: {label}: {_files(store)[0].stem}"
    assert store.explain(counted, data, by=3) == (
        f"miss: {label}: the nearest of 1 entries differs\n  parameter by: stored 1.0, now 3"
    )
    _files(store)[0].write_bytes(_files(store)[0].read_bytes().replace(b"\0" * 8, b"\1" * 8, 1))
    text = store.explain(counted, data + 1)
    assert text.startswith(f"miss: {label}: ")


def test_unknown_parameters_and_inputs_are_refused_in_full(store, data):
    with pytest.raises(TypeError) as caught:
        store.cache(counted)(data, bye=1, too=2)
    assert str(caught.value) == (
        "counted: needs parameters among by; got bye, too. Rename or drop them."
    )
    with pytest.raises(TypeError) as caught:
        store.cache(counted)(data.values)
    assert str(caught.value) == (
        "counted: needs Datasets, DataArrays or DataTrees as inputs; got ndarray. "
        "Wrap arrays as xarray.DataArray, pass the rest by name."
    )
    with pytest.raises(TypeError) as caught:
        store.cache(len)
    assert str(caught.value) == (
        "Store.cache: needs a stage (a subclass of stages.Stage); got <built-in function len>. "
        "Wrap your function in one: it declares a version and its parameters."
    )


def test_an_attribute_without_exact_form_is_refused(store, data):
    with pytest.raises(TypeError, match="digest: needs None, bool"):
        store.cache(counted)(data.assign_attrs(a=lambda: 0))


def test_an_unwritable_folder_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Store: needs a folder that it can write; got"):
        Store(tmp_path / "file")


def test_a_store_travels_by_pickle(store, data):
    store.cache(counted)(data)
    again = pickle.loads(pickle.dumps(store))
    assert again.explain(counted, data).startswith("hit")
    assert pickle.loads(pickle.dumps(Store(None))).path is None


def test_nobody_can_unlock_the_memory_of_a_result(store, data):
    result = store.cache(counted)(data)
    array = result.values
    while isinstance(array, np.ndarray):
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.flags.writeable = True
        array = array.base
    assert isinstance(array, bytes)


def test_parts_of_trees_and_bare_coordinates_are_kept(store, data):
    class part(tree):
        @staticmethod
        def compute(data):
            return tree.compute(data)["g/h"]

    class bare(named):
        @staticmethod
        def compute(data):
            return data.drop_indexes("sample")

    for stage in (part, bare):
        result = store.cache(stage)(data)
        assert store.explain(stage, data).startswith("hit")
        assert store_module.digest(result) == store_module.digest(stage(data))
    assert not result.xindexes
    given = tree(data)["g/h"]
    assert store.cache(part)(data).to_dataset().identical(given.to_dataset())


def test_foreign_files_in_the_folder_are_passed_over(store, data):
    store.cache(counted)(data)
    xr.Dataset(attrs={"fxrelay_store": '{"key": {"stage": "x"}}'}).to_netcdf(
        store.path / "counted" / "foreign.nc"
    )
    assert "nearest of 1 entries" in store.explain(counted, data, by=7.0)
