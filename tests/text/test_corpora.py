import hashlib
import math
import platform
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cllm_lib import load_corpus
from cllm_lib.text import corpora as text
from cllm_lib.text import reading


def test_the_sayings_have_the_size_of_the_documents_corpus():
    lines = text.read_text("sayings").splitlines()
    assert (len(lines), len(load_corpus("sayings").tokens)) == (218, 1241)
    assert "the sky is blue because" in " ".join(lines)


def test_prose_is_long_enough():
    assert len(load_corpus("prose").tokens) >= 5_000


def test_python_docs_are_those_of_one_python():
    """How the file was made; another Python has other topics, so only that one can say."""
    if platform.python_version() != "3.11.7":
        pytest.skip("the text was taken from Python 3.11.7")
    topics = pytest.importorskip("pydoc_data.topics").topics
    assert text.data_file("python-docs.txt").read_text(encoding="utf-8") == "\n".join(topics[name] for name in sorted(topics))


def test_python_docs_are_the_same_for_everybody():
    data = text.data_file("python-docs.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "2a95af4ac93f5b719944030ce3769070ddf827d847cba42192afa8da989e5dc4"
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in text.data_file("python-docs.LICENSE.txt").read_text(encoding="utf-8")
    assert "python-docs.txt" in text.data_file("README.md").read_text(encoding="utf-8")


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


class Marked(text.Corpus):
    """Whatever it hands out has gone through `pair`: one more than it was."""

    def pair(self, inputs, targets):
        assert inputs.shape == targets.shape
        return inputs + 1, targets + 2


@pytest.mark.parametrize("cut", ["batches", "random_batches"])
def test_every_batch_goes_through_the_pair_of_its_corpus(cut):
    corpus = load_corpus("sayings", validation_fraction=0.25)
    marked = Marked(corpus.name, corpus.tokens, corpus.vocabulary, corpus.n_validation)
    sound, other = (list(getattr(one, cut)(4, 16, np.random.default_rng(0))) for one in (corpus, marked))
    assert len(other) == len(sound) == corpus.batches_per_epoch(4, 16)
    for (inputs, targets), (more, most) in zip(sound, other, strict=True):
        np.testing.assert_array_equal(more, inputs + 1)
        np.testing.assert_array_equal(most, targets + 2)


def test_what_is_held_out_goes_through_the_same_pair_and_a_sound_one_changes_nothing():
    corpus = load_corpus("sayings", validation_fraction=0.25)
    pair = text.windows(corpus.validation_tokens, 16)
    assert all(one is other for one, other in zip(corpus.held_out_pair(*pair), pair, strict=True))
    inputs, targets = Marked(corpus.name, corpus.tokens, corpus.vocabulary).held_out_pair(*pair)
    np.testing.assert_array_equal(inputs, pair[0] + 1)
    np.testing.assert_array_equal(targets, pair[1] + 2)


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
        ({"source": "patterns", "seed": -3}, ValueError, "seed is -3"),
        ({"source": "sayings", "unit": "letter"}, ValueError, "unknown unit 'letter': choose one of 'word', 'character'"),
        ({"source": "sayings", "normalization": "NFD"}, ValueError, "unknown normalization 'NFD': choose one of 'NFC', 'NFKC'"),
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
    odd.write_bytes(b"the\x07 sky\x1b is \x02 blue")
    assert load_corpus(odd).vocabulary == ("<unk>", "blue", "is", "sky", "the")
    odd.write_text("sky " * 40, encoding="utf-8")
    one_word = load_corpus(odd)
    assert one_word.vocabulary == ("<unk>", "sky")
    assert one_word.bigram_entropy(32) == 0.0


@pytest.fixture
def written(tmp_path):
    def write(content, name="text.txt"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize("unit", ["word", "character"])
def test_unknown_words_of_a_text_are_the_unknown_word_of_the_model(written, unit):
    corpus = load_corpus(written("the <unk> sky is <unk>, and “<unk>” the unk " * 9), unit=unit)
    assert (corpus.tokens == 0).sum() == 27
    assert corpus.vocabulary.count("<unk>") == 1
    assert corpus.encode("<unk>").tolist() == [0]
    np.testing.assert_array_equal(corpus.encode(corpus.decode(corpus.tokens)), corpus.tokens)


def test_a_text_of_nothing_but_unknown_words_is_read(written):
    assert not load_corpus(written("<unk> <unk>")).tokens.any()


def test_chinese_is_refused_in_words_and_read_in_characters(written):
    path = written("天空是蓝色的。\n" * 40)
    with pytest.raises(ValueError, match='has no spaces between its words.*unit="character" .--unit character'):
        load_corpus(path)
    corpus = load_corpus(path, unit="character")
    assert len(corpus.tokens) == 8 * 40
    assert set(corpus.vocabulary) == {"<unk>", *"天空是蓝色的。\n"}
    assert corpus.decode(corpus.encode("蓝色的天空")) == "蓝色的天空"
    assert corpus.decode(corpus.tokens) == path.read_text(encoding="utf-8")


def test_another_text_is_numbered_by_the_vocabulary_that_is_given(written):
    first = load_corpus("sayings")
    corpus = load_corpus(written("The xyzzy sky; the quick blue sea?"), vocabulary=list(first.vocabulary))
    assert corpus.vocabulary == first.vocabulary
    np.testing.assert_array_equal(corpus.tokens, first.encode("the xyzzy sky the quick blue sea"))
    assert corpus.decode(corpus.tokens).split()[1] == "<unk>"
    assert load_corpus("sayings", vocabulary=first.vocabulary).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ("the sky", "vocabulary is a sequence of words, '<unk>' the first"),
        (["the", "<unk>"], "'<unk>' the first"),
        ([], "'<unk>' the first"),
        (["<unk>", 5], "'<unk>' the first"),
        (7, "'<unk>' the first"),
        (["<unk>", "the", "sky", "the"], "vocabulary has 'the' more than once"),
        (["<unk>", "天", "空"], "sayings has no word of the vocabulary that was given"),
    ],
)
def test_what_is_no_vocabulary_is_said(vocabulary, words):
    with pytest.raises(ValueError, match=words):
        load_corpus("sayings", vocabulary=vocabulary)


def test_the_form_of_the_text_is_that_of_what_is_encoded_later(written):
    corpus = load_corpus(written("ﬁne ﬁsh"), normalization="NFKC")
    assert corpus.vocabulary == ("<unk>", "fine", "fish")
    assert corpus.encode("ﬁsh").tolist() == [2]
    assert load_corpus(written("ﬁne ﬁsh")).encode("fish").tolist() == [0]


def test_a_corpus_knows_how_to_read_it_again(written):
    paths = [written("red green " * 9, "a + b.txt"), written("blue " * 9, "c.txt")]
    corpus = load_corpus(paths, unit="character")
    again = load_corpus(corpus.sources, unit=corpus.unit, normalization=corpus.normalization, seed=corpus.seed)
    assert again.fingerprint == corpus.fingerprint
    assert corpus.sources == tuple(map(str, paths))


def test_chunks_meet_where_the_file_is_longer_than_one(written, monkeypatch):
    path = written("“Größe,” said he — the sky\u200b is e\u0301norm…\r\n" * 30)
    whole = {unit: load_corpus(path, unit=unit) for unit in ("word", "character", "bpe")}
    monkeypatch.setattr(reading.text_chunks, "__defaults__", (7,))
    for unit, corpus in whole.items():
        assert load_corpus(path, unit=unit).fingerprint == corpus.fingerprint


@pytest.mark.slow
def test_a_gibibyte_of_one_line_is_one_word(tmp_path):
    (tmp_path / "long.txt").write_bytes(b"a" * 2**30)
    corpus = load_corpus(tmp_path / "long.txt")
    assert len(corpus.tokens) == 1
    with pytest.raises(ValueError, match="the text has 1 tokens; one sequence of 32 and its last target need 33"):
        corpus.batches_per_epoch(4, 32)


def test_byte_pairs_give_every_text_back_as_it_stands(written):
    text = "\ufeffThe <unk>  SKY\x07 e\u0301 is “blue”…\r\n\t天空 👩‍💻 \n" * 9
    corpus = load_corpus(written(text), unit="bpe", validation_fraction=0.3)
    assert corpus.decode(corpus.tokens) == text.removeprefix("\ufeff"), "a byte order mark is none of the text"
    np.testing.assert_array_equal(corpus.encode(corpus.decode(corpus.tokens)), corpus.tokens)
    assert (corpus.tokens == 0).sum() == 9
    assert corpus.vocabulary[0] == "<unk>"
    assert corpus.normalization == "none"
    for other in ("", "ß 🙂 \0 nothing of this was read", "<unk>"):
        assert corpus.decode(corpus.encode(other)) == other
    assert corpus.decode([9999]) == "<id 9999>"
    assert corpus.decode(corpus.encode("🙂")[:2]) == "\ufffd"


def test_byte_pairs_are_numbered_by_a_vocabulary_that_is_given_and_read_again(written):
    first = load_corpus("prose", unit="bpe", vocab_size=600, validation_fraction=0.1)
    assert len(first.vocabulary) == 600
    again = load_corpus(first.sources, unit="bpe", validation_fraction=0.1, normalization=first.normalization, vocabulary=first.vocabulary)
    assert again.fingerprint == first.fingerprint
    other = load_corpus(written("größer 🙂"), unit="bpe", vocabulary=list(first.vocabulary))
    assert other.decode(other.tokens) == "größer 🙂"
    assert other.vocabulary == first.vocabulary
    with pytest.raises(ValueError, match="the vocabulary has 'and', of which the tokens before it make 3"):
        load_corpus("prose", unit="bpe", vocabulary=("<unk>", "and"))


def test_byte_pairs_may_be_normalised_and_words_have_to_be(written):
    corpus = load_corpus(written("ﬁne ﬁsh"), unit="bpe", normalization="NFKC")
    assert corpus.decode(corpus.encode("ﬁsh")) == "fish"
    with pytest.raises(ValueError, match="unknown normalization 'none': choose one of 'NFC', 'NFKC'"):
        load_corpus("sayings", normalization="none")
    assert load_corpus("sayings").normalization == load_corpus("sayings", unit="character").normalization == "NFC"


def test_a_model_may_not_be_too_small_for_the_bytes():
    with pytest.raises(ValueError, match="vocab_size is 50: of byte pairs"):
        load_corpus("sayings", unit="bpe", vocab_size=50)


@pytest.mark.parametrize("unit", ["word", "character", "bpe"])
def test_what_comes_token_by_token_is_the_text(unit):
    corpus = load_corpus("sayings", unit=unit)
    between = " " if unit == "word" else ""
    assert between.join(corpus.decode_stream(iter(corpus.tokens[:99].tolist()))) == corpus.decode(corpus.tokens[:99])
