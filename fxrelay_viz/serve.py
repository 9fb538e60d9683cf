"""Serving the viewer on this machine."""

import secrets
import socket
import warnings
from typing import Any, Final

import panel as pn
import xarray as xr

from fxrelay_viz import figure, giveback, raster
from fxrelay_viz.app import Viewer
from fxrelay_viz.closing import expect_closing
from fxrelay_viz.images import Gallery
from fxrelay_viz.links import Links
from fxrelay_viz.project import Project
from fxrelay_viz.workspace import Workspace

LOOPBACK: Final = ("localhost", "127.0.0.1")
PAGE: Final = (
    "html, body { margin: 0; height: 100%; background: light-dark(#f4f5f8, #14171d); "
    "color-scheme: light dark; }"
)
#: no message from a browser is larger, so that nobody fills the memory with an upload
MOST_UPLOAD: Final = 16 * 2**20
#: a session is given back so long after its page was closed, in milliseconds
UNUSED: Final = 3_000


def serve(
    ds: xr.Dataset | Workspace,
    tree: xr.DataTree | None = None,
    *,
    port: int = 5006,
    address: str = "localhost",
    show: bool = False,
    title: str = "fxrelay",
    password: str | None = None,
    **keywords: Any,
) -> Any:
    """Serve the viewer over HTTP until it is stopped.

    Parameters
    ----------
    ds, tree : Dataset, DataTree
        As for `view`; or a Workspace alone, from `fxrelay_viz.opening.open_workspace`.
    port : int, 0..65535
        0 takes a free one.
    address : str
        The default serves this machine only; beyond it, everybody who reaches the port can look.
    show : bool
        Open a browser.
    title : str
        Of the browser's tab.
    password : str, optional
        Asked for with any user name, before the page is shown. Without it a warning is given where
        `address` is beyond this machine.
    **keywords
        For `panel.serve`, such as ``threaded=True`` (returns at once) or ``start=False``.
        ``websocket_origin`` names the hosts whose pages may connect; by default `address` and this
        machine.

    Returns
    -------
    The server, or its thread.

    Raises
    ------
    ValueError
        If the Dataset and the DataTree do not fit together, for an IPv6 address, or an empty
        password.
    OSError
        If the port is taken.
    """
    given = ds if isinstance(ds, Workspace) else Project(ds, tree or xr.DataTree())
    workspace = Workspace.of(given)
    gallery, links = Gallery(served=True), Links(workspace.get().notes)
    port = free_port(address, port)
    keywords = _guarded(address, port, password) | keywords
    expect_closing()
    figure.warm()
    raster.warm()
    if not keywords.get("threaded"):  # a process that does nothing else
        giveback.keep()
    if PAGE not in pn.config.raw_css:
        pn.config.raw_css.append(PAGE)
    return pn.serve(
        {"/": lambda: Viewer(workspace, gallery, links)},
        port=port,
        address=address,
        show=show,
        title=title,
        extra_patterns=gallery.patterns(),
        **keywords,
    )


def _guarded(address: str, port: int, password: str | None) -> dict[str, Any]:
    """Return what `panel.serve` needs to keep strangers out, and warn where nothing does."""
    if password is not None and not password.strip():
        raise ValueError("serve: needs a password that is not empty; got ''. Choose one.")
    if address not in LOOPBACK and password is None:
        warnings.warn(
            f"serve: {address}:{port} can be opened by other machines without a password. "
            "Use address='localhost', or pass password=...",
            stacklevel=3,
        )
    hosts = dict.fromkeys((address, *LOOPBACK))
    out: dict[str, Any] = {
        "websocket_origin": [f"{host}:{port}" for host in hosts],
        "websocket_max_message_size": MOST_UPLOAD,
        "http_server_kwargs": {"max_body_size": MOST_UPLOAD},
        "unused_session_lifetime_milliseconds": UNUSED,
        "check_unused_sessions_milliseconds": UNUSED // 2,
    }
    if password is not None:
        out |= {"basic_auth": password, "cookie_secret": secrets.token_urlsafe(32)}
    return out


def free_port(address: str, port: int) -> int:
    """Return `port`, or a free one for 0; raise where nothing can be served there."""
    if not address or ":" in address:
        raise ValueError(
            f"serve: needs a host name or an IPv4 address; got {address!r}. Use 'localhost'."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except (OSError, OverflowError) as error:
            raise OSError(
                f"serve: needs a free port on {address}; got {port} ({error}). "
                "Choose another, or 0 for any."
            ) from error
        return int(probe.getsockname()[1])
