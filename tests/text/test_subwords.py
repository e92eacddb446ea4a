"""A text in byte pairs: nothing of what is held out is learnt, and a vocabulary says all."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib.text import BytePairTokenizer, bytes_as_characters, pretokenize
from cllm_lib.text.merging import merges_by_recounting
from cllm_lib.text.subwords import MIN_COUNT, as_they_come, bytes_of, numbered_subwords, tokenizer_of

BYTE_VOCABULARY = ("<unk>", *map(bytes_as_characters, BytePairTokenizer([]).vocabulary))
TEXTS = st.lists(st.sampled_from(["the ", "he said ", "天空 ", "ab", "\n", "é", "<unk>", "a"]), max_size=30).map("".join)


@given(text=TEXTS, room=st.integers(0, 30), share=st.sampled_from([0.0, 0.1, 0.5, 0.99]))
def test_tokens_are_those_of_the_definition_on_what_is_not_held_out(text, room, share):
    vocabulary, tokens, held_out = numbered_subwords([text], 257 + room, share)
    pieces, read, limit = pretokenize(text, ["<unk>"]), 0, (1 - share) * len(text.encode())
    counts = Counter()
    for piece in pieces:
        read += len(piece.encode())
        if read <= limit and piece != "<unk>":
            counts[piece.encode()] += 1
    merges = merges_by_recounting(counts, room, min_count=MIN_COUNT)
    ours = BytePairTokenizer(merges, ["<unk>"])
    assert vocabulary == ("<unk>", *map(bytes_as_characters, ours.vocabulary[1:]))
    np.testing.assert_array_equal(tokens, ours.encode(text))
    trained = tokens[: len(tokens) - held_out]
    assert len(ours.decode_bytes(trained)) <= limit
    assert tokenizer_of(vocabulary).merges == ours.merges


def test_what_is_held_out_teaches_nothing():
    text = "so the sky is blue. " * 50
    one, _, held_out = numbered_subwords([text, "zqzqzq " * 20], 400, 0.125)
    other, _, _ = numbered_subwords([text, "xxxxxx " * 20], 400, 0.125)
    assert one == other
    assert held_out > 60
    assert not any("q" in token for token in one[257:])


@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=4))
def test_chunks_are_read_as_the_whole(text, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[start:stop] for start, stop in pairwise(places)]
    whole, parts = (numbered_subwords(one, 280, 0.25) for one in ([text], chunks))
    assert whole[0] == parts[0]
    np.testing.assert_array_equal(whole[1], parts[1])
    assert whole[2] == parts[2]


def test_a_vocabulary_that_is_given_is_kept():
    vocabulary, tokens, held_out = numbered_subwords(["the sky"], 5, 0.5, BYTE_VOCABULARY)
    assert vocabulary is BYTE_VOCABULARY
    assert len(tokens) == 7
    assert held_out == 4
    assert tokenizer_of(vocabulary).decode(tokens) == "the sky"


def test_ids_beyond_the_vocabulary_show_as_such():
    assert b"".join(bytes_of([1, 9999, 0, -1], BYTE_VOCABULARY)) == b"!<id 9999><unk><id -1>"


@given(parts=st.lists(st.binary(max_size=3) | st.sampled_from(list("🙂é天".encode())).map(lambda byte: bytes([byte])), max_size=12))
def test_what_comes_bit_by_bit_is_the_text_of_the_whole(parts):
    assert "".join(as_they_come(parts)) == b"".join(parts).decode("utf-8", "replace")


def test_a_character_comes_when_it_is_whole():
    assert list(as_they_come([b"a\xf0\x9f", b"\x99", b"\x82b", b"\xf0"])) == ["a", "", "🙂b", "", "\ufffd"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numbered_subwords(["a"], 256), "vocab_size is 256: of byte pairs, .* give 257 at least"),
        (lambda: tokenizer_of(("<unk>", "sky")), "the vocabulary has 'sky', of which the tokens before it make 3, not two"),
        (lambda: tokenizer_of(("<unk>", "a")), "vocabulary has no b'.*', which is a byte"),
        (lambda: tokenizer_of(("<unk>", "a b")), "'a b' has ' ', which stands for no byte"),
        (lambda: tokenizer_of((*BYTE_VOCABULARY, "ab", "a")), "vocabulary has b'a' more than once"),
    ],
)
def test_what_is_no_vocabulary_of_byte_pairs_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
