"""A safetensors file, read with distrust: its length, its header and its arrays, and an error where they stop making sense.

8 bytes say how long the header is; the header is a JSON text with name, type, shape and place of every array and, under
"__metadata__", texts by name; the arrays follow. Nothing in it is code. What a checkpoint keeps in such a file is no
matter of this module.
"""

import json
import stat
import struct

LARGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, written or used here; the text says what is wrong with it and what to do."""


class DamagedFile(CheckpointError):
    """A file that was cut off or changed, or is of another kind: one that was kept from before may help."""


class DuplicateName(ValueError):
    """A name that a JSON text gives twice in one pair of braces; Python's own reader would keep the last without a word."""


def read_bytes(path):
    """The whole file, once its first bytes look like those of a safetensors file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bytes

    Raises
    ------
    CheckpointError
        If there is no ordinary file, or it cannot be read.
    DamagedFile
        If it cannot hold the header that it announces.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"there is no checkpoint at {path} ({getattr(error, 'strerror', None) or error}): check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError(f"{path} is a folder: name the file in it")
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise CheckpointError(f"{path} is no ordinary file: a checkpoint is one")
    try:
        with path.open("rb") as file:
            first = file.read(8)
            _check_length(path, first, status.st_size)
            return first + file.read()
    except OSError as error:
        raise CheckpointError(f"{path} could not be read ({error.strerror or error})") from None


def _check_length(path, first, size):
    if len(first) < 8:
        raise DamagedFile(f"{path} has {size} bytes and is no checkpoint: the length of its header alone takes 8.")
    (length,) = struct.unpack("<Q", first)
    if length > LARGEST_HEADER:
        raise DamagedFile(f"{path} is no checkpoint: its first 8 bytes announce a header of {length:,} bytes.")
    if 8 + length > size:
        raise DamagedFile(f"{path} was cut off: its header should end at byte {8 + length:,}, the file at {size:,}.")


def read_texts(path, data):
    """The texts in the header, by name.

    Parameters
    ----------
    path : Path
        For the error.
    data : bytes
        From :func:`read_bytes`.

    Returns
    -------
    dict
        Empty where there are none.

    Raises
    ------
    DamagedFile
        If the header is no JSON text, or names something twice.
    """
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = loads(data[8 : 8 + length].decode("utf-8"))
    except DuplicateName as error:
        raise DamagedFile(f"{path} names {error} twice: one of the two would be lost.") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise DamagedFile(f"{path} is no checkpoint: its header is no JSON text ({error}).") from None
    texts = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return texts if isinstance(texts, dict) else {}


def read_arrays(path, data):
    """The arrays by name, once header and length agree.

    Parameters
    ----------
    path : Path
        For the error.
    data : bytes
        From :func:`read_bytes`.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    DamagedFile
        If the file contradicts itself.
    """
    library = safetensors_for_numpy()
    try:
        return library.load(data)
    except Exception as error:  # safetensors raises an error of its own for files that contradict themselves
        raise DamagedFile(f"{path} contradicts itself: {error}.") from None


def loads(text):
    """What a JSON text says; ValueError if it is none, :class:`DuplicateName` if it would lose something."""
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs):
    found = {}
    for name, value in pairs:
        if name in found:
            raise DuplicateName(repr(name))
        found[name] = value
    return found


def safetensors_for_numpy():
    """The library's NumPy half, or one sentence where there is none."""
    try:
        import safetensors.numpy
    except ImportError:
        raise CheckpointError("checkpoints need the package safetensors, which is not here; in the browser there is none") from None
    return safetensors.numpy
