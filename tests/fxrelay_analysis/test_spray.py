"""spray: layout of the tree, ranking, memory, executors, files, bad input."""

import numpy as np
import pytest
import xarray as xr

from fxrelay.execute import Processes
from fxrelay.files import write_netcdf
from fxrelay_analysis import Store, running, spray
from fxrelay_analysis.presets import SPRAY

FAST = {"tsne": {"n_iterations": 250}}


def relevance(seed=0, planted=1):
    """Return maps of three classes; half of class `planted` has a bright corner."""
    random = np.random.default_rng(seed)
    label = np.repeat([0, 1, 2, 3], [40, 60, 50, 5])
    maps = random.gamma(1.0, 1.0, (len(label), 1, 8, 8)).astype(np.float32)
    marked = (label == planted) & (np.arange(len(label)) % 2 == 0)
    maps[marked, :, :4, :4] += 6
    ds = xr.Dataset(
        {
            "relevance": (("sample", "channel", "y", "x"), maps),
            "label": ("sample", label),
            "prediction": ("sample", label),
        },
        coords={"sample": 1000 + random.permutation(len(label)), "class": list("abcd")},
    )
    return ds.assign_coords(marked=("sample", marked))


@pytest.fixture(scope="module")
def ds():
    return relevance()


@pytest.fixture(scope="module")
def tree(ds):
    return spray(ds, parameters=FAST, progress=False)


def test_the_poisoned_category_leads_the_ranking(ds, tree):
    ranking = tree["ranking"].to_dataset()
    assert ranking["suspicion"].dims == ("category",)
    assert ranking["category"].values[0] == "b"
    assert ranking["flagged"].values.tolist() == [True, False, False, False]
    finite = ranking["suspicion"].values[:3]
    assert (np.diff(finite) <= 0).all()
    assert ranking["n_samples"].sel(category="b") == 60
    first = ranking.isel(category=0)
    found = tree["b"][f"clustering_{first['suspicious_clustering'].item()}"]
    found = found.sel(n_clusters=first["chosen_n_clusters"].item())
    member = found == first["suspicious_cluster"]
    np.testing.assert_array_equal(member, ds["marked"].sel(sample=found["sample"]))
    assert first["suspicious_size"] == 30
    assert ranking.attrs == {"level": 0.01, "threshold": 2.0}


def test_a_category_with_too_few_samples_is_reported_not_analysed(tree):
    ranking = tree["ranking"].to_dataset()
    assert ranking["category"].values[-1] == "d"
    assert ranking["analysed"].values.tolist() == [True, True, True, False]
    assert np.isnan(ranking["suspicion"].values[-1])
    note = tree["d"].attrs["not_analysed"]
    assert note.startswith("neighbours: neighbours: needs more samples than n_neighbours=10; got 5")
    assert tree["d"].attrs["failed"].splitlines() == [note, note.replace("s: ", "s_equalized: ", 1)]
    assert tree["d"].sizes["sample"] == 5


def test_the_groups_have_the_layout_that_the_viewer_reads(ds, tree):
    assert list(tree.children) == ["ranking", "a", "b", "c", "d"]
    group = tree["b"].to_dataset()
    dims = {str(name): group[name].dims for name in group.data_vars}
    per_cluster = ("n_clusters", "cluster")
    needed = {
        "embedding_spectral": ("sample", "component"),
        "eigenvalue": ("component",),
        "degree": ("sample",),
        "n_connected": (),
        "n_isolated": (),
        "connected": ("sample",),
        "embedding_tsne": ("sample", "axis"),
        "clustering_kmeans": ("sample", "n_clusters"),
        "eigengap": ("component",),
        "cluster_size": per_cluster,
        "separability": per_cluster,
        "valley": per_cluster,
        "isolation": per_cluster,
        "silhouette": per_cluster,
        "prototype": per_cluster,
        "surplus": per_cluster,
        "embedding_spectral_equalized": ("sample", "component"),
        "clustering_kmeans_equalized": ("sample", "n_clusters"),
        "separability_equalized": per_cluster,
        "suspicion": (),
        "suspicious_clustering": (),
        "flagged": (),
        "chosen_n_clusters": (),
        "suspicious_cluster": (),
        "suspicious_size": (),
    }
    assert needed.items() <= dims.items()
    assert all("long_name" in v.attrs and "units" in v.attrs for v in group.data_vars.values())
    np.testing.assert_array_equal(group["sample"], ds["sample"][ds["label"] == 1])


def test_the_tree_survives_a_file(tree, tmp_path):
    write_netcdf(tree, tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc", engine="netcdf4") as back:
        xr.testing.assert_equal(back.load(), tree)


def test_a_second_run_computes_nothing(ds, tmp_path, monkeypatch):
    few = ds.isel(sample=ds["label"].values < 3)
    cold = spray(few, store=Store(tmp_path), parameters=FAST, progress=False)

    def refuse(*_, **__):
        raise RuntimeError("computed")

    monkeypatch.setattr(running, "compute", refuse)
    warm = spray(few, store=Store(tmp_path), parameters=FAST, progress=False)
    xr.testing.assert_identical(warm, cold)


def test_processes_give_the_same_tree(ds, tree, tmp_path):
    with Processes(2) as executor:
        store = Store(tmp_path)
        found = spray(ds, store=store, parameters=FAST, executor=executor, progress=False)
    xr.testing.assert_identical(found, tree)


def test_a_lazy_folder_gives_the_same_tree(ds, tree, tmp_path):
    for i, part in enumerate((slice(0, 70), slice(70, None))):
        write_netcdf(ds.drop_vars("marked").isel(sample=part), tmp_path / f"{i}.nc")
    parts = [xr.open_dataset(tmp_path / f"{i}.nc", chunks={}) for i in range(2)]
    lazy = xr.concat(parts, "sample", data_vars="minimal", coords="minimal", compat="override")
    assert lazy["relevance"].chunks is not None
    found = spray(lazy, parameters=FAST, progress=False)
    xr.testing.assert_identical(found["b"].to_dataset(), tree["b"].to_dataset())
    for part in parts:
        part.close()


def test_other_categories_and_parameters(ds):
    given = FAST | {"kmeans": {"n_clusters": [2, 3]}}
    named = ds.assign(group=("sample", np.where(ds["label"] < 2, "low", "high")))
    tree = spray(named, category="group", parameters=given, progress=False)
    assert sorted(tree.children) == ["high", "low", "ranking"]
    assert tree["low"]["n_clusters"].values.tolist() == [2, 3]
    assert tree.attrs["category"] == "group"


def test_names_that_a_tree_cannot_hold_are_refused(ds):
    bad = ds.assign_coords({"class": ["a/b", "ranking", "c", "c"]})
    with pytest.raises(ValueError, match="spray") as caught:
        spray(bad)
    assert str(caught.value) == (
        "spray: needs category names that differ, are not 'ranking', begin with a letter, digit "
        "or '_', do not end with a space, have no '/' and no control character, and take 256 bytes "
        "at most, because they become groups of a netCDF file; got ['a/b', 'c', 'ranking']. Rename "
        "them with ds.assign_coords(class=...) or ds.assign(...)."
    )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-1", "(cat)", "cat ", " cat", "a\nb", "a\x7f", "a" * 257, "é" * 129]
)
def test_what_no_file_can_hold_is_refused_before_work_starts(ds, name):
    with pytest.raises(ValueError, match="they become groups of a netCDF file") as caught:
        spray(ds.assign_coords({"class": ["a", name, "c", "d"]}))
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([np.nan, 1.0], "of every sample; got none (NaN or None) for 78 of 155. Drop them with "
         "ds.isel(sample=...)."),
        (["a", None], "of every sample; got none (NaN or None) for 77 of 155. Drop them with "
         "ds.isel(sample=...)."),
        (["a", 1], "with values of one type; got '<' not supported between instances of 'int' and "
         "'str'. Convert with .astype(str)."),
    ],
)  # fmt: skip
def test_categories_that_are_missing_or_mixed_are_refused(ds, values, text):
    kind = float if isinstance(values[1], float) else object
    given = np.resize(np.array(values, kind), ds.sizes["sample"])
    with pytest.raises(ValueError, match="spray: needs category='kind'") as caught:
        spray(ds.assign(kind=("sample", given)), category="kind")
    assert str(caught.value) == f"spray: needs category='kind' {text}"


@pytest.mark.parametrize("kind", ["u1", "u8", "f8", "U3"])
def test_sample_ids_of_other_types(ds, kind, tmp_path):
    few = ds.isel(sample=ds["label"].values == 0)
    named = few.assign_coords(sample=np.arange(few.sizes["sample"]).astype(kind))
    tree = spray(named, parameters=FAST, progress=False)
    group = tree[tree["ranking"]["category"].values[0]].to_dataset()
    assert group["prototype"].isel(cluster=0).isin(group["sample"]).all()
    write_netcdf(tree, tmp_path / "tree.nc")


def test_a_missing_category_is_named(ds):
    with pytest.raises(ValueError, match="spray") as caught:
        spray(ds, category="kind")
    assert str(caught.value) == (
        "spray: needs category='kind' as a variable with dims ('sample',); got variables label, "
        "prediction, sample, marked. Name one of them or add yours with ds.assign(...)."
    )


def test_several_targets_are_refused(ds):
    with pytest.raises(ValueError, match="spray") as caught:
        spray(ds.assign(relevance=ds["relevance"].expand_dims("target", 1)))
    assert str(caught.value) == (
        "spray: needs one explained target per sample; got the dimension 'target'. "
        "Pick one with ds.isel(target=0)."
    )


def test_parameters_are_checked_before_work_starts(ds):
    with pytest.raises(ValueError, match="spray") as caught:
        spray(ds, parameters={"umap": {}, "kmean": {}})
    known = ", ".join(step.name for step in SPRAY.steps)
    assert str(caught.value) == (
        f"spray: needs parameters for steps among {known}; got kmean, umap. Rename or drop them."
    )
    with pytest.raises(ValueError, match="step 'kmeans': kmeans: needs values as help"):
        spray(ds, parameters={"kmeans": {"n_starts": 0}})


def test_bad_data_is_refused(ds):
    maps = ds["relevance"].copy(deep=True)
    maps[3] = np.nan
    with pytest.raises(ValueError, match="validate: the Dataset does not follow schema"):
        spray(ds.assign(relevance=maps))


def test_the_progress_bar_counts_categories(ds, capsys):
    spray(ds.isel(sample=ds["label"].values == 3))
    assert "spray" in capsys.readouterr().err


def test_every_category_may_be_too_small(ds):
    tree = spray(ds.isel(sample=ds["label"].values == 3), progress=False)
    assert not tree["ranking"]["analysed"].any()
