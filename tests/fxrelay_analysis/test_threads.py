"""Pieces of a step run beside each other, and give the same bits on any number of threads."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fxrelay.execute import Serial, Threads
from fxrelay_analysis.stages.nearest import nearest
from fxrelay_analysis.threads import one_thread, pieces


def blas() -> set[int]:
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.mark.parametrize("rows", [None, np.arange(0, 2500, 3)])
def test_neighbours_are_the_same_on_any_number_of_threads(rows):
    x = np.random.default_rng(0).normal(size=(2500, 20)).astype(np.float32)
    found = []
    for count in (1, 3):
        with threadpool_limits(count):
            found.append(nearest(x, 7, rows))
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_threads_are_those_that_blas_had():
    with threadpool_limits(1), one_thread():
        assert isinstance(pieces(), Serial)
    with threadpool_limits(4):
        with one_thread(), one_thread(), pieces() as place:
            assert blas() == {1}
            assert isinstance(place, Threads)
            names = set(place.map(lambda _: threading.current_thread().name, range(50)))
            assert len(names) <= 4
            assert isinstance(pieces(worth=False), Serial)
        assert blas() == {4}


def test_those_who_compute_at_once_share_them():
    ready, done, inside = threading.Event(), threading.Event(), []

    def other() -> None:
        with one_thread():
            ready.set()
            done.wait(20)

    with threadpool_limits(2), one_thread():
        beside = threading.Thread(target=other)
        beside.start()
        ready.wait(20)
        inside.append(isinstance(pieces(), Serial))
        done.set()
        beside.join()
        with pieces() as place:
            inside.append(isinstance(place, Threads))
    assert inside == [True, True]


def test_an_error_in_a_thread_arrives_and_the_rest_is_dropped():
    def fail(item: int) -> int:
        if item == 2:
            raise ValueError("needs less than 2; got 2")
        return item

    with Threads(2) as place:
        found = place.map(fail, range(100))
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(ValueError, match="got 2"):
            next(found)
        assert list(found) == []
