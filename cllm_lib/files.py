"""Files: written atomically, that is whole or not at all; and where those are that come with the workbook."""

import contextlib
import errno
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
        Its folder must exist. Where it is a symbolic link, the file that it leads to is written, and the link stays.
    data : bytes
    keep : str or path, optional
        Where the old file stays, if there was one.

    Raises
    ------
    OSError
        If the disk is full, the folder may not be written, or links lead in a circle. The old file is as it was, and nothing
        half-written stays.
    """
    import tempfile  # here, not above: with what it brings along it would be a third of the library's own import time

    path = target_of(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())
        if keep is not None and path.exists():
            _second_name(path, target_of(keep))
        os.replace(beside, path)
    except BaseException:
        _remove(beside)
        raise
    _sync_folder(path.parent)


def target_of(path):
    """The file that is meant: the path itself, or where symbolic links lead to, whether it is there yet or not.

    Raises
    ------
    OSError
        If the links lead in a circle.
    """
    path = Path(path)
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def no_place_for_a_file(path):
    """Why no file can be written at a path, in a sentence; None where nothing speaks against it.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    str or None
    """
    if not str(path):
        return "its name is empty: name a file, such as model.safetensors"
    try:
        target = target_of(path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(target)
    except (OSError, ValueError) as error:  # a circle of links, or a character that no name has
        return f"{path} cannot be written ({getattr(error, 'strerror', None) or error}): name another file"
    if target.is_dir():
        return f"{path} is a folder: name a file in it, such as {Path(path) / 'model.safetensors'}"
    if target.exists() and not target.is_file():
        return f"{path} is no ordinary file: name another"
    if not target.parent.is_dir():
        return f"there is no folder {target.parent}: make it first, or name another"
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return f"nothing may be written into {target.parent.absolute()}: name another folder, or ask for the right to write"
    return None


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
        except (OSError, AttributeError):  # a file system, or a Python in a browser, without second names
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
    return current & 0o077  # in a browser it forbids everything, reading to the owner too


def _sync_folder(folder):
    """Bring the new name to the disk as well; where folders cannot be opened (Windows) there is nothing to do."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
