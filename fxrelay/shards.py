"""Attribute datasets larger than memory: immutable shards, resumed after a crash, read as one.

A shard is the unit of work. It is written whole or not at all and holds a digest of the inputs it
explains, so the same call after a crash makes the missing shards only, and changed inputs are never
answered from old shards.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
import xxhash
from torch import Tensor
from tqdm.auto import tqdm

from fxrelay import schema
from fxrelay.attributing import attribute, explainer
from fxrelay.composites import Composite
from fxrelay.execute import Executor, Serial
from fxrelay.files import writable_folder, write_atomically, write_netcdf
from fxrelay.inputs import output_shape, require_finite
from fxrelay.relaying import Relay
from fxrelay.targets import Target, needs_output, target_indices
from fxrelay.tracing import Model

MANIFEST = "manifest.json"
DIGEST = "input_digest"


class Samples(Protocol):
    """A map-style dataset: ``len(samples)`` and ``samples[i]`` -> x or (x, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


@dataclass
class Job:
    """One shard to make; it travels to other processes by pickle."""

    model: Any
    composite: Composite | str | None
    samples: Any
    start: int
    stop: int
    path: Path
    targets: Tensor | str | None
    options: dict[str, Any] = field(default_factory=dict)


def attribute_dataset(
    model: Model,
    dataset: Samples | tuple[Any, Any],
    path: str | Path,
    *,
    composite: Composite | str,
    target: Target | str = "label",
    classes: Sequence[str] | None = None,
    sample: Sequence[Any] | None = None,
    shard_size: int = 1000,
    batch_size: int = 64,
    record: Sequence[str] = (),
    sinks: bool = False,
    keep_input: bool = True,
    output: str | int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Explain a whole dataset into a folder of shards, and open it as one lazy Dataset.

    Parameters
    ----------
    model : nn.Module, GraphModule or ExportedProgram
        In eval mode.
    dataset : map-style dataset, or (inputs, labels)
        ``dataset[i]`` is x or (x, label). Arrays and tensors count as datasets of x.
    path : path
        The folder; it is made when missing. A folder of another run is an error.
    target : "label", "argmax", "top<k>", or labels
        What to explain; "label" is each sample's own.
    shard_size : int
        Samples a shard, 1e3 to 1e4 for images.
    executor : Executor
        Where shards are made: default this process.
    progress : bool
        Whether to show a progress bar.
    **others
        As for `fxrelay.attribute`.

    Returns
    -------
    Dataset
        Lazy, dims (sample, ...).

    Raises
    ------
    OSError
        If the folder cannot be written, before work starts; shards that are finished stay.
    ValueError
        For bad samples, labels or a folder that another run has filled, before work starts.
    """
    folder = writable_folder(path, "attribute_dataset")
    samples = _Pairs.of(dataset)
    example = samples.read(0, min(2, len(samples)))[0]
    program = explainer(
        model, composite, example=example, record=record, sinks=sinks, output=output
    )
    targets = _checked_targets(program, samples, target)
    manifest = _manifest(program, len(samples), shard_size, target, keep_input, classes)
    _require_same_run(folder, manifest)
    options = {
        "record": tuple(record), "sinks": sinks, "output": output, "keep_input": keep_input,
        "batch_size": batch_size, "classes": None if classes is None else list(classes),
        "sample": None if sample is None else np.asarray(sample),
    }  # fmt: skip
    write_atomically(folder / MANIFEST, lambda p: p.write_text(json.dumps(manifest, indent=1)))
    local = executor is None or isinstance(executor, Serial)
    jobs = [
        Job(program if local else model, None if local else composite, samples, start,
            min(start + shard_size, len(samples)), folder / f"shard-{i:06d}.nc", targets, options)
        for i, start in enumerate(range(0, len(samples), shard_size))
    ]  # fmt: skip
    _run(executor or Serial(), jobs, progress)
    return open_dataset(folder)


def _run(executor: Executor, jobs: list[Job], progress: bool) -> None:
    made = executor.map(make_shard, jobs)
    for _ in tqdm(made, "attribute", len(jobs), unit="shard", disable=not progress):
        pass


def make_shard(job: Job) -> Path:
    """Make one shard unless it is there with the same inputs; return its path."""
    x, labels = job.samples.read(job.start, job.stop)
    digest = _digest(x, labels, job)
    if _is_done(job.path, digest):
        return job.path
    require_finite(x, "attribute_dataset")
    targets = job.targets
    chosen: Any = targets[job.start : job.stop] if isinstance(targets, Tensor) else targets
    options = dict(job.options)
    if isinstance(job.model, Relay):
        for fixed in ("record", "sinks", "output"):
            options.pop(fixed)
    ids = options.pop("sample")
    ids = np.arange(job.start, job.stop) if ids is None else ids[job.start : job.stop]
    ds = attribute(
        job.model, x, chosen, composite=job.composite, label=labels, sample=ids, **options
    )
    ds.attrs[DIGEST] = digest
    return write_netcdf(ds, job.path)


def open_dataset(path: str | Path) -> xr.Dataset:
    """Open a folder of shards as one lazy Dataset, or a single file.

    Raises
    ------
    FileNotFoundError
        If the folder is none of `attribute_dataset`, or shards are missing.
    """
    path = Path(path)
    if path.is_file():
        return xr.open_dataset(path, chunks={})
    if not (path / MANIFEST).is_file():
        raise FileNotFoundError(
            f"open_dataset: needs a folder that attribute_dataset made; got {str(path)!r} without "
            f"{MANIFEST}."
        )
    manifest = json.loads((path / MANIFEST).read_text())
    n = -(-manifest["samples"] // manifest["shard_size"])
    shards = [path / f"shard-{i:06d}.nc" for i in range(n)]
    missing = [p.name for p in shards if not p.is_file()]
    if missing:
        raise FileNotFoundError(
            f"open_dataset: needs {n} shards in {str(path)!r}; {len(missing)} are missing "
            f"({', '.join(missing[:3])}). Run attribute_dataset again: it makes only those."
        )
    ds = xr.open_mfdataset(
        shards, combine="nested", concat_dim=schema.SAMPLE, data_vars="minimal", coords="minimal",
        compat="override", join="override", combine_attrs="override", engine="netcdf4",
    )  # fmt: skip
    ds.attrs.pop(DIGEST, None)
    return ds


@dataclass
class _Pairs:
    """Samples and labels, whatever the dataset gives."""

    samples: Any
    labels: np.ndarray | None
    paired: bool

    @classmethod
    def of(cls, dataset: Any) -> "_Pairs":
        if isinstance(dataset, tuple) and len(dataset) == 2:
            x, labels = dataset
            if len(x) != len(labels):
                raise ValueError(
                    f"attribute_dataset: needs a label for each input; got {len(x)} inputs and "
                    f"{len(labels)} labels."
                )
            return cls(x, np.asarray(labels).astype("int64"), False)
        if not len(dataset):
            raise ValueError("attribute_dataset: needs samples; got an empty dataset.")
        return cls(dataset, None, isinstance(dataset[0], tuple | list))

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, start: int, stop: int) -> tuple[Tensor, np.ndarray | None]:
        if isinstance(self.samples, Tensor | np.ndarray):
            x = torch.as_tensor(self.samples[start:stop])
            return x, None if self.labels is None else self.labels[start:stop]
        items = [self.samples[i] for i in range(start, stop)]
        x = torch.stack([torch.as_tensor(i[0] if self.paired else i) for i in items])
        if self.paired:
            return x, np.array([int(i[1]) for i in items], dtype="int64")
        return x, None if self.labels is None else self.labels[start:stop]

    def all_labels(self) -> np.ndarray | None:
        if self.labels is not None or not self.paired:
            return self.labels
        known = getattr(self.samples, "targets", None)
        if known is not None and getattr(self.samples, "target_transform", None) is None:
            return np.asarray(known).astype("int64")
        return np.array([int(self.samples[i][1]) for i in range(len(self))], dtype="int64")


def _checked_targets(program: Relay, samples: _Pairs, target: Any) -> Tensor | str | None:
    first, _ = samples.read(0, 1)
    classes = int(np.prod(output_shape(program.model, first)[1:]))
    labels = samples.all_labels()
    if labels is not None:
        target_indices(labels, len(samples), classes)
    if isinstance(target, str) and target == "label":
        if labels is None:
            raise ValueError(
                "attribute_dataset: needs labels for target='label'; got a dataset without. "
                "Pass (inputs, labels), or target='argmax'."
            )
        return torch.as_tensor(labels)
    if needs_output(target):
        return target
    return target_indices(target, len(samples), classes)


def _manifest(
    program: Relay, n: int, shard_size: int, target: Any, keep_input: bool, classes: Any
) -> dict[str, Any]:
    if shard_size < 1:
        raise ValueError(f"attribute_dataset: needs shard_size >= 1; got {shard_size}.")
    return {
        "schema_version": schema.VERSION,
        "samples": n,
        "shard_size": shard_size,
        "model_digest": program.digest,
        "composite": program.model.meta.get(schema.COMPOSITE, ""),
        "target": target if isinstance(target, str) else "given",
        "keep_input": keep_input,
        "classes": None if classes is None else [str(c) for c in classes],
    }


def _require_same_run(folder: Path, manifest: dict[str, Any]) -> None:
    file = folder / MANIFEST
    if not file.is_file():
        return
    try:
        old = json.loads(file.read_text())
    except ValueError:
        old = {}
    changed = [key for key in manifest if old.get(key) != manifest[key]]
    if changed:
        raise ValueError(
            f"attribute_dataset: needs a folder of its own; {str(folder)!r} holds another run, "
            f"which differs in {', '.join(changed)}. Choose another folder or delete that one."
        )


def _digest(x: Tensor, labels: np.ndarray | None, job: Job) -> str:
    hasher = xxhash.xxh3_128(f"{x.dtype} {tuple(x.shape)}".encode())
    hasher.update(x.contiguous().numpy().data)
    if labels is not None:
        hasher.update(np.ascontiguousarray(labels).data)
    if isinstance(job.targets, Tensor):
        hasher.update(job.targets[job.start : job.stop].contiguous().numpy().data)
    return hasher.hexdigest()


def _is_done(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    try:
        with xr.open_dataset(path, engine="netcdf4") as ds:
            return bool(ds.attrs.get(DIGEST) == digest)
    except (OSError, ValueError):
        return False


def shards(path: str | Path) -> Iterator[Path]:
    """Iterate over the finished shards of a folder."""
    yield from sorted(Path(path).glob("shard-*.nc"))
