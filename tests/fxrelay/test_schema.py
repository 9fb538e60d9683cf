"""The validator says what is wrong and how to mend it; files are written whole or not at all."""

import re

import numpy as np
import pytest
import xarray as xr

from fxrelay import schema
from fxrelay.files import writable_folder, write_atomically, write_netcdf


def good():
    return xr.Dataset(
        {
            "relevance": (("sample", "channel", "y", "x"), np.zeros((3, 1, 2, 2))),
            "output": (("sample", "class"), np.zeros((3, 4))),
            "prediction": ("sample", np.array([0, 1, 2])),
        },
        coords={"sample": [10, 11, 12], "target": ("sample", [3, 2, 1])},
    )


def test_good_dataset_passes_unchanged():
    ds = good()
    assert schema.validate(ds) is ds


FAULTS = {
    "no relevance": (
        lambda ds: ds.rename(relevance="attribution"),
        "needs the variable 'relevance'; got attribution, output, prediction. "
        "Rename yours with ds.rename(...).",
    ),
    "sample not first": (
        lambda ds: ds.transpose("class", ...),
        "'output' needs 'sample' as its first dimension; got ('class', 'sample'). "
        "Use ds.rename(...) or ds.transpose('sample', ...).",
    ),
    "no ids": (
        lambda ds: ds.drop_vars("sample"),
        "needs sample ids as the coordinate 'sample'; got none. "
        "Use ds.assign_coords(sample=range(ds.sizes['sample'])).",
    ),
    "ids twice": (
        lambda ds: ds.assign_coords(sample=[1, 1, 2]),
        "'sample' ids need to be unique; got [1] more than once. Use ds.drop_duplicates().",
    ),
    "unknown dimensions": (
        lambda ds: ds.rename(y="height", x="width"),
        "'relevance' needs ('sample', ['target'], ['condition'], ...) with "
        "('channel', 'y', 'x') or ('channel', 'time', 'y', 'x') or ('channel', 'x') or "
        "('token',) or ('token', 'feature') or ('feature',); got "
        "('channel', 'height', 'width'). Rename with ds.rename(...).",
    ),
    "wrong type": (
        lambda ds: ds.assign(prediction=ds.prediction.astype(float)),
        "'prediction' needs to be integer; got float64. Use .astype(...).",
    ),
    "not finite": (
        lambda ds: ds.assign(relevance=ds.relevance.where(ds.sample != 11)),
        "'relevance' needs to be finite; got NaN or infinity in 1 of 3 samples, first at "
        "position 1. Drop them with ds.isel(sample=...).",
    ),
    "label out of range": (
        lambda ds: ds.assign(label=("sample", [0, 4, -1])),
        "'label' needs values in 0..3; got -1..4. Mend the ids.",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named_with_its_remedy(fault):
    spoil, text = FAULTS[fault]
    with pytest.raises(schema.SchemaError, match=re.escape(text)):
        schema.validate(spoil(good()))


def test_all_faults_are_listed_at_once():
    ds = good().assign_coords(sample=[1, 1, 2]).assign(prediction=("sample", np.zeros(3)))
    with pytest.raises(schema.SchemaError) as caught:
        schema.validate(ds)
    assert str(caught.value).splitlines() == [
        "validate: the Dataset does not follow schema version 1:",
        "  - 'sample' ids need to be unique; got [1] more than once. Use ds.drop_duplicates().",
        "  - 'prediction' needs to be integer; got float64. Use .astype(...).",
    ]


def test_describe_sets_names_and_units_once():
    ds = schema.describe(good().assign(sink_stabilizer=("sample", np.zeros(3))))
    assert ds.relevance.attrs["long_name"] == "relevance of the input"
    assert ds.sink_stabilizer.attrs["long_name"] == "relevance absorbed by stabilizer"
    assert all("units" in ds[name].attrs for name in ds.data_vars)


def test_file_is_whole_or_not_there(tmp_path):
    def half(path):
        path.write_text("half")
        raise KeyboardInterrupt

    target = write_atomically(tmp_path / "a.txt", lambda p: p.write_text("whole"))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, half)
    assert target.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_netcdf_round_trip_is_identical(tmp_path):
    ds = schema.describe(good())
    with xr.open_dataset(write_netcdf(ds, tmp_path / "a" / "b.nc")) as back:
        xr.testing.assert_identical(back.load(), ds)


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(OSError, match=r"^somebody: needs a folder that it can write; got"):
        writable_folder(tmp_path / "f", "somebody")


def test_files_are_readable_by_whom_the_umask_allows(tmp_path):
    path = write_atomically(tmp_path / "a.txt", lambda p: p.write_text("x"))
    (tmp_path / "plain.txt").write_text("x")
    assert path.stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_dates_as_ids_can_be_written(tmp_path):
    ds = good().assign_coords(sample=np.array(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[ns]"))
    assert write_netcdf(schema.describe(ds), tmp_path / "a.nc").is_file()


def test_dataset_without_samples_is_no_fault():
    assert schema.validate(good().isel(sample=slice(0))).sizes["sample"] == 0


def several():
    return good().assign(
        relevance_of_ids=(("sample", "token"), np.zeros((3, 5))),
        relevance_of_depth=(("sample", "channel", "y_depth", "x_depth"), np.zeros((3, 1, 4, 4))),
        relevance_of_time=("sample", np.zeros(3)),
        input_mask=(("sample", "token"), np.ones((3, 5), bool)),
    )


def test_relevance_of_several_inputs():
    ds = schema.validate(several())
    assert schema.relevances(ds) == [
        "relevance", "relevance_of_depth", "relevance_of_ids", "relevance_of_time",
    ]  # fmt: skip
    names = {name: v.attrs["long_name"] for name, v in schema.describe(ds).data_vars.items()}
    assert names["relevance_of_ids"] == "relevance of ids"
    assert names["input_mask"] == "model input mask"


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda ds: ds.rename(token="word"),
         "'relevance_of_ids' needs ('sample', ['target'], ['condition'], ...) with "
         "('channel', 'y', 'x')"),
        (lambda ds: ds.assign(relevance_of_ids=ds.relevance_of_ids * np.nan),
         "'relevance_of_ids' needs to be finite; got NaN or infinity in 3 of 3 samples"),
        (lambda ds: ds.assign(relevance_of_time=ds.relevance_of_time.astype(int)),
         "'relevance_of_time' needs to be floating point; got int64. Use .astype(...)."),
        (lambda ds: ds.assign_coords(against=("sample", [0, 1, 4])),
         "'against' needs values in 0..3; got 0..4. Mend the ids."),
    ],
    ids=["dims", "finite", "type", "against"],
)  # fmt: skip
def test_faults_of_several_inputs(spoil, text):
    with pytest.raises(schema.SchemaError, match=re.escape(text)):
        schema.validate(spoil(several()))
