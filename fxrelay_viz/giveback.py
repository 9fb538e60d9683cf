"""Memory of closed sessions goes back to the system."""

import asyncio
import ctypes
import gc
from typing import Final

#: seconds between the close of a session and the collection; several closes are one collection
DELAY: Final = 1.0
_waiting: list[asyncio.TimerHandle] = []


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
