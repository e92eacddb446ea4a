"""Tokens of the real chat model, and where two readings of its file part."""

import re

import pytest
from pretrained.sample_texts import sample_texts
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from cllm_lib.pretrained import load_chat_model, read_gguf
from cllm_lib.pretrained.chat import SPECIAL, installed_file
from cllm_lib.text.bpe import BytePairTokenizer

SPACES_BEFORE_A_DIGIT = re.compile(r"(?:(?![\x1c-\x1f])\s){2,}[0-9]")
OTHER_NUMBERS = re.compile(r"[९½Ⅷ²]")


@pytest.fixture(scope="module")
def own():
    return load_chat_model().tokenizer


@pytest.fixture(scope="module")
def metadata():
    return read_gguf(installed_file())[0]


def theirs(metadata, single_digits=True):
    """The vocabulary and the merges of the file in the package tokenizers; digits apart, as the file says, or as GPT-2 cuts."""
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if single_digits:
        cut = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), cut])
    made.pre_tokenizer, made.decoder = cut, decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == SPECIAL]
    made.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    return made


def test_the_texts_are_of_all_kinds():
    texts = sample_texts(200)
    assert len(set(texts)) == 200
    assert "" in texts
    assert sum(bool(SPACES_BEFORE_A_DIGIT.search(text)) for text in texts) > 20
    assert sum("<|im_end|>" in text for text in texts) > 10


def test_ids_are_those_of_the_package_tokenizers_by_the_rule_that_the_file_names(own, metadata):
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    made = theirs(metadata)
    for text in sample_texts(200):
        ids = own.encode(text).tolist()
        assert ids == made.encode(text).ids, text
        assert own.decode(ids) == made.decode(ids, skip_special_tokens=False), text


def test_where_digits_do_not_stand_apart_ids_differ_after_two_spaces_before_a_digit_and_nowhere_else(own, metadata):
    """So transformers reads the file, whatever rule it names. Other numbers, such as ½, may be one token with what stands before."""
    made = theirs(metadata, single_digits=False)
    other = BytePairTokenizer(own.merges, own.special_tokens, own.vocabulary, single_digits=False, skip_missing_bytes=True)
    differ = []
    for text in sample_texts(200):
        ids = other.encode(text).tolist()
        assert ids == made.encode(text).ids, text
        if not OTHER_NUMBERS.search(text):
            assert (ids != own.encode(text).tolist()) == bool(SPACES_BEFORE_A_DIGIT.search(text)), text
            differ.append(ids != own.encode(text).tolist())
    assert 20 < sum(differ) < len(differ) - 20
    assert [own.decode([i]) for i in own.encode("a:\n\n1. b")] == ["a", ":", "\n\n", "1", ".", " b"]
    assert [own.decode([i]) for i in other.encode("a:\n\n1. b")] == ["a", ":", "\n", "\n", "1", ".", " b"]


def test_every_token_comes_back(own):
    """All bytes of the vocabulary, joined and cut anew, say the same."""
    for start in range(0, len(own), 4_096):
        ids = list(range(start, min(start + 4_096, len(own))))
        data = own.decode_bytes(ids)
        assert own.decode_bytes(own.encode_bytes(data, special=False)) == data
