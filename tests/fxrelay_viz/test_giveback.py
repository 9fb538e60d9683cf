import gc
from collections.abc import Iterator

import pytest

from fxrelay_viz import giveback


class Circle:
    """Refers to itself, so that only a collection frees it."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Circle.alive += 1

    def __del__(self) -> None:
        Circle.alive -= 1


@pytest.fixture
def restored() -> Iterator[None]:
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def test_what_is_kept_is_not_looked_at_again_and_pages_are_given_back(restored: None):
    giveback.keep()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == giveback.RARELY
    Circle()
    giveback.give_back()
    assert Circle.alive == 0


def test_nothing_happens_without_an_event_loop():
    giveback.give_back_soon()
    assert giveback._waiting == []
