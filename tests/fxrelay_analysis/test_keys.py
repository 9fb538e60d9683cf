"""Equal key if and only if equal stage, parameters and content."""

from functools import lru_cache

import numpy as np
import param
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.stats import binom

from fxrelay_analysis import digest, stages
from fxrelay_analysis.coding import code_digest
from fxrelay_analysis.store import stage_key

NANS = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], np.uint64)
FLOATS = st.sampled_from([0.0, -0.0, 1.0, np.inf, *NANS.view(np.float64)])
KINDS = st.sampled_from(["f8", "f4", "f2", "i4", "u1", "?", "U2", "M8[ns]"])


class free(stages.Stage):
    """Take any parameters."""

    number = param.Number(1.0, allow_None=True, doc="A number.")
    anything = param.Parameter(None, doc="Any value.")

    @staticmethod
    def compute(data, *, number, anything):
        return data


@st.composite
def arrays(draw):
    """Draw DataArrays that differ in one thing or another, or in nothing."""
    kind = np.dtype(draw(KINDS))
    shape = draw(st.sampled_from([(2, 2), (1, 2), (2, 1), (0, 2)]))
    if kind == "f8":
        values = draw(npst.arrays(kind, shape, elements=FLOATS))
    else:
        values = np.asarray(draw(npst.arrays("u1", shape, elements=st.integers(0, 1)))).astype(kind)
    dims = draw(st.sampled_from([("sample", "y"), ("y", "sample")]))
    out = xr.DataArray(values, dims=dims, name=draw(st.sampled_from([None, "v"])))
    if draw(st.booleans()):
        out = out.assign_coords(sample=np.arange(out.sizes["sample"]) + draw(st.integers(0, 1)))
    attrs = st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.0, True, "1", None]))
    return out.assign_attrs(draw(attrs))


def meaning(array):
    """Return all that makes content, in plain values: what an independent reader would compare."""
    coords = {n: (c.dims, c.dtype.str, c.values.tobytes()) for n, c in array.coords.items()}
    attrs = sorted((n, type(v).__name__, repr(v)) for n, v in array.attrs.items())
    return (array.name, array.dims, array.shape, array.dtype.str, array.values.tobytes(),
            sorted(coords.items()), attrs)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(arrays(), arrays())
def test_equal_digest_means_equal_content(a, b):
    assert (digest(a) == digest(b)) == (meaning(a) == meaning(b))
    for same in (a.copy(deep=True), a.chunk() if a.size else a, a.transpose().copy().transpose()):
        assert digest(same) == digest(a)


NUMBERS = st.sampled_from([None, 0, 0.0, -0.0, 1, 1.0, 2.5])
ANYTHING = st.sampled_from([None, 1, 1.0, True, "1", [1], (1,), range(1), {"a": 1}, {1: "a"}, b"1"])


@settings(deadline=None, max_examples=300)
@given(NUMBERS, NUMBERS, ANYTHING, ANYTHING)
def test_equal_key_means_equal_parameters(x, y, a, b):
    one = stage_key(free, ["d"], {"number": x, "anything": a})
    two = stage_key(free, ["d"], {"number": y, "anything": b})
    same = (repr(x), type(a), repr(a)) == (repr(y), type(b), repr(b))
    assert (digest(one) == digest(two)) == same


def test_defaults_given_or_not_are_one_key_and_so_are_the_ways_to_write_a_sweep():
    assert stage_key(free, [], {}) == stage_key(free, [], {"number": 1.0, "anything": None})
    sweeps = [range(2, 5), [2, 3, 4], (2, 3, 4)]
    keys = [digest(stage_key(stages.kmeans, [], {"n_clusters": sweep})) for sweep in sweeps]
    assert len(set(keys)) == 1
    alone = [digest(stage_key(stages.kmeans, [], {"n_clusters": n})) for n in (2, [2])]
    assert len({*alone, *keys}) == 2


def test_the_order_and_number_of_inputs_is_in_the_key():
    keys = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], []]
    assert len({digest(stage_key(free, key, {})) for key in keys}) == len(keys)


FACTOR = 2
TABLE = {"a": lambda x: x + 1, "b": 3}
ROWS = {"row": (len, {"inner": lambda x: x})}
PLAIN = {"a": 1}


class Base:
    weight = 1

    @property
    def half(self):
        return 0.5


class Kind(Base):
    pass


HELD = Kind()


@lru_cache
def _remembered(x):
    return x


def _helper(x):
    return x * FACTOR


def _indirect(x):
    return _helper(x)


def reaches(x):
    nested = [
        ROWS["row"][1]["inner"](x),
        PLAIN["a"],
        HELD.half,
        HELD.weight,
        _remembered(x),
    ]
    return [_indirect(x), TABLE["a"](x), stages.pool.version, binom.pmf(0, 1, x), *nested]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.setattr(f"{__name__}.FACTOR", 3),
        lambda m: m.setattr(f"{__name__}._helper", lambda x: x / FACTOR),
        lambda m: m.setitem(TABLE, "a", lambda x: x - 1),
        lambda m: m.setitem(TABLE, "b", 4),
        lambda m: m.setitem(ROWS["row"][1], "inner", lambda x: x + 1),
        lambda m: m.setattr(ROWS["row"][1]["inner"], "__code__", (lambda x: x - 2).__code__),
        lambda m: m.setitem(PLAIN, "a", 2),
        lambda m: m.setattr(Base, "weight", 2),
        lambda m: m.setattr(Base, "half", property(lambda self: 1.5)),
        lambda m: m.setattr(_remembered.__wrapped__, "__code__", (lambda x: x - 2).__code__),
        lambda m: m.setattr(stages.pool, "version", 99),
        lambda m: m.setattr(_helper, "__code__", (lambda x: x - FACTOR).__code__),
        lambda m: m.setattr(_helper, "__defaults__", (5,)),
        lambda m: m.setattr(stages.pool, "compute", staticmethod(lambda data: data)),
        lambda m: m.setattr("fxrelay_analysis.coding._version", lambda name: "0"),
    ],
)
def test_what_a_function_reaches_in_its_package_is_its_code(change, monkeypatch):
    from fxrelay_analysis import coding

    before = code_digest(reaches)
    with monkeypatch.context() as patch:
        change(patch)
        if "_version" in str(change.__code__.co_consts):
            coding._KNOWN.pop(reaches)
        assert code_digest(reaches) != before
    coding._KNOWN.pop(reaches)
    assert code_digest(reaches) == before


def test_a_row_of_a_table_of_metrics_and_libraries_behind_objects_are_code(monkeypatch):
    from fxrelay_analysis import coding
    from fxrelay_analysis.stages import metrics

    before = code_digest(stages.neighbours.compute)
    row = metrics.METRICS["cosine"]._replace(finish=lambda d: 3 * d)
    with monkeypatch.context() as patch:
        patch.setitem(metrics.METRICS, "cosine", row)
        assert code_digest(stages.neighbours.compute) != before
    pooling, pools = code_digest(stages.pool.compute), stages.pool.compute.__globals__["POOLS"]
    with monkeypatch.context() as patch:
        patch.setitem(pools, "sum", pools["max"])
        assert code_digest(stages.pool.compute) != pooling
    found = coding._Reader("fxrelay_analysis")
    found.function(stages.fisher.compute)
    assert "scipy" in found.libraries  # by scipy.special.bdtrc, an object
    assert ["bdtrc", "bdtrc"] in found.parts


def test_layout_and_other_names_of_the_module_do_not_matter(monkeypatch):
    before = code_digest(reaches)
    monkeypatch.setattr(f"{__name__}.NUMBERS", None)
    assert code_digest(reaches) == before
    with pytest.raises(TypeError, match="compute: needs a plain Python function; got ufunc"):
        code_digest(np.add)


@pytest.mark.parametrize("stage", stages.STAGES.values(), ids=stages.STAGES)
def test_every_stage_has_a_code_that_is_known_and_stays(stage):
    assert stage.code() == stage.code()
    assert len(stage.code()) == 32
