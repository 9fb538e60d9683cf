"""Every stage with bad input: a clear error, or a result that its documentation allows."""

import inspect

import numpy as np
import pytest
import xarray as xr

from fxrelay_analysis import stages
from tests.fxrelay_analysis.test_stages import EMBEDDED, INPUTS, NEAR, RELEVANCE, ROWS

QUICK = {
    "tsne": {"n_iterations": 250}, "stability": {"n_draws": 2}, "gap_statistic": {"n_references": 2}
}  # fmt: skip
#: inputs of other kinds that a stage takes as well
MORE = {
    "outliers with neighbours": (ROWS, NEAR),
    "tsne of neighbours": (stages.neighbours(ROWS, n_neighbours=39),),
    "prototypes of a mixture": (EMBEDDED, stages.gaussian_mixture(EMBEDDED, n_clusters=[2, 3])),
}
NAMES = [*(name for name in stages.STAGES if name != "umap"), *MORE]  # umap compiles itself first


def inputs_of(name):
    return (INPUTS | MORE).get(name, (RELEVANCE,))


def stage_of(name):
    return name.partition(" ")[0]


def run(name, inputs):
    stage = stage_of(name)
    return stages.STAGES[stage](*inputs, **QUICK.get(stage, {}))


def is_float(array):
    return array.dtype.kind == "f" and array.size


def is_labels(array):
    return str(array.name).startswith(("clustering_", "label"))


def per_variable(change, applies=is_float):
    """Return a function that changes the variables of an input that `applies` knows."""

    def changed(item):
        if isinstance(item, xr.Dataset):
            named = item.data_vars.items()
            return item.assign({n: change(v) for n, v in named if applies(v)})
        return change(item) if applies(item) else item

    return changed


def with_samples(change):
    return lambda item: change(item) if "sample" in item.dims else item


def with_value(value, at):
    def change(array):
        values = array.values.copy()
        values.flat[at] = value
        return array.copy(data=values)

    return per_variable(change)


def with_labels(values):
    return per_variable(
        lambda a: a.copy(data=np.broadcast_to(values(len(a)), a.T.shape).T.astype(a.dtype)),
        is_labels,
    )


def first(n):
    return with_samples(lambda item: item.isel(sample=slice(0, n)))


def with_ids(make):
    return with_samples(lambda item: item.assign_coords(sample=make(item.sizes["sample"])))


#: of all inputs, what no stage can do with
REFUSED = {
    "a NaN": with_value(np.nan, 0),
    "an infinity": with_value(np.inf, -1),
    "no sample": first(0),
    "another name of the samples": with_samples(lambda item: item.rename(sample="image")),
}
#: what needs no values of that kind, or says what it makes of them
NOT_REFUSED = {
    "a NaN": {"choose_n_clusters", "suspicion", "select"},
    "an infinity": {"choose_n_clusters", "select"},
    "no sample": {"eigengap", "select"},
    "another name of the samples": {"eigengap", "cut_dendrogram", "select"},
}
#: of all inputs, what is odd, and refused or documented
ODD = {
    "one sample": first(1),
    "two samples": first(2),
    "equal values": per_variable(lambda a: a.copy(data=np.ones_like(a.values))),
    "zeros": per_variable(lambda a: a.copy(data=np.zeros_like(a.values))),
    "duplicates": per_variable(
        lambda a: a.copy(data=np.repeat(a.values[::4], 4, axis=0)[: len(a)]),
        lambda a: is_float(a) and a.dims[:1] == ("sample",),
    ),
    "one sample a cluster": with_labels(np.arange),
    "one cluster": with_labels(np.zeros),
    "noise only": with_labels(lambda n: np.full(n, -1)),
    "huge ids": with_ids(lambda n: np.uint64(2**63) + np.arange(n, dtype=np.uint64)),
    "long ids with slashes": with_ids(
        lambda n: np.array([f"/a/{i}/{'é' * 300}" for i in range(n)], object)
    ),
    "ids of two types": with_ids(lambda n: np.array([*range(n - 1), "x"], object)),
    "dates": with_ids(lambda n: np.datetime64("2026-01-01", "ns") + np.arange(n)),
    "equal ids": with_ids(lambda n: np.zeros(n, int)),
    "no ids": with_samples(lambda item: item.drop_vars("sample")),
}
#: of one input at a time, what no stage can do with
ALONE = {
    "a plain array": lambda item: np.ones((40, 9)),
    "nothing": lambda item: xr.Dataset(),
    "half of the samples": first(20),
    "another order": with_samples(lambda item: item.isel(sample=slice(None, None, -1))),
    "turned": lambda item: item.transpose() if isinstance(item, xr.DataArray) else item,
}
#: stages that go on without one input, and results that are no input of anybody
UNASKED = {
    ("suspicion", "an infinity"), ("choose_n_clusters", "nothing"), ("contingency", "nothing"),
    ("suspicion", "turned"),
}  # fmt: skip
#: stages that take samples by their ids, or inputs that are of other samples
BY_ID = {
    "compare": (0, 1), "concepts": (0, 1), "mean_maps": (0, 1), "sensitivity": (0,),
    "nystroem": (3,), "extend_pca": (0, 1), "extend_kernel_pca": (2,), "extend_nearest": (2,),
    "extend_clustering": (2,), "extend_mixture": (0, 1),
}  # fmt: skip


def differs(changed, item):
    return not (isinstance(changed, type(item)) and changed.identical(item))


def refused(name, inputs, kinds=(ValueError,)):
    """Return whether a stage refuses inputs, by a text that says what it needs and what it got."""
    try:
        result = run(name, inputs)
    except kinds as error:
        text = str(error)
        assert text.startswith(f"{stage_of(name)}: needs "), text
        assert "; got" in text, text
        assert text.endswith((".", ")")), text
        return True
    documented(name, result)
    return False


def documented(name, result):
    """Check that numbers are finite, but where documentation tells of NaN or infinity."""
    stage = stages.STAGES[stage_of(name)]
    told = f"{inspect.getmodule(stage).__doc__} {stage.__doc__} {stage.compute.__doc__}"
    variables = [result] if isinstance(result, xr.DataArray) else result.data_vars.values()
    for variable in (v for v in variables if v.dtype.kind == "f"):
        assert not np.isnan(variable).any() or "NaN" in told, variable.name
        assert not np.isinf(variable).any() or "infinite" in told, variable.name


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", NAMES)
def test_what_no_stage_can_do_with_is_refused(name, kind):
    given = inputs_of(name)
    changed = [REFUSED[kind](item) for item in given]
    if any(map(differs, changed, given)) and (name, kind) not in UNASKED:
        assert refused(name, changed) != (name in NOT_REFUSED[kind])


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_odd_input_is_refused_or_documented(name, kind):
    given = inputs_of(name)
    changed = [ODD[kind](item) for item in given]
    if any(map(differs, changed, given)):
        refused(name, changed)


@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_do_not_fit_each_other_are_refused(name, kind):
    given = inputs_of(name)
    several = sum("sample" in item.dims for item in given) > 1
    for at, item in enumerate(given):
        changed = [*given[:at], ALONE[kind](item), *given[at + 1 :]]
        of_samples = kind in ("half of the samples", "another order")
        alone = of_samples and not several
        if alone or (name, kind) in UNASKED or not differs(changed[at], item):
            continue
        if of_samples and at in BY_ID.get(name, ()):
            refused(name, changed)
        else:
            assert refused(name, changed, (ValueError, TypeError)), at


@pytest.mark.parametrize("name", [n for n in BY_ID if len(inputs_of(n)) > 1])
def test_the_order_of_samples_that_are_taken_by_id_does_not_matter(name):
    given = inputs_of(name)
    once = run(name, given)
    for at in BY_ID[name]:
        turned = ALONE["another order"](given[at])
        again = run(name, [*given[:at], turned, *given[at + 1 :]])
        if "sample" in again.dims:
            again = again.sel(sample=once["sample"])
        if name != "extend_mixture" or at:  # starts of a fit are drawn
            xr.testing.assert_allclose(again, once)
