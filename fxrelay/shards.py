"""Attribute datasets larger than memory: immutable shards, resumed after a crash, read as one.

A shard is the unit of work. It is written whole or not at all and holds a digest of the inputs it
explains, so the same call after a crash makes the missing shards only, and changed inputs are never
answered from old shards.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import xxhash
from torch import Tensor
from torch.utils import _pytree as pytree
from tqdm.auto import tqdm

from fxrelay import schema
from fxrelay.attributing import Plan, attribute, bound, explainer
from fxrelay.composites import Composite
from fxrelay.entries import Given, Target, target_indices
from fxrelay.execute import Executor, Serial
from fxrelay.files import writable_folder, write_atomically, write_netcdf
from fxrelay.outputs import Pick
from fxrelay.running import Relay
from fxrelay.samples import Pairs, Samples
from fxrelay.targets import Function, target_of
from fxrelay.tracing import Model

MANIFEST = "manifest.json"
DIGEST = "input_digest"


@dataclass
class Job:
    """One shard to make; it travels to other processes by pickle."""

    model: Any
    composite: Composite | str | None
    samples: Pairs
    ids: np.ndarray
    target: Target
    path: Path
    options: dict[str, Any] = field(default_factory=dict)


def attribute_dataset(
    model: Model,
    dataset: Samples | tuple[Any, Any] | Mapping[str, Any],
    path: str | Path,
    *,
    composite: Composite | str,
    target: Given | str | Target = "label",
    classes: Sequence[str] | None = None,
    sample: Sequence[Any] | None = None,
    shard_size: int = 1000,
    batch_size: int = 64,
    record: Sequence[str] = (),
    activations: bool = False,
    sinks: bool = False,
    keep_input: bool = True,
    output: Pick | None = None,
    explain: Sequence[str] | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Explain a whole dataset into a folder of shards, and open it as one lazy Dataset.

    Parameters
    ----------
    model : nn.Module, GraphModule or ExportedProgram
        In eval mode.
    dataset : map-style dataset, (inputs, labels), or a dict of inputs
        ``dataset[i]`` is x or (x, label). Arrays and tensors count as datasets of x. For models
        with several inputs x is a dict or tuple of arrays, as are the inputs in (inputs, labels),
        with samples first; a dict of inputs alone has no labels.
    path : path
        The folder; it is made when missing. A folder of another run is an error.
    target : "label", "argmax", "top<k>", labels, index, or `fxrelay.targets`
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
    samples = Pairs.of(dataset)
    example, _ = samples.part(0, min(2, len(samples))).read()
    given, n = bound(model, example)
    program = explainer(
        model, composite, example=given, record=record, sinks=sinks, output=output, explain=explain
    )
    chosen = _checked_target(Plan.checked(program, given.tensors, n), samples, target)
    manifest = _manifest(
        program, len(samples), shard_size, _name(target, chosen), keep_input, classes
    )
    manifest["activations"] = activations
    _require_same_run(folder, manifest)
    ids = np.arange(len(samples)) if sample is None else np.asarray(sample)
    if len(ids) != len(samples):
        raise ValueError(
            f"attribute_dataset: needs {len(samples)} sample ids, one a sample; got {len(ids)}."
        )
    options: dict[str, Any] = {
        "keep_input": keep_input, "batch_size": batch_size, "activations": activations,
        "classes": None if classes is None else list(classes),
    }  # fmt: skip
    place = executor or Serial()
    local = isinstance(place, Serial)
    if not local:
        options |= {
            "record": tuple(record), "sinks": sinks, "output": output, "explain": explain,
        }  # fmt: skip
    write_atomically(folder / MANIFEST, lambda p: p.write_text(json.dumps(manifest, indent=1)))
    cuts = [slice(i, min(i + shard_size, len(ids))) for i in range(0, len(ids), shard_size)]
    jobs = [
        Job(program if local else model, None if local else composite,
            samples.part(cut.start, cut.stop), ids[cut],
            chosen.part(cut), folder / f"shard-{i:06d}.nc", options)
        for i, cut in enumerate(cuts)
    ]  # fmt: skip
    _run(place, jobs, progress)
    return open_dataset(folder)


def _run(executor: Executor, jobs: list[Job], progress: bool) -> None:
    made = executor.map(make_shard, jobs)
    for _ in tqdm(made, "attribute", len(jobs), unit="shard", disable=not progress):
        pass


def make_shard(job: Job) -> Path:
    """Make one shard unless it is there with the same inputs; return its path."""
    x, labels = job.samples.read()
    digest = _digest(x, labels, job)
    if _is_done(job.path, digest):
        return job.path
    ds = attribute(
        job.model, x, job.target, composite=job.composite, label=labels, sample=job.ids,
        **job.options,
    )  # fmt: skip
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


def _checked_target(plan: Plan, samples: Pairs, target: Any) -> Target:
    labels = samples.all_labels()
    if labels is not None:
        target_indices(labels, len(samples), plan.n_classes)
    if isinstance(target, str) and target == "label":
        if labels is None:
            raise ValueError(
                "attribute_dataset: needs labels for target='label'; got a dataset without. "
                "Pass (inputs, labels), or target='argmax'."
            )
        target = labels
    chosen = target_of(target)
    if isinstance(chosen, Function):
        raise ValueError(
            f"attribute_dataset: needs a target that can be told from others when a run resumes; "
            f"got the function {chosen}. Use fxrelay.targets, or labels that it computes."
        )
    return chosen.checked(plan.space, len(samples))


def _name(target: Any, chosen: Target) -> str:
    """Return how the manifest tells targets apart; what was given is in each shard's digest."""
    if isinstance(target, str):
        return target
    return str(chosen) if chosen.needs_output else chosen.name


def _manifest(
    program: Relay, n: int, shard_size: int, target: str, keep_input: bool, classes: Any
) -> dict[str, Any]:
    if shard_size < 1:
        raise ValueError(f"attribute_dataset: needs shard_size >= 1; got {shard_size}.")
    return {
        "schema_version": schema.VERSION,
        "samples": n,
        "shard_size": shard_size,
        "model_digest": program.digest,
        "composite": program.model.meta.get(schema.COMPOSITE, ""),
        "target": target,
        "keep_input": keep_input,
        "classes": None if classes is None else [str(c) for c in classes],
    }


def _require_same_run(folder: Path, manifest: dict[str, Any]) -> None:
    file = folder / MANIFEST
    if not file.is_file() or not any(folder.glob("shard-*.nc")):
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


def _digest(x: Any, labels: np.ndarray | None, job: Job) -> str:
    hasher = xxhash.xxh3_128()
    for path, leaf in pytree.tree_flatten_with_path(x)[0]:
        if isinstance(leaf, Tensor):
            hasher.update(pytree.keystr(path).encode())
            _add(hasher, leaf.numpy())
    for array in (labels, *job.target.arrays(), job.ids):
        if array is not None:
            _add(hasher, array)
    return hasher.hexdigest()


def _add(hasher: Any, array: np.ndarray) -> None:
    hasher.update(f"{array.dtype} {array.shape}".encode())
    names = array.dtype.kind in "OU"
    hasher.update(str(array.tolist()).encode() if names else array.tobytes())


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
