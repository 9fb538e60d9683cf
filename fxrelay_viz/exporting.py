"""The selection as a file: CSV, JSON, netCDF, a figure, and the state to come back to it."""

import io
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from fxrelay import schema
from fxrelay.heatmap import contact_sheet, grid
from fxrelay_viz import links, selection
from fxrelay_viz.category import Category
from fxrelay_viz.explanations import CLASSED
from fxrelay_viz.notes import NOTE, TAGS
from fxrelay_viz.pictures import layout, one_target
from fxrelay_viz.project import Project
from fxrelay_viz.reading import alone, read
from fxrelay_viz.renderers import draw, kind_of, raster
from fxrelay_viz.renderers.look import LARGE, Look
from fxrelay_viz.state import ViewState, ordered
from fxrelay_viz.virelay_state import write_virelay

STATE_FORMAT: Final = "fxrelay viewer state"
#: a netCDF file for download is not larger
MOST_BYTES: Final = 512 * 2**20
#: samples in a figure, of each cluster and in all
COLUMNS, MOST_TILES = 12, 96


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is exported: the selected samples of a category, and how they are looked at."""

    project: Project
    category: Category
    mask: np.ndarray
    state: ViewState
    recipe: selection.Recipe

    @property
    def members(self) -> np.ndarray:
        """The selected samples in the order of the grid, as positions in the category."""
        return ordered(self.state, self.category, self.mask)

    @property
    def clusters(self) -> np.ndarray:
        """The cluster of every sample of the category."""
        if self.state.clustering not in self.category.clusterings:
            return np.zeros(len(self.category.ids), dtype=int)
        return self.category.clusters(self.state.clustering, self.state.k)


@dataclass(frozen=True)
class Format:
    """A kind of file: its label, the end of its name, its content type, and how it is made."""

    label: str
    suffix: str
    mime: str
    make: Callable[[Chosen], bytes]


@dataclass(frozen=True)
class Exported:
    """A file that can be downloaded."""

    name: str
    mime: str
    body: bytes


def export(form: str, chosen: Chosen) -> Exported:
    """Make a file of the selection.

    Parameters
    ----------
    form : str
        A key of `FORMATS`.
    chosen : Chosen

    Raises
    ------
    ValueError
        For an unknown format, an empty selection where samples are needed, or too many samples.
    OSError
        If the data cannot be read.
    """
    if form not in FORMATS:
        raise ValueError(
            f"export: needs a format among {', '.join(FORMATS)}; got {form[:40]!r}. Choose one."
        )
    row = FORMATS[form]
    if not chosen.mask.any() and form not in ("state", "virelay"):
        raise ValueError("export: needs at least one selected sample; got none. Select some first.")
    count = int(chosen.mask.sum())
    words = (chosen.project.name, chosen.category.name, f"{count} samples")
    name = re.sub(r"[^\w.-]+", "_", " ".join(filter(None, words))).strip("._")[:120]
    return Exported(f"{name}{row.suffix}", row.mime, row.make(chosen))


def table(chosen: Chosen) -> pd.DataFrame:
    """Return what is known of the selected samples, a row each, in the order of the grid.

    Returns
    -------
    DataFrame
        Columns: sample, cluster, the two axes shown, then every variable of Dataset and analysis;
        class indices are followed by their names.
    """
    category, members = chosen.category, chosen.members
    columns: dict[str, Any] = {schema.SAMPLE: category.ids[members]}
    columns["cluster"] = chosen.clusters[members]
    xy = category.points(*chosen.state.frame())[members]
    columns |= {f"{chosen.state.embedding}_{axis}": xy[:, n] for n, axis in
                enumerate((chosen.state.x + 1, chosen.state.y + 1))}  # fmt: skip
    for name in dict.fromkeys([*category.columns, *category.scores]):
        values = category.column(name)[members]
        columns[name] = values
        if name in CLASSED and values.dtype.kind in "iu" and len(category.classes):
            columns[f"{name}_name"] = [chosen.project.class_name(v) for v in values]
    return pd.DataFrame(columns)


def _csv(chosen: Chosen) -> bytes:
    frame = table(chosen)
    for name in frame.columns[[dtype.kind not in "iufb" for dtype in map(np.dtype, _kinds(frame))]]:
        frame[name] = [_harmless(str(text)) for text in frame[name]]
    text: str = frame.to_csv(index=False)
    return text.encode()


def _kinds(frame: pd.DataFrame) -> list[Any]:
    return [t if isinstance(t, np.dtype) else np.dtype(object) for t in frame.dtypes]


def _harmless(text: str) -> str:
    """Keep a text from being taken for a formula by a spreadsheet."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _json(chosen: Chosen) -> bytes:
    rows = json.loads(table(chosen).to_json(orient="records"))
    return _dumped(_about(chosen) | {"samples": rows})


def _dumped(content: Any) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def _about(chosen: Chosen) -> dict[str, Any]:
    """Return state, recipe and provenance, which is what `importing` reads again."""
    attrs = {k: str(v) for k, v in chosen.project.ds.attrs.items()}
    return {
        "format": STATE_FORMAT,
        "version": links.VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "project": chosen.project.name,
        "data": {k: attrs[k] for k in (schema.MODEL, schema.MODEL_DIGEST, schema.COMPOSITE)
                 if k in attrs},
        "state": links.chosen(chosen.state),
        "selection": json.loads(selection.to_json(chosen.recipe)),
        "n_selected": int(chosen.mask.sum()),
    }  # fmt: skip


def subset(chosen: Chosen) -> xr.Dataset:
    """Return the selected samples as a Dataset of the schema, with tags, notes and the recipe.

    Raises
    ------
    ValueError
        If it took more than 512 MB.
    """
    positions = chosen.category.positions[chosen.members]
    part = chosen.project.ds.isel({schema.SAMPLE: positions})
    if part.nbytes > MOST_BYTES:
        raise ValueError(
            f"export: needs at most {MOST_BYTES // 2**20} MB for a netCDF file; got "
            f"{part.nbytes // 2**20} MB of {len(positions)} samples. Select fewer, or use "
            "viewer.selected in Python."
        )
    loaded: xr.Dataset = read(part)
    for name in (TAGS, NOTE):
        if name in list(chosen.category.columns):
            loaded[name] = (schema.SAMPLE, chosen.category.columns[name][chosen.members])
    recipe = json.dumps(_about(chosen) | {"made": None})
    return schema.validate(loaded.assign_attrs(selection=recipe))


def _netcdf(chosen: Chosen) -> bytes:
    data = subset(chosen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "selection.nc"
        with alone():
            data.to_netcdf(path, engine="netcdf4")
        return path.read_bytes()


def figure(chosen: Chosen) -> Image.Image:
    """Draw the first selected samples of each cluster: a contact sheet, or tiles for no images."""
    state, category = chosen.state, chosen.category
    members, clusters = chosen.members, chosen.clusters
    groups = {
        f"Cluster {c}" if c >= 0 else "Noise": members[clusters[members] == c][:COLUMNS]
        for c in np.unique(clusters[members])[: MOST_TILES // COLUMNS]
    }
    variable = chosen.project.ds[state.variable]
    title, note = category.name, f"{len(members):,} selected samples, {state.clustering}"
    if kind_of(layout(variable) or ()) == "image" and state.variable == schema.RELEVANCE:
        shown = np.concatenate(list(groups.values()))
        part = chosen.project.ds.isel({schema.SAMPLE: np.sort(category.positions[shown])})
        part = part.assign({schema.RELEVANCE: one_target(part[schema.RELEVANCE], state.target)})
        ids = {name: category.ids[group] for name, group in groups.items()}
        return contact_sheet(
            read(part.drop_dims(schema.TARGET, errors="ignore")), ids, columns=COLUMNS,
            cmap=state.cmap, percentile=state.percentile, shared=state.scale != "image",
            title=title, subtitle=note,
        )  # fmt: skip
    return _tiles(chosen, np.concatenate(list(groups.values()))[:24])


def _tiles(chosen: Chosen, members: np.ndarray) -> Image.Image:
    state, project = chosen.state, chosen.project
    mode = state.mode if project.has_input else "heatmap"
    look = Look(mode, state.cmap, None, LARGE, state.variable, state.target, state.blend,
                state.percentile)  # fmt: skip
    pictures = project.pictures(chosen.category.positions[members], state.variable, state.target)
    drawn = [raster(draw(picture, look, (0.0, 1.0))) for picture in pictures]
    height, width = (max(image.shape[axis] for image in drawn) for axis in (0, 1))
    page = np.full((len(drawn), height, width, 3), 255, dtype=np.uint8)
    for n, image in enumerate(drawn):
        page[n, : image.shape[0], : image.shape[1]] = image
    return Image.fromarray(grid(page, columns=2, gap=12))


def _png(chosen: Chosen) -> bytes:
    out = io.BytesIO()
    figure(chosen).save(out, format="PNG")
    return out.getvalue()


def _state(chosen: Chosen) -> bytes:
    return _dumped(_about(chosen))


def _virelay(chosen: Chosen) -> bytes:
    return _dumped(write_virelay(chosen))


FORMATS: Final[Mapping[str, Format]] = {
    "csv": Format("Table (CSV)", ".csv", "text/csv", _csv),
    "json": Format("Table and recipe (JSON)", ".json", "application/json", _json),
    "netcdf": Format("Dataset (netCDF)", ".nc", "application/x-netcdf", _netcdf),
    "png": Format("Figure (PNG)", ".png", "image/png", _png),
    "state": Format("State of the viewer (JSON)", ".state.json", "application/json", _state),
    "virelay": Format("State for ViRelAy (JSON)", ".virelay.json", "application/json", _virelay),
}
