"""Reading a GGUF file, the form in which llama.cpp keeps models: what is said of the model, and its weights, in blocks of few bits.

A file is a header, metadata (names and values), a list of tensors (name, shape, type, place), and then their data, which is
mapped into memory and read where a tensor is asked for. Nothing in it is believed before it was looked at.

Notes
-----
The layout is that of the specification in the repository of ggml, docs/gguf.md, versions 2 and 3, little-endian.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cllm_lib.kinds import FIRST, other_kind

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # of tensor data in bytes, unless "general.alignment" says otherwise
MOST_AXES = 4
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 10: "<Q", 11: "<q", 12: "<d"}  # kinds of values by their code
BOOL, STRING, ARRAY = 7, 8, 9
BLOCK = 32  # weights that share a scale
AT_ONCE = 2_048  # blocks: more leave the processor's cache


def f32(blocks, weights):  # (n, 4) bytes -> (n, 1)
    """Numbers of 32 bits, as they are."""
    weights[...] = blocks.view("<f4")


def f16(blocks, weights):  # (n, 2) bytes -> (n, 1)
    """Numbers of 16 bits, exactly."""
    weights[...] = blocks.view("<f2")


def q8_0(blocks, weights):  # (n, 34) bytes -> (n, 32)
    """8 bits a weight: a scale of 16 bits, and 32 whole numbers from -128 to 127."""
    weights[...] = blocks[:, 2:].view(np.int8)
    weights *= blocks[:, :2].copy().view("<f2").astype(np.float32)


def q4_1(blocks, weights):  # (n, 20) bytes -> (n, 32)
    """4 bits a weight: a scale and an offset of 16 bits each, and 32 whole numbers q from 0 to 15; a weight is scale q + offset.

    Two numbers share a byte. The low halves of the 16 bytes are the weights 0 to 15, the high halves 16 to 31.
    """
    numbers = blocks[:, :4].copy().view("<f2").astype(np.float32)
    weights[:, :16] = blocks[:, 4:] & 15
    weights[:, 16:] = blocks[:, 4:] >> 4
    weights *= numbers[:, :1]
    weights += numbers[:, 1:]


class Kind(NamedTuple):
    """How a tensor is stored.

    Attributes
    ----------
    name : str
    weights, n_bytes : int
        Of one block.
    fill : callable
        Takes blocks, (n, n_bytes) of uint8, and fills (n, weights) of float32.
    """

    name: str
    weights: int
    n_bytes: int
    fill: object


KINDS = {0: Kind("F32", 1, 4, f32), 1: Kind("F16", 1, 2, f16), 3: Kind("Q4_1", BLOCK, 20, q4_1), 8: Kind("Q8_0", BLOCK, 34, q8_0)}


class Record(NamedTuple):
    """Where a tensor lies.

    Attributes
    ----------
    shape : tuple of int
        As NumPy has it: the last axis is that whose numbers lie side by side.
    kind : Kind
    start, stop : int
        Of its bytes in the file.
    """

    shape: tuple
    kind: Kind
    start: int
    stop: int


class Tensors(Mapping):
    """The tensors of a GGUF file by name, each made of its blocks when it is asked for, as an array of float32 of one's own.

    `records` says of each how it is stored, and `blocks(name)` gives its bytes, a block a row, not copied.
    """

    def __init__(self, data, records):
        self._data, self.records = data, records

    def __getitem__(self, name):
        record, blocks = self.records[name], self.blocks(name)
        weights = np.empty((len(blocks), record.kind.weights), np.float32)
        for start in range(0, len(blocks), AT_ONCE):
            record.kind.fill(blocks[start : start + AT_ONCE], weights[start : start + AT_ONCE])
        self._let_go(record)
        return weights.reshape(record.shape)

    def __iter__(self):
        return iter(self.records)

    def __len__(self):
        return len(self.records)

    def blocks(self, name):  # -> (n, bytes of a block)
        """The bytes of a tensor, a row for each block; read-only, and gone with the file."""
        record = self.records[name]
        return np.frombuffer(self._data, np.uint8, record.stop - record.start, record.start).reshape(-1, record.kind.n_bytes)

    def _let_go(self, record):
        """Give pages back that were read, for whoever reads all tensors would hold the file beside them; asked again, they come again."""
        start, stop = -(-record.start // mmap.PAGESIZE) * mmap.PAGESIZE, record.stop // mmap.PAGESIZE * mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED") and stop > start:  # not on Windows
            self._data.madvise(mmap.MADV_DONTNEED, start, stop - start)

    def __repr__(self):
        return f"Tensors of a GGUF file: {len(self)} of them"


def read_gguf(path):
    """Read a GGUF file: metadata and tensors.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    metadata : dict of str to object
        Such as `metadata["llama.block_count"]`: numbers, texts, and lists of them.
    tensors : Tensors
        By name: `tensors["token_embd.weight"]` is an array of float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no GGUF file, of another version, cut off, or says what cannot be; the error says which, and where.

    Examples
    --------
    >>> metadata, tensors = read_gguf("model.gguf")  # doctest: +SKIP
    >>> tensors["token_embd.weight"].shape  # doctest: +SKIP
    (49152, 576)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: name one that ends in .gguf")
    with path.open("rb") as file:
        first = file.read(FIRST)
        if not first.startswith(MAGIC):
            kind = other_kind(first, "GGUF")
            raise ValueError(
                f"{path.name} is {kind}" if kind else f"{path.name} is no GGUF file: it does not begin with {MAGIC.decode()!r}"
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _read(_Cursor(data))
    except _Broken as broken:
        raise ValueError(f"{path.name} cannot be read: {broken}") from None


class _Broken(Exception):
    """What is wrong with a file."""


class _Cursor:
    """A place in a file, from which things are taken one after the other; never beyond its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size, what):
        """Move on by so many bytes; returns where they begin."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise _Broken(
                f"{what}, from byte {start:,} on, needs {size:,} bytes, and the file ends after {len(self.data):,}: it was cut off, or is "
                "damaged; fetch it again"
            )
        return start

    def number(self, form, what):
        """One number, by its form for `struct`."""
        return struct.unpack_from(form, self.data, self.take(struct.calcsize(form), what))[0]

    def text(self, what):
        """A length, and so many bytes of UTF-8."""
        size = self.number("<Q", what)
        start = self.take(size, what)
        try:
            return self.data[start : start + size].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Broken(f"{what}, at byte {start:,}, is not UTF-8 (its byte {error.start})") from None

    def value(self, kind, what, depth=0):
        """A value of the metadata."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind], what)
        if kind == STRING:
            return self.text(what)
        if kind == BOOL:
            found = self.number("<B", what)
            if found > 1:
                raise _Broken(f"{what} is to be true or false, and its byte is {found}")
            return bool(found)
        if kind == ARRAY and depth < MOST_AXES:
            return self._values(what, depth)
        raise _Broken(f"{what} is of kind {kind}, which is none of 0 to 12" + (", or lists within lists" if kind == ARRAY else ""))

    def _values(self, what, depth):
        kind, count = self.number("<I", what), self.number("<Q", what)
        if kind in NUMBERS:
            size = struct.calcsize(NUMBERS[kind])
            start = self.take(count * size, what)
            return np.frombuffer(self.data, NUMBERS[kind], count, start).tolist()
        if count > len(self.data) - self.at:  # each takes a byte at least
            raise _Broken(f"{what} is a list of {count:,}, and the file has {len(self.data) - self.at:,} bytes more")
        return [self.value(kind, what, depth + 1) for _ in range(count)]


def _read(cursor):
    cursor.take(len(MAGIC), "the magic number")
    version = cursor.number("<I", "the version")
    if version not in VERSIONS:
        big = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        raise _Broken("its numbers are big-endian; take a little-endian file" if big else f"it is of version {version}, not 2 or 3")
    n_tensors, n_values = cursor.number("<Q", "the number of tensors"), cursor.number("<Q", "the number of values")
    metadata = {}
    for i in range(n_values):
        name = cursor.text(f"name {i} of the metadata")
        if name in metadata:
            raise _Broken(f"the metadata name {name!r} twice")
        metadata[name] = cursor.value(cursor.number("<I", f"the kind of {name!r}"), repr(name))
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment % 8:
        raise _Broken(f"general.alignment is {alignment!r}, and has to be a multiple of 8")
    found = [_tensor(cursor, i) for i in range(n_tensors)]
    start = -(-cursor.at // alignment) * alignment
    return metadata, Tensors(cursor.data, _placed(found, start, alignment, len(cursor.data)))


def _tensor(cursor, i):
    """Name, shape, kind and offset of a tensor, as they stand."""
    name = cursor.text(f"the name of tensor {i}")
    n_axes = cursor.number("<I", f"the shape of {name!r}")
    if not 1 <= n_axes <= MOST_AXES:
        raise _Broken(f"{name!r} has {n_axes} axes: 1 to {MOST_AXES} are possible")
    shape = tuple(cursor.number("<Q", f"the shape of {name!r}") for _ in range(n_axes))[::-1]
    kind, offset = cursor.number("<I", f"the kind of {name!r}"), cursor.number("<Q", f"the place of {name!r}")
    if kind not in KINDS:
        known = ", ".join(f"{one.name} ({code})" for code, one in KINDS.items())
        raise _Broken(f"{name!r} is stored in a way (kind {kind}) that is not known here: {known} are")
    if 0 in shape or shape[-1] % KINDS[kind].weights:
        raise _Broken(f"{name!r} is of shape {shape}, and {KINDS[kind].name} wants rows of a multiple of {KINDS[kind].weights}")
    return name, shape, KINDS[kind], offset


def _placed(found, start, alignment, size):
    """Records by name, each within the file, none upon another."""
    records = {}
    for name, shape, kind, offset in found:
        if name in records:
            raise _Broken(f"there are two tensors {name!r}")
        n_bytes = math.prod(shape) // kind.weights * kind.n_bytes
        if offset % alignment or start + offset + n_bytes > size:
            raise _Broken(
                f"{name!r}, {n_bytes:,} bytes from byte {start + offset:,} on, does not lie in the file of {size:,}, or not at a multiple "
                f"of {alignment}: it was cut off, or is damaged; fetch it again"
            )
        records[name] = Record(shape, kind, start + offset, start + offset + n_bytes)
    end, before = 0, ""
    for name, record in sorted(records.items(), key=lambda pair: pair[1].start):
        if record.start < end:
            raise _Broken(f"{name!r} lies upon {before!r}")
        end, before = record.stop, name
    return records
