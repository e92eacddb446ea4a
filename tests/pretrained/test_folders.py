import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretrained.tiny import CONFIG, SENTENCES, as_pytorch_would, tiny_arrays, write_folder
from safetensors.numpy import load_file, save_file

from cllm_lib.pretrained import folders
from cllm_lib.pretrained.folders import load_encoder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder of the right form."""
    return write_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(good, tmp_path):
    """A copy of it to spoil."""
    return Path(shutil.copytree(good, tmp_path / "copy"))


def test_without_a_limit_of_its_own_a_folder_has_that_of_its_positions(folder):
    assert load_encoder(folder).config.max_tokens == 10
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}', encoding="utf-8")
    encoder = load_encoder(folder)
    assert (encoder.config.max_tokens, encoder.config.seq_len) == (5, 10)
    assert [len(ids) for ids in encoder.tokens(["the cat sat on the mat", "cat"])] == [5, 3]


@pytest.mark.parametrize(
    ("limit", "most"),
    [("4", 4), ("10", 10), ("512", 10), ("1000000000000000019884624838656", 10), ("1e30", 10), ("Infinity", 10), ("null", 10), ("6.0", 6)],
)
def test_the_tokenizer_may_say_the_limit(folder, limit, most):
    (folder / "tokenizer_config.json").write_text(f'{{"model_max_length": {limit}}}', encoding="utf-8")
    assert load_encoder(folder).config.max_tokens == most
    (folder / "sentence_bert_config.json").write_text('{"transformer_task": "feature-extraction"}', encoding="utf-8")
    assert load_encoder(folder).config.max_tokens == most
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7, "do_lower_case": false}', encoding="utf-8")
    assert load_encoder(folder).config.max_tokens == 7


def test_what_the_folder_wants_in_lower_case_is_read_so(folder):
    tokenizer_with(lambda content: content.__setitem__("normalizer", None))(folder)
    assert load_encoder(folder).tokens(["The CAT"])[0].tolist() == [2, 1, 1, 3]
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": true}', encoding="utf-8")
    assert load_encoder(folder).tokens(["The CAT"])[0].tolist() == [2, 4, 5, 3]


def test_importing_the_encoder_runs_no_code_of_the_package():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from cllm_lib.pretrained.folders import load_encoder; load_encoder(); "
         "print([name for name in sys.modules if name.startswith(('gt_all', 'torch', 'sentence'))])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_where_the_model_is_missing_one_sentence_names_the_command(monkeypatch):
    monkeypatch.setattr(folders, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(FileNotFoundError, match="not installed: `make pretrained` .without make `python tools/workbook.py pretrained`"):
        load_encoder()


def test_where_tokenizers_is_missing_one_sentence_names_the_command(good, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="needs the package tokenizers.*`pip install tokenizers`"):
        load_encoder(good)


def changed(**settings):
    def spoil(folder):
        (folder / "config.json").write_text(json.dumps(CONFIG | settings), encoding="utf-8")

    return spoil


def text(name, content):
    def spoil(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")

    return spoil


def arrays(change):
    def spoil(folder):
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return spoil


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def tokenizer_with(change):
    def spoil(folder):
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return spoil


def put(name, value):
    return arrays(lambda found: found.__setitem__(name, value))


def filled_up(rows, said):
    """A table of so many rows, and so many words in config.json."""

    def spoil(folder):
        put(TABLE, np.vstack([tiny_arrays()[TABLE], np.zeros((rows - 14, 8), np.float32)]))(folder)
        changed(vocab_size=said)(folder)

    return spoil


def stored_as(kind, encode):
    """The same arrays in another type, as programs write them that have one which NumPy lacks."""

    def spoil(folder):
        header, body = {}, b""
        for name, array in tiny_arrays().items():
            piece = encode(array)
            header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(piece)]}
            body += piece
        head = json.dumps(header).encode()
        head += b" " * (-len(head) % 8)
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + body)

    return spoil


TABLE = "embeddings.word_embeddings.weight"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90868376\n"
in_eight_bits = stored_as("F8_E4M3", lambda array: bytes(array.size))
in_bfloat16 = stored_as("BF16", lambda array: (array.view("<u4") >> 16).astype("<u2").tobytes())
QUERY = "encoder.layer.1.attention.self.query.weight"
BAD = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), FileNotFoundError, "there is no model.safetensors in"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), FileNotFoundError, "there is no tokenizer.json in"),
    "no config": (lambda folder: (folder / "config.json").unlink(), FileNotFoundError, "there is no config.json in"),
    "no folder": (shutil.rmtree, FileNotFoundError, "there is no folder .*name one with model.safetensors"),
    "cut off": (cut, ValueError, r"model.safetensors was cut off: it has [\d,]+ bytes of [\d,]+, so download"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), ValueError, "model.safetensors is empty"),
    "a picture": (lambda folder: (folder / "model.safetensors").write_bytes(b"\x89PNG" * 99), ValueError, "is no safetensors file"),
    "NaN": (put(QUERY, np.full((8, 8), np.nan, np.float32)), ValueError, "layer.1.attention.self.query.weight holds NaN"),
    "infinite": (put(QUERY, np.full((8, 8), np.inf, np.float32)), ValueError, "holds NaN or infinite"),
    "another activation": (
        changed(hidden_act="relu"),
        ValueError,
        "config.json says hidden_act = 'relu', and this encoder computes 'gelu'",
    ),
    "relative positions": (changed(position_embedding_type="relative_key"), ValueError, "position_embedding_type = 'relative_key'"),
    "another model": (changed(model_type="gpt2"), ValueError, "model_type = 'gpt2'"),
    "a decoder": (changed(is_decoder=True), ValueError, "is_decoder = True"),
    "0 for False": (changed(is_decoder=0), ValueError, "is_decoder = 0"),
    "three types": (changed(type_vocab_size=3), ValueError, "type_vocab_size = 3"),
    "no layers": (changed(num_hidden_layers=0), ValueError, "config.json: n_layers is 0"),
    "a size in words": (changed(hidden_size="wide"), ValueError, "config.json: d_model is 'wide'"),
    "a size missing": (changed(hidden_size=None), ValueError, "config.json: d_model is None"),
    "heads that do not divide": (changed(num_attention_heads=3), ValueError, "not divisible"),
    "an epsilon in words": (changed(layer_norm_eps="small"), ValueError, "eps is 'small'"),
    "more layers than there are": (changed(num_hidden_layers=3), ValueError, "lacks 'encoder.layer.2.*and 15 more"),
    "a billion layers": (changed(num_hidden_layers=10**9), ValueError, "1,000,000,000"),
    "fewer layers than there are": (
        changed(num_hidden_layers=1),
        ValueError,
        "holds, beyond what its config.json speaks of, 'encoder.layer.1",
    ),
    "another width": (changed(intermediate_size=13), ValueError, r"has shape \(12, 8\), and \(13, 8\) follows"),
    "a list for config": (text("config.json", "[1]"), ValueError, "config.json holds a list"),
    "no JSON": (text("config.json", "{"), ValueError, "config.json is no JSON text"),
    "a number of 5,000 digits": (text("config.json", f'{{"vocab_size": {"1" * 5_000}}}'), ValueError, "config.json is no JSON text"),
    "deep brackets": (text("config.json", "[" * 100_000), ValueError, "config.json is no JSON text"),
    "tensor missing": (arrays(lambda found: found.pop(QUERY)), ValueError, f"lacks '{QUERY}'"),
    "tensor too many": (
        put("classifier.weight", np.ones(2, np.float32)),
        ValueError,
        "beyond what its config.json speaks of, 'classifier.weight'",
    ),
    "pre-norm": (
        put("encoder.LayerNorm.weight", np.ones(8, np.float32)),
        ValueError,
        "beyond what its config.json.*'encoder.LayerNorm.weight'",
    ),
    "tensor turned": (
        put("encoder.layer.0.output.dense.weight", np.ones((12, 8), np.float32)),
        ValueError,
        r"has shape \(12, 8\), and \(8, 12\)",
    ),
    "integers": (put(QUERY, np.ones((8, 8), np.int32)), ValueError, "is stored as I32"),
    "tokenizer no JSON": (text("tokenizer.json", "hello"), ValueError, "tokenizer.json is no tokenizer of this form"),
    "tokenizer empty": (text("tokenizer.json", "{}"), ValueError, "tokenizer.json is no tokenizer of this form"),
    "tokenizer of another model": (
        tokenizer_with(lambda content: content["model"]["vocab"].pop("dog")),
        ValueError,
        "tokenizer.json knows 13 tokens, config.json beside it says 14",
    ),
    "an id too high": (tokenizer_with(lambda content: content["model"]["vocab"].__setitem__("dog", 99)), ValueError, "the id 99"),
    "no marks": (tokenizer_with(lambda content: content.__setitem__("post_processor", None)), ValueError, "no mark before or behind"),
    "another pooling": (
        text("1_Pooling/config.json", '{"pooling_mode_cls_token": true}'),
        ValueError,
        "pools by 'cls', and this encoder takes the mean",
    ),
    "no room for marks": (text("sentence_bert_config.json", '{"max_seq_length": 1}'), ValueError, "tokenizer.json"),
    "a limit beyond the table": (
        text("sentence_bert_config.json", '{"max_seq_length": 11}'),
        ValueError,
        "sentence_bert_config.json: max_tokens is 11",
    ),
    "a limit of nothing": (text("sentence_bert_config.json", '{"max_seq_length": 0}'), ValueError, "max_tokens is 0"),
    "a limit of the tokenizer in words": (
        text("tokenizer_config.json", '{"model_max_length": "long"}'),
        ValueError,
        "tokenizer_config.json says model_max_length = 'long'",
    ),
    "a limit of the tokenizer below 1": (text("tokenizer_config.json", '{"model_max_length": 0}'), ValueError, "model_max_length = 0"),
    "a limit of the tokenizer that is no number": (text("tokenizer_config.json", '{"model_max_length": NaN}'), ValueError, "= nan"),
    "another task": (text("sentence_bert_config.json", '{"transformer_task": "fill-mask"}'), ValueError, "transformer_task = 'fill-mask'"),
    "weights as a pointer": (
        text("model.safetensors", LFS),
        ValueError,
        "safetensors is a pointer of git LFS to the file of 90,868,376 bytes",
    ),
    "a tokenizer as a pointer": (text("tokenizer.json", LFS), ValueError, "tokenizer.json is a pointer of git LFS"),
    "a page for settings": (text("config.json", "<!doctype html><html>"), ValueError, "config.json is a page for a browser"),
    "a page for weights": (text("model.safetensors", "<html>"), ValueError, "model.safetensors is a page for a browser"),
    "empty settings": (text("config.json", ""), ValueError, "config.json is empty"),
    "settings in another alphabet": (
        lambda folder: (folder / "config.json").write_bytes(b'{"a": "\xff"}'),
        ValueError,
        "config.json is no JSON text .invalid start byte at byte 7",
    ),
    "weights for PyTorch only": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        FileNotFoundError,
        "no model.safetensors in .*pytorch_model.bin cannot take its place",
    ),
    "weights in parts": (
        lambda folder: (folder / "model.safetensors").rename(folder / "model.safetensors.index.json"),
        FileNotFoundError,
        "model.safetensors.index.json cannot take its place",
    ),
    "an index as weights": (text("model.safetensors", '{"weight_map": {}}'), ValueError, "is the index of a model in several files"),
    "weights in eight bits": (in_eight_bits, ValueError, "stored as F8_E4M3, and this encoder reads F16, BF16, F32, F64"),
    "a name with and without its prefix": (put(f"bert.{QUERY}", np.ones((8, 8), np.float32)), ValueError, f"holds twice '{QUERY}'"),
    "numbers beyond float32": (put(QUERY, np.full((8, 8), 1e300)), ValueError, r"no room for: load_encoder\(folder, 'float64'\)"),
    "a table far too long": (filled_up(200, 14), ValueError, r"has shape \(200, 8\), and \(14, 8\)"),
    "a table one row too long": (filled_up(15, 14), ValueError, r"has shape \(15, 8\), and \(14, 8\)"),
    "a tokenizer far too small for the table": (filled_up(24, 24), ValueError, "knows 14 tokens, config.json beside it says 24"),
    "a limit in words": (text("sentence_bert_config.json", '{"max_seq_length": "long"}'), ValueError, "max_tokens is 'long'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_good_folder_gets_a_clear_error(folder, case):
    spoil, kind, words = BAD[case]
    spoil(folder)
    with pytest.raises(kind, match=words) as error:
        load_encoder(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_pipe_is_refused_instead_of_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match=f"{name} is no ordinary file"):
        load_encoder(folder)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_read(folder, good, dtype):
    save_file({name: array.astype(dtype) for name, array in tiny_arrays().items()}, folder / "model.safetensors")
    np.testing.assert_allclose(load_encoder(folder).embed(SENTENCES), load_encoder(good).embed(SENTENCES), atol=0.02)


def assert_same_rows(folder, good):
    encoder, expected = load_encoder(folder, "float64"), load_encoder(good, "float64")
    assert encoder.parameters.keys() == expected.parameters.keys()
    for name, array in expected.parameters.items():
        np.testing.assert_array_equal(encoder.parameters[name][: len(array)], array, err_msg=name)
    np.testing.assert_array_equal(encoder.embed(SENTENCES), expected.embed(SENTENCES))


@pytest.mark.parametrize("prefix", ["bert.", ""])
@pytest.mark.parametrize("gain", ["gamma", "weight"])
def test_the_names_of_older_files_are_known(folder, good, prefix, gain):
    def older(name):
        bias = "beta" if gain == "gamma" else "bias"
        return prefix + name.replace("LayerNorm.weight", f"LayerNorm.{gain}").replace("LayerNorm.bias", f"LayerNorm.{bias}")

    heads = {"cls.predictions.bias": np.ones(14, np.float32), "cls.seq_relationship.weight": np.ones((2, 8), np.float32)}
    save_file({older(name): array for name, array in tiny_arrays().items()} | heads, folder / "model.safetensors")
    assert_same_rows(folder, good)


def test_bfloat16_is_converted_exactly(folder):
    in_bfloat16(folder)
    upper = {name: (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) for name, array in tiny_arrays().items()}
    encoder = load_encoder(folder, "float64")
    np.testing.assert_array_equal(encoder.parameters["embedding"], upper[TABLE].astype(np.float64))
    np.testing.assert_array_equal(encoder.parameters["layers.1.attention.query_weight"], upper[QUERY].T.astype(np.float64))
    for ids, row in zip(encoder.tokens(SENTENCES), encoder.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(row, as_pytorch_would(upper, ids), atol=1e-12)


def test_one_array_in_bfloat16_among_others_is_enough(folder, good):
    in_bfloat16(folder)
    (length,) = struct.unpack("<Q", (folder / "model.safetensors").read_bytes()[:8])
    assert length % 8 == 0
    bits = load_encoder(folder).parameters["layers.0.feed_forward.expand_weight"]
    exact = load_encoder(good).parameters["layers.0.feed_forward.expand_weight"]
    np.testing.assert_allclose(bits, exact, rtol=2**-7)
    assert (bits != exact).any()


@pytest.mark.parametrize(("rows", "said"), [(16, 16), (16, 14), (64, 64), (128, 14)])
def test_a_table_that_is_filled_up_to_a_round_number_is_read(folder, good, rows, said):
    filled_up(rows, said)(folder)
    assert_same_rows(folder, good)
    assert load_encoder(folder).config.vocab_size == len(load_encoder(folder).parameters["embedding"]) == said


def test_weights_are_compared_with_the_digest_that_is_given(folder):
    right = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for digest in (right, right.upper()):
        load_encoder(folder, sha256=digest)
    put(QUERY, tiny_arrays()[QUERY] + np.float32(1e-6))(folder)
    load_encoder(folder)
    with pytest.raises(ValueError, match=f"model.safetensors has the SHA-256 [0-9a-f]{{64}}, not the {right} that was asked for"):
        load_encoder(folder, sha256=right)
    for digest in ("", right[:-1], "sha256:" + right, "g" * 64, 7, b"0" * 64):
        with pytest.raises(ValueError, match="give 64 hexadecimal digits"):
            load_encoder(folder, sha256=digest)


def same_settings(encoder, other):
    return encoder.config == other.config and encoder.tokenizer.to_str() == other.tokenizer.to_str()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("examples", [60, pytest.param(3_000, marks=pytest.mark.slow)])
def test_random_bytes_give_an_error_or_an_encoder(good, tmp_path, name, examples):
    """Weights carry no checksum, so damage in one may load; what loads has finite weights of the right shapes, and works."""
    folder = Path(shutil.copytree(good, tmp_path / "fuzz"))
    content, expected = (good / name).read_bytes(), load_encoder(good)
    at = st.one_of(st.integers(0, 3_000), st.integers(0, len(content)))
    edits = st.lists(st.tuples(at, st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=3)

    @settings(max_examples=examples, database=None)
    @given(edits=edits)
    def run(edits):
        data = content
        for start, length, new in edits:
            data = data[:start] + new + data[start + length :]
        (folder / name).write_bytes(data)
        try:
            encoder = load_encoder(folder)
        except (ValueError, FileNotFoundError) as error:
            assert str(folder) in str(error)  # noqa: PT017 - either outcome is right
            return
        with np.errstate(over="ignore", invalid="ignore"):  # a flipped exponent may well overflow
            assert encoder.embed(["the cat"]).shape[0] == 1
        for key, array in encoder.parameters.items():
            assert np.isfinite(array).all()
            if name == "tokenizer.json":
                np.testing.assert_array_equal(array, expected.parameters[key])
        if name == "model.safetensors":
            assert same_settings(encoder, expected)

    run()
