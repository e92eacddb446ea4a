"""The format in plain Python, held to the package: byte for byte what it writes, and every refusal that it makes."""

import json
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from cllm_lib.training import plain_safetensors as plain

TYPES = [np.dtype(name) for name in plain.DTYPES.values()]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda name: name != "__metadata__")
ARRAYS = st.sampled_from(TYPES).flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0)))
TABLES = st.dictionaries(NAMES, ARRAYS, max_size=5)
GOOD = {"w": np.arange(6.0).reshape(2, 3), "b": np.arange(3, dtype=np.float32), "n": np.arange(5, dtype=np.int64)}


@given(TABLES, st.none() | st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: {"cllm": text}))
def test_it_writes_what_the_package_writes(table, texts):
    assert plain.save(table, texts) == safetensors.numpy.save(table, texts)


def test_types_are_written_in_the_order_of_the_package():
    table = {dtype.name: np.ones(3, dtype) for dtype in TYPES}
    assert plain.save(table) == safetensors.numpy.save(table)


@given(TABLES)
def test_it_reads_what_the_package_wrote(table):
    read = plain.load(safetensors.numpy.save(table, {"cllm": "a text"}))
    assert read.keys() == table.keys()
    for name, array in table.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()
        assert read[name].flags.writeable


def test_the_other_order_of_bytes_is_turned():
    table = {"w": np.arange(4, dtype=">f8"), "n": np.arange(4, dtype=">i4")}
    assert plain.save(table) == safetensors.numpy.save(table)
    assert plain.load(plain.save(table))["w"].tolist() == [0, 1, 2, 3]


def test_columns_first_are_written_row_by_row():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert plain.load(plain.save({"w": array}))["w"].tolist() == array.tolist()


def test_a_file_is_looked_into(tmp_path):
    path = tmp_path / "some.safetensors"
    path.write_bytes(safetensors.numpy.save(GOOD, {"cllm": "told"}))
    with plain.safe_open(path, framework="numpy") as ours, safetensors.safe_open(path, framework="numpy") as theirs:
        assert ours.metadata() == theirs.metadata() == {"cllm": "told"}
        assert set(ours.keys()) == set(theirs.keys())
        assert all((ours.get_tensor(name) == theirs.get_tensor(name)).all() for name in GOOD)


def refused(library, error, data):
    try:
        library.load(data)
    except error:
        return True
    return False


def both_refuse(data):
    assert refused(safetensors.numpy, safetensors.SafetensorError, data)
    assert refused(plain, plain.SafetensorError, data)


@given(st.integers(0, len(plain.save(GOOD)) - 1))
def test_what_was_cut_off_is_refused(length):
    both_refuse(plain.save(GOOD)[:length])


@given(st.integers(0, len(plain.save(GOOD)) - 1), st.integers(1, 255))
def test_what_the_package_refuses_is_refused(at, change):
    spoilt = bytearray(plain.save(GOOD))
    spoilt[at] ^= change
    if refused(safetensors.numpy, Exception, bytes(spoilt)):
        assert refused(plain, plain.SafetensorError, bytes(spoilt))


def forged(header, n_bytes=24):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(n_bytes)


def entry(dtype="F64", shape=(3,), offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "data",
    [
        forged({"w": entry(shape=(4,))}),
        forged({"w": entry(offsets=(8, 32))}),
        forged({"w": entry(offsets=(24, 0))}),
        forged({"w": entry()}, n_bytes=25),
        forged({"w": entry()}, n_bytes=23),
        forged({"w": entry(), "again": entry()}),
        forged({"w": entry(dtype="F65")}),
        forged({"w": entry(shape=(-3,))}),
        forged({"w": entry(shape=(3.0,))}),
        forged({"w": entry(shape=(2**62, 2**62))}),
        forged({"w": {"dtype": "F64"}}),
        forged({"w": 3}),
        forged({"__metadata__": {"cllm": 3}, "w": entry()}),
        forged([1, 2]),
        forged(b"{"),
        forged(b"\xff\xff"),
        struct.pack("<Q", 2**63) + b"{}",
        b"",
    ],
    ids=range(18),
)
def test_what_contradicts_itself_is_refused(data):
    both_refuse(data)


def test_a_type_that_the_format_has_not_is_refused():
    with pytest.raises(plain.SafetensorError, match="w is of type complex128"):
        plain.save({"w": np.zeros(2, complex)})
