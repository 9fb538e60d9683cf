"""Attribute: from a model and its inputs to a labelled Dataset."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from fxrelay import schema
from fxrelay.annotating import annotate
from fxrelay.arguments import Arguments, Inputs, arguments_of
from fxrelay.canonizing import canonize
from fxrelay.composites import Composite, composite_of
from fxrelay.conditions import Condition, masks_of, paths_of
from fxrelay.entries import Given, Space, Target
from fxrelay.inputs import (
    cast,
    n_samples,
    output_of_shapes,
    part_of,
    require_finite,
    require_in_tables,
    require_samples,
)
from fxrelay.labelling import Labels, Names, dataset, layout_of, output_axes
from fxrelay.memory import passes_within
from fxrelay.outputs import Pick
from fxrelay.preconditions import require_traceable
from fxrelay.provenance import provenance
from fxrelay.relaying import relay
from fxrelay.running import Relay, require_in_boxes
from fxrelay.shapes import shapes_in
from fxrelay.targets import SeedFunction, target_of
from fxrelay.tracing import Model, trace
from fxrelay.vmapped import over_targets, passes


def attribute(
    model: Model | Relay,
    x: Inputs,
    target: Given | str | Target | SeedFunction | None = None,
    *,
    composite: Composite | str | None = None,
    label: Sequence[int] | np.ndarray | Tensor | None = None,
    sample: Sequence[Hashable] | np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    record: Sequence[str] = (),
    activations: bool = False,
    sinks: bool = False,
    keep_input: bool = True,
    batch_size: int = 64,
    conditions: Sequence[Condition] | None = None,
    memory: float | None = None,
    output: Pick | None = None,
    explain: Sequence[str] | None = None,
) -> xr.Dataset:
    """Explain a model's outputs for samples.

    Parameters
    ----------
    model : nn.Module, GraphModule, ExportedProgram or Relay
        In eval mode; it is not changed. A `Relay` is reused as it is.
    x : Tensor or array (sample, ...); a sequence of them, or a mapping of names to them
        Positional or keyword arguments of forward; those left out keep their default, those that
        are no tensors are fixed. Every tensor has samples first, or 1 where all samples share it.
        Floating point inputs need to be finite, and are moved to the model's type and device.
    target : labels, index, "argmax", "top<k>", `fxrelay.targets` or function, default "argmax"
        One label for all, one a sample, or (sample, target) for several a sample, which adds the
        dimension "target"; `fxrelay.targets` lists all forms. A function maps outputs
        (sample, ...) to seeds of that shape.
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
    activations : bool
        Whether to keep what the recorded nodes compute too, as ``activation_at_<path>``, without
        the dims target and condition. The model is canonized: the activation of a convolution is
        that after its batch norm.
    sinks : bool
        Whether to keep what biases and stabilizers absorbed, as ``sink_<name>`` (sample,).
    keep_input : bool
        Whether the Dataset holds the inputs.
    batch_size : int
        Samples per call of the program.
    conditions : sequence of mappings, optional
        Each says which channels relevance may pass at which nodes: ``{"layer4.1": [3, 7]}``, paths
        to a channel, channels, or a mask. Adds the dimension "condition" (Achtibat et al. 2023).
    memory : float, GiB, optional
        What targets and conditions may take together at once; default all of them at once.
    output : str, int or path, optional
        Which tensor of a nested output to explain, as for `fxrelay.trace`.
    explain : sequence of str, optional
        Names of the inputs that get relevance, as for `fxrelay.trace`; the others are constants.

    Returns
    -------
    Dataset, dims (sample, [target], channel, y, x), or token, feature, time as the input has them
        The schema's variables; relevance is a share of the seed, which is 1 at the target. The
        first explained input's is "relevance", that of others ``relevance_of_<name>``.

    Raises
    ------
    ValueError
        For inputs, labels or models that do not fit, before any work starts.
    """
    if batch_size < 1:
        raise ValueError(f"attribute: needs batch_size >= 1; got {batch_size}.")
    given, n = bound(model, x)
    program = explainer(
        model, composite, example=given, record=record, sinks=sinks, output=output,
        explain=explain, masked=paths_of(conditions or ()),
    )  # fmt: skip
    plan = Plan.checked(program, given.tensors, n, conditions)
    chosen = target_of(target).checked(plan.space, n)
    labels = Labels.checked(n, plan.n_classes, label, sample, classes)
    require_in_boxes(program.boxes, given.tensors)
    batches = [slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]
    chunk = plan.passes(part_of(given.tensors, batches[0]), chosen.part(batches[0]), memory)
    parts = [
        plan.run(part_of(given.tensors, b), chosen.part(b), chunk, activations) for b in batches
    ]
    arrays, coordinates = map(_joined, zip(*parts, strict=True))
    if keep_input:
        arrays |= plan.kept(given.tensors)
    ds = dataset(arrays, coordinates, labels, plan.names, conditions is not None)
    ds.attrs |= provenance(program)
    return schema.validate(ds)


def bound(model: Model | Relay, x: Inputs | Arguments) -> tuple[Arguments, int]:
    """Return the call that `x` is, and how many samples it has; raise where it does not fit."""
    graph = model.model if isinstance(model, Relay) else model
    if not isinstance(model, Relay):
        require_traceable(model)
    given = arguments_of(graph, x)
    return given, n_samples(given.tensors, "attribute")


def explainer(
    model: Model | Relay,
    composite: Composite | str | None,
    *,
    example: Arguments | None = None,
    record: Sequence[str] = (),
    sinks: bool = False,
    output: Pick | None = None,
    explain: Sequence[str] | None = None,
    masked: Sequence[str] = (),
) -> Relay:
    """Return the program that explains `model`: trace, canonize, annotate, relay."""
    if isinstance(model, Relay):
        if composite is not None or record or output is not None or explain is not None:
            raise ValueError(
                "attribute: needs a Relay alone; got composite, record, output or explain with it. "
                "They are fixed when a program is built: pass them to fxrelay.trace and "
                "fxrelay.relay."
            )
        return model
    if composite is None:
        raise ValueError(
            "attribute: needs composite; got none. For example composite='epsilon_plus_flat'."
        )
    chosen = composite_of(composite)
    if example is not None:
        few = part_of(example.tensors, slice(0, 2))
        example = example.having(cast(model, few) if isinstance(model, nn.Module) else few)
    graph = annotate(canonize(trace(model, example, output=output, explain=explain)), chosen)
    name = type(model).__name__ if isinstance(model, nn.Module) else "ExportedProgram"
    graph.meta |= {schema.MODEL: name, schema.COMPOSITE: str(chosen)}
    return relay(graph, record=record, sinks=sinks, masked=masked)


@dataclass(frozen=True)
class Plan:
    """A program, and what its inputs and outputs are called.

    Attributes
    ----------
    space : Space
        The output of one sample.
    like : Tensor
        Shape and type of the whole output, without values.
    masks : tuple of Tensor (condition, 1, ...)
        One for each node that the program masks.
    """

    program: Relay
    names: Names
    space: Space
    like: Tensor
    masks: tuple[Tensor, ...] = ()

    @classmethod
    def checked(
        cls,
        program: Relay,
        tensors: Mapping[str, Tensor],
        n: int,
        conditions: Sequence[Condition] | None = None,
    ) -> "Plan":
        """Raise where inputs do not fit the program; nothing is computed."""
        like = output_of_shapes(program.model, tensors, n)
        shown = {k: tensors[k] for k in program.explained}
        require_samples(shown, n)
        require_finite(shown, "attribute")
        require_in_tables(program.model, shown)
        graph, order = program.model.graph, dict.fromkeys([*shown, *tensors])
        layouts = {k: layout_of(graph, k, tensors[k]) for k in order}
        axes = output_axes(next(iter(layouts.values())), like.dim() - 1)
        names = Names(layouts, axes)
        names.require({k: x.dim() - 1 for k, x in shown.items()})
        masks = _masks(program, tensors, conditions)
        return cls(program, names, Space(tuple(like.shape[1:]), axes), like, masks)

    @property
    def n_classes(self) -> int:
        """Number of classes; an output of one number is a class of its own."""
        return self.space.shape[self.space.class_axis] if self.space.axes else 1

    def run(
        self,
        tensors: Mapping[str, Tensor],
        target: Target,
        chunk: int | None,
        activations: bool = False,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the arrays and the coordinates of one batch."""
        inputs = tuple(cast(self.program.graph, tensors).values())
        with torch.no_grad():
            output, seed = self._seed(inputs, target)
            out = self._pass(inputs, seed, target.several, chunk)
            coordinates = target.coordinates(output)
        arrays = {
            **{self.names.relevance(k): r for k, r in out["relevance"].items()},
            schema.OUTPUT: out["output"],
            **{schema.RELEVANCE_AT + path: r for path, r in out["recorded"].items()},
            **{schema.ACTIVATION_AT + path: a for path, a in out["activations"].items()
               if activations},
            **{schema.SINK + name: r for name, r in out["sinks"].items()},
        }  # fmt: skip
        return tuple(  # type: ignore[return-value]
            {k: a.cpu().numpy() for k, a in group.items()} for group in (arrays, coordinates)
        )

    def _seed(self, inputs: tuple[Tensor, ...], target: Target) -> tuple[Tensor, Tensor]:
        n = max(len(x) for x in inputs if x.dim())
        if target.needs_output:
            output: Tensor = self.program.model.forward(*inputs)
        else:
            output = inputs[0].new_empty((n, *self.space.shape), dtype=self.like.dtype)
        return output, target(output)

    def _pass(
        self, inputs: tuple[Tensor, ...], seed: Tensor, several: bool, chunk: int | None
    ) -> Any:
        masks = tuple(m.to(seed) for m in self.masks)
        return passes(self.program, inputs, seed, masks, several, chunk)

    def passes(
        self, tensors: Mapping[str, Tensor], target: Target, memory: float | None
    ) -> int | None:
        """Return how many targets and conditions fit into `memory` (GiB) at once."""
        if memory is None or not (target.several or self.masks):
            return None
        inputs = tuple(cast(self.program.graph, tensors).values())
        with torch.no_grad():
            _, seed = self._seed(inputs, target)
        n = (len(seed) if target.several else 1) * (len(self.masks[0]) if self.masks else 1)

        def run(fakes: Sequence[Tensor], k: int) -> Any:
            *some, last = fakes
            like = last[:1].expand(k, *last.shape[1:]) if target.several else last
            if not target.several:
                like = last.expand(k, *last.shape)
            alone = tuple(m[0] for m in self.masks)
            return over_targets(self.program.graph.forward, tuple(some), like, alone)

        return passes_within(memory * 2**30, n, run, (*inputs, seed))

    def kept(self, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Return the inputs that have samples."""
        arrays = {self.names.input(k): tensors[k] for k in self.names.layouts}
        return {
            k: x.detach().cpu().numpy()
            for k, x in arrays.items()
            if x.shape[:1] == self.like.shape[:1]
        }


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _masks(
    program: Relay, tensors: Mapping[str, Tensor], conditions: Sequence[Condition] | None
) -> tuple[Tensor, ...]:
    """Return the masks of a program in its order; none where there are no conditions."""
    if conditions is None and not program.masked:
        return ()
    if not conditions or set(paths_of(conditions)) != set(program.masked):
        raise ValueError(
            f"attribute: needs conditions on the nodes that the program masks, "
            f"{list(program.masked)}; got {paths_of(conditions or ())}."
        )
    few = tuple(cast(program.graph, part_of(tensors, slice(0, 2))).values())
    shapes = shapes_in(program.model, few)
    masks = masks_of(conditions, program.masked, shapes)
    return tuple(masks[path] for path in program.masked)
