"""Equal digest if and only if equal content."""

import doctest
import enum
import pickle
import subprocess
import sys

import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fxrelay_analysis import digest, digesting
from fxrelay_analysis.canonical import decode, encode, text


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def sample() -> xr.Dataset:
    return xr.Dataset(
        {"a": (("sample", "y"), np.arange(6.0).reshape(2, 3)), "b": ("sample", ["x", "yy"])},
        coords={"sample": [3, 4], "day": ("sample", np.array(["2001", "2002"], "M8[D]"))},
        attrs={"k": [1, 2.0], "deep": {"n": None}},
    )


CHANGES = {
    "value": lambda d: d.assign(a=d["a"] + 1e-300),
    "one bit": lambda d: d.assign(a=d["a"] * (1 + 2**-52)),
    "negative zero": lambda d: d.assign(a=d["a"].where(d["a"] != 0, -0.0)),
    "dtype": lambda d: d.assign(a=d["a"].astype(np.float32)),
    "dims order": lambda d: d.transpose(),
    "dim name": lambda d: d.rename(y="x"),
    "variable name": lambda d: d.rename(a="c"),
    "coordinate": lambda d: d.assign_coords(sample=[3, 5]),
    "coordinate to variable": lambda d: d.reset_coords("day"),
    "date": lambda d: d.assign_coords(day=d["day"] + np.timedelta64(1, "D")),
    "text": lambda d: d.assign(b=("sample", ["x", "yz"])),
    "attrs": lambda d: d.assign_attrs(k=[1, 3.0]),
    "attr type": lambda d: d.assign_attrs(k=[True, 2.0]),
    "nested attr": lambda d: d.assign_attrs(deep={"n": 0}),
    "variable attr": lambda d: d.assign(a=d["a"].assign_attrs(units="1")),
    "dropped": lambda d: d.drop_vars("b"),
    "fewer": lambda d: d.isel(sample=[0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_the_digest(change):
    assert digest(CHANGES[change](sample())) != digest(sample())


def test_the_order_of_names_does_not_matter():
    ds = sample()
    turned = ds[["b", "a"]].assign_attrs(dict(reversed(ds.attrs.items())))
    turned.attrs = dict(reversed(ds.attrs.items()))
    assert digest(turned) == digest(ds)


def test_layout_in_memory_and_laziness_do_not_matter():
    ds = sample()
    fortran = ds.assign(a=(("sample", "y"), np.asfortranarray(ds["a"].values)))
    strided = ds.assign(a=(("sample", "y"), np.repeat(ds["a"].values, 2, axis=1)[:, ::2]))
    lazy = ds.chunk({"sample": 1, "y": 2})
    assert {digest(d) for d in (fortran, strided, lazy)} == {digest(ds)}


def test_nan_payloads_differ():
    quiet = np.array([0x7FF8000000000000, 0x7FF8000000000001], np.uint64).view(np.float64)
    assert digest(quiet[:1]) != digest(quiet[1:])


def test_datatrees_and_kinds_of_object_differ():
    ds = sample()
    tree = xr.DataTree.from_dict({"/x": ds})
    assert digest(tree) == digest(xr.DataTree.from_dict({"/x": ds}))
    assert digest(tree) != digest(xr.DataTree.from_dict({"/y": ds}))
    kinds = [tree, ds, ds["a"], ds["a"].values, ds["a"].rename("c"), ds["a"].values.tolist()]
    assert len({digest(kind) for kind in kinds}) == len(kinds)


DISTINCT = [
    None, True, False, 1, 0, 1.0, 0.0, -0.0, "1", b"1", "", b"", [], (), {}, [1], (1,), {"a": 1},
    {"a": (1,)}, {1: "a"}, ["ab", "c"], ["a", "bc"], range(2, 5), range(2, 6), slice(1, 2),
    slice(None), np.float64(1), np.float32(1), np.int64(1), np.bool_(True), np.array(1),
    np.array([1]), np.array(["a"]), np.array(["a"], object), np.array(["a", None], object),
    Colour.RED, Colour.BLUE, float("inf"), 10**30, [[1], 2], [1, [2]], [{}], np.datetime64("2001"),
]  # fmt: skip


def test_different_values_have_different_digests():
    assert len({digest(value) for value in DISTINCT}) == len(DISTINCT)


@pytest.mark.parametrize("value", [v for v in DISTINCT if not isinstance(v, enum.Enum)], ids=repr)
def test_values_come_back_from_their_text(value):
    back = decode(encode(value))
    assert type(back) is type(value)
    assert text(encode(back)) == text(encode(value))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (lambda x: x, "builtins.function"),
        (object(), "builtins.object"),
        ({1, 2}, "builtins.set"),
        ([1, object()], "builtins.object"),
        ({"a": {"b": 1j}}, "builtins.complex"),
        (np.random.default_rng(0), "numpy.random._generator.Generator"),
    ],
)
def test_unknown_types_are_refused_by_name(value, name):
    with pytest.raises(TypeError) as caught:
        digest(value)
    assert str(caught.value) == (
        "digest: needs None, bool, int, float, str, list, generic, ndarray, Enum, bytes, tuple, "
        f"range, slice, cftime, Mapping or an xarray object; got {name}. Pass plain values instead."
    )


def test_masked_and_structured_arrays_are_refused():
    with pytest.raises(TypeError, match="needs plain arrays; got MaskedArray of int64"):
        digest([np.ma.masked_array([1], [True])])
    with pytest.raises(TypeError, match="needs plain arrays; got ndarray of"):
        digest(np.zeros(1, [("a", int)]))


arrays = npst.arrays(
    st.sampled_from([np.float64, np.float32, np.int16, np.bool_, np.uint8, np.dtype("U2")]),
    npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
)


@settings(deadline=None)
@given(arrays, arrays)
def test_equal_digest_means_equal_content(a, b):
    same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert (digest(a) == digest(b)) == same


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(values, values)
def test_equal_digest_means_equal_parameters(a, b):
    assert (digest(a) == digest(b)) == (text(encode(a)) == text(encode(b)))
    assert decode(encode(a)) == a


def test_the_digest_is_the_same_in_another_interpreter():
    code = "from fxrelay_analysis import digest; print(digest({'b': [1, 'x'], 'a': (None, 2.5)}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest({"a": (None, 2.5), "b": [1, "x"]})


def test_what_a_part_of_a_tree_inherits_is_its_content():
    def part(ids):
        inner = xr.Dataset({"v": ("sample", [1.0, 2.0])})
        return xr.DataTree.from_dict({"/": xr.Dataset(coords={"sample": ids}), "/a": inner})["a"]

    assert digest(part([0, 1])) != digest(part([0, 2]))
    assert digest(part([0, 1])) == digest(part([0, 1]))


def test_a_coordinate_without_an_index_differs():
    ds = sample()
    assert digest(ds.drop_indexes("sample")) != digest(ds)
    assert digest(ds["a"].drop_indexes("sample")) != digest(ds["a"])
    stacked = ds[["a"]].drop_vars("sample").stack(pair=("sample", "y"))
    assert digest(stacked) != digest(stacked.drop_indexes(["pair", "sample", "y"]))


@pytest.mark.parametrize("value", [np.ones(2, np.longdouble), [np.clongdouble(1)]])
def test_long_doubles_are_refused_for_their_undefined_bytes(value):
    with pytest.raises(TypeError, match=r"needs plain arrays; got ndarray of .* long doubles as"):
        digest(value)


def test_the_examples_of_the_docstring_hold():
    assert doctest.testmod(digesting).attempted == 4
    assert doctest.testmod(digesting).failed == 0


def test_encoding_pickles_and_flags_do_not_matter(tmp_path):
    ds = sample()
    same = pickle.loads(pickle.dumps(ds))
    same["a"].encoding["zlib"] = True
    same["a"].values.flags.writeable = False
    assert digest(same) == digest(ds)
    assert digest(ds.assign(a=ds["a"].astype(">f8"))) != digest(ds)


CALENDARS = ("noleap", "360_day", "julian", "proleptic_gregorian")


@pytest.mark.parametrize("calendar", CALENDARS)
def test_dates_of_other_calendars_count(calendar):
    days = xr.date_range("2000-01-01", periods=3, calendar=calendar, use_cftime=True)
    ds = xr.Dataset({"v": ("time", [1, 2, 3])}, {"time": days}, {"begin": days[0]})
    others = [xr.date_range("2000-01-01", periods=3, calendar=c, use_cftime=True)
              for c in CALENDARS if c != calendar]  # fmt: skip
    assert digest(ds) == digest(ds.copy(deep=True))
    changed = [
        ds.assign_coords(time=days.shift(1, "D")),
        *(ds.assign_coords(time=o) for o in others),
    ]
    assert len({digest(d) for d in [ds, *changed]}) == 2 + len(others)
    back = decode(encode(days[1]))
    assert back == days[1]
    assert text(encode(back)) == text(encode(days[1]))


def test_encoded_dates_are_the_same_from_a_file(tmp_path):
    ds = xr.Dataset({"v": ("time", [1.0, 2])}, {"time": np.array(["2001", "2002"], "M8[ns]")})
    ds.to_netcdf(tmp_path / "a.nc")
    for chunks in (None, {}):
        with xr.open_dataset(tmp_path / "a.nc", chunks=chunks) as kept:
            assert digest(kept) == digest(ds)
    with xr.open_dataset(tmp_path / "a.nc", decode_times=False) as raw:
        assert digest(raw) != digest(ds)


def test_indexes_of_several_levels_count():
    def pairs(letters):
        index = pd.MultiIndex.from_product([list(letters), [1, 2]], names=["letter", "number"])
        return xr.DataArray(
            range(4), xr.Coordinates.from_pandas_multiindex(index, "pair"), ["pair"]
        )

    assert digest(pairs("ab")) == digest(pairs("ab"))
    different = [pairs("ab"), pairs("ac"), pairs("ab").reset_index("pair"),
                 pairs("ab").drop_vars(["pair", "letter", "number"])]  # fmt: skip
    assert len(set(map(digest, different))) == 4


LAZY = [
    np.array(["a", None, 2.5], object), np.float32([[1], [2]]), np.zeros((0, 3)), np.array(1.5),
    np.array(["x", "yz"]),
]  # fmt: skip


@pytest.mark.parametrize("values", LAZY, ids=str)
def test_lazy_arrays_of_any_kind_are_the_same(values):
    plain = xr.DataArray(values)
    lazy = xr.DataArray(dask.array.from_array(values, chunks=1))
    assert digest(lazy.rename(None)) == digest(plain)  # dask's arrays have a name


def test_what_has_no_exact_form_is_named_with_its_variable():
    odd = xr.Dataset({"kind": ("x", pd.Categorical(["a", "b"]))})
    with pytest.raises(TypeError) as caught:
        digest(odd)
    assert str(caught.value) == (
        "digest: needs numpy or dask arrays; got pandas.Categorical. Convert with .to_numpy(). It "
        "is in the variable 'kind'."
    )
    with pytest.raises(TypeError, match=r"got builtins.set. .* It is in the variable 'v'\."):
        digest(xr.Dataset({"v": ("x", [1], {"deep": [{1, 2}]})}))
    some = dask.array.from_array(np.arange(9), chunks=3)
    with pytest.raises(ValueError, match="digest") as unknown:
        digest(xr.Dataset({"v": ("x", some[some > 3])}))
    assert str(unknown.value) == (
        "digest: needs arrays of known size; got dask's of shape (nan,). Use "
        ".compute_chunk_sizes() or .compute(). It is in the variable 'v'."
    )
