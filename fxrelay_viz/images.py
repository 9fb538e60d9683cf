"""Images over HTTP: one route with caching while serving, data URIs for one page elsewhere."""

import asyncio
import base64
import hashlib
import logging
import re
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlencode

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from fxrelay import schema
from fxrelay.heatmap import CMAPS
from fxrelay_viz.explanations import Explanations
from fxrelay_viz.pictures import Picture
from fxrelay_viz.project import Project
from fxrelay_viz.renderers import Look, draw, encode
from fxrelay_viz.renderers.look import HOVER, LARGE, MODES, SIZES, THUMBNAIL

LOG: Final = logging.getLogger(__name__)
ROUTE: Final = "fxrelay-images"
#: threads that draw images, so that a slow one holds up no session
DRAWERS: Final = 2
#: images kept encoded, for other sessions that look at the same
KEPT: Final = 512
#: instead of the number of a Dataset, for pictures that are no samples
MADE: Final = "made"

__all__ = ["HOVER", "LARGE", "THUMBNAIL", "Gallery", "Look", "Pictures", "parse", "render"]


def render(project: Project | Explanations, position: int, look: Look) -> tuple[bytes, str]:
    """Draw one sample.

    Parameters
    ----------
    project : Project or Explanations
    position : int
        Of the sample in the Dataset.
    look : Look

    Returns
    -------
    (bytes, str)
        The image and its content type, PNG or SVG.
    """
    picture = project.pictures([position], look.variable, look.target)[0]
    known = picture.input is not None and look.mode != "heatmap"
    is_first = not look.variable.startswith(schema.RELEVANCE_OF)
    limits = project.input_range if known and is_first else _own_range(picture.input)
    return encode(draw(picture, look, limits), look.size)


def _own_range(values: Any) -> tuple[float, float]:
    if values is None or values.dtype.kind not in "biuf":
        return 0.0, 1.0
    return float(values.min()), float(values.max())


class Gallery:
    """The images of all Datasets that were opened, by addresses that cannot be guessed.

    Parameters
    ----------
    served : bool
        Whether `patterns` are among the routes of the server; else addresses are data URIs.
    key : str, optional
        Part of every address, fresh for every process, so that a browser never shows the image of
        an earlier run, and long, so that nobody can guess it: the route asks for no password.
    """

    def __init__(self, served: bool = False, key: str | None = None) -> None:
        self.served, self.key = served, secrets.token_hex(16) if key is None else key
        self._shown: dict[str, Explanations] = {}
        self._numbers: dict[int, str] = {}
        self._made: dict[str, tuple[bytes, str]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(DRAWERS, "fxrelay-images")
        self.draw = lru_cache(maxsize=KEPT)(self._draw)

    def of(self, project: Project) -> "Pictures":
        """Return the addresses of a project's images."""
        source = project.explanations
        number = self._numbers.setdefault(id(source), str(len(self._numbers)))
        self._shown[number] = source
        return Pictures(project, self, number)

    def made(self, picture: Picture, look: Look, limits: tuple[float, float]) -> str:
        """Draw a picture that is no sample, a mean for instance, and return its address."""
        body, kind = encode(draw(picture, look, limits), look.size)
        if not self.served:
            return data_uri(body, kind)
        digest = hashlib.sha256(body).hexdigest()[:32]
        with self._lock:
            self._made[digest] = (body, kind)
            for old in list(self._made)[:-KEPT]:
                del self._made[old]
        return f"{ROUTE}/{self.key}/{MADE}/{digest}"

    def found(self, digest: str) -> tuple[bytes, str] | None:
        """Return a picture that was made, while it is remembered."""
        return self._made.get(digest)

    def patterns(self) -> list[tuple[Any, ...]]:
        """Return the routes for the server's `extra_patterns`."""
        return [(rf"/{ROUTE}/([^/]*)/([^/]*)/(.*)", ImageHandler, {"gallery": self})]

    def size(self, number: str) -> int:
        """Return how many samples a Dataset of the gallery has, 0 for an unknown one."""
        return len(self._shown[number].index) if number in self._shown else 0

    async def drawn(self, number: str, position: int, look: Look) -> tuple[bytes, str]:
        """Draw in a thread of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.draw, number, position, look)

    def _draw(self, number: str, position: int, look: Look) -> tuple[bytes, str]:
        return render(self._shown[number], position, look)


@dataclass(frozen=True)
class Pictures:
    """Addresses of the images of one project."""

    project: Project
    gallery: Gallery = field(default_factory=Gallery)
    number: str = "0"

    def address(self, position: int, look: Look) -> str:
        """Return what goes into the `src` of an image."""
        if not self.gallery.served:
            body, kind = render(self.project, position, look)
            return data_uri(body, kind)
        query = {name: format_(getattr(look, name)) for name, (_, _, format_) in FIELDS.items()
                 if getattr(look, name) != getattr(DEFAULT, name)}  # fmt: skip
        base = f"{ROUTE}/{self.gallery.key}/{self.number}/{int(position)}"
        return f"{base}?{urlencode(query)}" if query else base


def data_uri(body: bytes, kind: str) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


class ImageHandler(RequestHandler):
    """Serves `render`, with an ETag; wrong addresses get a message and never a file."""

    def initialize(self, gallery: Gallery) -> None:
        """Take what is served."""
        self.gallery = gallery

    async def get(self, key: str, number: str, position: str) -> None:
        """Answer 200 with an image, 304, 400 for malformed and 404 for unknown addresses."""
        if number == MADE and (body := self.gallery.found(position)) and self._knows(key):
            return await self._send(position[:24], body)
        count = self.gallery.size(number)
        if not self._knows(key) or not count:
            return self._fail(404, "image: this address is of another run. Reload the page.")
        if not re.fullmatch("[0-9]{1,18}", position) or int(position) >= count:
            return self._fail(404, f"image: needs a position in 0..{count - 1}. Reload the page.")
        try:
            look = parse({name: self.get_query_argument(name) for name in self.request.arguments})
        except ValueError as error:
            return self._fail(400, str(error))
        return await self._answer(number, int(position), look)

    def _knows(self, key: str) -> bool:
        return secrets.compare_digest(key.encode(), self.gallery.key.encode())

    async def _answer(self, number: str, position: int, look: Look) -> None:
        text = f"{self.gallery.key} {number} {position} {look}"
        tag = hashlib.sha256(text.encode()).hexdigest()[:24]
        if self.request.headers.get("If-None-Match") == f'"{tag}"':
            return await self._send(tag, (b"", ""))
        try:
            drawn = await self.gallery.drawn(number, position, look)
        except Exception as error:  # whatever the data did, the browser gets a line
            if not isinstance(error, (ValueError, OSError)):
                LOG.exception("image: could not be drawn")
            return self._fail(503, f"image: could not be drawn: {error}")
        return await self._send(tag, drawn)

    async def _send(self, tag: str, drawn: tuple[bytes, str]) -> None:
        self.set_header("Etag", f'"{tag}"')
        self.set_header("Cache-Control", "private, max-age=86400, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        if self.check_etag_header():
            self.set_status(304)
            return
        self.set_header("Content-Type", drawn[1])
        with suppress(StreamClosedError):  # the page was closed meanwhile
            await self.finish(drawn[0])

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer what tornado refuses, with a line and never a stack trace."""
        self._fail(status_code, f"image: {self._reason}. Mend the address.")

    def _fail(self, status: int, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(message)


DEFAULT: Final = Look()


def _number(low: float, high: float) -> Any:
    def check(text: str) -> bool:
        try:
            return low <= float(text) <= high
        except ValueError:
            return False

    return check


def _short(value: Any) -> str:
    return f"{value:.6g}"


#: field of a look -> whether a text fits, what is needed, and how it is written
FIELDS: Final[Mapping[str, tuple[Any, str, Any]]] = {
    "mode": (lambda v: v in MODES, f"one of {', '.join(MODES)}", str),
    "cmap": (lambda v: v in CMAPS, f"one of {', '.join(CMAPS)}", str),
    "size": (lambda v: v in map(str, SIZES), f"one of {', '.join(map(str, SIZES))}", str),
    "limit": (_number(1e-100, 1e100), "a positive number", _short),
    "variable": (lambda v: v.startswith(schema.RELEVANCE) and len(v) <= 256,
                 "a variable of relevance", str),
    "target": (lambda v: re.fullmatch("[0-9]{1,9}", v), "a number of a target", str),
    "blend": (_number(0, 1), "a number in 0..1", _short),
    "percentile": (_number(1, 100), "a number in 1..100", _short),
}  # fmt: skip
_TYPES: Final = {"limit": float, "blend": float, "percentile": float, "size": int, "target": int}


def parse(query: Mapping[str, str]) -> Look:
    """Read the query of an address.

    Raises
    ------
    ValueError
        Names every field that is unknown or out of range.
    """
    faults = [
        f"{name} needs {text}; got {query[name][:40]!r}"
        for name, (check, text, _) in FIELDS.items()
        if name in query and not check(query[name])
    ]
    faults += [f"{n[:40]!r} is none of {', '.join(FIELDS)}" for n in query if n not in FIELDS]
    if faults:
        raise ValueError(f"image: {'; '.join(faults)}. Mend the address.")
    return Look(**{name: _TYPES.get(name, str)(text) for name, text in query.items()})
