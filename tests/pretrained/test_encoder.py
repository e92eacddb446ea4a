import numpy as np
import pytest
from pretrained.tiny import SENTENCES, write_folder

from cllm_lib.files import shipped
from cllm_lib.model.activation_functions import gelu_forward
from cllm_lib.pretrained.bert_layers import l2_normalize
from cllm_lib.pretrained.encoder import EncoderConfig
from cllm_lib.pretrained.folders import load_encoder


@pytest.fixture(scope="module")
def real():
    return load_encoder()


@pytest.fixture(scope="module")
def stored():
    with np.load(shipped("evidence", "measured/encoder_reference.npz")) as file:
        return [text.decode("utf-8") for text in file["sentences"]], file["rows"], file["counts"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder of the right form."""
    return write_folder(tmp_path_factory.mktemp("tiny"))


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


def test_odd_characters_are_read(real):
    assert np.isfinite(real.embed(["\ud800", "\x00", "e\u0301", "\U0001f642"])).all()


def test_a_long_sentence_is_read_to_the_limit_and_no_further(real):
    long = " ".join(["harbour"] * 254)
    np.testing.assert_array_equal(real.embed([long]), real.embed([long + " and nothing else matters"]))
    assert len(real.tokens([long])[0]) == 256


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
    row = l2_normalize(trace.hidden[-1].mean(axis=0))
    np.testing.assert_allclose(row, real.embed(["The cat sat on the mat."])[0], atol=1e-6)


def test_the_inputs_of_the_matrices_make_their_outputs(good):
    """What is watched, times the matrix, is what the next step gets: shown for the two of the feed-forward part."""
    encoder, seen = load_encoder(good, "float64"), {}
    encoder.run_with_hook(SENTENCES, lambda name, inputs: seen.setdefault(name, []).append(inputs))
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
    for arrays, key in ((encoder.parameters, name), (encoder.parts["layers"]["0"], "gain")):
        with pytest.raises(TypeError, match=r"encoder\.with_parameters\(\{name: array\}\) makes"):
            arrays[key] = np.zeros((12, 8))


def test_the_size_of_an_encoder_must_make_sense():
    sizes = dict(vocab_size=9, d_model=8, n_layers=1, n_heads=2, d_ff=4, seq_len=6, max_tokens=6)
    EncoderConfig(**sizes)
    for change, words in (({"n_heads": 3}, "not divisible"), ({"max_tokens": 7}, "max_tokens is 7"), ({"eps": -1.0}, "eps is -1.0")):
        with pytest.raises(ValueError, match=words):
            EncoderConfig(**sizes | change)
