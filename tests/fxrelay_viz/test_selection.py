import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxrelay_viz.category import Category
from fxrelay_viz.selection import (
    Selection,
    Step,
    apply,
    box,
    from_json,
    lasso,
    to_json,
)

LINE = Category(
    name="line",
    positions=np.arange(10) + 5,
    ids=np.arange(10) * 100,
    embeddings={"flat": np.stack([np.arange(10.0), np.zeros(10)], axis=1)},
    clusterings={"kmeans": {2: np.arange(10) // 5, 3: np.arange(10) % 3 - 1}},
)
FRAME = ("flat", 0, 1)


def members(*steps: Step) -> list[int]:
    return np.flatnonzero(apply(steps, LINE)).tolist()


def test_every_operation_on_two_boxes():
    first = box("replace", FRAME, (1.5, -1, 5.5, 1))
    expected = {"replace": [4, 5, 6, 7], "add": [2, 3, 4, 5, 6, 7], "subtract": [2, 3],
                "intersect": [4, 5]}  # fmt: skip
    for operation, positions in expected.items():
        assert members(first, box(operation, FRAME, (3.5, -1, 7.5, 1))) == positions


def test_every_kind():
    assert members(lasso("add", FRAME, np.array([[0.5, -1], [2.5, -1], [2.5, 1], [0.5, 1]]))) == [
        1,
        2,
    ]
    assert members(Step("add", "clusters", ("kmeans", 2), (1,))) == [5, 6, 7, 8, 9]
    assert members(Step("add", "clusters", ("kmeans", 3), (-1,))) == [0, 3, 6, 9]
    assert members(Step("add", "samples", (), (300, 900, 12345))) == [3, 9]
    assert members(Step("replace", "everything")) == list(range(10))
    assert members() == []


def test_history():
    selection = Selection()
    steps = [
        Step("replace", "samples", (), (100,)),
        Step("add", "samples", (), (200,)),
        Step("replace", "samples", (), (300,)),
    ]
    for step in steps:
        selection.push(step)
    assert selection.recipe == (steps[2],)
    selection.undo()
    assert selection.recipe == tuple(steps[:2])
    selection.clear()
    assert selection.recipe == ()
    selection.undo()
    selection.undo()
    selection.undo()
    assert selection.recipe == ()
    assert not selection.undoable
    selection.undo()


def test_a_shared_recipe_selects_exactly_the_same():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 2)).astype(np.float32)
    category = Category("c", np.arange(3000), np.arange(3000), {"tsne": points}, {})
    angle = np.linspace(0, 6.2, 300)
    drawn = np.stack([np.cos(angle), np.sin(angle) + 1e-7], axis=1)
    frame = ("tsne", 0, 1)
    recipe = (lasso("replace", frame, drawn), box("subtract", frame, (-0.1234567, -9, 0.1, 9)))
    assert (apply(from_json(to_json(recipe)), category) == apply(recipe, category)).all()


numbers = st.floats(-1e6, 1e6)
corners = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=9).map(tuple)
operations = st.sampled_from(["replace", "add", "subtract", "intersect"])
steps = st.one_of(
    st.builds(Step, operations, st.just("lasso"), st.just(FRAME), corners),
    st.builds(
        Step,
        operations,
        st.just("clusters"),
        st.tuples(st.text(), st.integers()),
        st.lists(st.integers()).map(tuple),
    ),
    st.builds(Step, operations, st.just("samples"), st.just(()), st.lists(st.text()).map(tuple)),
)


@given(st.lists(steps, max_size=4).map(tuple))
def test_json_round_trip(recipe):
    assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"needs JSON with 'version' and 'steps'; got ''"),
        ("[" * 100_000, "needs JSON"),
        ('{"version": 1}', "needs JSON"),
        ('{"version": 9, "steps": []}', r"needs version 1; got 9. Open it with"),
        (json.dumps({"version": 1, "steps": [["explode", "box", [], []], ["add", "box", [1], []]]}),
         r"got 0: \('explode'.*; 1: \('add'"),
        (json.dumps({"version": 1, "steps": [["add", "samples", [], [[1]]]]}), "needs steps"),
        (json.dumps({"version": 1, "steps": [[{}, "box", [], []]]}), "needs steps"),
        ('{"version": 1, "steps": [["add", "lasso", ["a", 0, 1], [[1, NaN]]]]}', "needs steps"),
        ('{"version": 1, "steps": 3}', "needs JSON"),
        (json.dumps({"version": 1, "steps": [["add", "lasso", ["a", 0, 1], [[10**400, 0]]]]}),
         "needs steps"),
        (json.dumps({"version": 1, "steps": [["add", "lasso", ["a", 0, 1], [[1e308, 0]]]]}),
         "needs steps"),
        (json.dumps({"version": 1, "steps": [["add", "lasso", ["a", 0.0, 1], [[1, 0]]]]}),
         "needs steps"),
        (json.dumps({"version": 1, "steps": [["add", "lasso", [{}, 0, 1], [[1, 0]]]]}),
         "needs steps"),
    ],
)  # fmt: skip
def test_bad_json(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        from_json(text)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step("add", "clusters", ("kmeans", 7), (0,)), "needs a known number of clusters; got 7"),
        (Step("add", "clusters", ("other", 2), (0,)), "category line: needs a known clustering"),
        (Step("add", "box", ("other", 0, 1), ((0, 0), (1, 1))), "needs a known embedding"),
        (Step("add", "box", ("flat", 0, 5), ((0, 0), (1, 1))), r"needs axes in 0..1 of flat"),
    ],
)
def test_a_recipe_of_other_data_says_what_is_missing(step: Step, message: str):
    with pytest.raises(ValueError, match=message):
        apply((step,), LINE)


FACTS = Category(**{
    **LINE.__dict__,
    "scores": {"degree": np.arange(10.0)},
    "columns": {"label": np.arange(10) % 2, "word": np.array(["a", "b"] * 5)},
    "classes": ["cat", "dog"],
})  # fmt: skip


def facts(*steps: Step) -> list[int]:
    return np.flatnonzero(apply(steps, FACTS)).tolist()


def test_kinds_that_ask_for_variables():
    assert facts(Step("add", "values", ("label",), (1,))) == [1, 3, 5, 7, 9]
    assert facts(Step("add", "values", ("word",), ("a", 7))) == [0, 2, 4, 6, 8]
    assert facts(Step("add", "range", ("degree",), (2.5, 4))) == [3, 4]
    assert facts(Step("add", "neighbours", ("flat",), (500, 2))) == [4, 5, 6]
    assert facts(Step("add", "neighbours", ("flat",), (500, 99))) == list(range(10))
    assert facts(Step("add", "neighbours", ("flat",), (12345, 2))) == []
    assert facts(Step("add", "found", (), ("dog",))) == [1, 3, 5, 7, 9]
    everything = Step("toggle", "everything")
    assert facts(Step("add", "range", ("degree",), (2.5, 4)), everything) == [
        0, 1, 2, 5, 6, 7, 8, 9,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="needs a variable of numbers for a range; got 'word'"):
        facts(Step("add", "range", ("word",), (0, 1)))


def test_what_was_taken_back_can_be_done_again():
    chosen = Selection()
    chosen.push(Step("replace", "everything"))
    chosen.invert()
    chosen.undo()
    assert chosen.redoable
    chosen.redo()
    assert chosen.recipe[-1] == Step("toggle", "everything")
    chosen.undo()
    chosen.push(Step("add", "samples", (), (100,)))
    assert not chosen.redoable
    chosen.redo()
    assert chosen.recipe[-1].kind == "samples"
