"""Every public name: reachable, documented, typed, and told of in the README."""

import inspect
import typing
from pathlib import Path

import pytest

import fxrelay
import fxrelay_analysis
import fxrelay_viz

README = (Path(__file__).parent.parent / "README.md").read_text()
PACKAGES = (fxrelay, fxrelay_analysis, fxrelay_viz)
PUBLIC = [(p, name) for p in PACKAGES for name in p.__all__]
CALLABLES = [getattr(p, n) for p, n in PUBLIC if callable(getattr(p, n))]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_at_most_fifteen_names_a_package(package):
    assert 0 < len(package.__all__) <= 15


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=lambda v: getattr(v, "__name__", v))
def test_name_is_told_of_in_the_readme(package, name):
    assert name in README


@pytest.mark.parametrize("function", CALLABLES, ids=lambda f: f.__qualname__)
def test_public_call_is_documented_and_typed(function):
    assert len(inspect.getdoc(function).splitlines()) > 3
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    named = [p for p in inspect.signature(target).parameters if p != "self"]
    assert all(name in hints for name in named), named


@pytest.mark.parametrize("table", ["RULES", "COMPOSITES"])
def test_every_row_has_a_docstring_and_stands_in_the_readme(table):
    rows = getattr(getattr(fxrelay, table.lower()), table)
    for name, make in rows.items():
        assert name in README
        assert inspect.getdoc(make), name
