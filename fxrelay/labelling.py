"""Give arrays the names of the schema: dimensions, coordinates, what is known of the samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from torch import Tensor, fx

from fxrelay import schema
from fxrelay.entries import target_indices
from fxrelay.facts import carries_signal
from fxrelay.operators import operator_of

TOKENS: Final = "tokens"
GRID: Final = "grid"
#: dimensions of a sample by its layout and number of axes
AXES: Final[Mapping[str, Mapping[int, tuple[str, ...]]]] = {
    TOKENS: {
        1: (schema.TOKEN,),
        2: (schema.TOKEN, schema.FEATURE),
    },
    GRID: {
        0: (),
        1: (schema.FEATURE,),
        2: (schema.CHANNEL, schema.X),
        3: (schema.CHANNEL, schema.Y, schema.X),
        4: (schema.CHANNEL, schema.TIME, schema.Y, schema.X),
    },
}
#: operators that read the last axis of their input as features, and those that look through
READS_FEATURES: Final = ("dense", "layer_norm", "rms_norm")
LOOKS_THROUGH: Final = ("activation", "add", "scale", "gate", "cast")


def layout_of(graph: fx.Graph, name: str, x: Tensor) -> str:
    """Return the layout of an input: tokens are integers, or rows of features; else a grid.

    A floating point input (sample, a, b) has rows of features where a dense layer or a norm of the
    last axis reads it first, and channels where a convolution does.
    """
    node = next(n for n in graph.nodes if n.op == "placeholder" and str(n.target) == name)
    integers = not x.is_floating_point()
    return TOKENS if (integers and x.dim() == 2) or (x.dim() == 3 and _has_rows(node)) else GRID


def _has_rows(node: fx.Node) -> bool:
    """Whether the last axis of a node's value holds features."""
    for user in filter(carries_signal, node.users):
        name = operator_of(user).name
        if name in READS_FEATURES:
            return True
        pools = name in ("mean", "sum") and user.args[1] in (1, (1,), [1])
        swaps = name == "permute" and user.args[1:] == (0, 1)
        if (name in LOOKS_THROUGH or pools or swaps) and _has_rows(user):
            return True
    return False


def axes_of(layout: str, rank: int, name: str = "") -> tuple[str, ...]:
    """Return the dimensions of a sample of `rank` axes, numbered where no layout names them."""
    suffix = f"_{name}" if name else ""
    return AXES[layout].get(rank, tuple(f"axis_{i}{suffix}" for i in range(rank)))


def output_axes(layout: str, rank: int) -> tuple[str, ...]:
    """Return the dimensions of an output: classes first, but last where inputs are tokens."""
    if layout == TOKENS and rank == 2:
        return (f"{schema.TOKEN}_{schema.OUTPUT}", schema.CLASS)
    places = axes_of(GRID, rank, schema.OUTPUT)[1:]
    named = [p if p.endswith(schema.OUTPUT) else f"{p}_{schema.OUTPUT}" for p in places]
    return (schema.CLASS, *named) if rank else ()


@dataclass(frozen=True)
class Labels:
    """What is known of the samples besides their arrays."""

    sample: np.ndarray
    label: np.ndarray | None
    classes: np.ndarray | None

    @classmethod
    def checked(
        cls, n: int, n_classes: int, label: Any, sample: Any, classes: Sequence[str] | None
    ) -> "Labels":
        """Raise where sizes do not fit or labels are out of range."""
        ids = np.arange(n) if sample is None else np.asarray(sample)
        if len(ids) != n:
            raise ValueError(f"attribute: needs {n} sample ids, one a sample; got {len(ids)}.")
        if classes is not None and len(classes) != n_classes:
            raise ValueError(
                f"attribute: needs a name for each of {n_classes} classes; got {len(classes)}."
            )
        known = None if label is None else target_indices(label, n, n_classes).numpy()
        return cls(ids, known, None if classes is None else np.asarray(classes, dtype=str))


@dataclass(frozen=True)
class Names:
    """Which arrays are what: the inputs by layout, the first explained one first, and the output.

    Attributes
    ----------
    layouts : mapping of input name to layout
        `TOKENS` or `GRID`; inputs that are constants come last.
    output : tuple of str
        Dimensions of the output without samples.
    """

    layouts: Mapping[str, str]
    output: tuple[str, ...]

    def relevance(self, name: str) -> str:
        """Variable of an input's relevance."""
        return schema.RELEVANCE if self._is_first(name) else schema.RELEVANCE_OF + name

    def input(self, name: str) -> str:
        """Variable of an input."""
        return schema.INPUT if self._is_first(name) else schema.INPUT_OF + name

    def require(self, ranks: Mapping[str, int]) -> None:
        """Raise where explained inputs have numbers of axes without names."""
        bad = [
            f"`{name}` with {rank}"
            for name, rank in ranks.items()
            if rank not in AXES[self.layouts[name]] or (not rank and self._is_first(name))
        ]
        if bad:
            raise ValueError(
                f"attribute: needs inputs of 1 to {max(AXES[GRID])} axes a sample; got "
                f"{', '.join(bad)}. Leave them out with explain=[...], or use fxrelay.relay, "
                "which takes any."
            )

    def _is_first(self, name: str) -> bool:
        return name == next(iter(self.layouts))

    def by_variable(self) -> dict[str, str]:
        """Return the input's name for each variable that it may have."""
        return {v: k for k in self.layouts for v in (self.relevance(k), self.input(k))}


def dataset(
    arrays: Mapping[str, np.ndarray],
    coordinates: Mapping[str, np.ndarray],
    labels: Labels,
    names: Names,
    conditions: bool = False,
) -> xr.Dataset:
    """Return a Dataset of variables and of coordinates that say what is explained.

    With `conditions` relevance has the dimension "condition" after sample and target.
    """
    several = any(a.ndim == 2 for a in coordinates.values())
    sizes: dict[str, int] = {}
    variables = {}
    for variable, array in arrays.items():
        dims = _dims(variable, array, several, conditions, names)
        own = names.by_variable().get(variable)
        dims = tuple(
            d if sizes.setdefault(d, size) == size else f"{d}_{own or variable}"
            for d, size in zip(dims, array.shape, strict=True)
        )
        variables[variable] = (dims, array)
    lead = (schema.SAMPLE, schema.TARGET) if several else (schema.SAMPLE,)
    ds = xr.Dataset(variables, coords={schema.SAMPLE: labels.sample})
    if labels.classes is not None:
        ds = ds.assign_coords({schema.CLASS: labels.classes})
    ds = ds.assign_coords({name: (lead, a) for name, a in coordinates.items()})
    if ds[schema.OUTPUT].dims == (schema.SAMPLE, schema.CLASS):
        ds[schema.PREDICTION] = ds[schema.OUTPUT].argmax(schema.CLASS).astype("int64")
    if labels.label is not None:
        ds[schema.LABEL] = (schema.SAMPLE, labels.label)
    return schema.describe(_with_name_of_first(ds, names))


def _with_name_of_first(ds: xr.Dataset, names: Names) -> xr.Dataset:
    """Say which input "relevance" and "input" are of, where a model has several."""
    if len(names.layouts) > 1:
        for variable, prefix in (
            (schema.RELEVANCE, schema.RELEVANCE_OF),
            (schema.INPUT, schema.INPUT_OF),
        ):
            if variable in ds:
                long_name = schema.PREFIXES[prefix][0].format(next(iter(names.layouts)))
                ds[variable].attrs["long_name"] = long_name
    return ds


def _dims(
    variable: str, array: np.ndarray, several: bool, conditions: bool, names: Names
) -> tuple[str, ...]:
    lead: tuple[str, ...] = (schema.SAMPLE,)
    if variable.startswith((schema.RELEVANCE, schema.SINK)):
        lead += (schema.TARGET,) * several + (schema.CONDITION,) * conditions
    rest = array.ndim - len(lead)
    if variable == schema.OUTPUT:
        return (*lead, *names.output)
    own = names.by_variable().get(variable)
    if own is not None:
        return (*lead, *axes_of(names.layouts[own], rest, own))
    return (*lead, *(f"{axis}_{variable}" for axis in axes_of(GRID, rest)))
