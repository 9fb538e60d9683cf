"""Images over HTTP: one route with caching while serving, data URIs for one page elsewhere."""

import base64
import hashlib
import io
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
from PIL import Image
from tornado.web import RequestHandler

from fxrelay import schema
from fxrelay.heatmap import CMAPS, heatmap, overlay, to_image
from fxrelay_viz.data import Project
from fxrelay_viz.state import MODES

ROUTE: Final = "fxrelay-images"
THUMBNAIL: Final = 96
LARGE: Final = 320
SIZES: Final = (THUMBNAIL, LARGE)


@dataclass(frozen=True)
class Look:
    """How an image is drawn: what it shows, its colour map, the scale of relevance, its size."""

    mode: str = "overlay"
    cmap: str = "bwr"
    limit: float | None = None
    size: int = THUMBNAIL


def render(project: Project, position: int, look: Look) -> bytes:
    """Draw one sample as PNG.

    Parameters
    ----------
    project : Project
    position : int
        Of the sample in the Dataset.
    look : Look

    Returns
    -------
    bytes
        PNG in the size of the data, or reduced to `look.size` where the data is larger than twice
        that; the browser enlarges it.
    """
    picture = project.pictures([position])[0]
    relevance = picture[schema.RELEVANCE]
    scale = {} if look.limit is None else {"vmax": look.limit}
    if look.mode == "heatmap" or not project.has_input:
        image = heatmap(relevance, look.cmap, **scale)  # type: ignore[arg-type]
    elif look.mode == "input":
        low, high = project.input_range
        image = to_image(picture[schema.INPUT], vmin=low, vmax=high)
    else:
        image = overlay(
            picture[schema.INPUT],
            relevance,
            look.cmap,
            input_range=project.input_range,
            **scale,  # type: ignore[arg-type]
        )
    return _png(image, look.size)


@dataclass
class Pictures:
    """Addresses of images: HTTP while a route is served, else data URIs.

    Attributes
    ----------
    project : Project
    served : bool
        Whether `patterns` are among the routes of the server.
    key : str
        Part of every address, fresh for every process, so that a browser never shows the image of
        an earlier run, and long, so that nobody can guess it: the route asks for no password.
    """

    project: Project
    served: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(16))

    def address(self, position: int, look: Look) -> str:
        """Return what goes into the `src` of an image."""
        if not self.served:
            data = base64.b64encode(render(self.project, position, look)).decode()
            return f"data:image/png;base64,{data}"
        query = {"mode": look.mode, "cmap": look.cmap, "size": str(look.size)}
        if look.limit is not None:
            query["limit"] = f"{look.limit:.6g}"
        return f"{ROUTE}/{self.key}/{int(position)}.png?{urlencode(query)}"

    def patterns(self) -> list[tuple[Any, ...]]:
        """Return the routes for the server's `extra_patterns`."""
        return [(rf"/{ROUTE}/([^/]*)/(.*)\.png", ImageHandler, {"pictures": self})]


class ImageHandler(RequestHandler):
    """Serves `render`, with an ETag; wrong addresses get a message and never a file."""

    def initialize(self, pictures: Pictures) -> None:
        """Take what is served."""
        self.pictures = pictures

    def get(self, key: str, position: str) -> None:
        """Answer 200 with PNG, 304, 400 for malformed and 404 for unknown addresses."""
        count = len(self.pictures.project.index)
        if key != self.pictures.key:
            return self._fail(404, "image: this address is of another run. Reload the page.")
        if not re.fullmatch("[0-9]{1,18}", position) or int(position) >= count:
            return self._fail(404, f"image: needs a position in 0..{count - 1}. Reload the page.")
        try:
            look = parse({name: self.get_query_argument(name) for name in self.request.arguments})
        except ValueError as error:
            return self._fail(400, str(error))
        return self._answer(int(position), look)

    def _answer(self, position: int, look: Look) -> None:
        text = f"{self.pictures.key} {position} {look}"
        self.set_header("Etag", f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"')
        self.set_header("Cache-Control", "private, max-age=86400, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        if self.check_etag_header():
            self.set_status(304)
            return
        try:
            body = render(self.pictures.project, position, look)
        except (ValueError, OSError, RuntimeError) as error:
            self.clear_header("Etag")
            self.clear_header("Cache-Control")
            self._fail(500, f"image: could not be drawn: {error}")
            return
        self.set_header("Content-Type", "image/png")
        self.finish(body)

    def _fail(self, status: int, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(message)


def parse(query: Mapping[str, str]) -> Look:
    """Read the query of an address.

    Raises
    ------
    ValueError
        Names every field that is unknown or out of range.
    """
    checks = {
        "mode": (lambda v: v in MODES, f"one of {', '.join(MODES)}"),
        "cmap": (lambda v: v in CMAPS, f"one of {', '.join(CMAPS)}"),
        "size": (lambda v: v in map(str, SIZES), f"one of {', '.join(map(str, SIZES))}"),
        "limit": (_is_limit, "a positive number"),
    }
    known = ", ".join(checks)
    faults = [
        f"{name} needs {text}; got {query[name][:40]!r}"
        for name, (check, text) in checks.items()
        if name in query and not check(query[name])
    ]
    faults += [f"{name[:40]!r} is none of {known}" for name in query if name not in checks]
    if faults:
        raise ValueError(f"image: {'; '.join(faults)}. Mend the address.")
    limit = query.get("limit")
    return Look(
        mode=query.get("mode", Look.mode),
        cmap=query.get("cmap", Look.cmap),
        limit=None if limit is None else float(limit),
        size=int(query.get("size", THUMBNAIL)),
    )


def _is_limit(text: str) -> bool:
    try:
        return 1e-100 < float(text) < 1e100
    except ValueError:
        return False


def _png(image: np.ndarray, size: int) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > 2 * size:
        picture.thumbnail((2 * size, 2 * size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()
