import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretrained.tiny import CONFIG, SENTENCES, tiny_arrays, write_folder
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


QUERY = "encoder.layer.1.attention.self.query.weight"
BAD = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), FileNotFoundError, "there is no model.safetensors in"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), FileNotFoundError, "there is no tokenizer.json in"),
    "no config": (lambda folder: (folder / "config.json").unlink(), FileNotFoundError, "there is no config.json in"),
    "no folder": (shutil.rmtree, FileNotFoundError, "there is no folder .*name one with model.safetensors"),
    "cut off": (cut, ValueError, "model.safetensors is damaged or cut off"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), ValueError, "model.safetensors is damaged or cut off"),
    "a picture": (lambda folder: (folder / "model.safetensors").write_bytes(b"\x89PNG" * 99), ValueError, "damaged or cut off"),
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
    "another pooling": (text("1_Pooling/config.json", '{"pooling_mode_cls_token": true}'), ValueError, "says pooling_mode_cls_token, and"),
    "no room for marks": (text("sentence_bert_config.json", '{"max_seq_length": 1}'), ValueError, "tokenizer.json"),
    "a limit beyond the table": (
        text("sentence_bert_config.json", '{"max_seq_length": 11}'),
        ValueError,
        "sentence_bert_config.json: max_tokens is 11",
    ),
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
