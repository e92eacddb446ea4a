"""Files: written atomically, that is whole or not at all; and where those are that come with the workbook."""

import contextlib
import os
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).parent


def shipped(folder, name):
    """Path of a file that comes with the workbook, from a clone or from an installed wheel.

    Parameters
    ----------
    folder : {"data", "evidence"}
    name : str

    Returns
    -------
    Path
    """
    inside_wheel = PACKAGE / folder / name
    return inside_wheel if inside_wheel.exists() else PACKAGE.parent / folder / name


def write_atomically(path, data, keep=None):
    """Atomic write of a file: whoever looks, at any moment and after any crash, finds the old one or the new one, never a part.

    1. The bytes go to a new file beside the old one, and from the system's memory to the disk (fsync).
    2. With `keep`, the old file gets a second name, under which it stays.
    3. The new file takes the old one's name: one operation of the file system, done or not done.

    Parameters
    ----------
    path : str or path
        Its folder must exist.
    data : bytes
    keep : str or path, optional
        Where the old file stays, if there was one.

    Raises
    ------
    OSError
        If the disk is full, or the folder may not be written. The old file is as it was, and nothing half-written stays.
    """
    import tempfile  # here, not above: with what it brings along it would be a third of the library's own import time

    path = Path(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        if keep is not None and path.exists():
            _second_name(path, Path(keep))
        os.replace(beside, path)
    except BaseException:
        _remove(beside)
        raise
    _sync_folder(path.parent)


def digest(arrays, description):
    """SHA-256 over names, types, shapes and bytes of all arrays, in the order of their names, and over the description.

    safetensors itself would load a flipped bit. What the description says under "sha256" does not count.
    """
    import hashlib  # here, not above, as in :func:`write_atomically`
    import json

    told = {name: value for name, value in description.items() if name != "sha256"}
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _second_name(path, keep):
    """Let `keep` be the file that `path` is, without a moment in which either name is missing."""
    import shutil

    beside = path.with_name(f".{keep.name}.part")
    _remove(beside)
    try:
        try:
            os.link(path, beside)
        except OSError:  # a file system without second names
            shutil.copyfile(path, beside)
        os.replace(beside, keep)
    except BaseException:
        _remove(beside)
        raise


def _remove(path):
    with contextlib.suppress(OSError):
        os.unlink(path)


def _umask():
    """What new files may not permit; mkstemp asks for less, so that nobody else reads what is temporary."""
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder):
    """Bring the new name to the disk as well; where folders cannot be opened (Windows) there is nothing to do."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
