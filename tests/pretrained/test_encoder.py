import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy.stats import norm

from cllm_lib.files import shipped
from cllm_lib.pretrained import encoder as module
from cllm_lib.pretrained.encoder import EncoderConfig, gelu_forward, load_encoder, mean_of_tokens, side_by_side, unit_rows

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 14,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "position_embedding_type": "absolute",
    "pad_token_id": 0,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog", "##s", ".", "not"]
SENTENCES = ["the cat", "a dog sat on the mat .", "", "cats", "not a cat", "unheard of"]


@pytest.fixture(scope="module")
def real():
    return load_encoder()


@pytest.fixture(scope="module")
def stored():
    with np.load(shipped("evidence", "measured/encoder_reference.npz")) as file:
        return [text.decode("utf-8") for text in file["sentences"]], file["rows"], file["counts"]


def tiny_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=10)  # as some folders ask for, and nobody should get
    tokenizer.enable_truncation(4)
    return tokenizer


def tiny_arrays(seed=0):
    """All arrays of a model so small that a test can write many, by the names of such files."""
    generator = np.random.default_rng(seed)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]

    def linear(name, n_in, n_out):
        return {f"{name}.weight": generator.normal(0, 0.5, (n_out, n_in)), f"{name}.bias": generator.normal(0, 0.5, n_out)}

    def layer_norm(name):
        return {f"{name}.weight": 1 + generator.normal(0, 0.2, width), f"{name}.bias": generator.normal(0, 0.2, width)}

    tables = {"word": CONFIG["vocab_size"], "position": CONFIG["max_position_embeddings"], "token_type": 2}
    arrays = {f"embeddings.{name}_embeddings.weight": generator.normal(size=(n, width)) for name, n in tables.items()}
    arrays |= layer_norm("embeddings.LayerNorm")
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            arrays |= linear(f"{layer}attention.self.{name}", width, width)
        arrays |= linear(f"{layer}attention.output.dense", width, width) | layer_norm(f"{layer}attention.output.LayerNorm")
        arrays |= linear(f"{layer}intermediate.dense", width, inner) | linear(f"{layer}output.dense", inner, width)
        arrays |= layer_norm(f"{layer}output.LayerNorm")
    arrays |= linear("pooler.dense", width, width)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder of the right form."""
    folder = tmp_path_factory.mktemp("tiny")
    save_file(tiny_arrays(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def folder(good, tmp_path):
    """A copy of it to spoil."""
    return Path(shutil.copytree(good, tmp_path / "copy"))


def as_pytorch_would(arrays, ids):
    """The formulas of BERT once more, for one sentence, in loops over heads and positions."""
    p = {name: array.astype(np.float64) for name, array in arrays.items()}
    width, heads = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
    part = width // heads

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def layer_norm(x, name):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = np.stack(
        [p["embeddings.word_embeddings.weight"][token] + p["embeddings.position_embeddings.weight"][t] for t, token in enumerate(ids)]
    )
    x = layer_norm(x + p["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{layer}attention.self.{name}") for name in ("query", "key", "value"))
        attended = np.zeros_like(x)
        for h in range(heads):
            cut = slice(h * part, (h + 1) * part)
            for t in range(len(ids)):
                weights = [math.exp(q[t, cut] @ k[s, cut] / math.sqrt(part)) for s in range(len(ids))]
                attended[t, cut] = sum(w * v[s, cut] for s, w in enumerate(weights)) / sum(weights)
        x = layer_norm(x + linear(attended, f"{layer}attention.output.dense"), f"{layer}attention.output.LayerNorm")
        inside = linear(x, f"{layer}intermediate.dense")
        x = layer_norm(x + linear(inside * norm.cdf(inside), f"{layer}output.dense"), f"{layer}output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / math.sqrt(mean @ mean)


@pytest.mark.parametrize(("dtype", "apart"), [("float32", 5e-7), ("float64", 1e-15)])
def test_gelu_is_x_times_the_normal_distribution(dtype, apart):
    x = np.concatenate([np.linspace(-12, 12, 20_001), [0.0, -0.0, 1e-20, -100.0, 3e4]]).astype(dtype)
    expected = x.astype(np.float64) * norm.cdf(x.astype(np.float64))
    np.testing.assert_allclose(gelu_forward(x), expected, rtol=2e-7 if dtype == "float32" else 1e-12, atol=apart)
    assert gelu_forward(x).dtype == x.dtype
    assert gelu_forward(x[:20_000].reshape(2, 100, 100)[:, ::2]).shape == (2, 50, 100)


def test_gelu_leaves_its_input_alone():
    x = np.ones((3, 4), np.float32)
    gelu_forward(x)
    assert (x == 1).all()


def test_a_small_folder_gives_the_formulas_of_bert(good):
    encoder, arrays = load_encoder(good, "float64"), tiny_arrays()
    for ids, row in zip(encoder.tokens(SENTENCES), encoder.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(row, as_pytorch_would(arrays, ids), atol=1e-12)


def test_the_real_model_gives_what_pytorch_gave(real, stored):
    sentences, rows, counts = stored
    assert len(sentences) == 100
    assert [len(ids) for ids in real.tokens(sentences)] == counts.tolist()
    assert {2, 3} < set(counts.tolist())
    assert sorted(counts)[-2] >= 200
    assert counts.max() == real.config.max_tokens == 256
    np.testing.assert_allclose(real.embed(sentences), rows, atol=1e-5)


def test_in_float64_it_is_nearer_still(stored):
    sentences, rows, _ = stored
    np.testing.assert_allclose(load_encoder(dtype="float64").embed(sentences[::9]), rows[::9], atol=5e-8)


@pytest.mark.slow
def test_pytorch_gives_the_same_today(real, stored):
    pytest.importorskip("transformers", reason="a peer; `make test-all` installs it")
    from benchmarks.encoder_reference import reference, sentences

    texts = sentences()
    rows, counts = reference(texts)
    assert [text.rstrip("\0") for text in texts] == stored[0]
    np.testing.assert_array_equal(counts, stored[2])
    np.testing.assert_allclose(real.embed(texts), rows, atol=1e-5)
    np.testing.assert_allclose(stored[1], rows, atol=1e-6)


def test_known_words_have_known_cosines(real):
    car, automobile, king, queen, banana = real.embed(["car", "automobile", "king", "queen", "banana"])
    np.testing.assert_allclose([car @ automobile, king @ queen, king @ banana], [0.8645, 0.681, 0.395], atol=5e-4)


def test_a_row_does_not_depend_on_its_company(real, stored):
    sentences = [*stored[0][:60:7], "short", stored[0][-1]]
    together = real.embed(sentences)
    alone = np.concatenate([real.embed([sentence]) for sentence in sentences])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(real.embed(sentences[::-1])[::-1], together, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_no_sentences_give_no_rows(good):
    encoder = load_encoder(good)
    assert encoder.embed([]).shape == (0, 8)
    assert encoder.tokens([]) == []


def test_nothing_has_nothing_to_stand_beside():
    with pytest.raises(ValueError, match="there is no sentence to put side by side"):
        side_by_side([])


def test_odd_characters_are_read(real):
    assert np.isfinite(real.embed(["\ud800", "\x00", "e\u0301", "\U0001f642"])).all()


def test_a_long_sentence_is_read_to_the_limit_and_no_further(real):
    long = " ".join(["harbour"] * 254)
    np.testing.assert_array_equal(real.embed([long]), real.embed([long + " and nothing else matters"]))
    assert len(real.tokens([long])[0]) == 256


def test_without_a_limit_of_its_own_a_folder_has_that_of_its_positions(folder):
    assert load_encoder(folder).config.max_tokens == 10
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}', encoding="utf-8")
    encoder = load_encoder(folder)
    assert (encoder.config.max_tokens, encoder.config.seq_len) == (5, 10)
    assert [len(ids) for ids in encoder.tokens(["the cat sat on the mat", "cat"])] == [5, 3]


@pytest.mark.parametrize("sentences", ["the cat", ["the cat", 3], [None], [b"cat"]])
def test_what_is_no_list_of_sentences_is_refused(good, sentences):
    with pytest.raises(ValueError, match=r"sentences are a list of strings.*give \[sentence\]"):
        load_encoder(good).embed(sentences)


def test_a_trace_shows_hidden_states_and_weights(real):
    trace = real.trace("The cat sat on the mat.")
    assert trace.tokens == ["[CLS]", "the", "cat", "sat", "on", "the", "mat", ".", "[SEP]"]
    assert trace.hidden.shape == (7, 9, 384)
    assert trace.weights.shape == (6, 12, 9, 9)
    np.testing.assert_allclose(trace.weights.sum(axis=-1), 1.0, atol=1e-5)
    assert (trace.weights[..., 0, 1:] > 0).any()  # the first token looks ahead: nothing causal is left
    row = unit_rows(trace.hidden[-1].mean(axis=0))
    np.testing.assert_allclose(row, real.embed(["The cat sat on the mat."])[0], atol=1e-6)


def test_the_mean_leaves_out_what_fills_up():
    hidden = np.array([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    np.testing.assert_array_equal(mean_of_tokens(hidden, np.array([[True, True, False]])), [[2.0, 3.0]])


def test_the_inputs_of_the_matrices_make_their_outputs(good):
    """What is watched, times the matrix, is what the next step gets: shown for the two of the feed-forward part."""
    encoder, seen = load_encoder(good, "float64"), {}
    encoder.watch(SENTENCES, lambda name, inputs: seen.setdefault(name, []).append(inputs))
    inputs = {name: np.concatenate(blocks) for name, blocks in seen.items()}
    assert set(inputs) == set(encoder.matrices)
    assert len(inputs) == 12
    n_tokens = sum(len(ids) for ids in encoder.tokens(SENTENCES))
    for name, x in inputs.items():
        assert x.shape == (n_tokens, encoder.parameters[name].shape[0])
    layer = "layers.1.feed_forward."
    expanded = inputs[f"{layer}expand_weight"] @ encoder.parameters[f"{layer}expand_weight"] + encoder.parameters[f"{layer}expand_bias"]
    np.testing.assert_allclose(inputs[f"{layer}contract_weight"], gelu_forward(expanded), atol=1e-12)
    query, value = (seen[f"layers.0.attention.{name}_weight"] for name in ("query", "value"))
    np.testing.assert_array_equal(query[0], value[0])


def test_other_parameters_make_another_encoder_and_leave_this_one(good):
    encoder = load_encoder(good)
    before, name = encoder.embed(SENTENCES), "layers.1.feed_forward.contract_weight"
    other = encoder.with_parameters({name: np.zeros((12, 8))})
    assert not np.allclose(other.embed(SENTENCES), before)
    assert other.parameters[name].dtype == np.float32
    np.testing.assert_array_equal(encoder.embed(SENTENCES), before)
    np.testing.assert_array_equal(other.with_parameters({name: encoder.parameters[name]}).embed(SENTENCES), before)
    with pytest.raises(ValueError, match="there is no parameter 'layers.9.x'"):
        encoder.with_parameters({"layers.9.x": np.zeros(3)})
    with pytest.raises(ValueError, match=r"contract_weight has shape \(8, 12\), this encoder's has \(12, 8\)"):
        encoder.with_parameters({name: np.zeros((8, 12))})


def test_importing_the_encoder_runs_no_code_of_the_package(real):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from cllm_lib.pretrained.encoder import load_encoder; load_encoder(); "
         "print([name for name in sys.modules if name.startswith(('gt_all', 'torch', 'sentence'))])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_where_the_model_is_missing_one_sentence_names_the_command(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(FileNotFoundError, match="not installed: `make pretrained` .without make `python tools/workbook.py pretrained`"):
        load_encoder()


def test_where_tokenizers_is_missing_one_sentence_names_the_command(good, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="needs the package tokenizers.*`pip install tokenizers`"):
        load_encoder(good)


def test_the_size_of_an_encoder_must_make_sense():
    sizes = dict(vocab_size=9, d_model=8, n_layers=1, n_heads=2, d_ff=4, seq_len=6, max_tokens=6)
    EncoderConfig(**sizes)
    for change, words in (({"n_heads": 3}, "not divisible"), ({"max_tokens": 7}, "max_tokens is 7"), ({"eps": -1.0}, "eps is -1.0")):
        with pytest.raises(ValueError, match=words):
            EncoderConfig(**sizes | change)


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
