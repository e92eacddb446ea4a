"""Files of other kinds, made by the programs that make them, are named; a safetensors file is never taken for another."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from cllm_lib.kinds import FIRST, OLD_PYTORCH, other_kind


def made(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(*names):
    def write(file):
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, bytes(64))

    return made(write)


def tarred(file):
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.safetensors"), io.BytesIO())


def index(n_parts):
    parts = {f"layer.{i}.weight": f"model-{i:05d}-of-{n_parts:05d}.safetensors" for i in range(1, n_parts + 1)}
    return json.dumps({"metadata": {"total_size": 7}, "weight_map": parts}, indent=2).encode()


KINDS = {
    "nothing": (b"", "empty: .*before the first byte; download or copy it again"),
    "a pointer of git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 90868376\n",
        "a pointer of git LFS to the file of 90,868,376 bytes, not the file itself: `git lfs pull`",
    ),
    "a pointer without a size": (
        b"version https://git-lfs.github.com/spec/v1\r\noid sha256:1\r\n",
        "a pointer of git LFS to the file, not",
    ),
    "a page": (
        b"<!DOCTYPE html>\n<html lang='en'><head><title>Sign in</title>",
        r"a page for a browser \(HTML or XML\).*perhaps an error or a login",
    ),
    "a page with a mark and blanks before it": (b"\xef\xbb\xbf\n  <HTML><body>404", "a page for a browser"),
    "an answer in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a page for a browser"),
    "a new PyTorch file": (zipped("archive/data.pkl", "archive/byteorder", "archive/data/0"), r"a PyTorch file \(\.pt.*weights_only=True"),
    "a PyTorch file named after itself": (zipped("model/data.pkl", "model/version"), r"a PyTorch file \(\.pt"),
    "an old PyTorch file": (OLD_PYTORCH + bytes(99), "a PyTorch file of the older form.*run code"),
    "a pickle": (pickle.dumps({"weight": [1.0]}), "a Python pickle.*run code"),
    "a pickle of an older protocol": (pickle.dumps([1], protocol=2), "a Python pickle"),
    "a zip archive": (zipped("readme.txt"), "a zip archive"),
    "arrays of NumPy": (made(lambda file: np.savez(file, a=np.ones(3))), r"a NumPy archive \(\.npz\)"),
    "compressed arrays of NumPy": (made(lambda file: np.savez_compressed(file, a=np.ones(3))), r"a NumPy archive \(\.npz\)"),
    "an array of NumPy": (made(lambda file: np.save(file, np.ones(3))), r"a NumPy array \(\.npy\)"),
    "weights for llama.cpp": (b"GGUF\x03\0\0\0" + bytes(99), "a GGUF file, made for llama.cpp: .*load_chat_model.*read_gguf"),
    "weights of Keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "compressed by gzip": (gzip.compress(b"weights"), "compressed by gzip: unpack it first"),
    "compressed by bzip2": (bz2.compress(b"weights"), "compressed by bzip2: unpack it first"),
    "compressed by xz": (lzma.compress(b"weights"), "compressed by xz: unpack it first"),
    "a tar archive": (made(tarred), "a tar archive: unpack it first"),
    "an index of two parts": (index(2), r"the index of a model in several files .*model-00001-of-00002\.safetensors.*single file"),
    "a long index": (index(900), "the index of a model in several files"),
    "settings": (json.dumps({"hidden_size": 8}).encode(), "a JSON text without weights"),
    "a text": (b"Der Himmel ist blau, und das Meer auch.\n", "a text: name the file that holds the weights"),
    "a long text that is cut within a letter": (("ä" * FIRST).encode()[:FIRST], "a text"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_file_of_another_kind_is_named_and_one_told_what_to_do(case):
    data, words = KINDS[case]
    said = other_kind(data[:FIRST])
    assert re.search(words, said), said
    assert ": " in said
    assert "\n" not in said


@given(count=st.integers(0, 40), name=st.text(min_size=1, max_size=60), told=st.text(max_size=700))
def test_a_safetensors_file_is_taken_for_nothing_else(count, name, told):
    data = save({name: np.ones(count, np.float32)}, {"told": told})
    assert other_kind(data[:FIRST]) is None


@pytest.mark.parametrize("length", [0x0280, 0x8B1F, 0x5850, 0x3C0A], ids=["a pickle", "gzip", "letters", "a page"])
def test_a_header_whose_length_looks_like_another_kind_is_a_header(length):
    assert other_kind(length.to_bytes(8, "little") + b"{" + bytes(99)) is None


@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_kind_or_none(data):
    for expected in ("safetensors", "GGUF", "JSON"):
        said = other_kind(data, expected)
        assert said is None or (said and "\n" not in said)


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "  {}", "hello"])
def test_where_json_is_expected_a_text_is_no_other_kind(text):
    assert other_kind(text.encode(), "JSON") is None


def test_where_json_is_expected_a_pointer_or_a_page_is_another_kind():
    for case in ("a pointer of git LFS", "a page", "compressed by gzip", "nothing"):
        assert other_kind(KINDS[case][0], "JSON") == other_kind(KINDS[case][0])


@given(rest=st.binary(max_size=99))
def test_where_weights_for_llama_cpp_are_expected_they_are_nothing_else(rest):
    assert other_kind(b"GGUF" + rest, "GGUF") is None


def test_where_weights_for_llama_cpp_are_expected_a_checkpoint_is_named_with_what_reads_it():
    said = other_kind(save({"a": np.ones(3, np.float32)})[:FIRST], "GGUF")
    assert re.match(r"a safetensors file: .*load_checkpoint\(path\) reads .*load_encoder\(folder\)", said)
    for case in set(KINDS) - {"weights for llama.cpp"}:
        assert other_kind(KINDS[case][0][:FIRST], "GGUF") == other_kind(KINDS[case][0][:FIRST])
