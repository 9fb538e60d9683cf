"""Projects of ViRelAy for tests, in both dialects, each part of which can be replaced."""

import json

import h5py
import numpy as np
import yaml

RANDOM = np.random.default_rng(0)
N, SHAPE = 6, (3, 4, 5)
DATA = RANDOM.uniform(size=(N, *SHAPE)).astype(np.float32)
RELEVANCE = RANDOM.normal(size=(N, *SHAPE)).astype(np.float32)
LABEL = np.array([0, 1, 1, 0, 1, 0], np.uint16)
SCORES = RANDOM.uniform(size=(N, 2)).astype(np.float32)
SPECTRAL = RANDOM.normal(size=(3, 4)).astype(np.float32)
TSNE = RANDOM.normal(size=(3, 2)).astype(np.float32)
VALUES = np.array([0.9, 0.5, 0.1, 0.0], np.float32)  # as found: greatest first
LABELS = [
    {"index": 0, "word_net_id": "n01", "name": "cat"},
    {"index": 1, "word_net_id": "n02", "name": "dog"},
]
INDEX = {"n01": np.array([0, 3, 5], np.uint32), "n02": np.array([1, 2, 4], np.uint32)}


def content(**changed):
    """Return the project file's content; keys with __ for dots replace, None drops."""
    project = {
        "name": "pets",
        "model": "net",
        "label_map": "labels.json",
        "dataset": {"name": "pets", "type": "hdf5", "path": "dataset.h5"},
        "attributions": {
            "attribution_method": "lrp",
            "attribution_strategy": "true_label",
            "sources": ["attribution.h5"],
        },
        "analyses": [{"analysis_method": "spectral", "sources": ["analysis.h5"]}],
    }
    for key, value in changed.items():
        *way, last = key.split("__")
        place = project
        for part in way:
            place = place[part]
        place[last] = value
        if value is None:
            del place[last]
    return {"project": project}


def write(folder, name, arrays):
    """Write arrays by path; an array may be (values, attributes)."""
    with h5py.File(folder / name, "w") as file:
        for key, value in arrays.items():
            values, attributes = value if isinstance(value, tuple) else (value, {})
            file[key] = values
            file[key].attrs.update(attributes)


def one_by_one(arrays, prefix=""):
    """Return arrays sample by sample, under names."""
    return {
        f"{key}/{prefix}{i:03d}": row for key, rows in arrays.items() for i, row in enumerate(rows)
    }


def flat_analysis():
    """Return an analysis in the form in use."""
    out = {}
    for key, index in INDEX.items():
        out |= {
            f"{key}/index": index,
            f"{key}/embedding/spectral": (SPECTRAL, {"eigenvalue": VALUES}),
            f"{key}/embedding/tsne": (TSNE, {"embedding": "spectral", "index": [0, 1]}),
            f"{key}/cluster/kmeans-02": np.array([0, 1, 1]),
            f"{key}/cluster/kmeans-03": np.array([0, 1, 2]),
            f"{key}/cluster/dbscan-eps=0.2": np.array([0, -1, 0]),
            f"{key}/cluster/train_split": np.array([True, False, True]),
        }
    return out


def specified_analysis():
    """Return the same analysis in the form of the specification."""
    out = {}
    for key, index in INDEX.items():
        out |= {
            f"{key}/index": index,
            f"{key}/name": "ignored",
            f"{key}/embedding/spectral/root": SPECTRAL,
            f"{key}/embedding/spectral/eigenvalue": VALUES,
            f"{key}/embedding/tsne/root": TSNE,
            f"{key}/clustering/kmeans-02/root": np.array([0, 1, 1]),
            f"{key}/clustering/kmeans-02/prototype/average/root": np.ones((2, 4)),
            f"{key}/clustering/kmeans-03/root": np.array([0, 1, 2]),
            f"{key}/clustering/dbscan-eps=0.2/root": np.array([0, -1, 0]),
        }
    return out


def project(folder, *, analysis=None, attribution=None, dataset=None, labels=LABELS, **changed):
    """Write a project and return its file."""
    arrays = {"attribution": RELEVANCE, "label": LABEL, "prediction": SCORES}
    write(folder, "dataset.h5", {"data": DATA, "label": LABEL} if dataset is None else dataset)
    write(folder, "attribution.h5", arrays if attribution is None else attribution)
    write(folder, "analysis.h5", flat_analysis() if analysis is None else analysis)
    (folder / "labels.json").write_text(json.dumps(labels))
    file = folder / "project.yaml"
    file.write_text(yaml.safe_dump(content(**changed)))
    return file
