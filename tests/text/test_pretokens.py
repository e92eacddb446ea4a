"""Pieces are those of GPT-2's own pattern, as two other engines of regular expressions read it, and lose nothing."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from cllm_lib.text import pretokenize, pretokens
from cllm_lib.text.pretokens import pretokenize_chunks

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
AWKWARD = ["'re", "'ll", "'S", "'", " ", "  ", "\t", "\n", "\r\n", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u3000", "\u200b", "\u200d"]
AWKWARD += [
    "é",
    "e\u0301",
    "ß",
    "天空",
    "กา",
    "९",
    "½",
    "Ⅷ",
    "三",
    "👩‍💻",
    "🏳️‍🌈",
    "\U0001d538",
    "\U0001f170",
    "<unk>",
    "_",
    "\0",
    "\ufeff",
    "a",
    "42",
]
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"])  # others may be assigned in an engine's Unicode, and not in ours
TEXTS = st.lists(st.sampled_from(AWKWARD) | st.text(ASSIGNED, max_size=4), max_size=12).map("".join)
SPECIAL = ["<unk>", "aba", "ab", "abab", "a b", " "]


def pieces_of_tokenizers(text, single_digits=False):
    """By the places it gives, for it writes bytes as other characters."""
    cutter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if single_digits:
        cutter = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), cutter])
    return [text[start:stop] for _, (start, stop) in cutter.pre_tokenize_str(text)]


def characters(edges=False):
    """Every character that Python's Unicode knows, or the first and the last of every run of one kind; cut in four ways by kind."""
    kinds = [unicodedata.category(chr(code)) for code in range(sys.maxunicode + 1)]
    kept = (
        code
        for code, kind in enumerate(kinds)
        if kind not in ("Cs", "Cn", "Co") and not (edges and kinds[code - 1] == kind == kinds[code + 1])
    )
    return "".join(f"a{chr(code)}{chr(code)}1" for code in kept)


@given(text=TEXTS, single_digits=st.booleans())
@example(text="a  42\n\n1. x", single_digits=True)
def test_pieces_are_those_of_the_package_tokenizers(text, single_digits):
    assert pretokenize(text, single_digits=single_digits) == pieces_of_tokenizers(text, single_digits)


@given(text=TEXTS)
def test_pieces_are_those_of_the_package_regex(text):
    regex = pytest.importorskip("regex")
    assert pretokenize(text) == regex.findall(GPT2, text)


def test_every_character_is_of_the_kind_that_the_package_regex_says():
    regex = pytest.importorskip("regex")
    text = characters()
    assert pretokenize(text) == regex.findall(GPT2, text)


def test_kinds_begin_and_end_where_the_package_tokenizers_says():
    text = characters(edges=True)
    assert pretokenize(text) == pieces_of_tokenizers(text)


@given(text=st.text(), special=st.lists(st.sampled_from(SPECIAL), unique=True))
def test_pieces_are_the_text_again(text, special):
    assert "".join(pretokenize(text, special)) == text


@given(
    chunks=st.lists(st.sampled_from([*"ab <", "unk>", *SPECIAL]) | st.sampled_from(AWKWARD) | st.text(max_size=3), max_size=20),
    special=st.lists(st.sampled_from(SPECIAL), unique=True),
)
@example(chunks=["ab", "ab"], special=["ab", "abab"])
@example(chunks=["a", "ba"], special=["aba"])
@example(chunks=["x'", "r", "e"], special=[])
@example(chunks=["x ", " ", "y"], special=[])
def test_a_text_in_chunks_is_cut_as_at_once(chunks, special):
    for single_digits in (False, True):
        found = [piece for pieces in pretokenize_chunks(chunks, special, single_digits) for piece in pieces]
        assert found == pretokenize("".join(chunks), special, single_digits)


def test_of_a_long_text_in_chunks_little_is_kept():
    yielded = [len(pieces) for pieces in pretokenize_chunks(["so it is, they'd say\n"] * 50)]
    assert min(yielded[1:-1]) == 8
    assert yielded[-1] == 1


@pytest.mark.parametrize("endless", ["a", " ", "7", "-"])
def test_a_piece_that_goes_on_for_many_chunks_is_not_gone_through_at_each_of_them(endless, monkeypatch):
    chunks, looked_at, cut = [endless * 20] * 2_000, [], pretokens.pattern()

    class Watched:
        def findall(self, text, start=0, end=sys.maxsize):
            looked_at.append(min(end, len(text)) - start)
            return cut.findall(text, start, end)

    monkeypatch.setattr(pretokens, "pattern", lambda single_digits: Watched())
    found = [piece for pieces in pretokens.pretokenize_chunks([*chunks, "b c"]) for piece in pieces]
    assert found == cut.findall("".join([*chunks, "b c"]))
    assert sum(looked_at) < 5 * sum(map(len, chunks))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("I'm they'LL 'twas", ["I", "'m", " they", "'", "LL", " '", "twas"]),
        ("a  b\n\n c   ", ["a", " ", " b", "\n\n", " c", "   "]),
        ("x1y²", ["x", "1", "y", "²"]),
        ("天空是蓝色的。", ["天空是蓝色的", "。"]),
        ("a\x1cb", ["a", "\x1c", "b"]),
    ],
)
def test_pieces(text, pieces):
    assert pretokenize(text) == pieces


def test_special_tokens_are_whole_and_the_longest_wins():
    twice = "<|end|><|end|>"
    assert pretokenize(f"one{twice} two<|end|>'s", ["<|end|>", twice]) == ["one", twice, " two", "<|end|>", "'s"]
    assert pretokenize(f"one{twice}", ["<|end|>"]) == ["one", "<|end|>", "<|end|>"]
    assert pretokenize("a.b", ["."]) == ["a", ".", "b"], "no pattern, but a text"
