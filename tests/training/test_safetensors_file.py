"""The container: what its bytes promise must hold before anything in it is believed."""

import io
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
    compare_types,
    loads,
    read_arrays,
    read_bytes,
    read_header,
    texts_of,
    types_of,
)

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([7], dtype=np.int64)}
GOOD = save(ARRAYS, {"told": "über\n"})


def with_header(header):
    """A file of the right form with this text as its header, and no arrays."""
    return struct.pack("<Q", len(header)) + header


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def header_of(path, data):
    return read_header(path, io.BytesIO(data), len(data))


def read(path, data):
    """All three steps."""
    path.write_bytes(data)
    whole = read_bytes(path)
    return texts_of(header_of(path, whole)), read_arrays(path, whole)


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
    found = header_of(path, with_header(header))
    assert texts_of(found) == {}
    assert types_of(found) == {}


def test_the_header_says_how_each_array_is_stored(path):
    assert types_of(header_of(path, GOOD)) == {"a": "F64", "b": "I64"}


def test_arrays_of_another_type_than_was_saved_are_named(path):
    types = types_of(header_of(path, GOOD))
    for config in ({"dtype": "int"}, {"dtype": ["float32"]}, {"dtype": 3}, {}, None, "float32"):
        compare_types(path, types, config, "Take it.")
    compare_types(path, {"a": "F64"}, {"dtype": "float64"}, "Take it.")
    with pytest.raises(
        CheckpointError, match=r"converted by another program.*Take it\. a, saved as float32, is stored as F64 \(float64\)$"
    ):
        compare_types(path, types, {"dtype": "float32"}, "Take it.")


DAMAGED = {
    "empty": (b"", "is empty: it broke off before the first byte"),
    "cut in the length": (GOOD[:7], "has 7 bytes and is no safetensors file"),
    "a longer header than allowed": (struct.pack("<Q", LARGEST_HEADER + 1) + bytes(99), "announce a header of 100,000,001 bytes"),
    "a header longer than the file": (struct.pack("<Q", LARGEST_HEADER) + bytes(99), "should end at byte 100,000,008, the file at 107"),
    "cut in the header": (GOOD[:20], "was cut off"),
    "half an object": (with_header(b"{"), "its header is no JSON text"),
    "no UTF-8": (with_header(b"\xff{}"), "its header is no JSON text"),
    "deep brackets": (with_header(b"[" * 100_000), "its header is no JSON text"),
    "a number of 5,000 digits": (with_header(b'{"a": ' + b"1" * 5_000 + b"}"), "its header is no JSON text"),
    "an array twice": (with_header(b'{"a": 1, "a": 2}'), "names 'a' twice"),
    "a text twice": (with_header(b'{"__metadata__": {"told": "x", "told": "y"}}'), "names 'told' twice"),
    "cut in the arrays": (GOOD[:-1], f"was cut off: it has {len(GOOD) - 1} bytes of {len(GOOD)}, so download or copy it again"),
    "a byte more": (GOOD + b"\0", "contradicts itself"),
    "arrays that overlap": (
        with_header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}') + b"1",
        "contradicts itself",
    ),
    "an end that is no number": (with_header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,"1"]}}') + b"1", "contradicts itself"),
    "an end beyond all files": (
        with_header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1' + b"0" * 30 + b"]}}"),
        "contradicts itself",
    ),
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


def test_where_safetensors_is_missing_files_are_read_all_the_same(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    texts, arrays = read(path, GOOD)
    assert texts == {"told": "über\n"}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
    with pytest.raises(DamagedFile, match="contradicts itself"):
        read(path, GOOD + b" ")


def test_json_is_read_as_python_reads_it_but_for_names_given_twice():
    assert loads('{"a": {"b": [1, 2.5, null]}, "b": 1}') == {"a": {"b": [1, 2.5, None]}, "b": 1}
    with pytest.raises(DuplicateName, match="'b'"):
        loads('[{"a": {"b": 1, "b": 1}}]')


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.one_of(st.binary(max_size=40), st.recursive(st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)))
def test_any_header_gives_texts_or_a_damaged_file(path, header):
    try:
        found = header_of(path, with_header(header))
    except DamagedFile:
        return
    assert isinstance(texts_of(found), dict)
    assert isinstance(types_of(found), dict)


@given(length=st.integers(0, len(GOOD) - 1))
def test_wherever_a_download_broke_off_it_is_said_to_be_cut_off(tmp_path_factory, length):
    path = tmp_path_factory.getbasetemp() / "broken_off.safetensors"
    with pytest.raises(DamagedFile, match=f"was cut off: .*{length}|has {length} bytes|is empty"):
        read(path, GOOD[:length])


@given(word=st.text(min_size=1))
def test_an_error_that_quotes_a_strangers_word_moves_no_cursor(word):
    assert not {*str(CheckpointError(f"the word {word}"))} & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e", "\u2066"}
