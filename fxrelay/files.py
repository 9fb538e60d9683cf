"""Crash-safe netCDF4 files: written whole or not at all, read as one lazy Dataset.

This module imports no torch; shards, the analysis store and the viewer share it.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

Writer = Callable[[Path], Any]


def write_atomically(path: str | Path, write: Writer, *, flush: bool = True) -> Path:
    """Let `write` fill a temporary file, flush it to disk and rename it to `path`.

    A crash at any moment leaves either the old file or the new one, never a part of one; one of the
    machine, too, where it is flushed.

    Parameters
    ----------
    path : path
        The final name. Its folder is made when missing.
    write : callable
        Called with the temporary path, which it has to create.
    flush : bool
        Whether to wait until it is on the disk. If not, a loss of power may leave a part of the
        file: for files that are checked when they are read, and can be made again.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        if flush:
            _flush(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if flush:
        _flush(path.parent)
    return path


def write_netcdf(data: xr.Dataset | xr.DataTree, path: str | Path) -> Path:
    """Write a Dataset or DataTree as one netCDF4 file, whole or not at all, uncompressed.

    Raises
    ------
    OSError
        If the file cannot be written, a full disk for instance; nothing of it is left behind.
    """

    def write(temporary: Path) -> None:
        try:
            data.to_netcdf(temporary, engine="netcdf4")
        except (OSError, RuntimeError) as error:  # the library reports a full disk as either
            raise OSError(
                f"{str(path)!r} could not be written ({error}); what was finished before stays. "
                "Free some space and call again."
            ) from error

    return write_atomically(path, write)


def writable_folder(path: str | Path, caller: str) -> Path:
    """Make the folder and prove that it takes files, before any work starts.

    Raises
    ------
    OSError
        If the folder cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise OSError(
            f"{caller}: needs a folder that it can write; got {str(folder)!r} "
            f"({error.strerror or error}). Choose another folder or free some space."
        ) from error
    return folder


def _flush(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
