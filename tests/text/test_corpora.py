import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import load_corpus
from cllm_lib.text import corpora as text


def test_the_sayings_have_the_size_of_the_documents_corpus():
    lines = text.read_text("sayings").splitlines()
    assert (len(lines), len(load_corpus("sayings").tokens)) == (218, 1241)
    assert "the sky is blue because" in " ".join(lines)


def test_prose_is_long_enough():
    assert len(load_corpus("prose").tokens) >= 5_000


def test_python_docs_are_read_word_for_word():
    from pydoc_data.topics import topics

    corpus = load_corpus("python-docs", vocab_size=100_000)
    assert len(corpus.tokens) == sum(len(topic.split()) for topic in topics.values())


def test_where_python_has_no_docs_prose_stands_in_and_a_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data.topics", None)
    np.testing.assert_array_equal(load_corpus("python-docs").tokens, load_corpus("prose").tokens)
    assert "using 'prose' instead" in capsys.readouterr().out


def test_patterns_are_what_they_promise():
    corpus = load_corpus("patterns")
    lines = corpus.tokens.reshape(-1, 5)
    assert (lines[:, 0] == lines[0, 0]).all()
    np.testing.assert_array_equal(lines[:, 1], lines[:, 4])
    np.testing.assert_array_equal(lines[:, 2], lines[:, 3])
    assert len(np.unique(lines[:, 1:3])) == 8
    assert corpus.best_loss == pytest.approx(2 * math.log(8) / 5)
    assert load_corpus("sayings").best_loss is None
    assert (load_corpus("patterns", seed=1).tokens != corpus.tokens).any()


def test_several_files_are_added_not_replaced(tmp_path):
    (tmp_path / "a.txt").write_text("red green", encoding="utf-8")
    (tmp_path / "b.txt").write_text("green blue", encoding="utf-8")
    corpus = load_corpus([tmp_path / "a.txt", str(tmp_path / "b.txt"), "sayings"])
    assert len(corpus.tokens) == 4 + 1241
    assert corpus.decode(corpus.tokens[:4]) == "red green green blue"


def test_ids_follow_falling_frequency():
    corpus = load_corpus("prose")
    counts = np.bincount(corpus.tokens.astype(np.intp), minlength=len(corpus.vocabulary))
    assert corpus.vocabulary[0] == "<unk>"
    assert counts[0] == 0
    assert (np.diff(counts[1:]) <= 0).all()


def test_a_capped_vocabulary_sends_rare_words_to_unknown():
    whole, capped = load_corpus("prose"), load_corpus("prose", vocab_size=51)
    assert len(capped.vocabulary) == 51
    assert capped.vocabulary == whole.vocabulary[:51]
    np.testing.assert_array_equal(capped.tokens, np.where(whole.tokens <= 50, whole.tokens, 0))


def test_encoding_and_decoding():
    corpus = load_corpus("sayings")
    np.testing.assert_array_equal(corpus.encode(corpus.decode(corpus.tokens)), corpus.tokens)
    assert corpus.encode("The SKY, xylophone!").tolist()[2] == 0
    assert corpus.decode([1, 9999]).endswith("<id 9999>")


@given(st.text())
def test_there_are_as_many_tokens_as_words(anything):
    assert len(text.tokenize(anything)) == len(anything.lower().split())


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(1, 12))
def test_targets_are_the_text_one_token_later(tokens, seq_len):
    tokens = np.array(tokens)
    if len(tokens) <= seq_len:
        with pytest.raises(ValueError, match="need"):
            text.windows(tokens, seq_len)
        return
    inputs, targets = text.windows(tokens, seq_len)
    np.testing.assert_array_equal(inputs.ravel(), tokens[: inputs.size])
    np.testing.assert_array_equal(targets.ravel(), tokens[1 : inputs.size + 1])
    assert inputs.size > len(tokens) - 1 - seq_len


def test_an_epoch_shows_each_sequence_once_in_random_order():
    corpus = load_corpus("sayings")
    inputs, targets = text.windows(corpus.tokens, 32)
    pairs = {(x.tobytes(), y.tobytes()) for x, y in zip(inputs, targets, strict=True)}
    batches = list(corpus.batches(4, 32, np.random.default_rng(0)))
    seen = [(x.tobytes(), y.tobytes()) for xs, ys in batches for x, y in zip(xs, ys, strict=True)]
    assert len(batches) == 9
    assert len(set(seen)) == len(seen) == 36
    assert set(seen) <= pairs
    again = next(corpus.batches(4, 32, np.random.default_rng(1)))
    assert (again[0] != batches[0][0]).any()


def test_random_batches_begin_anywhere_and_are_drawn_alike_by_the_same_generator():
    corpus = load_corpus("sayings", validation_fraction=0.25)
    batches = [batch for seed in range(40) for batch in corpus.random_batches(4, 32, np.random.default_rng(seed))]
    assert len(batches) == 40 * corpus.batches_per_epoch(4, 32)
    places = {corpus.train_tokens[i : i + 33].tobytes(): i for i in range(len(corpus.train_tokens) - 32)}
    starts = []
    for inputs, targets in batches:
        assert inputs.shape == targets.shape == (4, 32)
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        starts += [places[row.tobytes()] for row in np.concatenate([inputs, targets[:, -1:]], axis=1)]  # none reads what is held out
    assert min(starts) < 5
    assert max(starts) >= max(places.values()) - 5
    assert np.bincount(np.array(starts, dtype=np.intp) % 32, minlength=32).min() > 0  # not side by side
    again = list(corpus.random_batches(4, 32, np.random.default_rng(0)))
    assert all((one[0] == other[0]).all() for one, other in zip(again, batches, strict=False))
    tiny = load_corpus("sayings", validation_fraction=(len(load_corpus("sayings").tokens) - 32.5) / len(load_corpus("sayings").tokens))
    assert len(tiny.train_tokens) == 33  # room for one sequence only
    np.testing.assert_array_equal(next(tiny.random_batches(1, 32, np.random.default_rng(0)))[1][0], tiny.tokens[1:33])
    with pytest.raises(ValueError, match="batch_size is 9"):
        next(tiny.random_batches(9, 32, np.random.default_rng(0)))


def test_validation_is_held_out_from_the_end():
    corpus = load_corpus("sayings", validation_fraction=0.25)
    assert len(corpus.validation_tokens) == 310
    np.testing.assert_array_equal(np.concatenate([corpus.train_tokens, corpus.validation_tokens]), corpus.tokens)
    first_held_out = corpus.tokens[931:].tobytes()
    for inputs, _ in corpus.batches(1, 8, np.random.default_rng(0)):
        assert inputs.tobytes() in corpus.train_tokens.tobytes()
    assert first_held_out == corpus.validation_tokens.tobytes()


def slow_conditional_entropy(symbols, given_symbols):
    pairs, singles = Counter(zip(given_symbols, symbols, strict=True)), Counter(given_symbols)
    return -sum(n / len(symbols) * math.log(n / singles[g]) for (g, _), n in pairs.items())


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50))
def test_conditional_entropy_agrees_with_counting_by_hand(pairs):
    given_symbols, symbols = zip(*pairs, strict=True)
    assert text.conditional_entropy(symbols, given_symbols) == pytest.approx(slow_conditional_entropy(symbols, given_symbols), abs=1e-12)
    assert text.entropy(symbols) == pytest.approx(slow_conditional_entropy(symbols, [0] * len(symbols)), abs=1e-12)


def test_knowing_more_never_costs():
    corpus = load_corpus("sayings")
    unigram, bigram, positional = corpus.unigram_entropy(32), corpus.bigram_entropy(32), corpus.positional_entropy(32)
    assert unigram > bigram > positional > 0
    inputs, targets = (part.ravel().tolist() for part in text.windows(corpus.tokens, 32))
    assert bigram == pytest.approx(slow_conditional_entropy(targets, inputs))
    positions = [(token, i % 32) for i, token in enumerate(inputs)]
    assert positional == pytest.approx(slow_conditional_entropy(targets, positions))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty.txt is empty"), (b" \n\t ", "empty.txt is empty"), (b"gr\xfcn", r"not UTF-8 text \(byte 2 is 0xfc\)")],
)
def test_unreadable_texts_get_a_clear_error(content, words, tmp_path):
    (tmp_path / "empty.txt").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load_corpus(tmp_path / "empty.txt")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"source": "saying"}, ValueError, "unknown corpus 'saying': choose one of 'sayings', 'prose', 'patterns', 'python-docs'"),
        ({"source": "no/such/file.txt"}, FileNotFoundError, "no text file at no/such/file.txt"),
        ({"source": "nothing.txt"}, FileNotFoundError, "no text file at nothing.txt"),
        ({"source": []}, ValueError, "no text was named"),
        ({"source": "sayings", "vocab_size": 0}, ValueError, "vocab_size is 0"),
        ({"source": "sayings", "validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0"),
        ({"source": "sayings", "validation_fraction": float("nan")}, ValueError, "validation_fraction is nan"),
    ],
)
def test_bad_requests_get_a_clear_error(arguments, error, words):
    with pytest.raises(error, match=words):
        load_corpus(**arguments)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_corpus(tmp_path)


def test_a_byte_order_mark_is_no_word(tmp_path):
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfone two")
    assert load_corpus(tmp_path / "marked.txt").vocabulary == ("<unk>", "one", "two")


def test_a_vocabulary_of_one_holds_only_unknown():
    assert not load_corpus("sayings", vocab_size=1).tokens.any()


def test_the_fingerprint_tells_texts_apart(tmp_path):
    (tmp_path / "same.txt").write_text("a b c a b c", encoding="utf-8")
    (tmp_path / "other.txt").write_text("a b c a c b", encoding="utf-8")
    same, other = load_corpus(tmp_path / "same.txt"), load_corpus(tmp_path / "other.txt")
    assert same.fingerprint == load_corpus(tmp_path / "same.txt").fingerprint
    held_out = load_corpus(tmp_path / "same.txt", validation_fraction=0.5)
    assert (
        len({same.fingerprint, other.fingerprint, held_out.fingerprint, load_corpus(tmp_path / "same.txt", vocab_size=2).fingerprint}) == 4
    )


def test_odd_texts_are_read_all_the_same(tmp_path):
    odd = tmp_path / "ein Ordner ä" / "eine Datei ß.txt"
    odd.parent.mkdir()
    odd.write_bytes(b"the\0sky is\0 \0 blue")
    assert load_corpus(odd).vocabulary == ("<unk>", "\0", "blue", "is\0", "the\0sky")
    odd.write_text("sky " * 40, encoding="utf-8")
    one_word = load_corpus(odd)
    assert one_word.vocabulary == ("<unk>", "sky")
    assert one_word.bigram_entropy(32) == 0.0


@pytest.mark.slow
def test_a_gibibyte_of_one_line_is_one_word(tmp_path):
    (tmp_path / "long.txt").write_bytes(b"a" * 2**30)
    corpus = load_corpus(tmp_path / "long.txt")
    assert len(corpus.tokens) == 1
    with pytest.raises(ValueError, match="the text has 1 tokens; one sequence of 32 and its last target need 33"):
        corpus.batches_per_epoch(4, 32)
