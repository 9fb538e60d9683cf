"""From paths to a workspace: netCDF files and folders of fxrelay, and projects of ViRelAy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import netCDF4
import xarray as xr

from fxrelay import schema
from fxrelay.text import unique
from fxrelay_viz.analysis import Analysis, Groups
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.notes import Notes, notes_beside
from fxrelay_viz.reading import MANIFEST, careful, open_file, open_shards, read
from fxrelay_viz.workspace import Opened, Workspace

YAML: Final = (".yaml", ".yml")
NETCDF_SUFFIXES: Final = (".nc", ".nc4", ".netcdf")
#: categories of a Dataset without analysis: by the first of these that it has
SPLITS: Final = (schema.LABEL, schema.PREDICTION)
UNSPLIT: Final = "all samples"


def open_workspace(paths: Sequence[str | Path]) -> Workspace:
    """Open projects; nothing but sample ids and rankings is read.

    Parameters
    ----------
    paths : sequence of paths
        Each is a project of its own if it is a folder that holds attributions and analyses, or
        the YAML file of a ViRelAy project. Attributions (a netCDF file with `relevance`, a folder
        of shards) and analyses (a netCDF file with a group per category) that are named one by one
        are one project together. Several attributions in a project are methods to compare.

    Returns
    -------
    Workspace

    Raises
    ------
    ValueError, OSError
        If a path is none of these; names each that is at fault and why.
    """
    loose: list[Path] = []
    opened: dict[str, Opened] = {}
    faults = []
    for path in map(Path, paths):
        try:
            if _is_part(path):
                loose.append(path)
            else:
                name = unique(_title(path), set(opened))
                opened[name] = _project(path)
        except (OSError, ValueError, RuntimeError) as error:
            faults.append(f"{str(path)!r}: {error}")
    try:
        if loose:
            name = unique(_title(loose[0]), set(opened))
            opened = {name: _joined(loose)} | opened
    except (OSError, ValueError, RuntimeError) as error:
        faults.append(f"{', '.join(repr(str(path)) for path in loose)}: {error}")
    if faults or not opened:
        lines = "\n".join(f"  - {fault}" for fault in faults) or "  - no path was given"
        raise ValueError(
            f"view: needs folders or netCDF files that fxrelay made, or YAML files of ViRelAy "
            f"projects; got\n{lines}\nMend or leave out these."
        )
    return Workspace(opened)


def _title(path: Path) -> str:
    full = path.resolve()
    return full.stem if full.suffix in (*YAML, *NETCDF_SUFFIXES) else full.name


def _is_part(path: Path) -> bool:
    """Return whether a path is an attribution or an analysis, and no project by itself."""
    if not path.exists():
        raise FileNotFoundError("there is no such file or folder")
    return (path / MANIFEST).is_file() or path.suffix.lower() in NETCDF_SUFFIXES


def _project(path: Path) -> Opened:
    if path.suffix.lower() in YAML:
        return _virelay(path)
    if not path.is_dir():
        raise ValueError(f"is no folder and no {', '.join((*NETCDF_SUFFIXES, *YAML))} file")
    parts = [p for p in sorted(path.iterdir()) if not p.name.startswith(".") and _is_part(p)]
    if not parts:
        raise ValueError("holds no folder of shards and no netCDF file")
    return _joined(parts, path / "viewer.notes.json")


def _joined(parts: Sequence[Path], notes: Path | None = None) -> Opened:
    """Make one project of attributions and analyses; other netCDF files beside them are left."""
    methods: dict[str, Explanations] = {}
    analyses: dict[str, Analysis] = {}
    for path in parts:
        if (path / MANIFEST).is_file():
            methods[_title(path)] = Explanations(open_shards(path))
        elif _has_groups(path):
            analyses[_title(path)] = Analysis(Groups(path))
        else:
            methods |= _attribution(path, alone=len(parts) == 1)
    if not methods:
        raise ValueError("needs an attribution with 'relevance'; got analyses alone")
    if not analyses:
        analyses = {"samples": Analysis(plain(next(iter(methods.values())).ds))}
    usual = {name: _closest(name, list(methods)) for name in analyses}
    beside = notes_beside(parts[0]) if notes is None else notes
    return Opened(methods, analyses, Notes(beside), usual)


def _attribution(path: Path, alone: bool) -> dict[str, Explanations]:
    ds = open_file(path)
    if schema.RELEVANCE not in ds and not alone:
        return {}  # a report, for instance
    return {_title(path): Explanations(ds)}


def _has_groups(path: Path) -> bool:
    with careful(), netCDF4.Dataset(path) as file:
        return bool(file.groups) and schema.RELEVANCE not in file.variables


def _closest(analysis: str, methods: list[str]) -> str:
    """Return the attribution whose name the analysis' name begins with; else the first."""
    fitting = [name for name in methods if analysis.startswith(name)]
    return max(fitting, key=len) if fitting else methods[0]


def plain(ds: xr.Dataset) -> Mapping[str, xr.Dataset]:
    """Return groups of a Dataset that was not analysed: its classes, or all samples."""
    note = {"not_analysed": "no analysis was opened"}
    split = next((n for n in SPLITS if n in ds and ds[n].dims == (schema.SAMPLE,)), None)
    ids = ds[schema.SAMPLE].values
    if split is None:
        return {UNSPLIT: xr.Dataset(coords={schema.SAMPLE: ids}, attrs=note)}
    values = read(ds[split]).values
    names: Any = read(ds[schema.CLASS]).values if schema.CLASS in ds.coords else None
    kinds = sorted(set(values.tolist()))
    return {
        str(names[k]) if names is not None and 0 <= k < len(names) else str(k): xr.Dataset(
            coords={schema.SAMPLE: ids[values == k]}, attrs=note
        )
        for k in kinds
    }


def _virelay(path: Path) -> Opened:
    try:
        from fxrelay_analysis.virelay import methods, read_project
    except ImportError as error:
        raise ValueError(
            f"ViRelAy projects need h5py and PyYAML ({error}); run pip install 'fxrelay[view]'"
        ) from error
    opened: dict[str, Explanations] = {}
    analyses: dict[str, Analysis] = {}
    for name in methods(path):
        ds, tree = read_project(path, name)
        method = str(ds.attrs.get("attribution_method") or "attribution")
        opened = opened or {method: Explanations(ds)}
        analyses[name] = Analysis(tree)
    return Opened(opened, analyses, Notes(notes_beside(path)))
