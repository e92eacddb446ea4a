"""Byte-pair encoding: the same tokens as the package tokenizers, and no text or byte is lost."""

import json
import random
import sys
import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from cllm_lib.text import BytePairTokenizer, bytes_as_characters, characters_as_bytes, read_text, train_bpe
from cllm_lib.text.bpe import LONGEST_KEPT, merges_of

END = "<|endoftext|>"
LIKE = [*"aabbcé  \n'", "the ", "天空", "🙂", "42"]
TEXTS = st.lists(st.sampled_from(LIKE), max_size=40).map("".join)
AWKWARD = [
    "",
    " ",
    "\n\n\n",
    "\t x\r\n",
    "I'm they'LL WE'RE'd",
    "naïve café e\u0301 ß",
    "👩‍💻🏳️‍🌈🧑🏽‍🚀",
    "天空是蓝色的。",
    "กาแฟ",
    "\0\x1b\x7f\x85\xa0\u3000",
]
AWKWARD += [
    "3.14159 १२३ ½ Ⅷ",
    "the the the",
    "\u200b\u200d\ufeff",
    "a" * 5000,
    "ab " * 2000,
    "\x1c\x1d \x1e\x1f",
    "𝔸𝕓\U0010ffff",
    "word" + " " * 99 + "word",
]


def theirs(text, vocab_size, special_tokens=()):
    """A tokenizer of the package tokenizers, trained on the same text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    settings = dict(special_tokens=list(special_tokens), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator([text], trainers.BpeTrainer(vocab_size=vocab_size, **settings))
    return made


def merges_and_ids(made):
    """Of such a tokenizer, in bytes."""
    model = json.loads(made.to_str())["model"]
    merges = tuple(tuple(characters_as_bytes(part) for part in pair) for pair in model["merges"])
    return merges, tuple(sorted(model["vocab"], key=model["vocab"].get))


def strings(count, seed=0):
    """Texts of all kinds: awkward ones, pieces of prose, and characters drawn from everywhere and put together."""
    draw, prose = random.Random(seed), read_text("prose")
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]
    found = list(AWKWARD)
    while len(found) < count:
        start = draw.randrange(len(prose))
        parts = [draw.choice(AWKWARD[:12]), prose[start : start + draw.randrange(40)], *draw.choices(known, k=draw.randrange(6))]
        found.append("".join(draw.sample(parts, len(parts))))
    return found


@pytest.fixture(scope="module")
def prose():
    text = read_text("prose")
    return train_bpe(text, 1500, [END]), theirs(text, 1500, [END])


def test_merges_and_ids_are_those_of_the_package_tokenizers(prose):
    ours, other = prose
    merges, vocabulary = merges_and_ids(other)
    assert ours.merges == merges
    assert (ours.vocabulary[0].decode(), *map(bytes_as_characters, ours.vocabulary[1:])) == vocabulary
    assert len(ours) == 1500


def test_five_hundred_strings_get_the_ids_of_the_package_tokenizers(prose):
    ours, other = prose
    for text in strings(500):
        ids = ours.encode(text)
        assert ids.dtype == np.int64
        assert ids.tolist() == other.encode(text).ids, text
        assert ours.decode(ids) == text


@given(text=TEXTS, more=st.integers(0, 40))
def test_small_texts_too_with_all_their_ties(text, more):
    ours, other = train_bpe(text, 256 + more), theirs(text, 256 + more)
    assert ours.merges == merges_and_ids(other)[0]
    assert ours.encode(text + LIKE[0]).tolist() == other.encode(text + LIKE[0]).ids


def test_a_text_that_has_no_more_pairs_gets_fewer_tokens():
    assert train_bpe("aaaa bb", 1000).merges == ((b"a", b"a"), (b"b", b"b"), (b" ", b"bb"), (b"aa", b"aa"))
    assert train_bpe("aaaa bb", 1000, min_count=2).merges == ((b"a", b"a"),)
    assert len(train_bpe("", 1000)) == 256


@given(text=st.text() | TEXTS)
@example(text="<|endoftext|>" * 2)
def test_every_text_comes_back(prose, text):
    ours = prose[0]
    for special in (True, False):
        assert ours.decode(ours.encode(text, special)) == text


@given(data=st.binary() | st.text().map(str.encode))
@example(data=bytes(range(256)))
@example(data=b"\xed\xa0\x80 \xf0\x9f")
def test_every_string_of_bytes_comes_back(prose, data):
    ours = prose[0]
    ids = ours.encode_bytes(data)
    assert ours.decode_bytes(ids) == data
    assert ours.decode(ids) == data.decode("utf-8", "replace")


@given(text=st.text() | TEXTS)
def test_bytes_of_a_text_have_the_ids_of_the_text(prose, text):
    np.testing.assert_array_equal(prose[0].encode_bytes(text.encode()), prose[0].encode(text))


@given(chunks=st.lists(st.sampled_from([*LIKE, END, "<|end", "oftext|>", "'", "re"]), max_size=20))
def test_a_text_in_chunks_has_the_ids_of_the_whole(prose, chunks):
    found = np.concatenate([np.array([], dtype=np.int64), *prose[0].encode_chunks(chunks)])
    np.testing.assert_array_equal(found, prose[0].encode("".join(chunks)))


@pytest.mark.parametrize(
    ("length", "count"),
    [(7, 500), (LONGEST_KEPT, 300), (3 * LONGEST_KEPT, 250)],
    ids=["short words", "words as long as any that is kept", "longer words"],
)
def test_of_a_text_in_chunks_memory_does_not_grow_with_its_different_words(prose, length, count):
    """All of these words, with their ids, would not fit."""
    drawn = random.Random(length)
    lines = (" ".join("".join(drawn.choices("abcdefghij", k=length)) for _ in range(8)) + "\n" for _ in range(count))
    list(prose[0].encode_chunks([next(lines)]))  # what is made once
    tracemalloc.start()
    try:
        assert sum(map(len, prose[0].encode_chunks(lines))) > 8 * (count - 1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1e6


def test_special_tokens_are_whole_are_not_learnt_from_and_can_be_ignored():
    ours = train_bpe(f"ab{END}ab{END}cd{END}" * 3, 300, [END])
    assert ours.merges == ((b"a", b"b"), (b"c", b"d"))
    assert ours.encode(f"ab{END}").tolist() == [257, 0]
    plain = ours.encode(f"ab{END}", special=False)
    assert len(plain) == 1 + len(END)
    assert 0 not in plain
    assert ours.decode(plain) == ours.decode([257, 0]) == f"ab{END}"


def test_of_special_tokens_that_overlap_the_longest_wins():
    ours = BytePairTokenizer([], [END, END * 2])
    assert ours.encode(f"{END * 3}a").tolist() == [1, 0, 2 + ours.vocabulary[2:].index(b"a")]
    word = BytePairTokenizer([(b"a", b"b")], ["ab"])  # a token of the same bytes has another id
    assert word.encode("ab").tolist() == [0]
    assert word.encode("ab", special=False).tolist() == [257]


def test_merges_of_others_and_their_ids(prose):
    """As GPT-2 has it: special tokens come last. Ids are those that were given, whatever their order."""
    ours, _ = prose
    tokens = [*ours.vocabulary[1:], END.encode()]
    there = BytePairTokenizer(ours.merges, [END, "<new>"], dict(enumerate(tokens)))
    text = f"{read_text('sayings')}{END}<new>"
    expected = [tokens.index(ours.vocabulary[i]) for i in ours.encode(text.removesuffix("<new>"))]
    assert there.encode(text).tolist() == [*expected, len(tokens)]
    assert there.decode(there.encode(text)) == text
    shuffled = random.Random(0).sample(tokens, len(tokens))
    other = BytePairTokenizer(ours.merges, [END], shuffled)
    assert [shuffled[i] for i in other.encode(f"The sky{END}")] == [tokens[i] for i in there.encode(f"The sky{END}")]


def test_merges_follow_from_the_tokens(prose):
    assert merges_of(prose[0].vocabulary[1:]) == list(prose[0].merges)


@given(text=TEXTS, more=st.integers(0, 40), ties=st.sampled_from(["smaller ids", "greater bytes"]))
def test_merges_follow_from_the_tokens_of_any_text(text, more, ties):
    ours = train_bpe(text, 256 + more, ties=ties)
    assert merges_of(ours.vocabulary) == list(ours.merges)
    assert len(set(ours.vocabulary)) == len(ours)


@given(data=st.binary())
def test_bytes_are_written_as_visible_characters_and_read_again(data):
    written = bytes_as_characters(data)
    assert characters_as_bytes(written) == data
    assert len(written) == len(data)
    assert not written or written.isprintable()
    assert set(written) <= set(pre_tokenizers.ByteLevel.alphabet())


def test_what_is_no_utf8_shows_as_the_replacement_character():
    ours = BytePairTokenizer([])
    ids = ours.encode("é")
    assert ours.decode(ids[:1]) == "\ufffd"
    assert ours.decode(ids) == "é"
    assert ours.decode([]) == ""
    assert repr(ours) == "BytePairTokenizer of 256 tokens, 0 of them merged"


NONE = BytePairTokenizer([])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train_bpe("a", 255), "vocab_size is 255: 256 bytes have ids already, so give 256 at least"),
        (lambda: train_bpe("a", 257, ["x", "y"]), "256 bytes and 2 special tokens have ids already, so give 258 at least"),
        (lambda: train_bpe(b"a", 300), "a text is a string, and this is bytes"),
        (lambda: train_bpe("a\ud800", 300), r"text\[1\] is '\\ud800', half of a surrogate pair"),
        (lambda: train_bpe("a", 300, END), "special_tokens is .*: give different texts, none empty"),
        (lambda: train_bpe("a", 300, ["x", "x"]), "give different texts, none empty"),
        (lambda: train_bpe("a", 300, [""]), "give different texts, none empty"),
        (lambda: train_bpe("a", 300, None), "give different texts, none empty"),
        (lambda: train_bpe("a", 300, ties="none"), "unknown ties 'none'"),
        (lambda: NONE.encode("\udc80"), "half of a surrogate pair"),
        (lambda: NONE.encode(5), "a text is a string, and this is int"),
        (lambda: NONE.encode_bytes("a"), "data is str: give bytes"),
        (lambda: NONE.decode([3, 256]), r"ids\[1\] is 256, outside the vocabulary of 256 ids"),
        (lambda: NONE.decode([-1]), r"ids\[0\] is -1"),
        (lambda: NONE.decode([0.5]), "ids have dtype float64"),
        (lambda: BytePairTokenizer([(b"ab", b"c")]), r"merges\[0\] is .* b'ab' is neither a byte nor merged before"),
        (lambda: BytePairTokenizer([("a", "b")]), r"merges\[0\] is \('a', 'b'\): give pairs of bytes"),
        (lambda: BytePairTokenizer([b"a"]), r"merges\[0\] is b'a': give pairs of bytes"),
        (lambda: BytePairTokenizer([], vocabulary=[b"a"]), "vocabulary has no b'.*', which is a byte or made by a merge"),
        (lambda: BytePairTokenizer([(b"a", b"b")], (), [b"a", b"ab"], skip_missing_bytes=True), "vocabulary has no b'b'"),
        (lambda: BytePairTokenizer([(b"a", b"b")], vocabulary=NONE.vocabulary), "vocabulary has no b'ab'"),
        (lambda: BytePairTokenizer([], vocabulary=[*NONE.vocabulary, b"a"]), "vocabulary has b'a' more than once"),
        (lambda: BytePairTokenizer([], vocabulary=["a"]), "vocabulary is the bytes of each id"),
        (lambda: BytePairTokenizer([], vocabulary={1: b"a"}), "vocabulary has 1 ids, which are not 0 to 0"),
        (lambda: merges_of([b"a", b"abc"]), "the vocabulary has 'abc', of which the tokens before it make 3, not two"),
        (lambda: characters_as_bytes("a b"), "'a b' has ' ', which stands for no byte"),
    ],
)
def test_what_makes_no_sense_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_bytes_that_a_vocabulary_lacks_are_left_out_as_by_the_package_tokenizers():
    known = {bytes_as_characters(bytes([byte])): i for i, byte in enumerate(b"abc ")}
    theirs = Tokenizer(models.BPE(vocab=known | {"ab": 4}, merges=[("a", "b")]))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ours = BytePairTokenizer([(b"a", b"b")], vocabulary=[b"a", b"b", b"c", b" ", b"ab"], skip_missing_bytes=True)
    for text in ("abc", "a\x04b", "\x04", "é ab"):
        assert ours.encode(text).tolist() == theirs.encode(text).ids
    assert ours.decode(ours.encode("a\x04b c")) == "ab c"
