"""What a plot draws of a cloud: glyphs or a raster, made in a thread where the cloud is large."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from fxrelay_viz.clouds import Cloud, glyphs, is_raster
from fxrelay_viz.geometry import Extent
from fxrelay_viz.later import locked, served_document, soon
from fxrelay_viz.raster import rasterize

#: so many rasters without a selection are kept for other sessions that look at the same
KEPT: Final = 8
#: width and height of a raster in pixels, where no browser told them
USUAL: Final = (700, 500)
#: one thread draws for all sessions: two would take the processor from the images
POOL: Final = ThreadPoolExecutor(1, "fxrelay-rasters")
_plain: OrderedDict[Any, tuple[Any, ...]] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Sketch:
    """What a plot draws of a cloud.

    Attributes
    ----------
    cloud : Cloud
    view : Extent
        What is in view.
    image : uint8 array, shape (height, width, 4), or None
        As `rasterize` makes it.
    columns : mapping of str to array
        As `glyphs` makes them; none beside an image.
    """

    cloud: Cloud
    view: Extent
    image: np.ndarray | None
    columns: Mapping[str, np.ndarray]


def sketch(cloud: Cloud, view: Extent, size: tuple[int, int]) -> Sketch:
    """Draw a cloud: as an image where too many points are in view for glyphs.

    Parameters
    ----------
    cloud : Cloud
    view : Extent
    size : (int, int)
        Width and height of the image in pixels.
    """
    if is_raster(cloud, view):
        return Sketch(cloud, view, _raster(cloud, view, size), {})
    return Sketch(cloud, view, None, glyphs(cloud, view if cloud.drawn.is_large else None))


def _raster(cloud: Cloud, view: Extent, size: tuple[int, int]) -> np.ndarray:
    """Return a raster; without a selection it is the same for all sessions."""
    if cloud.selected.any() or cloud.shown is not None:
        return rasterize(cloud, view, size)
    key = (id(cloud.points), id(cloud.colouring), view, size)
    known = _plain.get(key)
    image: np.ndarray = rasterize(cloud, view, size) if known is None else known[0]
    _plain[key] = (image, cloud.points, cloud.colouring)  # kept, so that nothing else gets their id
    _plain.move_to_end(key)
    while len(_plain) > KEPT:
        _plain.popitem(last=False)
    return image


class Sketcher:
    """Draws clouds for one plot; a large one in a thread, so that the page answers meanwhile.

    Of what is asked for while a thread draws, only the last is drawn.

    Parameters
    ----------
    done : callable
        Called with each Sketch, while the document is locked.
    """

    def __init__(self, done: Callable[[Sketch], None]) -> None:
        self._done = done
        self._is_drawing = self._is_closed = False
        self._next: tuple[Cloud, Extent, tuple[int, int]] | None = None

    def ask(self, cloud: Cloud, view: Extent, size: tuple[int, int] | None) -> None:
        """Draw a cloud, now or soon; a large one not before the browser told the size."""
        document = served_document()
        if document is None or not cloud.is_large:
            self._next = None
            locked(partial(self._done, sketch(cloud, view, size or USUAL)))
        elif size is not None:
            self._next = (cloud, view, size)
            if not self._is_drawing:
                self._start(document)

    def close(self) -> None:
        """Draw nothing more."""
        self._is_closed, self._next, self._done = True, None, lambda found: None

    def _start(self, document: Any) -> None:
        if self._next is None:
            return
        self._is_drawing, wanted, self._next = True, self._next, None
        POOL.submit(sketch, *wanted).add_done_callback(partial(self._made, document))

    def _made(self, document: Any, future: Any) -> None:
        """Hand a sketch over, in the thread that made it."""
        if not self._is_closed:
            soon(document, partial(self._take, document, future))

    def _take(self, document: Any, future: Any) -> None:
        self._is_drawing = False
        if self._next is None:
            self._done(future.result())
        self._start(document)
