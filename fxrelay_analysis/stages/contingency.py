"""What clusters have to do with labels, predictions and whatever else is known of the samples."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import param
import xarray as xr

from fxrelay.schema import CLUSTER, LABEL, PREDICTION, SAMPLE
from fxrelay_analysis.stage import Stage, labelled
from fxrelay_analysis.stages.prototypes import nobody
from fxrelay_analysis.stages.sweeps import Sweep, sweep_of

Array = np.ndarray[Any, Any]
COUNT: Final = "count"
COUNT_OF: Final = "count_"
P_VALUE: Final = "p_value_"
Q_VALUE: Final = "q_value_"
ODDS: Final = "odds_ratio_"
ENRICHMENT: Final = "log2_enrichment_"
MAJORITY: Final = "majority_"
PURITY: Final = "purity_"
FOCUS: Final = "focus_"
#: variables that are counted where no others are named
USUAL: Final = (LABEL, PREDICTION)
#: names of variables that the tables have themselves
TAKEN: Final = {COUNT, CLUSTER}
#: entries of the joint table that are still kept in memory
MOST: Final = 50_000_000


class contingency(Stage):
    r"""Count clusters against labels, predictions and more, and test what is over-represented.

    For n samples, a of them in the cluster with the value, r in the cluster, c with the value,
    the p-value is the chance of at least (`greater`) or at most (`less`) a in a hypergeometric
    draw: Fisher's exact test, one-sided. With the pseudocount s,

    .. math:: \mathrm{odds} = \frac{(a+s)(n-r-c+a+s)}{(r-a+s)(c-a+s)}, \qquad
        \mathrm{enrichment} = \log_2 \frac{a+s}{rc/n+s}

    q-values are the p-values corrected over all tests of the call, every variable and every
    setting of the sweep (Benjamini and Hochberg 1995); where only one table is possible (a value
    that all or no samples have, an empty cluster) there is no test and both are NaN. The purity
    of a cluster is the share of its most frequent value, its focus the share of that value's
    samples that it holds. Samples without a value (NaN, None, NaT, an empty text, a negative
    integer) are left out of that variable's tables and counted in its attribute ``n_missing``;
    variables that the facts lack, or no sample has, are listed in the attribute
    ``missing_variables``. Noise (-1) counts as a cluster of its own.
    """

    version: ClassVar[int] = 1
    variables = param.List(
        None,
        item_type=str,
        allow_None=True,
        doc="Variables (sample,) of the facts that are counted. None: label and prediction of "
        "Datasets, and every array.",
    )
    alternative = param.Selector(
        default="greater", objects=["greater", "less"], doc="Test for too many or for too few."
    )
    pseudocount = param.Number(
        0.5, bounds=(0, None), doc="What is added to counts in ratios, so that they stay finite."
    )
    joint = param.Boolean(
        True, doc="Count all variables against each other too: dims (..., label, prediction)."
    )

    @staticmethod
    def compute(
        clustering: xr.DataArray | xr.Dataset,
        *facts: xr.DataArray | xr.Dataset,
        variables: list[str] | None,
        alternative: str,
        pseudocount: float,
        joint: bool,
    ) -> xr.Dataset:
        """Return tables with the clustering's sweep, cluster and a dimension for each variable.

        For a variable v: `count_v`, `p_value_v`, `q_value_v`, `odds_ratio_v`, `log2_enrichment_v`
        (..., cluster, v), `majority_v`, `purity_v`, `focus_v` (..., cluster); where `joint`,
        `count` (..., cluster, v, w, ...).

        Raises
        ------
        ValueError
            If samples or variables do not fit, a variable has values of several types, or the joint
            table would be too large.
        """
        sweep = sweep_of(clustering, "contingency")
        wanted = variables if variables is not None else _usual(facts)
        given = {v: _named(facts)[v] for v in wanted if v in _named(facts)}
        _check(sweep, facts, given)
        coded = {v: _coded(array) for v, array in given.items()}
        known = {v: (codes, values) for v, (codes, values) in coded.items() if len(values)}
        missing = [v for v in wanted if v not in known]
        out = xr.Dataset(attrs={"missing_variables": missing, "alternative": alternative})
        for name, (codes, values) in known.items():
            counts = _counts(sweep, codes, len(values))
            out = out.merge(
                _tables(sweep, counts, name, values, alternative, pseudocount),
                combine_attrs="override",
            )
            out[COUNT_OF + name].attrs["n_missing"] = int((codes < 0).sum())
        out = out.assign(_corrected(out, known))
        return out.assign({COUNT: _joint(sweep, known)}) if joint and known else out


def _named(facts: Sequence[xr.DataArray | xr.Dataset]) -> dict[str, xr.DataArray]:
    """Return every variable of the facts by name, coordinates too; arrays are called theirs."""
    out: dict[str, xr.DataArray] = {}
    for part in facts:
        more = part.variables if isinstance(part, xr.Dataset) else [part.name]
        out |= {str(v): part[v] if isinstance(part, xr.Dataset) else part for v in more}
    return out


def _usual(facts: Sequence[xr.DataArray | xr.Dataset]) -> list[str]:
    """Return what is counted where nothing is named."""
    arrays = [str(part.name) for part in facts if isinstance(part, xr.DataArray)]
    return list(dict.fromkeys([*(USUAL if len(arrays) < len(facts) else ()), *arrays]))


def _coded(values: xr.DataArray) -> tuple[Array, Array]:
    """Return the code of each sample, -1 where it has no value, and the values by code."""
    raw = values.values
    absent = np.array([v is None or v != v or v == "" for v in raw.tolist()], bool)
    if raw.dtype.kind == "M":
        absent |= np.isnat(raw)
    if raw.dtype.kind in "if":
        absent |= raw < 0 if raw.dtype.kind == "i" else np.isnan(raw)
    codes = np.full(len(raw), -1)
    try:
        found, codes[~absent] = np.unique(raw[~absent], return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"contingency: needs '{values.name}' with values of one type; got {error}. Convert "
            "with .astype(str)."
        ) from error
    return codes, found.astype(str) if found.dtype.kind == "O" else found


def _check(
    sweep: Sweep, facts: Sequence[xr.DataArray | xr.Dataset], given: Mapping[str, xr.DataArray]
) -> None:
    n = len(sweep.labels)
    wrong = [f"'{v}' has dims {a.dims}" for v, a in given.items() if a.dims != (SAMPLE,)]
    wrong += [
        f"the name '{v}', which the tables have" for v in given if v in TAKEN | {*sweep.coords}
    ]
    for part in facts:
        if SAMPLE in part.sizes and part.sizes[SAMPLE] != n:
            wrong.append(f"{part.sizes[SAMPLE]} samples for a clustering of {n}")
        elif SAMPLE in part.coords and not np.array_equal(part[SAMPLE], sweep.sample):
            wrong.append("other sample ids, or another order of them")
    if wrong:
        raise ValueError(
            f"contingency: needs facts (sample,) of the clustering's samples; got "
            f"{'; '.join(wrong)}. Rename variables, select samples with "
            "facts.sel(sample=clustering.sample)."
        )


def _counts(sweep: Sweep, codes: Array, n_values: int) -> Array:
    """Return counts (columns, clusters, values)."""
    clusters, known = sweep.clusters, codes >= 0
    size = (len(clusters), n_values)
    flat = [
        np.bincount((column[known] - clusters[0]) * n_values + codes[known],
                    minlength=size[0] * size[1])
        for column in sweep.labels.T
    ]  # fmt: skip
    return np.stack(flat).reshape(-1, *size)


def _tables(
    sweep: Sweep, counts: Array, name: str, values: Array, alternative: str, s: float
) -> xr.Dataset:
    from scipy.stats import hypergeom

    a, n = counts.astype(float), counts.sum(axis=(1, 2), keepdims=True)
    r, c = counts.sum(axis=2, keepdims=True), counts.sum(axis=1, keepdims=True)
    chance = hypergeom.sf(a - 1, n, c, r) if alternative == "greater" else hypergeom.cdf(a, n, c, r)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = (a + s) * (n - r - c + a + s) / ((r - a + s) * (c - a + s))
        enriched = np.log2((a + s) / (r * c / n + s))
    idle = (r == 0) | (r == n) | (c == 0) | (c == n)
    cells = {
        COUNT_OF: counts,
        P_VALUE: np.where(idle, np.nan, np.clip(chance, 0, 1)),
        ODDS: odds,
        ENRICHMENT: enriched,
    }
    dims, coords = (CLUSTER, name), {CLUSTER: sweep.clusters, name: values}
    tables = {p: sweep.array(v, dims, coords, p + name) for p, v in cells.items()}
    return xr.Dataset(
        {p + name: v for p, v in tables.items()} | _leading(sweep, counts, name, values)
    )


def _leading(sweep: Sweep, counts: Array, name: str, values: Array) -> dict[str, xr.DataArray]:
    """Return the most frequent value of each cluster, its purity and its focus."""
    best = counts.argmax(axis=2)[..., None]
    top = np.take_along_axis(counts, best, 2)[..., 0]
    total = np.take_along_axis(counts.sum(axis=1, keepdims=True), best, 2)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {PURITY: top / counts.sum(axis=2), FOCUS: np.where(top > 0, top / total, np.nan)}
    leading = np.where(top > 0, values[best[..., 0]], nobody(values.dtype))
    return {p + name: sweep.per_cluster(v, p + name) for p, v in shares.items()} | {
        MAJORITY + name: sweep.per_cluster(leading, MAJORITY + name)
    }


def _corrected(out: xr.Dataset, known: Mapping[str, Any]) -> dict[str, xr.DataArray]:
    """Return the q-values of every p-value, one family over all variables and settings."""
    from scipy.stats import false_discovery_control

    arrays = {name: out[P_VALUE + name] for name in known}
    flat = np.concatenate([a.values.ravel() for a in arrays.values()]) if arrays else np.empty(0)
    tested = ~np.isnan(flat)
    if tested.any():
        flat[tested] = false_discovery_control(flat[tested])
    cuts = np.split(flat, np.cumsum([a.size for a in arrays.values()])[:-1])
    return {
        Q_VALUE + name: labelled(a.copy(data=part.reshape(a.shape)).drop_attrs(), Q_VALUE + name)
        for (name, a), part in zip(arrays.items(), cuts, strict=False)
    }


def _joint(sweep: Sweep, known: Mapping[str, tuple[Array, Array]]) -> xr.DataArray:
    """Return counts of every combination, of samples that have a value of every variable."""
    sizes = [len(values) for _, values in known.values()]
    total = int(np.prod([sweep.labels.shape[1], len(sweep.clusters), *sizes]))
    if total > MOST:
        raise ValueError(
            f"contingency: needs a joint table of at most {MOST} counts; got {total} for "
            f"{', '.join(f'{len(v)} values of {k}' for k, (_, v) in known.items())}. "
            "Pass joint=False or fewer variables."
        )
    codes = np.array([codes for codes, _ in known.values()])
    code = np.where((codes < 0).any(axis=0), -1, np.ravel_multi_index(np.maximum(codes, 0), sizes))
    counts = _counts(sweep, code, int(np.prod(sizes)))
    coords = {CLUSTER: sweep.clusters} | {name: values for name, (_, values) in known.items()}
    shape = (*counts.shape[:2], *sizes)
    return sweep.array(counts.reshape(shape), (CLUSTER, *known), coords, COUNT)
