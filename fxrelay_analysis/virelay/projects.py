"""The project file: which files belong together, and what the classes are called."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

HDF5, IMAGES = "hdf5", "image_directory"
UP: Final = ("none", "fill_zeros", "fill_ones", "edge_repeat", "mirror_edge", "wrap_around",
             "resize")  # fmt: skip
DOWN: Final = ("none", "center_crop", "resize")
#: keys that every project has, and their type
NEEDED: Final[Mapping[str, type]] = {
    "name": str, "model": str, "label_map": str, "dataset.name": str, "dataset.type": str,
    "dataset.path": str, "attributions.attribution_method": str,
    "attributions.attribution_strategy": str, "attributions.sources": list, "analyses": list,
}  # fmt: skip
#: keys of a dataset of images
NEEDED_OF_IMAGES: Final[Mapping[str, type]] = {
    "dataset.input_width": int, "dataset.input_height": int,
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A project file that was checked.

    Attributes
    ----------
    path : Path
        The file; other paths are relative to its folder.
    content : mapping
        What is below ``project``.
    """

    path: Path
    content: Mapping[str, Any]

    def value(self, key: str, default: Any = None) -> Any:
        """Return what is at a dotted key."""
        return _at(self.content, key, default)

    def file(self, name: str) -> Path:
        """Return a path of the project."""
        return self.path.parent / name

    @cached_property
    def analyses(self) -> Mapping[str, list[Path]]:
        """The analysis files of each method; entries of one method belong together."""
        found: dict[str, list[Path]] = {}
        for entry in self.content["analyses"]:
            files = found.setdefault(entry["analysis_method"], [])
            files += [self.file(name) for name in entry["sources"]]
        return found

    @cached_property
    def labels(self) -> "LabelMap":
        """Names of the classes."""
        return LabelMap.read(self.file(self.content["label_map"]))


@dataclass(frozen=True)
class LabelMap:
    """Class index to name, and WordNet id to class index."""

    names: Mapping[int, str]
    words: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> "LabelMap":
        """Read a JSON list of entries with `index`, `word_net_id` and `name`.

        Raises
        ------
        ValueError
            Names the file and every entry that is at fault.
        """
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _unusable(path, "a label map, a JSON list", [str(error)]) from error
        if not isinstance(entries, list):
            raise _unusable(path, "a label map, a JSON list", [type(entries).__name__])
        wrong = [f"entry {i}: {entry}" for i, entry in enumerate(entries) if not _is_label(entry)]
        if wrong:
            keys = "entries with index, word_net_id and name"
            raise _unusable(path, f"a label map of {keys}", wrong)
        return cls({e["index"]: e["name"] for e in entries},
                   {e["word_net_id"]: e["index"] for e in entries})  # fmt: skip

    def class_names(self, n: int) -> list[str]:
        """Return the names of classes 0 to n - 1, the index where they have none or share it."""
        names = [self.names.get(i, str(i)) for i in range(n)]
        return [f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names)]

    def name_of(self, key: str) -> str:
        """Return the readable name of a category's key: a WordNet id or a class index; else ''."""
        index = self.words.get(key, int(key) if key.isdecimal() else -1)
        return self.names.get(index, "")


def methods(path: str | Path) -> list[str]:
    """Return the analysis methods of a project file.

    Raises
    ------
    ValueError
        As `read_project`.
    """
    return list(open_project(path).analyses)


def open_project(path: str | Path) -> Project:
    """Read and check a project file.

    Raises
    ------
    ValueError
        Names the file and every key that is missing or wrong, and every file that is not there.
    """
    path = Path(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unusable(path, "a project, a YAML file", [str(error)]) from error
    content = found.get("project") if isinstance(found, dict) else None
    if not isinstance(content, dict):
        raise _unusable(path, "a project, a YAML file", ["no key project"])
    wrong = [text for check in CHECKS for text in check(content)]
    if wrong:
        raise _unusable(path, "a project with the keys of ViRelAy", wrong)
    project = Project(path, content)
    missing = [f"{name} is not there" for name in _files(project) if not name.exists()]
    if missing:
        raise _unusable(path, "a project whose files exist", missing)
    return project


def _at(content: Any, key: str, default: Any = None) -> Any:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return default
        content = content[part]
    return content


def _typed(content: Mapping[str, Any]) -> list[str]:
    kind = _at(content, "dataset.type")
    needed = {**NEEDED, **(NEEDED_OF_IMAGES if kind == IMAGES else {})}
    missing = object()
    out = []
    for key, wanted in needed.items():
        value = _at(content, key, missing)
        if value is missing:
            out.append(f"{key}: missing")
        elif not isinstance(value, wanted):
            out.append(f"{key}: needs {wanted.__name__}; got {value!r}")
    return out


def _chosen(content: Mapping[str, Any]) -> list[str]:
    choices = {
        "dataset.type": (HDF5, IMAGES),
        "dataset.up_sampling_method": UP,
        "dataset.down_sampling_method": DOWN,
        "attributions.attribution_strategy": ("true_label", "predicted_label"),
    }
    given = {key: _at(content, key) for key in choices}
    return [
        f"{key}: needs one of {', '.join(choices[key])}; got {value!r}"
        for key, value in given.items()
        if isinstance(value, str) and value not in choices[key]
    ]


def _patterned(content: Mapping[str, Any]) -> list[str]:
    out = []
    for key in ("dataset.label_index_regex", "dataset.label_word_net_id_regex"):
        pattern = _at(content, key)
        try:
            groups = 1 if pattern is None else re.compile(pattern).groups
        except (re.error, TypeError) as error:
            out.append(f"{key}: needs a regular expression; got {pattern!r} ({error})")
            continue
        if groups < 1:
            out.append(f"{key}: needs a group in parentheses; got {pattern!r}")
    return out


def _listed(content: Mapping[str, Any]) -> list[str]:
    sources = _at(content, "attributions.sources")
    out = [] if not isinstance(sources, list) else _texts(sources, "attributions.sources")
    analyses = _at(content, "analyses")
    for i, entry in enumerate(analyses if isinstance(analyses, list) else ()):
        key = f"analyses[{i}]"
        if not isinstance(_at(entry, "analysis_method"), str):
            out.append(f"{key}.analysis_method: needs str; got {_at(entry, 'analysis_method')!r}")
        files = _at(entry, "sources")
        listed = isinstance(files, list)
        out += _texts(files, f"{key}.sources") if listed else [f"{key}.sources: needs a list"]
    return out


def _texts(values: list[Any], key: str) -> list[str]:
    if not values:
        return [f"{key}: needs a file; got none"]
    return [f"{key}[{i}]: needs str; got {v!r}" for i, v in enumerate(values) if type(v) is not str]


CHECKS: Final = (_typed, _chosen, _patterned, _listed)


def _files(project: Project) -> list[Path]:
    sources = [project.file(name) for name in project.value("attributions.sources")]
    analyses = [name for files in project.analyses.values() for name in files]
    own = [project.file(project.value(key)) for key in ("label_map", "dataset.path")]
    return [*own, *sources, *analyses]


def _is_label(entry: Any) -> bool:
    types = {"index": int, "word_net_id": str, "name": str}
    return isinstance(entry, dict) and all(type(entry.get(k)) is t for k, t in types.items())


def _unusable(path: Path, needed: str, faults: list[str]) -> ValueError:
    lines = "\n".join(f"  - {fault}" for fault in faults)
    return ValueError(f"{path}: needs {needed}; got:\n{lines}\nMend what is named.")
