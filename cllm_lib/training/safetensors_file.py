"""A safetensors file, read with distrust: its kind, its length, its header and its arrays, and an error where they stop making sense.

8 bytes say how long the header is; the header is a JSON text with name, type, shape and place of every array and, under
"__metadata__", texts by name; the arrays follow. Nothing in it is code. What a checkpoint keeps in such a file is no
matter of this module.
"""

import contextlib
import json
import stat
import struct

from cllm_lib.kinds import ANEW, FIRST, other_kind
from cllm_lib.terminal import harmless
from cllm_lib.training import plain_safetensors
from cllm_lib.training.plain_safetensors import LARGEST_HEADER

STORED = {"float32": "F32", "float64": "F64"}  # what the format calls the two types of a model
IN_WORDS = {"F16": " (float16)", "BF16": " (bfloat16)", "F32": " (float32)", "F64": " (float64)"}


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, written or used here; the text says what is wrong with it and what to do."""

    def __init__(self, text):
        super().__init__(harmless(text))  # it quotes names and words from a stranger's file


class DamagedFile(CheckpointError):
    """A file that was cut off or changed, or is of another kind: one that was kept from before may help."""


class DuplicateName(ValueError):
    """A name that a JSON text gives twice in one pair of braces; Python's own reader would keep the last without a word."""


def read_bytes(path):
    """The whole file, once its first bytes are those of a safetensors file.

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
        If it is of another kind, or cannot hold the header that it announces.
    """
    with opened(path) as file:
        return file.read()


@contextlib.contextmanager
def opened(path):
    """An ordinary file, open at its beginning, once its first bytes are those of a safetensors file. Raises as :func:`read_bytes`."""
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
            _check_beginning(path, file.read(FIRST), status.st_size)
            file.seek(0)
            yield file
    except OSError as error:
        raise CheckpointError(f"{path} could not be read ({error.strerror or error})") from None


def _check_beginning(path, first, size):
    kind = other_kind(first)
    if kind:
        raise DamagedFile(f"{path} is {kind}.")
    if size < 8:
        raise DamagedFile(f"{path} has {size} bytes and is no safetensors file: the length of its header alone takes 8; {ANEW}.")
    (length,) = struct.unpack("<Q", first[:8])
    if length > LARGEST_HEADER:
        raise DamagedFile(f"{path} is no safetensors file: its first 8 bytes announce a header of {length:,} bytes; {ANEW}.")
    if 8 + length > size:
        raise DamagedFile(f"{path} was cut off: its header should end at byte {8 + length:,}, the file at {size:,}; {ANEW}.")


def read_header(path, file, size):
    """The header: what it says of each array by name, its texts under "__metadata__"; the arrays begin behind it.

    Parameters
    ----------
    path : Path
        For the error.
    file : binary file, open at its beginning
        From :func:`opened`, or the bytes of :func:`read_bytes` as a file.
    size : int
        Bytes that there are.

    Returns
    -------
    dict
        Empty where the header is something else.

    Raises
    ------
    DamagedFile
        If the header is no JSON text or names something twice, or the file ends before its last array does.
    """
    (length,) = struct.unpack("<Q", file.read(8))
    try:
        header = loads(file.read(length).decode("utf-8"))
    except DuplicateName as error:
        raise DamagedFile(f"{path} names {error} twice: one of the two would be lost.") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise DamagedFile(f"{path} is no safetensors file: its header is no JSON text ({error}); {ANEW}.") from None
    header = header if isinstance(header, dict) else {}
    expected = 8 + length + max((_end(entry) for entry in header.values()), default=0)
    if size < expected:
        raise DamagedFile(f"{path} was cut off: it has {size:,} bytes of {expected:,}, so {ANEW}.")
    return header


def _end(entry):
    """Where an array ends, counted from the first; 0 where that makes no sense, which safetensors will say better."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    is_pair = isinstance(offsets, list) and len(offsets) == 2
    return offsets[1] if is_pair and type(offsets[1]) is int and 0 <= offsets[1] < 2**63 else 0


def texts_of(header):
    """The texts in a header, by name; none where it has none."""
    texts = header.get("__metadata__", {})
    return texts if isinstance(texts, dict) else {}


def types_of(header):
    """How each array is stored, by name, in the words of such files: "F32", "BF16", and so on."""
    arrays = {name: entry for name, entry in header.items() if name != "__metadata__" and isinstance(entry, dict)}
    return {name: str(entry.get("dtype")) for name, entry in arrays.items()}


def compare_types(path, types, config, advice):
    """Say so where another program stored weights in other numbers: a checksum is of those before, and would call it damage.

    Parameters
    ----------
    path : Path
        For the error.
    types : dict
        From :func:`types_of`, of the weights.
    config : object
        A dictionary that says in "dtype" how they were saved; what says nothing is let through.
    advice : str
        What to do instead.

    Raises
    ------
    CheckpointError
        It names the first such array, and both types.
    """
    saved = config.get("dtype") if isinstance(config, dict) else None
    odd = sorted(name for name, kind in types.items() if isinstance(saved, str) and kind != STORED.get(saved, kind))
    if odd:
        kind = types[odd[0]]
        raise CheckpointError(
            f"{path} was converted by another program, and its checksum is of the numbers before: take the file as it was saved. "
            f"{advice} {odd[0]}, saved as {saved}, is stored as {kind}{IN_WORDS.get(kind, '')}"
        )


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
        raise DamagedFile(f"{path} contradicts itself: {error}; {ANEW}.") from None


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
    """The package's NumPy half or, where there is none, as in a browser, the same in plain Python: `save` and `load`."""
    try:
        import safetensors.numpy
    except ImportError:
        return plain_safetensors
    return safetensors.numpy
