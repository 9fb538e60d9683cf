import threading
import urllib.error
import urllib.request
import warnings
from contextlib import closing
from http.client import HTTPConnection, RemoteDisconnected

import panel as pn
import pytest

import fxrelay_viz
from fxrelay_viz import giveback
from fxrelay_viz.serve import MOST_UPLOAD, UNUSED
from fxrelay_viz.workspace import Workspace


@pytest.fixture
def called(monkeypatch) -> dict:
    """Keywords that `panel.serve` gets."""
    found: dict = {}
    monkeypatch.setattr(pn, "serve", lambda apps, **keywords: found.update(keywords))
    monkeypatch.setattr(giveback, "keep", lambda: found.update(kept=True))
    return found


def test_only_this_machine_by_default(data, called):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fxrelay_viz.serve(*data, port=0)
    assert called["address"] == "localhost"
    assert called["kept"]
    port = called["port"]
    assert port > 0
    assert called["websocket_origin"] == [f"localhost:{port}", f"127.0.0.1:{port}"]
    assert called["websocket_max_message_size"] == MOST_UPLOAD
    assert "basic_auth" not in called


def test_beyond_it_a_warning_or_a_password(data, called):
    with pytest.warns(UserWarning, match="can be opened by other machines without a password"):
        fxrelay_viz.serve(*data, port=0, address="0.0.0.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fxrelay_viz.serve(*data, port=0, address="0.0.0.0", password="sesame")
    assert called["basic_auth"] == "sesame"
    assert len(called["cookie_secret"]) > 30
    with pytest.raises(ValueError, match=r"needs a password that is not empty; got ''\. Choose"):
        fxrelay_viz.serve(*data, port=0, password=" ")


def test_a_taken_or_impossible_port(data):
    with pytest.raises(OSError, match="serve: needs a free port on localhost; got 70000"):
        fxrelay_viz.serve(*data, port=70000)


@pytest.mark.parametrize("address", ["::1", ""])
def test_addresses_that_no_browser_could_use_are_refused(data, address):
    with pytest.raises(ValueError, match="serve") as caught:
        fxrelay_viz.serve(*data, address=address, start=False)
    assert str(caught.value) == (
        f"serve: needs a host name or an IPv4 address; got {address!r}. Use 'localhost'."
    )


@pytest.fixture(scope="module")
def port(project):
    server = fxrelay_viz.serve(Workspace.of(project), port=0, threaded=True, verbose=False)
    for _ in range(200):
        if getattr(server, "is_alive", lambda: True)() and pn.state._servers:
            break
        threading.Event().wait(0.05)
    found = next(iter(pn.state._servers.values()))[0].port
    yield found
    pn.state.kill_all_servers()


def test_sessions_end_soon_after_their_page(port):
    server = next(iter(pn.state._servers.values()))[0]
    assert server._tornado._unused_session_lifetime_milliseconds == UNUSED
    assert server._tornado._check_unused_sessions_milliseconds == UNUSED // 2


def test_a_page_of_another_origin_gets_no_session(port):
    head = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
            "Sec-WebSocket-Protocol": "bokeh, token"}  # fmt: skip
    for origin in ("http://evil.example", "http://localhost:1"):
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/ws", headers=head | {"Origin": origin})
            assert connection.getresponse().status == 403


def test_the_page_is_made_for_a_visitor(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        assert answer.status == 200
        assert b"fxrelay" in answer.read()


def test_what_is_unknown_or_too_large_is_refused_without_a_trace(port):
    address = f"http://127.0.0.1:{port}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}/fxrelay-images/guess/0/1", timeout=10)
    with caught.value as answer:
        assert answer.code == 404
        assert b"Traceback" not in answer.read()
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", str(MOST_UPLOAD + 1))
        connection.endheaders()
        try:
            status = connection.getresponse().status
        except RemoteDisconnected:  # tornado hangs up on a body that is too large
            status = 413
    assert status in (400, 403, 413)
