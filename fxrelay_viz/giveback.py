"""Memory of closed sessions goes back to the system."""

import asyncio
import ctypes
import gc
from typing import Final

#: seconds between the close of a session and the collection; several closes are one collection
DELAY: Final = 1.0
#: so many new objects, and smaller collections, before a collection of each size
RARELY: Final = (20_000, 20, 50)
_waiting: list[asyncio.TimerHandle] = []


def keep() -> None:
    """Look at nothing that is there now again when collecting garbage.

    Libraries make 400,000 objects that stay; a collection that looks at them takes half a second,
    in which no page is answered, and one that leaves them out takes 50 ms. Besides, fewer are made
    while people work: every closed page is followed by one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*RARELY)


def give_back_soon() -> None:
    """Collect garbage a moment from now, where an event loop runs.

    Figures and documents refer to each other in circles, which Python frees only when it collects,
    and the C library keeps what was freed until it is asked to trim its heap.
    """
    for timer in _waiting:
        timer.cancel()
    _waiting.clear()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    _waiting.append(loop.call_later(DELAY, give_back))


def give_back() -> None:
    """Collect garbage and return free memory to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, others need none
    if trim is not None:
        trim(0)
