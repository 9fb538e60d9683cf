"""Serving the viewer on this machine."""

import socket
import warnings
from typing import Any, Final

import panel as pn
import xarray as xr

from fxrelay_viz.app import Viewer
from fxrelay_viz.data import Project
from fxrelay_viz.images import Pictures

LOOPBACK: Final = ("localhost", "127.0.0.1")
PAGE: Final = "html, body { margin: 0; height: 100%; background: #f4f5f8; }"


def serve(
    ds: xr.Dataset,
    tree: xr.DataTree,
    *,
    port: int = 5006,
    address: str = "localhost",
    show: bool = False,
    title: str = "fxrelay",
    **keywords: Any,
) -> Any:
    """Serve the viewer over HTTP until it is stopped.

    Parameters
    ----------
    ds, tree : Dataset, DataTree
        As for `view`.
    port : int, 0..65535
        0 takes a free one.
    address : str
        The default serves this machine only; beyond it, everybody who reaches the port can look.
    show : bool
        Open a browser.
    title : str
        Of the browser's tab.
    **keywords
        For `panel.serve`, such as ``threaded=True`` (returns at once), ``start=False`` or
        ``basic_auth``.

    Returns
    -------
    The server, or its thread.

    Raises
    ------
    ValueError
        If the Dataset and the DataTree do not fit together, or for an IPv6 address.
    OSError
        If the port is taken.
    """
    pictures = Pictures(Project(ds, tree), served=True)
    port = free_port(address, port)
    if address not in LOOPBACK and "basic_auth" not in keywords:
        warnings.warn(
            f"serve: {address}:{port} can be opened by other machines without a password. "
            "Use address='localhost', or pass basic_auth=...",
            stacklevel=2,
        )
    if PAGE not in pn.config.raw_css:
        pn.config.raw_css.append(PAGE)
    hosts = dict.fromkeys((address, *LOOPBACK))
    keywords.setdefault("websocket_origin", [f"{host}:{port}" for host in hosts])
    return pn.serve(
        {"/": lambda: Viewer(pictures.project, pictures)},
        port=port,
        address=address,
        show=show,
        title=title,
        extra_patterns=pictures.patterns(),
        **keywords,
    )


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
