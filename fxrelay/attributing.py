"""Attribute: from a model and its inputs to a labelled Dataset."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from fxrelay import schema
from fxrelay.annotating import annotate
from fxrelay.canonizing import canonize
from fxrelay.composites import Composite, composite_of
from fxrelay.inputs import computed_with, output_shape, require_finite
from fxrelay.provenance import provenance
from fxrelay.relaying import Relay, relay, require_in_boxes
from fxrelay.targets import Target, from_output, needs_output, seeds, target_indices
from fxrelay.tracing import Model, trace

#: dimensions of a variable by the rank of a sample
AXES: dict[int, tuple[str, ...]] = {
    1: (schema.FEATURE,),
    2: (schema.CHANNEL, schema.X),
    3: (schema.CHANNEL, schema.Y, schema.X),
}


def attribute(
    model: Model | Relay,
    x: Tensor | np.ndarray,
    target: Target | Callable[[Tensor], Tensor] = None,
    *,
    composite: Composite | str | None = None,
    label: Sequence[int] | np.ndarray | Tensor | None = None,
    sample: Sequence[Hashable] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    record: Sequence[str] = (),
    sinks: bool = False,
    keep_input: bool = True,
    batch_size: int = 64,
    target_chunk: int | None = None,
    output: str | int | None = None,
) -> xr.Dataset:
    """Explain a model's outputs for samples.

    Parameters
    ----------
    model : nn.Module, GraphModule, ExportedProgram or Relay
        In eval mode; it is not changed. A `Relay` is reused as it is.
    x : Tensor or array, shape (sample, ...)
        Finite inputs.
    target : labels, "argmax", "top<k>" or function, default "argmax"
        One label for all, one a sample, or (sample, target) for several a sample, which adds the
        dimension "target". A function maps outputs (sample, class) to seeds of that shape.
    composite : Composite or str
        Rules; needed unless `model` is a `Relay`.
    label : integers (sample,), optional
        True classes, kept as the variable "label".
    sample : ids (sample,), optional
        Default 0, 1, ...
    classes : sequence of str, optional
        Class names, the coordinate "class".
    record : sequence of str
        Globs on node paths; their relevance becomes ``relevance_at_<path>``.
    sinks : bool
        Whether to keep what biases and stabilizers absorbed, as ``sink_<name>`` (sample,).
    keep_input : bool
        Whether the Dataset holds the input.
    batch_size : int
        Samples per call of the program.
    target_chunk : int, optional
        Targets per call, to bound memory; default all.
    output : str or int, optional
        Which entry of a dict or tuple output to explain.

    Returns
    -------
    Dataset, dims (sample, [target], channel, y, x)
        The schema's variables; relevance is a share of the seed, which is 1 at the target.

    Raises
    ------
    ValueError
        For NaN or wrongly shaped inputs, labels out of range, or a model in train mode, before any
        work starts.
    """
    if batch_size < 1:
        raise ValueError(f"attribute: needs batch_size >= 1; got {batch_size}.")
    x = torch.as_tensor(x)
    program = explainer(model, composite, example=x[:2], record=record, sinks=sinks, output=output)
    shape = output_shape(program.model, x)
    require_finite(x, "attribute")
    indices = None
    if not callable(target) and not needs_output(target):
        indices = target_indices(target, len(x), int(np.prod(shape[1:])))
    meta = Labels.checked(len(x), shape, label, sample, classes)
    require_in_boxes(program.boxes, {program.inputs[0]: x})
    parts = [
        _batch(program, x[i : i + batch_size], target,
               None if indices is None else indices[i : i + batch_size], shape, target_chunk)
        for i in range(0, len(x), batch_size)
    ]  # fmt: skip
    arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    if keep_input:
        arrays[schema.INPUT] = x.detach().cpu().numpy()
    ds = dataset(arrays, meta)
    ds.attrs |= provenance(program)
    return schema.validate(ds)


def explainer(
    model: Model | Relay,
    composite: Composite | str | None,
    *,
    example: Tensor | None = None,
    record: Sequence[str] = (),
    sinks: bool = False,
    output: str | int | None = None,
) -> Relay:
    """Return the program that explains `model`: trace, canonize, annotate, relay."""
    if isinstance(model, Relay):
        if composite is not None or record or output is not None:
            raise ValueError(
                "attribute: needs a Relay alone; got composite, record or output with it. "
                "They are fixed when a program is built: pass them to fxrelay.relay."
            )
        return model
    if composite is None:
        raise ValueError(
            "attribute: needs composite; got none. For example composite='epsilon_plus_flat'."
        )
    chosen = composite_of(composite)
    if example is not None and isinstance(model, nn.Module):
        example = example.to(computed_with(model, example))
    graph = annotate(canonize(trace(model, example, output=output)), chosen)
    name = type(model).__name__ if isinstance(model, nn.Module) else "ExportedProgram"
    graph.meta |= {schema.MODEL: name, schema.COMPOSITE: str(chosen)}
    return relay(graph, record=record, sinks=sinks)


def _batch(
    program: Relay,
    x: Tensor,
    target: Any,
    indices: Tensor | None,
    shape: Sequence[int],
    chunk: int | None,
) -> dict[str, np.ndarray]:
    x = x.detach().to(computed_with(program.graph, x))
    with torch.no_grad():
        output = program.model(x) if indices is None else x.new_empty((len(x), *shape[1:]))
        if callable(target):
            seed = target(output)
        else:
            indices = from_output(target, output) if indices is None else indices
            seed = seeds(indices, output)
        several = indices is not None and indices.dim() == 2
        out = _run(program, x, seed, several, chunk)
    arrays = {
        schema.RELEVANCE: out["relevance"][program.inputs[0]],
        schema.OUTPUT: out["output"],
        **{schema.RELEVANCE_AT + path: r for path, r in out["recorded"].items()},
        **{schema.SINK + name: r for name, r in out["sinks"].items()},
    }
    found = {name: value.cpu().numpy() for name, value in arrays.items()}
    return found if indices is None else found | {schema.TARGET: indices.numpy()}


def _run(program: Relay, x: Tensor, seed: Tensor, several: bool, chunk: int | None) -> Any:
    if not several:
        return program.graph(x, seed)
    axes = {"output": None, "relevance": 0, "recorded": 0, "activations": None, "sinks": 0}
    run = torch.func.vmap(program.graph, (None, 0), axes)  # type: ignore[arg-type]
    parts = [run(x, part) for part in seed.split(chunk or len(seed))]
    joined = {
        group: {name: torch.cat([p[group][name] for p in parts]).movedim(0, 1)
                for name in parts[0][group]}
        for group in ("relevance", "recorded", "sinks")
    }  # fmt: skip
    return parts[0] | joined


@dataclass(frozen=True)
class Labels:
    """What is known of the samples besides their arrays."""

    sample: np.ndarray
    label: np.ndarray | None
    classes: np.ndarray | None

    @classmethod
    def checked(
        cls, n: int, shape: Sequence[int], label: Any, sample: Any, classes: Any
    ) -> "Labels":
        """Raise where sizes do not fit or labels are out of range."""
        n_classes = int(shape[1]) if len(shape) == 2 else 0
        ids = np.arange(n) if sample is None else np.asarray(sample)
        if len(ids) != n:
            raise ValueError(f"attribute: needs {n} sample ids, one a sample; got {len(ids)}.")
        if classes is not None and len(classes) != n_classes:
            raise ValueError(
                f"attribute: needs a name for each of {n_classes} classes; got {len(classes)}."
            )
        known = None if label is None else target_indices(label, n, n_classes).numpy()
        return cls(ids, known, None if classes is None else np.asarray(classes, dtype=str))


def dataset(arrays: dict[str, np.ndarray], labels: Labels) -> xr.Dataset:
    """Give arrays the names of the schema."""
    several = schema.TARGET in arrays and arrays[schema.TARGET].ndim == 2
    ds = xr.Dataset(
        {name: (_dims(name, a, several), a) for name, a in arrays.items() if name != schema.TARGET},
        coords={schema.SAMPLE: labels.sample},
    )
    if labels.classes is not None:
        ds = ds.assign_coords({schema.CLASS: labels.classes})
    if schema.TARGET in arrays:
        dims = (schema.SAMPLE, schema.TARGET) if several else (schema.SAMPLE,)
        ds = ds.assign_coords({schema.TARGET: (dims, arrays[schema.TARGET])})
    if ds[schema.OUTPUT].dims == (schema.SAMPLE, schema.CLASS):
        ds[schema.PREDICTION] = ds[schema.OUTPUT].argmax(schema.CLASS).astype("int64")
    if labels.label is not None:
        ds[schema.LABEL] = (schema.SAMPLE, labels.label)
    return schema.describe(ds)


def _dims(name: str, array: np.ndarray, several: bool) -> tuple[str, ...]:
    by_target = name in (schema.RELEVANCE,) or name.startswith((schema.RELEVANCE_AT, schema.SINK))
    lead = (schema.SAMPLE, schema.TARGET) if several and by_target else (schema.SAMPLE,)
    rest = array.ndim - len(lead)
    if name == schema.OUTPUT and rest == 1:
        return (*lead, schema.CLASS)
    if name in (schema.RELEVANCE, schema.INPUT):
        return lead + AXES.get(rest, tuple(f"axis_{i}" for i in range(rest)))
    own = AXES.get(rest, tuple(f"axis_{i}" for i in range(rest)))
    return lead + tuple(f"{axis}_{name}" for axis in own)
