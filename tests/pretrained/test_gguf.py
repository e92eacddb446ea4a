"""GGUF files: what is read is what was written, by hand and by the package gguf; what is damaged is refused in a sentence."""

import mmap
import struct

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretrained.writing_gguf import ARRAY, CODES, STRING, UINT32, file_of, pair, record, text

from cllm_lib.pretrained import gguf
from cllm_lib.pretrained.gguf import KINDS, read_gguf


def q4_1_by_hand(block):
    """One block as the chapter decodes it: number by number."""
    scale, offset = struct.unpack("<ee", block[:4])
    low, high = [byte & 15 for byte in block[4:]], [byte >> 4 for byte in block[4:]]
    return [np.float32(q) * np.float32(scale) + np.float32(offset) for q in low + high]


def q8_0_by_hand(block):
    scale, *numbers = struct.unpack("<e32b", block)
    return [np.float32(scale) * np.float32(q) for q in numbers]


BY_HAND = {"Q4_1": q4_1_by_hand, "Q8_0": q8_0_by_hand}
small = st.floats(-2.0, 2.0, width=16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def read(path, content):
    path.write_bytes(content)
    return read_gguf(path)


@given(st.lists(st.tuples(small, small, st.binary(min_size=16, max_size=16)), min_size=1, max_size=5))
def test_four_bits_a_scale_and_an_offset(blocks):
    data = np.frombuffer(b"".join(struct.pack("<ee", d, m) + q for d, m, q in blocks), np.uint8).reshape(-1, 20)
    weights = np.empty((len(blocks), 32), np.float32)
    gguf.q4_1(data, weights)
    assert weights.tolist() == [q4_1_by_hand(bytes(block)) for block in data]


@given(st.lists(st.tuples(small, st.binary(min_size=32, max_size=32)), min_size=1, max_size=5))
def test_eight_bits_and_a_scale(blocks):
    data = np.frombuffer(b"".join(struct.pack("<e", d) + q for d, q in blocks), np.uint8).reshape(-1, 34)
    weights = np.empty((len(blocks), 32), np.float32)
    gguf.q8_0(data, weights)
    assert weights.tolist() == [q8_0_by_hand(bytes(block)) for block in data]


def a_file(n_rows=gguf.AT_ONCE + 3):
    """Four tensors, one of each kind, the first of more blocks than are read at once."""
    generator, records, data = np.random.default_rng(0), [], b""
    for name, kind, shape in (("a", "Q4_1", (n_rows, 32)), ("b", "Q8_0", (3, 64)), ("c", "F32", (2, 5)), ("d", "F16", (7,))):
        width = KINDS[CODES[kind]].weights
        blocks = generator.integers(0, 60, (int(np.prod(shape)) // width, KINDS[CODES[kind]].n_bytes), np.uint8)  # no NaN among the scales
        records.append(record(name, shape, kind, len(data)))
        data += blocks.tobytes() + bytes(-blocks.size % 32)
    pairs = [
        pair("general.name", STRING, text("größer")),
        pair("numbers", ARRAY, struct.pack("<IQ3i", 5, 3, -1, 0, 7)),
        pair("words", ARRAY, struct.pack("<IQ", STRING, 2) + text("Ġa") + text("")),
        pair("yes", 7, b"\x01"),
        pair("size", UINT32, struct.pack("<I", 30)),
        pair("base", 6, struct.pack("<f", 0.5)),
        pair("lists", ARRAY, struct.pack("<IQ", ARRAY, 2) + 2 * struct.pack("<IQ2B", 0, 2, 8, 9)),
    ]
    return file_of(pairs, records, data)


def test_what_was_written_is_read(path):
    metadata, tensors = read(path, a_file())
    assert metadata == {
        "general.name": "größer", "numbers": [-1, 0, 7], "words": ["Ġa", ""], "yes": True, "size": 30, "base": 0.5,
        "lists": [[8, 9], [8, 9]],
    }  # fmt: skip
    assert [(name, tensors[name].shape, tensors[name].dtype) for name in tensors] == [
        ("a", (gguf.AT_ONCE + 3, 32), np.float32), ("b", (3, 64), np.float32), ("c", (2, 5), np.float32), ("d", (7,), np.float32)
    ]  # fmt: skip
    for name in "ab":
        by_hand = [BY_HAND[tensors.records[name].kind.name](bytes(block)) for block in tensors.blocks(name)]
        np.testing.assert_array_equal(tensors[name].reshape(len(by_hand), -1), by_hand)
    np.testing.assert_array_equal(tensors["d"], tensors.blocks("d").copy().view("<f2").ravel().astype(np.float32))
    tensors["c"][...] = 0.0  # an array of one's own
    assert tensors["c"].any()
    with pytest.raises(ValueError, match="read-only"):
        tensors.blocks("c")[...] = 0


def test_the_package_gguf_reads_the_same(path):
    package = pytest.importorskip("gguf", reason="a peer; `make test-all` installs it")
    path.write_bytes(a_file())
    _, tensors = read_gguf(path)
    for theirs in package.GGUFReader(path).tensors:
        numbers = package.quants.dequantize(theirs.data, theirs.tensor_type)
        np.testing.assert_array_equal(numbers.reshape(tensors[theirs.name].shape), tensors[theirs.name])


def test_the_file_does_not_stay_in_memory_beside_its_tensors(path):
    rows = 2**19
    data = np.random.default_rng(0).integers(0, 60, (rows, 34), np.uint8).tobytes()  # 18 MB, and 67 in float32
    _, tensors = read(path, file_of(records=[record("a", (rows, 32), "Q8_0", 0)], data=data))
    process = psutil.Process()
    before = process.memory_info().rss
    first = tensors["a"]
    grown = process.memory_info().rss - before
    assert tensors.blocks("a").tobytes() == data, "asked again, it comes again"
    if hasattr(mmap, "MADV_DONTNEED"):
        assert grown < first.nbytes + len(data) / 4


ONE = [record("a", (2, 32), "Q8_0", 0)]
DATA = bytes(68)
BROKEN = {
    "no magic": (file_of(magic=b"GGUX"), "no GGUF file"),
    "empty": (b"", "is empty"),
    "a zip": (b"PK\x03\x04" + bytes(100), "model.gguf is "),
    "version 1": (file_of(version=1), "it is of version 1, not 2 or 3"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "twice a name": (file_of([pair("a", UINT32, bytes(4))] * 2), "the metadata name 'a' twice"),
    "a kind that is none": (file_of([pair("a", 13, bytes(4))]), "'a' is of kind 13, which is none of 0 to 12"),
    "true, false, or else": (file_of([pair("a", 7, b"\x02")]), "'a' is to be true or false, and its byte is 2"),
    "a text of any length": (file_of([pair("a", STRING, struct.pack("<Q", 2**63))]), "'a', from byte .*, needs 9,223,.* it was cut off"),
    "a list of any length": (file_of([pair("a", ARRAY, struct.pack("<IQ", STRING, 2**62))]), "'a' is a list of 4,611,.*, and the file has"),
    "numbers of any length": (file_of([pair("a", ARRAY, struct.pack("<IQ", UINT32, 2**62))]), "'a', from byte .*, needs 18,446,"),
    "lists within lists": (file_of([pair("a", ARRAY, struct.pack("<IQ", ARRAY, 1) * 6)]), "'a' is of kind 9.*, or lists within lists"),
    "no UTF-8": (file_of([pair("a", STRING, text(b"a\xff"))]), "'a', at byte .*, is not UTF-8 .its byte 1."),
    "more values than there are": (file_of([pair("a", UINT32, bytes(4))], counts=(0, 2**40)), "metadata"),
    "more tensors than there are": (file_of(records=ONE, counts=(9, 0)), "cut off|damaged|axes"),
    "an odd alignment": (file_of([pair("general.alignment", UINT32, struct.pack("<I", 7))]), "alignment is 7"),
    "too many axes": (file_of(records=[record("a", (1,) * 5, "F32", 0)], data=DATA), "'a' has 5 axes: 1 to 4"),
    "no axes": (file_of(records=[record("a", (), "F32", 0)], data=DATA), "'a' has 0 axes"),
    "an unknown type": (file_of(records=[record("a", (2, 256), 12, 0)], data=DATA), "kind 12.* not known here: F32 .0., F16 .1., Q4_1 .3."),
    "rows that are no blocks": (file_of(records=[record("a", (2, 33), "Q8_0", 0)], data=DATA), "rows of a multiple of 32"),
    "nothing in it": (file_of(records=[record("a", (0, 32), "Q8_0", 0)], data=DATA), "shape .0, 32."),
    "larger than the file": (file_of(records=[record("a", (2**40, 2**20), "F32", 0)], data=DATA), "does not lie in the file"),
    "cut off": (file_of(records=ONE, data=DATA[:-1]), "'a', 68 bytes from byte .* does not lie in the file of .*: it was cut off"),
    "beside a multiple": (file_of(records=[record("a", (2, 32), "Q8_0", 8)], data=DATA + DATA), "a multiple of 32"),
    "two of one name": (file_of(records=ONE * 2, data=DATA), "two tensors 'a'"),
    "one upon another": (file_of(records=[*ONE, record("b", (1, 32), "Q8_0", 32)], data=DATA + DATA), "'b' lies upon 'a'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_file_is_said(path, name):
    content, said = BROKEN[name]
    with pytest.raises(ValueError, match=said) as raised:
        read(path, content)
    assert str(raised.value).startswith("model.gguf ")


def test_cut_anywhere_it_is_refused(path):
    content = a_file(2)
    for stop in range(0, len(content) - 32, 13):
        with pytest.raises(ValueError, match=r"model\.gguf (is|cannot be read)"):
            read(path, content[:stop])


@given(st.data())
def test_a_flipped_bit_gives_other_numbers_or_an_error_and_never_anything_else(tmp_path_factory, data):
    content = bytearray(a_file(2))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    said, tensors = "flipped.gguf", {}
    try:
        _, tensors = read(path, bytes(content))
    except ValueError as error:
        said = str(error)
    assert said.startswith("flipped.gguf")
    assert all(tensors[name].dtype == np.float32 for name in tensors)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.gguf"):
        read_gguf(tmp_path / "none.gguf")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_gguf(tmp_path)
