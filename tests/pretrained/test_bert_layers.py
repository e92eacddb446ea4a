import numpy as np
import pytest
from pretrained.tiny import CONFIG, SENTENCES, as_pytorch_would, tiny_arrays, write_folder

from cllm_lib.pretrained.bert_layers import encoder_forward, l2_normalize, mean_pooling, pad_batch
from cllm_lib.pretrained.folders import load_encoder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small folder of the right form."""
    return write_folder(tmp_path_factory.mktemp("tiny"))


def test_a_small_folder_gives_the_formulas_of_bert(good):
    encoder, arrays = load_encoder(good, "float64"), tiny_arrays()
    for ids, row in zip(encoder.tokens(SENTENCES), encoder.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(row, as_pytorch_would(arrays, ids), atol=1e-12)


def test_a_sentence_fares_in_a_padded_batch_as_it_does_alone(good):
    encoder = load_encoder(good, "float64")
    sentences = encoder.tokens(SENTENCES)
    tokens, is_token = pad_batch(sentences)
    hidden, _ = encoder_forward(tokens, is_token, encoder.parts, encoder.config)
    assert hidden.shape == (*tokens.shape, CONFIG["hidden_size"])
    for ids, there, states in zip(sentences, is_token, hidden, strict=True):
        alone, _ = encoder_forward(ids[None], np.ones((1, len(ids)), dtype=bool), encoder.parts, encoder.config)
        np.testing.assert_allclose(states[there], alone[0], atol=1e-12)


def test_a_padded_batch_has_zeros_behind_the_shorter_sentences_and_a_mask_that_says_so():
    tokens, is_token = pad_batch([np.array([2, 3], dtype=np.int64), np.array([2, 0, 5, 3], dtype=np.int64)])
    np.testing.assert_array_equal(tokens, [[2, 3, 0, 0], [2, 0, 5, 3]])
    np.testing.assert_array_equal(is_token, [[True, True, False, False], [True] * 4])
    assert (tokens.dtype, is_token.dtype) == (np.int64, bool)


def test_nothing_has_nothing_to_stand_beside():
    with pytest.raises(ValueError, match="there is no sentence to pad"):
        pad_batch([])


def test_the_mean_leaves_out_what_fills_up():
    hidden = np.array([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    np.testing.assert_array_equal(mean_pooling(hidden, np.array([[True, True, False]])), [[2.0, 3.0]])


def test_rows_are_brought_to_length_1_and_keep_their_direction():
    np.testing.assert_array_equal(l2_normalize(np.array([[3.0, 4.0], [0.0, -2.0]])), [[0.6, 0.8], [0.0, -1.0]])
    assert l2_normalize(np.ones((2, 3, 4), np.float32)).dtype == np.float32
