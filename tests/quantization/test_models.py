"""Quantised models: what is rounded and what is not, files, and words that stay the same."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles import spread_out
from safetensors.numpy import load, save

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model.attention import DistanceBiasAttention
from cllm_lib.model.generation import generate
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.taps import activations
from cllm_lib.quantization.matrices import gptq, input_hessian, layer_error, round_to_nearest
from cllm_lib.quantization.models import (
    KEY,
    METHODS,
    encoder_hessians,
    layer_hessians,
    load_quantized,
    quantize,
    quantize_encoder,
    quantize_matrix,
    save_quantized,
)
from cllm_lib.text.corpora import windows
from cllm_lib.training.checkpoint import load_checkpoint

MATRICES = ("query", "key", "value", "output")


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("sayings", validation_fraction=0.1)


@pytest.fixture(scope="module")
def tokens(corpus):
    return windows(corpus.train_tokens, 16)[0]


def small(corpus, **options):
    sizes = dict(d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=16, dtype="float32")
    return CLLM(CLLMConfig(len(corpus.vocabulary), **(sizes | options)), seed=0)


@pytest.fixture(scope="module")
def trained(corpus):
    model = small(corpus, positions="learned")
    Trainer(model, corpus, learning_rate=3e-3, seed=0).fit(epochs=25)
    return model


def test_a_matrix_is_quantised_as_the_function_says():
    generator = np.random.default_rng(0)
    weight, inputs = generator.normal(size=(12, 5)), generator.normal(size=(4, 30, 12)) @ generator.normal(size=(12, 12))
    found = quantize_matrix(weight, inputs, "gptq", 3)
    _, scales, dequantized = gptq(weight.T, input_hessian(inputs), 3)
    np.testing.assert_array_equal(found.weight(), dequantized.T)
    np.testing.assert_array_equal(found.scales, scales)
    assert found.shape == (5, 12)
    assert found.bits == 3
    assert found.nbytes == -(-60 * 3 // 8) + 5 * 8
    assert quantize_matrix(weight.astype(np.float32), inputs, "gptq", 3).weight().dtype == np.float32


def test_methods_differ_in_what_they_are_for():
    generator = np.random.default_rng(1)
    weight, inputs = generator.normal(size=(40, 30)), generator.normal(size=(300, 40)) @ generator.normal(size=(40, 40))
    moments = input_hessian(inputs, 0)
    errors = {name: layer_error(weight.T, quantize_matrix(weight, inputs, name, 4).weight().T, moments) for name in METHODS}
    assert errors["gptq, act-order"] < errors["gptq"] < errors["round"]
    assert errors["lll + babai"] < errors["gptq"]
    kept, free = (quantize_matrix(weight, inputs, "lll + babai", 2, clip=clip) for clip in (True, False))
    assert (kept.bits, free.bits) == (2, 3)  # stored in as many as it takes
    assert layer_error(weight.T, free.weight().T, moments) < layer_error(weight.T, kept.weight().T, moments)


def test_hessians_are_those_of_what_the_matrices_are_multiplied_by(trained, tokens, monkeypatch):
    from cllm_lib.model import attention, layers

    seen = []
    true = layers.linear_forward

    def watched(x, weight, bias):
        seen.append((x, weight))
        return true(x, weight, bias)

    monkeypatch.setattr(attention, "linear_forward", watched)
    monkeypatch.setattr(layers, "linear_forward", watched)
    trained.logits(tokens)
    monkeypatch.undo()
    found = layer_hessians(trained, tokens, damping=0)
    assert len(seen) == len(found) == 12
    for x, weight in seen:
        name = next(name for name in found if np.shares_memory(trained.parameters[name], weight))
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        np.testing.assert_allclose(found[name], rows.T @ rows / len(rows), rtol=1e-6, atol=1e-9)


LLAMA = dict(norm="rms", norm_first=True, feed_forward="swiglu", n_kv_heads=2, positions="rotary", rope_pairs="halves", rope_base=50.0)


@pytest.mark.parametrize("others", [LLAMA, dict(norm_first=True, feed_forward="gelu")], ids=["Llama's", "GPT's"])
def test_every_choice_of_layers_is_quantised_and_comes_back_from_its_file(corpus, tokens, tmp_path, others):
    model = spread_out(small(corpus, **others), size=0.05)
    found = quantize(model, tokens[:8], "gptq", 6)
    assert set(found.matrices) == {name for name, array in model.parameters.items() if name.startswith("layers.") and array.ndim == 2}
    assert np.abs(found.model.logits(tokens[:2]) - model.logits(tokens[:2])).max() < 0.5
    save_quantized(tmp_path / "model.safetensors", found)
    again = load_quantized(tmp_path / "model.safetensors").model
    assert again.config == model.config
    np.testing.assert_array_equal(again.logits(tokens[:2]), found.model.logits(tokens[:2]))


def test_what_a_gated_network_is_multiplied_by(corpus, tokens):
    model = spread_out(small(corpus, n_layers=1, **LLAMA), size=0.05)
    found = layer_hessians(model, tokens[:4], damping=0)
    units = activations(model, tokens[:4]).units[0].reshape(-1, 64).astype(np.float64)
    np.testing.assert_allclose(found["layers.0.feed_forward.down_weight"], units.T @ units / len(units), rtol=1e-4, atol=1e-7)
    assert found["layers.0.feed_forward.gate_weight"] is found["layers.0.feed_forward.up_weight"]
    assert found["layers.0.attention.key_weight"] is found["layers.0.attention.query_weight"]


def test_a_file_of_an_older_library_is_read():
    """Written by 0.2.0, with a `rotary_base`; the checkpoint beside it is what it was made of."""
    older = Path(__file__).parent.parent / "training" / "older"
    found = load_quantized(older / "quantized_of_0.2.0.safetensors").model
    assert (found.config.positions, found.config.rope_base) == ("rotary", 50.0)
    whole, _ = load_checkpoint(older / "rotary_of_0.2.0.safetensors")
    again = quantize(whole, [[1, 2, 3]], "round", 4)
    np.testing.assert_array_equal(found.flat_parameters, again.model.flat_parameters)


@pytest.mark.parametrize("method", METHODS)
def test_the_matrices_of_the_layers_change_and_nothing_else(trained, tokens, method):
    before = trained.flat_parameters.copy()
    found = quantize(trained, tokens, method, 4)
    np.testing.assert_array_equal(trained.flat_parameters, before)
    names = {f"layers.{i}.attention.{part}_weight" for i in range(2) for part in MATRICES}
    names |= {f"layers.{i}.feed_forward.{part}_weight" for i in range(2) for part in ("expand", "contract")}
    assert set(found.matrices) == names
    assert all(matrix.bits == 4 for matrix in found.matrices.values())
    for name, array in found.model.parameters.items():
        assert array.dtype == np.float32
        if name in names:
            assert not np.array_equal(array, trained.parameters[name])
            assert len(np.unique(array[:, 0])) <= 16
        else:
            np.testing.assert_array_equal(array, trained.parameters[name])


def test_fewer_bits_cost_more_and_take_less(trained, corpus, tokens, tmp_path):
    targets = windows(corpus.train_tokens, 16)[1]
    full, losses, sizes = trained.loss(tokens, targets), [], []
    for bits in (8, 4, 3, 2):
        found = quantize(trained, tokens, "gptq", bits, embedding_bits=bits)
        save_quantized(tmp_path / "model.safetensors", found)
        losses.append(found.model.loss(tokens, targets))
        sizes.append(os.path.getsize(tmp_path / "model.safetensors"))
        assert 0 < sizes[-1] - found.nbytes < 12_000  # the header
    assert abs(losses[0] - full) < 0.01
    assert losses == sorted(losses)
    assert losses[-1] > full + 0.05
    packed = [sum(matrix.packed.nbytes for matrix in quantize(trained, tokens, "round", bits).matrices.values()) for bits in (8, 4, 3, 2)]
    numbers = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    assert packed == [numbers, numbers // 2, numbers * 3 // 8, numbers // 4]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] < trained.flat_parameters.nbytes / 3


def test_gptq_costs_the_trained_model_less_than_rounding(trained, corpus, tokens):
    targets = windows(corpus.train_tokens, 16)[1]
    loss = {method: quantize(trained, tokens, method, 2).model.loss(tokens, targets) for method in METHODS}
    assert max(loss["gptq"], loss["gptq, act-order"], loss["lll + babai"]) < loss["round"]


@pytest.mark.parametrize("tied", [True, False])
def test_the_embedding_is_rounded_by_words_where_asked_for(corpus, tokens, tied):
    model = small(corpus, tie_embeddings=tied, dtype="float64")
    found = quantize(model, tokens, "round", 8, embedding_bits=3)
    np.testing.assert_array_equal(found.model.parameters["embedding"], round_to_nearest(model.parameters["embedding"], 3).dequantized)
    assert ("output_weight" in found.matrices) == (not tied)
    if not tied:
        by_words = round_to_nearest(model.parameters["output_weight"].T, 3).dequantized.T
        np.testing.assert_array_equal(found.model.parameters["output_weight"], by_words)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_model_says_the_same(corpus, tokens, tmp_path, positions, dtype):
    path = tmp_path / "model.safetensors"
    saved = quantize(small(corpus, positions=positions, dtype=dtype), tokens, "lll + babai", 3, clip=False, vocabulary=corpus.vocabulary)
    save_quantized(path, saved)
    loaded = load_quantized(path)
    np.testing.assert_array_equal(loaded.model.flat_parameters, saved.model.flat_parameters)
    assert loaded.model.config == saved.model.config
    assert loaded.model.flat_parameters.dtype == dtype
    assert (loaded.method, loaded.bits, loaded.vocabulary) == ("lll + babai", 3, corpus.vocabulary)
    prompt = corpus.encode("the sky is")
    np.testing.assert_array_equal(generate(loaded.model, prompt, 30, seed=1), generate(saved.model, prompt, 30, seed=1))
    for name, matrix in saved.matrices.items():
        np.testing.assert_array_equal(loaded.matrices[name].packed, matrix.packed)
    np.testing.assert_array_equal(loaded.model.logits(tokens), saved.model.logits(tokens))


def test_groups_and_an_embedding_in_few_bits_survive_the_file(trained, tokens, tmp_path):
    saved = quantize(trained, tokens, "gptq", 4, group_size=16, embedding_bits=5)
    save_quantized(tmp_path / "model.safetensors", saved)
    loaded = load_quantized(tmp_path / "model.safetensors")
    assert loaded.matrices["layers.0.attention.key_weight"].scales.shape == (32, 2)
    np.testing.assert_array_equal(loaded.model.flat_parameters, saved.model.flat_parameters)


def test_where_safetensors_is_missing_the_file_is_the_same_and_is_read(trained, tokens, tmp_path, monkeypatch):
    saved = quantize(trained, tokens, "round", 4)
    save_quantized(tmp_path / "by_the_package.safetensors", saved)
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    save_quantized(tmp_path / "without.safetensors", saved)
    assert (tmp_path / "without.safetensors").read_bytes() == (tmp_path / "by_the_package.safetensors").read_bytes()
    np.testing.assert_array_equal(load_quantized(tmp_path / "without.safetensors").model.flat_parameters, saved.model.flat_parameters)
    assert "damaged, cut off, or no safetensors file" in refusal(tmp_path / "a.safetensors", b"{}" * 20)


# Files that are not to be believed


@pytest.fixture(scope="module")
def written(corpus, tokens, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantised") / "model.safetensors"
    save_quantized(path, quantize(small(corpus), tokens, "round", 4))
    return path.read_bytes()


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)) as caught:
        load_quantized(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_file_cut_off_is_refused(written, tmp_path, share):
    assert "damaged, cut off, or no safetensors file" in refusal(tmp_path / "a.safetensors", written[: int(share * len(written))])


def test_every_flipped_bit_is_noticed(written, tmp_path):
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(written), 60):
        spoilt = bytearray(written)
        spoilt[place] ^= 1 << generator.integers(8)
        refusal(tmp_path / "a.safetensors", bytes(spoilt))


def test_foreign_files_are_named_as_such(written, tmp_path):
    assert "no safetensors file" in refusal(tmp_path / "a.safetensors", b"PK\x03\x04 something else entirely")
    assert "no quantised model of this library" in refusal(tmp_path / "b.safetensors", save({"a": np.ones(3)}))
    assert "has format 99, this library reads format 1" in refusal(
        tmp_path / "c.safetensors", save({"a": np.ones(3)}, {KEY: json.dumps({"format": 99})})
    )
    assert "has format None" in refusal(tmp_path / "d.safetensors", save({"a": np.ones(3)}, {KEY: "[]"}))
    assert "damaged" in refusal(tmp_path / "e.safetensors", save({"a": np.ones(3)}, {KEY: "{"}))
    assert "damaged ('sha256')" in refusal(tmp_path / "f.safetensors", save({"a": np.ones(3)}, {KEY: json.dumps({"format": 1})}))


def forged(written, change):
    """A file with other contents and a checksum that fits them."""
    from cllm_lib.files import digest

    length = int.from_bytes(written[:8], "little")
    description, arrays = json.loads(json.loads(written[8 : 8 + length])["__metadata__"][KEY]), load(written)
    change(description, arrays)
    description["sha256"] = digest(arrays, description)
    return save(arrays, {KEY: json.dumps(description)})


def larger(description, arrays):
    description["config"]["vocab_size"] = 10**9


def unnamed(description, arrays):
    del arrays["plain.layers.0.attention_norm.gain"]


def of_another_shape(description, arrays):
    arrays["plain.layers.0.attention_norm.gain"] = np.ones(31, np.float32)


def short(description, arrays):
    arrays["packed.layers.0.attention.query_weight"] = arrays["packed.layers.0.attention.query_weight"][:-1]


def of_another_kind(description, arrays):
    description["kind"] = "Elephant"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (larger, "speaks of a larger model"),
        (unnamed, "do not fit its configuration: 'layers.0.attention_norm.gain'"),
        (of_another_shape, r"gain is float32 of shape (31,)"),
        (short, "packed is uint8 of shape"),
        (of_another_kind, "unknown kind 'Elephant'"),
    ],
)
def test_files_that_contradict_themselves_are_refused(written, tmp_path, change, message):
    assert message in refusal(tmp_path / "a.safetensors", forged(written, change))


def test_what_cannot_be_written_leaves_the_old_file(written, corpus, tokens, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(written)
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "no space left")))
    with pytest.raises(OSError, match="no space left"):
        save_quantized(path, quantize(small(corpus), tokens, "round", 8))
    assert path.read_bytes() == written
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(ValueError, match="is a folder"):
        save_quantized(tmp_path, load_quantized(path))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_quantized(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no ordinary file"):
        load_quantized(tmp_path)


def test_what_cannot_be_quantised_is_said(corpus, tokens):
    with pytest.raises(ValueError, match="unknown method 'magic'"):
        quantize(small(corpus), tokens, "magic", 4)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        quantize(small(corpus), tokens + 10_000, "round", 4)
    with pytest.raises(ValueError, match="bits is 1"):
        quantize(small(corpus), tokens, "round", 1)
    simplified = CLLM(small(corpus).config, attention=defects.SimplifiedAttention())
    with pytest.raises(ValueError, match="only a CLLM of the sound parts"):
        quantize(simplified, tokens, "round", 4)


def test_distances_of_ones_own_do_not_go_into_a_file(corpus, tokens, tmp_path):
    for attention in (DistanceBiasAttention(learned=False), DistanceBiasAttention(np.ones((16, 16)))):
        model = CLLM(small(corpus).config, attention=attention)
        with pytest.raises(ValueError, match="distances or slopes of its own"):
            save_quantized(tmp_path / "a.safetensors", quantize(model, tokens, "round", 4))


# An encoder, tiny and untrained

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "why", "is", "the", "sky", "blue", "sea", "salt", "it", "rains"]
SENTENCES = ["why is the sky blue", "the sea is salt", "it rains", "why is it blue", "is the sea blue", "the sky is the sky"]


@pytest.fixture(scope="module")
def encoder():
    import tokenizers

    from cllm_lib.pretrained.encoder import Encoder, EncoderConfig

    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    config = EncoderConfig(len(WORDS), d_model=8, n_layers=2, n_heads=2, d_ff=16, seq_len=12, max_tokens=12)
    generator, parameters = np.random.default_rng(0), {}

    def draw(shapes, prefix):
        for name, shape in shapes.items():
            if isinstance(shape, dict):
                draw(shape, f"{prefix}{name}.")
            else:
                parameters[prefix + name] = generator.normal(size=shape).astype(np.float32)

    draw(config.parameter_shapes(), "")
    return Encoder(config, parameters, tokenizer)


def test_an_encoders_matrices_are_calibrated_on_what_they_are_given(encoder):
    found = encoder_hessians(encoder, SENTENCES, damping=0)
    assert set(found) == set(encoder.matrices) != set()
    expected = {}
    encoder.run_with_hook(SENTENCES, lambda name, x: expected.setdefault(name, []).append(x))
    for name, parts in expected.items():
        rows = np.concatenate(parts).astype(np.float64)
        np.testing.assert_allclose(found[name], rows.T @ rows / len(rows), rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_is_quantised_saved_and_loaded(encoder, tmp_path, method):
    before = encoder.embed(SENTENCES)
    coarse, fine = (quantize_encoder(encoder, SENTENCES, method, bits, embedding_bits=8) for bits in (2, 8))
    np.testing.assert_array_equal(encoder.embed(SENTENCES), before)
    cosine = [float((found.model.embed(SENTENCES) * before).sum(axis=1).mean()) for found in (coarse, fine)]
    assert cosine[0] < cosine[1]
    assert cosine[1] > 0.99
    save_quantized(tmp_path / "encoder.safetensors", coarse)
    loaded = load_quantized(tmp_path / "encoder.safetensors")
    np.testing.assert_array_equal(loaded.model.embed(SENTENCES), coarse.model.embed(SENTENCES))
    assert loaded.model.parameters.keys() == encoder.parameters.keys()


def test_an_encoder_needs_sentences(encoder):
    with pytest.raises(ValueError, match="no sentence to calibrate on"):
        quantize_encoder(encoder, [], "gptq", 4)
