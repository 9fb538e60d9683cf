import io
import threading
from http.client import HTTPConnection
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application

from fxrelay.heatmap import heatmap, overlay, to_image
from fxrelay_viz.images import FIELDS, LARGE, Gallery, Look, Pictures, parse, render


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_render_draws_with_the_one_module_for_colour(project, data):
    ds = data[0]
    relevance, image = ds["relevance"].values[7], ds["input"].values[7]
    expected = {
        "input": to_image(image),
        "heatmap": heatmap(relevance, "coldnhot"),
        "overlay": overlay(image, relevance, "coldnhot"),
    }
    for mode, picture in expected.items():
        assert (pixels(render(project, 7, Look(mode, "coldnhot"))[0]) == picture).all()
    fixed, kind = render(project, 7, Look("heatmap", "coldnhot", 0.5))
    assert kind == "image/png"
    assert (pixels(fixed) == heatmap(relevance, "coldnhot", vmax=0.5)).all()


def test_address_is_a_data_uri_without_a_route_and_short_with_one(project):
    assert Pictures(project).address(3, Look()).startswith("data:image/png;base64,")
    served = Gallery(served=True, key="abc").of(project)
    look = Look("heatmap", "hot", 0.25, LARGE)
    assert served.address(3, look) == (
        "fxrelay-images/abc/0/3?mode=heatmap&cmap=hot&size=320&limit=0.25"
    )
    assert served.address(3, Look()) == "fxrelay-images/abc/0/3"


def test_parse_reads_what_address_writes_and_names_every_fault():
    assert parse({"mode": "input", "cmap": "hot", "size": "320", "limit": "2"}) == Look(
        "input", "hot", 2.0, 320
    )
    with pytest.raises(ValueError, match="mode needs one of") as caught:
        parse({"mode": "x", "cmap": "../etc", "size": "9e9", "limit": "nan", "path": "/"})
    for part in ("cmap needs", "size needs", "limit needs a positive number", "'path' is none of"):
        assert part in str(caught.value)


@pytest.fixture(scope="module")
def server(project):
    gallery = Gallery(served=True, key="key")
    gallery.of(project)
    sockets = bind_sockets(0, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    ready, loops = threading.Event(), []

    def run() -> None:
        loop = IOLoop()
        http = HTTPServer(Application(gallery.patterns()))
        http.add_sockets(sockets)
        loops.append((loop, http))
        loop.add_callback(ready.set)
        loop.start()
        loop.close(all_fds=True)

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    yield port
    loop, http = loops[0]

    def stop() -> None:
        http.stop()
        loop.stop()

    loop.add_callback(stop)
    thread.join(10)


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    out = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return out


def test_the_route_answers_once_and_then_says_not_modified(server):
    path = "/fxrelay-images/key/0/5?mode=heatmap"
    status, headers, body = get(server, path)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert pixels(body).shape == (8, 8, 3)
    status, _, body = get(server, path, **{"If-None-Match": headers["Etag"]})
    assert (status, body) == (304, b"")
    assert get(server, "/fxrelay-images/key/0/6?mode=heatmap")[1]["Etag"] != headers["Etag"]


@pytest.mark.parametrize(
    ("path", "expected", "message"),
    [
        ("/fxrelay-images/key/0/99999", 404, "needs a position in 0..1796"),
        ("/fxrelay-images/key/0/-1", 404, "needs a position"),
        ("/fxrelay-images/key/0/" + "9" * 400 + "", 404, "needs a position"),
        ("/fxrelay-images/key/0/%C2%B2", 404, "needs a position"),
        ("/fxrelay-images/key/0/%D9%A3", 404, "needs a position"),
        ("/fxrelay-images/old/0/1", 404, "Reload the page"),
        ("/fxrelay-images/key/0/../../../etc/passwd", 404, "needs a position"),
        ("/fxrelay-images/key/0/..%2f..%2fetc%2fpasswd", 404, "needs a position"),
        ("/fxrelay-images/key/0/1?cmap=<script>", 400, "cmap needs one of"),
        ("/fxrelay-images/key/0/1?size=100000", 400, "size needs one of 96, 160, 320"),
        ("/fxrelay-images/key/0/1?limit=-3", 400, "limit needs a positive number"),
        ("/fxrelay-images/key/0/1?file=/etc/passwd", 400, "'file' is none of"),
        ("/fxrelay-images/key/0/1?mode=%ff", 400, ""),
    ],
)
def test_bad_addresses_get_a_message(server, path: str, expected: int, message: str):
    status, headers, body = get(server, path)
    assert status == expected
    assert message in body.decode()
    assert "Traceback" not in body.decode()
    if message:
        assert headers["Content-Type"].startswith("text/plain")


@settings(max_examples=80, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    parts=st.lists(st.text(max_size=12) | st.sampled_from(["key", "0", "made", "..", "5", "%2e"]),
                   max_size=4),
    query=st.dictionaries(st.sampled_from([*FIELDS, "x"]),
                          st.text(max_size=9) | st.sampled_from(["heatmap", "320", "1e9", "nan"]),
                          max_size=3),
)  # fmt: skip
def test_no_address_whatsoever_is_an_internal_error(server, parts, query):
    path = "/".join(["/fxrelay-images", *(quote(part, safe="%") for part in parts)])
    status, _, body = get(server, f"{path}?{urlencode(query, errors='surrogatepass')}")
    assert status in (200, 400, 404)
    assert b"Traceback" not in body


def test_an_image_that_cannot_be_drawn_is_a_message(server, project, monkeypatch):
    def fail(positions, variable, target):
        raise OSError("the file is gone")

    monkeypatch.setattr(project.explanations, "pictures", fail)
    status, headers, body = get(server, "/fxrelay-images/key/0/1?cmap=hot")
    assert (status, body) == (503, b"image: could not be drawn: the file is gone")
    assert "Etag" not in headers


def test_a_picture_that_was_made_is_served_once_for_all(project):
    picture = project.pictures([3])[0]
    gallery = Gallery(served=True, key="key")
    address = gallery.made(picture, Look(), (0.0, 1.0))
    assert address == gallery.made(picture, Look(), (0.0, 1.0))
    digest = address.rpartition("/")[2]
    assert address == f"fxrelay-images/key/made/{digest}"
    assert gallery.found(digest)[1] == "image/png"
    assert gallery.found("x") is None
    assert Gallery().made(picture, Look(), (0.0, 1.0)).startswith("data:image/png;base64,")
