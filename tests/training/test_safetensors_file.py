"""The container: what its bytes promise must hold before anything in it is believed."""

import json
import os
import struct
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from cllm_lib.training.safetensors_file import (
    LARGEST_HEADER,
    CheckpointError,
    DamagedFile,
    DuplicateName,
    loads,
    read_arrays,
    read_bytes,
    read_texts,
)

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([7], dtype=np.int64)}
GOOD = save(ARRAYS, {"told": "über\n"})


def with_header(header):
    """A file of the right form with this text as its header, and no arrays."""
    return struct.pack("<Q", len(header)) + header


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def read(path, data):
    """All three steps."""
    path.write_bytes(data)
    whole = read_bytes(path)
    return read_texts(path, whole), read_arrays(path, whole)


def test_what_was_written_is_read(path):
    texts, arrays = read(path, GOOD)
    assert texts == {"told": "über\n"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert read_bytes(path) == GOOD


@pytest.mark.parametrize("header", [b"{}", b"[1]", b"3", b'{"__metadata__": 3}', b'{"__metadata__": {}}'])
def test_a_header_without_texts_has_none(path, header):
    assert read_texts(path, with_header(header)) == {}


DAMAGED = {
    "empty": (b"", "has 0 bytes and is no checkpoint"),
    "cut in the length": (GOOD[:7], "has 7 bytes and is no checkpoint"),
    "a longer header than allowed": (struct.pack("<Q", LARGEST_HEADER + 1) + bytes(99), "announce a header of 100,000,001 bytes"),
    "a header longer than the file": (struct.pack("<Q", LARGEST_HEADER) + bytes(99), "should end at byte 100,000,008, the file at 107"),
    "cut in the header": (GOOD[:20], "was cut off"),
    "half an object": (with_header(b"{"), "its header is no JSON text"),
    "no UTF-8": (with_header(b"\xff{}"), "its header is no JSON text"),
    "deep brackets": (with_header(b"[" * 100_000), "its header is no JSON text"),
    "a number of 5,000 digits": (with_header(b'{"a": ' + b"1" * 5_000 + b"}"), "its header is no JSON text"),
    "an array twice": (with_header(b'{"a": 1, "a": 2}'), "names 'a' twice"),
    "a text twice": (with_header(b'{"__metadata__": {"told": "x", "told": "y"}}'), "names 'told' twice"),
    "cut in the arrays": (GOOD[:-1], "contradicts itself"),
    "a byte more": (GOOD + b"\0", "contradicts itself"),
    "a header that is a list": (with_header(b"[1]"), "contradicts itself"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_says_where_it_stops_making_sense(path, case):
    data, words = DAMAGED[case]
    with pytest.raises(DamagedFile, match=words) as error:
        read(path, data)
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith(".")  # advice may follow


def test_the_length_of_the_header_is_believed_up_to_the_end_of_the_file(path):
    path.write_bytes(with_header(b"{}"))
    assert read_bytes(path) == with_header(b"{}")


def test_what_is_no_file_is_another_error_than_a_damaged_one(tmp_path):
    for name, words in (("", "is a folder"), ("nothing", "there is no checkpoint at"), ("a\0b", "there is no checkpoint at")):
        with pytest.raises(CheckpointError, match=words) as error:
            read_bytes(tmp_path / name)
        assert not isinstance(error.value, DamagedFile)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="is no ordinary file"):
        read_bytes(path)


def test_where_safetensors_is_missing_the_file_is_not_blamed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(CheckpointError, match="^checkpoints need the package safetensors"):
        read(path, GOOD)


def test_json_is_read_as_python_reads_it_but_for_names_given_twice():
    assert loads('{"a": {"b": [1, 2.5, null]}, "b": 1}') == {"a": {"b": [1, 2.5, None]}, "b": 1}
    with pytest.raises(DuplicateName, match="'b'"):
        loads('[{"a": {"b": 1, "b": 1}}]')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.one_of(st.binary(max_size=40), st.recursive(st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)))
def test_any_header_gives_texts_or_a_damaged_file(path, header):
    try:
        texts = read_texts(path, with_header(header))
    except DamagedFile:
        return
    assert isinstance(texts, dict)
