"""The state of ViRelAy's viewer as its JSON of sixteen fields, to and from ours."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from fxrelay import schema
from fxrelay.heatmap import CMAPS
from fxrelay_viz import selection
from fxrelay_viz.category import Category
from fxrelay_viz.project import Project
from fxrelay_viz.workspace import Workspace

if TYPE_CHECKING:
    from fxrelay_viz.exporting import Chosen

#: fields without which a file cannot be read
NEEDED: Final = (
    "selectedAnalysisMethod", "selectedAnalysisCategory", "selectedEmbeddingName",
    "selectedClustering", "selectedEmbeddingVectorsIndices",
)  # fmt: skip
#: our mode of images <-> theirs
MODES: Final[Mapping[str, str]] = {
    "input": "input",
    "overlay": "overlay",
    "heatmap": "attribution",
    "side": "attribution",
}
OURS: Final = {"input": "input", "overlay": "overlay", "attribution": "heatmap"}
#: the variable of ViRelAy's indices of samples, in a Dataset that was read from its files
POSITION: Final = "index"
#: no more samples are listed than a file may have
MOST: Final = 2_000_000


def write_virelay(chosen: "Chosen") -> dict[str, Any]:
    """Return the sixteen fields."""
    category, state, project = chosen.category, chosen.state, chosen.project
    indices = _numbers(project)[category.positions]
    clusters, members = chosen.clusters, np.flatnonzero(chosen.mask)
    key = "" if category.group is None else str(category.group.attrs.get("key", ""))
    return {
        "projectId": 0,
        "projectName": project.name,
        "modelName": str(project.ds.attrs.get(schema.MODEL, "")),
        "datasetName": str(project.ds.attrs.get("dataset", "")),
        "selectedAnalysisMethod": project.analysis.replace("_", "-"),
        "selectedAnalysisCategory": key or category.name,
        "selectedCategoryHumanReadableName": category.name,
        "selectedEmbeddingName": state.embedding,
        "selectedClustering": _joined(state.clustering, state.k),
        "numberOfClusters": len(np.unique(clusters[clusters >= 0])),
        "selectedColorMap": state.cmap,
        "selectedImageMode": MODES[state.mode],
        "selectedEmbeddingVectorsIndices": indices[members].tolist(),
        "selectedEmbeddingVectorsClusters": clusters[members].tolist(),
        "allEmbeddingVectorsIndices": indices.tolist(),
        "allEmbeddingVectorsClusters": clusters.tolist(),
    }


def is_virelay(content: Mapping[str, Any]) -> bool:
    """Return whether JSON has the fields of ViRelAy."""
    return "selectedAnalysisMethod" in content or "selectedEmbeddingVectorsIndices" in content


def read_virelay(
    content: Mapping[str, Any], workspace: Workspace
) -> tuple[dict[str, Any], selection.Recipe, list[str]]:
    """Read the sixteen fields.

    Parameters
    ----------
    content : mapping
        What ViRelAy, or `write_virelay`, exported.
    workspace : Workspace
        What is open; the project is found by its name, then by its number.

    Returns
    -------
    values : dict
        Parameters of `ViewState`.
    recipe : tuple of Step
    messages : list of str
        What could not be taken over.

    Raises
    ------
    ValueError
        If fields are missing, or the analysis or category is not open; names them.
    """
    missing = [name for name in NEEDED if name not in content]
    indices = content.get("selectedEmbeddingVectorsIndices")
    if missing or not _are_ids(indices):
        raise ValueError(
            f"import: needs the fields {', '.join(NEEDED)} with a list of samples; got none of "
            f"{', '.join(missing) or 'the list'}. Export the state again."
        )
    place = {"project": _project(content, workspace)}
    place["analysis"] = _alike(
        content["selectedAnalysisMethod"], workspace.analysis_names(place["project"]), "analysis"
    )
    project = workspace.get(**place)
    name = _category(str(content["selectedAnalysisCategory"]), project)
    category = project.category(name)
    messages: list[str] = []
    values: dict[str, Any] = place | {"category": name}
    values |= _clustering(str(content["selectedClustering"]), category, messages)
    values |= _known("embedding", content["selectedEmbeddingName"], category.embeddings, messages)
    values |= _known("cmap", content.get("selectedColorMap"), CMAPS, messages)
    mode = OURS.get(str(content.get("selectedImageMode")).lower())
    values |= {} if mode is None else {"mode": mode}
    return values, _recipe(list(indices or ()), project, category, messages), messages


def _are_ids(indices: Any) -> bool:
    if not isinstance(indices, list) or len(indices) > MOST:
        return False
    return all(isinstance(i, (int, str)) for i in indices)


def _numbers(project: Project) -> np.ndarray:
    """Return what ViRelAy calls each sample: its index, else the id, or the position of a text."""
    if POSITION in project.variables:
        return project.variables[POSITION]
    ids = project.index.values
    return ids if ids.dtype.kind in "iu" else np.arange(len(ids))


def _recipe(
    indices: list[Any], project: Project, category: Category, messages: list[str]
) -> selection.Recipe:
    if not indices:
        return ()
    given = pd.Index(indices, dtype=object)
    places = pd.Index(_numbers(project)).get_indexer(given)
    ids = project.index[places[places >= 0]]
    known = category.places.get_indexer(ids) >= 0
    strangers = len(indices) - int(known.sum())
    if strangers:
        messages.append(f"{strangers} selected samples are not in {category.name}.")
    return (selection.Step("replace", "samples", (), tuple(ids[known].tolist())),)


def _project(content: Mapping[str, Any], workspace: Workspace) -> str:
    names, number = workspace.project_names(), content.get("projectId")
    if content.get("projectName") in names:
        return str(content["projectName"])
    if isinstance(number, int) and 0 <= number < len(names):
        return names[number]
    return names[0]


def _alike(given: Any, names: Sequence[str], what: str) -> str:
    """Find a name that was written with other dashes or upper and lower case."""
    plain = {re.sub(r"[-_ ]", "", name).casefold(): name for name in names}
    found = plain.get(re.sub(r"[-_ ]", "", str(given)).casefold())
    if found is None:
        raise ValueError(
            f"import: needs a known {what}; got {str(given)[:60]!r}, open are "
            f"{', '.join(names[:20]) or 'none'}. Open the project that the file is of."
        )
    return found


def _category(key: str, project: Project) -> str:
    if key in project.names:
        return key
    for name in project.names:
        if str(project.tree.groups[name].attrs.get("key", "")) == key:
            return name
    return _alike(key, project.names, "category")


def _joined(clustering: str, k: Any) -> str:
    return f"{clustering}-{k:02d}" if isinstance(k, int) else clustering


def _clustering(given: str, category: Category, messages: list[str]) -> dict[str, Any]:
    if given in category.clusterings:
        return {"clustering": given}
    name, _, number = given.rpartition("-")
    sweep = category.clusterings.get(name, {}) if number.isdecimal() else {}
    if sweep and int(number) in sweep:
        return {"clustering": name, "k": int(number)}
    messages.append(f"{category.name} has no clustering {given[:60]!r}.")
    return {}


def _known(name: str, given: Any, table: Mapping[str, Any], messages: list[str]) -> dict[str, Any]:
    if isinstance(given, str) and given in table:
        return {name: given}
    if given is not None:
        messages.append(f"There is no {name} {str(given)[:60]!r} here.")
    return {}
