import csv
import io
import json

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from fxrelay import schema
from fxrelay_viz import exporting, samples, selection
from fxrelay_viz.exporting import FORMATS, Chosen, export
from fxrelay_viz.importing import read_state
from fxrelay_viz.notes import Notes
from fxrelay_viz.project import Project
from fxrelay_viz.state import ViewState
from fxrelay_viz.workspace import Workspace


@pytest.fixture(scope="module")
def project() -> Project:
    ds, tree = samples.digits(poisoned=3)
    ds = ds.assign_coords({"class": ["=cmd|' /C calc'!A0", *ds["class"].values[1:]]})
    out = Project(ds, tree, name="digits", analysis="spectral_clustering", notes=Notes(None))
    out.notes.tag(out.category("digit 3").ids[:2], "odd")
    return out


def chosen(project: Project, recipe=None, **values) -> Chosen:
    state = ViewState(category="digit 3", order="extreme", **values)
    state.settle(project)
    category = project.category("digit 3")
    if recipe is None:
        recipe = (selection.Step("replace", "clusters", ("kmeans", 2), (1,)),
                  selection.box("subtract", ("tsne", 0, 1), (-3, -3, 3, 3)))  # fmt: skip
    return Chosen(project, category, selection.apply(recipe, category), state, recipe)


def test_a_table_has_what_is_known(project):
    one = chosen(project)
    rows = list(csv.DictReader(io.StringIO(export("csv", one).body.decode())))
    assert len(rows) == one.mask.sum() > 10
    assert [int(row["sample"]) for row in rows] == one.category.ids[one.members].tolist()
    first = rows[0]
    assert (first["label"], first["label_name"], first["cluster"]) == ("3", "digit 3", "1")
    xy = one.category.points("tsne", 0, 1)[one.members[0]]
    assert float(first["tsne_1"]) == pytest.approx(float(xy[0]), rel=1e-5)
    assert {"correct", "prediction", "tags"} <= first.keys()


def test_no_text_is_a_formula(project):
    wrong = np.flatnonzero(project.variables["label"] == 3)
    ds = project.ds.assign(prediction=("sample", np.zeros(project.ds.sizes["sample"], int)))
    other = Project(ds, project.tree)
    body = export("csv", chosen(other)).body.decode()
    assert len(wrong)
    assert ",'=cmd|" in body or "\"'=cmd|" in body
    assert ",=cmd" not in body


def test_a_dataset_is_valid_and_says_how_it_was_chosen(project, tmp_path):
    one = chosen(project)
    file = export("netcdf", one)
    assert file.name == f"digits_digit_3_{one.mask.sum()}_samples.nc"
    (tmp_path / "s.nc").write_bytes(file.body)
    with xr.open_dataset(tmp_path / "s.nc", engine="netcdf4") as ds:
        schema.validate(ds)
        assert (ds["sample"].values == one.category.ids[one.members]).all()
        expected = project.ds["relevance"].sel(sample=ds["sample"].values)
        assert (ds["relevance"].values == expected.values).all()
        assert sorted(set(ds["tags"].values)) in (["", "odd"], [""])
        recipe = json.loads(ds.attrs["selection"])
    again = read_state(json.dumps(recipe).encode(), Workspace.of(project))
    assert again.recipe == one.recipe


def test_json_and_state_come_back(project):
    one = chosen(project, cmap="hot", mode="side", blend=0.25)
    workspace = Workspace.of(project)
    for form in ("json", "state"):
        values, recipe, messages = read_state(export(form, one).body, workspace)
        state = ViewState(**values)
        assert state.param.values() | {"name": ""} == one.state.param.values() | {"name": ""}
        assert (recipe, messages) == (one.recipe, [])
    rows = json.loads(export("json", one).body)["samples"]
    assert [row["sample"] for row in rows] == one.category.ids[one.members].tolist()


def test_a_state_of_virelay_comes_back(project):
    one = chosen(project, mode="heatmap", cmap="black-fire-red")
    content = json.loads(export("virelay", one).body)
    assert len(content) == 16
    assert content["selectedAnalysisMethod"] == "spectral-clustering"
    assert content["selectedClustering"] == "kmeans-02"
    assert content["selectedImageMode"] == "attribution"
    assert len(content["allEmbeddingVectorsIndices"]) == 183
    values, recipe, messages = read_state(json.dumps(content).encode(), Workspace.of(project))
    assert messages == []
    assert (selection.apply(recipe, one.category) == one.mask).all()
    state = ViewState(**values)
    assert (state.category, state.analysis, state.clustering, state.k, state.mode, state.cmap) == (
        "digit 3", "spectral_clustering", "kmeans", 2, "heatmap", "black-fire-red",
    )  # fmt: skip


def test_what_a_state_of_virelay_cannot_bring_is_told(project):
    content = json.loads(export("virelay", chosen(project)).body)
    odd = content | {"selectedColorMap": "rainbow", "selectedEmbeddingName": "umap",
                     "selectedClustering": "dbscan-eps=0.5",
                     "selectedEmbeddingVectorsIndices": [1, 2]}  # fmt: skip
    values, _, messages = read_state(json.dumps(odd).encode(), Workspace.of(project))
    assert messages == [
        "digit 3 has no clustering 'dbscan-eps=0.5'.",
        "There is no embedding 'umap' here.",
        "There is no cmap 'rainbow' here.",
        "2 selected samples are not in digit 3.",
    ]
    assert "cmap" not in values
    for change, message in (
        ({"selectedAnalysisMethod": "x"}, "import: needs a known analysis; got 'x', open are spec"),
        ({"selectedAnalysisCategory": "n0"}, "import: needs a known category; got 'n0', open are"),
        ({"selectedEmbeddingVectorsIndices": [[1]]}, "got none of the list. Export"),
    ):
        with pytest.raises(ValueError, match=message):
            read_state(json.dumps(content | change).encode(), Workspace.of(project))
    del content["selectedClustering"]
    with pytest.raises(
        ValueError, match=r"got none of selectedClustering\. Export the state again"
    ):
        read_state(json.dumps(content).encode(), Workspace.of(project))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"import: needs JSON; got a file that is none \(JSONDecodeError\)"),
        (b"\xff\xfe", "UnicodeDecodeError"),
        (b"[" * 100_000, "RecursionError"),
        (b"[1]", "got a list. Choose a file that the viewer exported."),
        (b'{"a": 1}', "or the fields that ViRelAy exports; got a"),
        (b'{"state": {}, "version": 3}', "import: needs version 1; got '3'"),
        (b'{"state": {"page": -1}, "version": 1}', "import: needs values in range"),
        (b'{"version": 1, "selection": {"version": 1, "steps": [["add"]]}}', "needs steps"),
        (b" " * (8 * 2**20 + 1), "needs a file of at most 8 MB; got 8.0 MB"),
    ],
)
def test_bad_files(project, body: bytes, message: str):
    with pytest.raises(ValueError, match=message):
        read_state(body, Workspace.of(project))


def test_figures(project):
    for values in ({}, {"scale": "page", "cmap": "hot"}):
        picture = Image.open(io.BytesIO(export("png", chosen(project, **values)).body))
        assert picture.size[0] > 600
        assert len(picture.getcolors(10**6)) > 20
    ds = project.ds
    flat = ds["relevance"].values.reshape(ds.sizes["sample"], -1)
    texts = xr.Dataset({"relevance": (("sample", "token"), flat), "label": ds["label"]},
                       coords={"sample": ds["sample"].values})  # fmt: skip
    tokens = export("png", chosen(Project(texts, project.tree)))
    assert Image.open(io.BytesIO(tokens.body)).size[0] > 1000
    both = xr.concat([ds["relevance"]] * 2, "target").transpose("sample", ...)
    several = Project(ds.assign(relevance=both), project.tree)
    assert export("png", chosen(several, target=1)).mime == "image/png"


def test_what_cannot_be_exported(project, monkeypatch):
    with pytest.raises(ValueError, match="export: needs a format among csv, json, netcdf, png"):
        export("exe", chosen(project))
    for form in FORMATS:
        if form in ("state", "virelay"):
            assert export(form, chosen(project, ())).body
            continue
        with pytest.raises(ValueError, match="needs at least one selected sample; got none"):
            export(form, chosen(project, ()))
    monkeypatch.setattr(exporting, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="export: needs at most 0 MB for a netCDF file; got"):
        export("netcdf", chosen(project))
