"""The safetensors format in plain Python: it stands in for the package where there is none, as in a browser.

Names are the package's. What is written is what the package writes, byte for byte; what is read is looked at as strictly.
"""

import contextlib
import json
import math
import struct
from pathlib import Path

import numpy as np

LARGEST_HEADER = 100_000_000  # bytes, as the package has it
ALIGNMENT = 8  # of the arrays' beginning, in bytes
# The format's names, in the order in which arrays are written: the largest numbers last here, and first in a file.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_RANKS = {name: rank for rank, name in enumerate(DTYPES)}


class SafetensorError(Exception):
    """What is wrong with a file."""


def save(tensor_dict, metadata=None):
    """Serialization to the safetensors format.

    Parameters
    ----------
    tensor_dict : dict of str to ndarray
    metadata : dict of str to str, optional

    Returns
    -------
    bytes

    Raises
    ------
    SafetensorError
        If an array is of a type that the format does not have.

    Notes
    -----
    The length of the header in 8 bytes, the header as JSON without blanks, blanks up to a multiple of 8, the arrays: wider
    numbers first, then by name. (Hugging Face, safetensors, README, "Format".)
    """
    arrays = {name: _little_endian(name, array) for name, array in tensor_dict.items()}
    order = sorted(arrays, key=lambda name: (-_RANKS[_NAMES[arrays[name].dtype.name]], name.encode()))
    header = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].nbytes
        header[name] = {"dtype": _NAMES[arrays[name].dtype.name], "shape": list(arrays[name].shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join([struct.pack("<Q", len(text)), text, *(arrays[name].tobytes() for name in order)])


def _little_endian(name, array):
    if array.dtype.name not in _NAMES:
        raise SafetensorError(f"{name} is of type {array.dtype}, which the format does not have")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def load(data):
    """Deserialization from the safetensors format.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    SafetensorError
        If the bytes contradict themselves: an array that does not fit its place, a gap, an end too early or too late.
    """
    header, begin = _header(data)
    return {name: _array(entry, data, begin) for name, entry in header.items() if name != "__metadata__"}


@contextlib.contextmanager
def safe_open(filename, framework="numpy"):
    """A safetensors file to look into: `metadata()`, `keys()` and `get_tensor(name)`, as the package has them.

    Parameters
    ----------
    filename : str or path
    framework : str
        The package's; here it is always NumPy.

    Raises
    ------
    SafetensorError
        As :func:`load`.
    """
    yield _Opened(Path(filename).read_bytes())


class _Opened:
    """A file that has been read."""

    def __init__(self, data):
        self._data = data
        self._entries, self._begin = _header(data)
        self._metadata = self._entries.pop("__metadata__", None)

    def metadata(self):
        """The texts by name, or None."""
        return self._metadata

    def keys(self):
        """The names of the arrays."""
        return list(self._entries)

    def get_tensor(self, name):
        """One array."""
        return _array(self._entries[name], self._data, self._begin)


def _header(data):
    """The header, once it fits the bytes; and where the arrays begin."""
    if len(data) < 8:
        raise SafetensorError("header too small")
    (length,) = struct.unpack("<Q", data[:8])
    if length > LARGEST_HEADER:
        raise SafetensorError("header too large")
    begin = 8 + length
    if begin > len(data):
        raise SafetensorError("invalid header length")
    try:
        header = json.loads(data[8:begin].decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"invalid header ({error})") from None
    _check_texts(header)
    _check_places(header, len(data) - begin)
    return header, begin


def _no_number(text):
    raise ValueError(f"{text} is no JSON")


def _check_texts(header):
    if not isinstance(header, dict):
        raise SafetensorError("the header is no table")
    texts = header.get("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise SafetensorError("__metadata__ is no table of texts")


def _check_places(header, size):
    """Every array has the bytes that type and shape ask for, one behind another, with no gap and nothing behind the last."""
    entries = {name: _checked_entry(name, entry) for name, entry in header.items() if name != "__metadata__"}
    end = 0
    for name, (start, stop) in sorted(entries.items(), key=lambda item: item[1]):
        if start != end:
            raise SafetensorError(f"{name} does not begin where the array before it ends")
        end = stop
    if end != size:
        raise SafetensorError(f"the arrays take {end:,} bytes, and {size:,} are there")


def _checked_entry(name, entry):
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        right = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, stop)) and isinstance(shape, list)
        n_bytes = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise SafetensorError(f"{name} is described wrongly ({error})") from None
    if not right or stop - start != n_bytes:
        raise SafetensorError(f"{name} does not fit its place")
    return start, stop


def _array(entry, data, begin):
    start, stop = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]]).newbyteorder("<")
    own = bytearray(memoryview(data)[begin + start : begin + stop])  # a copy, which can be written to
    return np.frombuffer(own, dtype).reshape(entry["shape"]).astype(np.dtype(DTYPES[entry["dtype"]]), copy=False)
