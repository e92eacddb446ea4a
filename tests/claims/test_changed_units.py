"""One string in three units, with equally many parameters; what is held out teaches no id, and what <unk> hides is charged for."""

import math

import numpy as np
import pytest
from claims.made import assert_comes_back, store
from hypothesis import given, settings
from hypothesis import strategies as st

from cllm_lib import CLLM, claims
from cllm_lib.claims import changed, changed_units, registry
from cllm_lib.claims.changed_units import BITS, BITS_SPELLED, CHARACTERS, PAIRS, SPELLED, WIDTHS, WORDS
from cllm_lib.text.corpora import read_text
from cllm_lib.text.ngrams import KneserNeyTrigram
from cllm_lib.text.normalization import UNKNOWN, tokenize
from cllm_lib.text.subwords import numbered_subwords


@pytest.fixture(autouse=True)
def forget():
    registry.forget()
    yield
    registry.forget()


def test_all_three_read_one_string():
    trained, held_out = changed_units.plain_text()
    for unit in (CHARACTERS, PAIRS):
        corpus = changed_units.corpus_of(unit)
        assert corpus.decode(corpus.tokens) == trained + held_out
        assert corpus.decode(corpus.validation_tokens) == held_out
    words = changed_units.corpus_of(WORDS)
    said = [word if word in words.vocabulary else UNKNOWN for word in held_out.split()]
    assert words.decode(words.validation_tokens).split() == said
    whole = tokenize(read_text("python-docs"))
    first = int(0.8 * len(whole))
    assert trained.split() + held_out.split() == whole[: first + changed_units.JUDGED]
    assert len(held_out.split()) == changed_units.JUDGED < len(whole) - first


def test_words_say_all_of_that_string_but_what_is_unknown():
    """To cut it into words once more changes nothing."""
    whole = "".join(changed_units.plain_text())
    assert " ".join(tokenize(whole)) == whole


@pytest.mark.parametrize("unit", WIDTHS)
def test_what_has_an_id_is_learnt_from_the_part_that_is_trained_on(unit):
    trained, held_out = changed_units.plain_text()
    corpus = changed_units.corpus_of(unit)
    if unit == PAIRS:
        assert corpus.vocabulary == numbered_subwords([trained], 1_000, progress=False)[0]
    else:
        pieces = set(trained) if unit == CHARACTERS else set(trained.split())
        assert set(corpus.vocabulary) - {UNKNOWN} <= pieces
    np.testing.assert_array_equal(corpus.encode(held_out), corpus.validation_tokens)
    unknown = (corpus.validation_tokens == 0).mean()
    assert unknown > 0.05 if unit == WORDS else unknown == 0.0
    assert set(claims.values("changed_units", unit, "unknown")) == {unknown}


def test_all_have_as_many_parameters_to_one_in_a_hundred_and_a_feed_forward_part_of_a_usual_width():
    sizes = {unit: CLLM(changed_units.config_of(unit)).flat_parameters.size for unit in WIDTHS}
    assert max(sizes.values()) / min(sizes.values()) < 1.01
    for unit, size in sizes.items():
        config = changed_units.config_of(unit)
        assert changed_units.parameters(unit, config.d_ff) == size
        assert 2 <= config.d_ff / config.d_model <= 5
        assert set(claims.values("changed_units", unit, "parameters")) == {size}


def test_the_same_bytes_are_counted_for_all(monkeypatch):
    """Ten nats a token, whatever the unit: bits are ten over ln 2 for each token, shared out among the bytes of one string."""
    monkeypatch.setattr(changed_units, "trained_loss", lambda *arguments, **judged: 10.0)
    size = len(changed_units.plain_text()[1].encode("utf-8"))
    for unit in WIDTHS:
        tokens = changed_units.corpus_of(unit).n_validation
        assert changed_units.held_out_bits(unit, 0.01, 0) == pytest.approx(10.0 / math.log(2) * tokens / size)
    monkeypatch.setattr(changed_units, "trained_loss", lambda *arguments, **judged: math.inf)
    assert changed_units.held_out_bits(WORDS, 0.01, 0) == math.inf


NAMES = st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=12)


@settings(max_examples=settings().max_examples // 2)
@given(NAMES, NAMES)
def test_spelling_costs_what_the_characters_cost_one_by_one(examples, words):
    first, second = ("".join(f"{word} " for word in part) for part in (examples, words))
    alphabet = [UNKNOWN, *sorted(set(first))]
    first, second = ([alphabet.index(c) if c in alphabet else 0 for c in part] for part in (first, second))
    speller = KneserNeyTrigram(first, len(alphabet))
    chances = [speller.probability(c, second[max(0, i - 2) : i]) for i, c in enumerate(second)]
    slow = math.inf if 0.0 in chances else -sum(map(math.log2, chances))  # where nothing occurs just once, nothing is set aside
    with np.errstate(divide="ignore"):
        assert changed_units.spelling_bits(examples, words) == pytest.approx(slow)


def test_nothing_is_charged_where_nothing_is_unknown_and_what_looks_familiar_is_cheap():
    examples = changed_units.plain_text()[0].split()[:3_000]
    assert changed_units.spelling_bits(examples, []) == 0.0
    assert changed_units.spelling_bits(examples, ["statements"]) < changed_units.spelling_bits(examples, ["stnemetats"])


def test_the_stored_runs_charge_words_and_nobody_else():
    for unit in WIDTHS:
        gap = claims.values("changed_units", unit, BITS_SPELLED) - claims.values("changed_units", unit, BITS)
        np.testing.assert_allclose(gap, changed_units.unknown_bits() if unit == WORDS else 0.0, atol=1e-9)


@pytest.mark.parametrize(
    ("pairs", "verdicts"),
    [
        (1.5, (changed.BETTER, changed.BETTER, changed.BETTER)),
        (2.1, (changed.WORSE, changed.BETTER, changed.BETTER)),
        (2.3, (changed.WORSE, changed.WORSE, changed.BETTER)),
    ],
)
def test_the_verdict_turns_when_the_bits_do(pairs, verdicts, monkeypatch):
    monkeypatch.setattr(changed_units, "check_rates", lambda name, chosen: None)
    own = np.linspace(-0.005, 0.005, 10)
    numbers = {(PAIRS, BITS): pairs + own, (CHARACTERS, BITS): 2.0, (WORDS, BITS): 2.2, (WORDS, BITS_SPELLED): 2.7}
    store(monkeypatch, "changed_units", numbers)
    found = {one.against: one.verdict for one in changed.changes("units")}
    assert tuple(found[against] for against in (CHARACTERS, WORDS, SPELLED)) == verdicts


@pytest.mark.slow
@pytest.mark.parametrize("unit", WIDTHS)
def test_a_run_made_now_is_the_one_stored(unit):
    assert_comes_back("changed_units", rel=1e-2, variants=[unit], seeds=[0])
