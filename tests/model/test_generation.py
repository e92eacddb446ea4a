import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model import generation
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.generation import distinct_n, draw, generate, keep_top_k, keep_top_p, next_token_probabilities, stream
from cllm_lib.model.layers import softmax
from cllm_lib.model.positions import POSITIONS

CONFIG = CLLMConfig(vocab_size=6, d_model=8, n_heads=2, d_ff=8, seq_len=4)


@pytest.fixture(scope="module")
def model():
    return CLLM(CONFIG, seed=0)


# Choosing


def slow_choice(weights, top_k, top_p):
    """Written to be read, in exact fractions: which ids stay, and the share of each."""
    shares = {i: Fraction(w) / sum(map(Fraction, weights)) for i, w in enumerate(weights)}
    for stop in ("k", "p"):
        kept = {}
        while len(kept) < len(shares):
            best = max((i for i in shares if i not in kept), key=lambda i: (shares[i], -i))
            kept[best] = shares[best]
            if stop == "k" and len(kept) == top_k:
                break
            if stop == "p" and top_p is not None and sum(kept.values()) >= Fraction(top_p):
                break
        shares = {i: share / sum(kept.values()) for i, share in kept.items()}
    return [float(shares.get(i, 0)) for i in range(len(weights))]


@st.composite
def dyadic(choose):
    """Whole numbers with a sum of 64: as probabilities they and their sums are exact, and many are equal."""
    cuts = sorted(choose(st.lists(st.integers(0, 64), max_size=9)))
    return [b - a for a, b in zip([0, *cuts], [*cuts, 64], strict=True)]


@given(dyadic(), st.none() | st.integers(1, 12))
def test_top_k_is_the_slow_choice(weights, top_k):
    np.testing.assert_allclose(keep_top_k(np.array(weights) / 64, top_k), slow_choice(weights, top_k, None), rtol=1e-14)


@given(dyadic(), st.none() | st.integers(1, 64).map(lambda n: n / 64) | st.floats(0, 1, exclude_min=True))
def test_top_p_is_the_slow_choice(weights, top_p):
    """A sum that just reaches p, in 64ths, is enough."""
    np.testing.assert_allclose(keep_top_p(np.array(weights) / 64, top_p), slow_choice(weights, None, top_p), rtol=1e-14)


@given(
    logits=st.lists(st.integers(-6, 6).map(lambda n: n / 2), min_size=1, max_size=10),
    temperature=st.sampled_from([0.25, 0.7, 1.0, 2.0, 10.0]),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.floats(0.01, 0.99),
)
def test_temperature_top_k_and_top_p_together_are_the_slow_choice(logits, temperature, top_k, top_p):
    weights = [math.exp(logit / temperature) for logit in logits]
    found = next_token_probabilities(logits, temperature, top_k, top_p)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    # Where sums of rounded exponentials come within rounding of p, one token more or less is right.
    slow = [slow_choice(weights, top_k, top_p and min(1.0, max(1e-9, top_p + shift))) for shift in (-1e-12, 1e-12)]
    assert any(np.allclose(found, expected, rtol=1e-9, atol=1e-300) for expected in slow)


def test_without_top_k_and_top_p_it_is_the_softmax():
    logits = np.random.default_rng(0).standard_normal(50)
    for top_k, top_p in ((None, None), (50, 1.0), (51, None), (10**9, 1)):
        np.testing.assert_array_equal(next_token_probabilities(logits, 1.0, top_k, top_p), softmax(logits))
        np.testing.assert_allclose(next_token_probabilities(logits, 0.7, top_k, top_p), softmax(logits / 0.7), rtol=1e-13)


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [
        (1, None, [0, 1, 0, 0, 0]),
        (2, None, [0, 1 / 2, 0, 1 / 2, 0]),
        (3, None, [1 / 5, 2 / 5, 0, 2 / 5, 0]),  # ids 0, 2 and 4 are equal: the lowest stays
        (None, 0.25, [0, 1, 0, 0, 0]),
        (None, 0.29, [0, 1 / 2, 0, 1 / 2, 0]),  # 2 / 7 is not enough
        (None, 0.6, [1 / 5, 2 / 5, 0, 2 / 5, 0]),
        (3, 0.75, [0, 1 / 2, 0, 1 / 2, 0]),  # of the three best, which share all
        (3, 0.85, [1 / 5, 2 / 5, 0, 2 / 5, 0]),
    ],
)
def test_small_cases_by_hand(top_k, top_p, expected):
    found = next_token_probabilities(np.log([1, 2, 1, 2, 1]), 1.0, top_k, top_p)
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("choice", [{}, {"top_k": 3}, {"top_p": 0.9}])
@pytest.mark.parametrize("temperature", [0, 1e-320, 1e-12])
def test_no_temperature_and_hardly_any_give_all_to_the_likeliest(temperature, choice):
    np.testing.assert_array_equal(next_token_probabilities([1.0, 3.0, -1e4, 2.0], temperature, **choice), [0, 1, 0, 0])


def test_at_temperature_zero_the_lowest_of_equal_ids_gets_all():
    np.testing.assert_array_equal(next_token_probabilities([1.0, 3.0, 3.0], 0), [0, 1, 0])


def test_a_forbidden_token_gets_nothing():
    found = next_token_probabilities([0.0, -np.inf, 0.0], 2.0, top_k=3, top_p=0.999)
    np.testing.assert_array_equal(found, [0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        ([1.0, float("nan"), float("nan")], r"the logit of token 1 is nan \(2 of 3 are like that\): the weights have diverged"),
        ([1.0, 2.0, float("inf")], r"the logit of token 2 is inf \(1 of 3"),
        ([-math.inf, -math.inf], "all 2 logits are -inf: every token is forbidden"),
        ([[1.0, 2.0]], r"logits have shape \(1, 2\): give those of one position"),
        ([], r"logits have shape \(0,\)"),
        (1.0, r"logits have shape \(\)"),
    ],
)
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_nothing_can_be_drawn_from_say_so(logits, words, temperature):
    with pytest.raises(ValueError, match=words):
        next_token_probabilities(logits, temperature)


BAD_CHOICES = [
    ({"temperature": -1}, "temperature is -1: give a finite number of at least 0"),
    ({"temperature": float("nan")}, "temperature is nan"),
    ({"temperature": "hot"}, "temperature is 'hot'"),
    ({"top_k": 0}, "top_k is 0: give a whole number of at least 1"),
    ({"top_k": 2.0}, "top_k is 2.0"),
    ({"top_k": True}, "top_k is True"),
    ({"top_p": 0}, "top_p is 0: give a probability above 0 and at most 1, or None to keep every token"),
    ({"top_p": 1.01}, "top_p is 1.01"),
    ({"top_p": float("nan")}, "top_p is nan"),
    ({"top_p": True}, "top_p is True"),
    ({"top_p": "0.9"}, "top_p is '0.9'"),
]


@pytest.mark.parametrize(("choice", "words"), BAD_CHOICES)
def test_a_choice_that_makes_no_sense_gets_a_clear_error(choice, words):
    with pytest.raises(ValueError, match=words):
        next_token_probabilities([1.0, 2.0], **choice)


# Drawing


@given(dyadic(), st.floats(0, 1, exclude_max=True))
def test_a_draw_is_the_stretch_of_the_line_that_the_number_falls_on(weights, uniform):
    token, start = draw(np.array(weights) / 64, uniform), 0
    for i, weight in enumerate(weights):
        if start <= 64 * uniform < start + weight:
            assert token == i
        start += weight
    assert weights[token] > 0


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2.0**-53])
def test_the_ends_of_the_line_belong_to_tokens_with_a_share(uniform):
    generator = np.random.default_rng(0)
    for _ in range(300):
        probabilities = np.concatenate([[0.0], softmax(10 * generator.standard_normal(50)), [0.0, 0.0]])
        assert probabilities[draw(probabilities, uniform)] > 0


def test_draws_follow_the_predicted_probabilities(model):
    expected = softmax(model.logits([[3]])[0, -1])
    draws = [generate(model, [3], 1, seed=seed)[-1] for seed in range(2000)]
    shares = np.bincount(np.asarray(draws, np.intp), minlength=6) / len(draws)
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / len(draws))


# Generating


def generated_before(model, tokens, count, temperature, seed):
    """Generation as it stood before there were top-k, top-p and the cache: stored outputs come from it."""
    tokens, generator = list(tokens), np.random.default_rng(seed)
    for _ in range(count):
        logits = model.logits([tokens[-model.config.seq_len :]])[0, -1].astype(np.float64)
        if temperature == 0.0:
            tokens.append(int(logits.argmax()))
        else:
            cumulative = np.cumsum(softmax(logits / temperature))
            tokens.append(int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right")))
    return tokens


@pytest.mark.parametrize("temperature", [0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("use_cache", [True, False])
def test_what_was_generated_before_still_is(model, temperature, use_cache):
    for seed in range(20):
        tokens = generate(model, [1, 5], 8, temperature, seed=seed, use_cache=use_cache)
        assert tokens.tolist() == generated_before(model, [1, 5], 8, temperature, seed)
        assert tokens.dtype == np.int64


def test_temperature_zero_takes_the_likeliest_token(model):
    tokens = generate(model, [1, 2], 5, temperature=0)
    for position in range(2, 7):
        context = tokens[max(0, position - 4) : position]
        assert tokens[position] == model.logits(context[None])[0, -1].argmax()


@given(
    n_heads=st.integers(1, 3),
    n_layers=st.integers(1, 2),
    seq_len=st.integers(1, 8),
    prompt=st.integers(1, 10),
    count=st.integers(1, 10),
    tied=st.booleans(),
    positions=st.sampled_from(sorted(POSITIONS)),
    choice=st.sampled_from([(0,), (1.0,), (0.7, 3), (1.0, None, 0.8), (1.5, 4, 0.9)]),
    seed=st.integers(0, 10_000),
)
def test_the_cache_changes_no_token_within_the_window_nor_beyond(n_heads, n_layers, seq_len, prompt, count, tied, positions, choice, seed):
    config = CLLMConfig(9, 4 * n_heads, n_layers, n_heads, 5, seq_len, "float64", tied, positions)
    model = spread_out(CLLM(config, seed=seed), seed)
    tokens = random_batch(9, 1, prompt, seed)[0][0]
    with_cache, without = (list(stream(model, tokens, count, *choice, seed=seed, use_cache=use)) for use in (True, False))
    assert [token for token, _ in with_cache] == [token for token, _ in without]
    for (_, ours), (_, expected) in zip(with_cache, without, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


def test_with_the_cache_the_model_itself_is_not_asked(model, monkeypatch):
    expected = generate(model, [1, 2], 6, use_cache=False)
    monkeypatch.setattr(CLLM, "logits", None)
    np.testing.assert_array_equal(generate(model, [1, 2], 6), expected)


def test_with_the_cache_each_token_is_read_once_until_the_window_slides(model, monkeypatch):
    sizes, extend = [], generation.KeyValueCache.extend

    def watched(self, tokens):
        sizes.append(np.shape(tokens)[1])
        return extend(self, tokens)

    monkeypatch.setattr(generation.KeyValueCache, "extend", watched)
    generate(model, [1, 2], 5)
    assert sizes == [2, 1, 1, 4, 4]  # the fourth new token follows five, of which the model sees four


@pytest.mark.parametrize("name", defects.ALL)
def test_the_museum_says_the_same_when_a_cache_is_asked_for(name):
    model = defects.ALL[name].patient(CONFIG)
    expected = generate(model, [1, 2], 6, seed=3, use_cache=False)
    np.testing.assert_array_equal(generate(model, [1, 2], 6, seed=3), expected)


def test_a_readers_own_attention_is_asked():
    class Mine(CausalSelfAttention):
        calls = 0

        def attend(self, query, key, value):
            Mine.calls += 1
            return super().attend(query, key, value)

    model = CLLM(CONFIG, seed=0, attention=Mine())
    np.testing.assert_array_equal(generate(model, [1, 2], 3), generate(CLLM(CONFIG, seed=0), [1, 2], 3))
    assert Mine.calls == 3 * CONFIG.n_layers


def test_the_seed_decides_and_the_prompt_stays(model):
    first, second = generate(model, [1, 5], 8, seed=3), generate(model, [1, 5], 8, seed=3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[:2], [1, 5])
    assert len(first) == 10
    assert len({tuple(generate(model, [1, 5], 8, seed=seed)) for seed in range(10)}) > 5


def test_only_tokens_that_were_kept_are_drawn(model):
    for token, probabilities in stream(model, [1], 100, temperature=5.0, top_k=2):
        assert (probabilities > 0).sum() == 2
        assert probabilities[token] > 0


def test_a_stream_hands_out_what_each_token_was_drawn_from(model):
    tokens = [2, 3]
    for token, probabilities in stream(model, tokens, 6, 0.8, 5, 0.9, seed=1):
        logits = model.logits([tokens[-4:]])[0, -1]
        np.testing.assert_allclose(probabilities, next_token_probabilities(logits, 0.8, 5, 0.9), atol=1e-12)
        tokens.append(token)
    assert tokens == generate(model, [2, 3], 6, 0.8, 5, 0.9, seed=1).tolist()


def test_a_stream_can_be_left_and_leaves_the_prompt_alone(model):
    prompt = [1, 2]
    growing = stream(model, prompt, 1000)
    first = [next(growing)[0] for _ in range(3)]
    growing.close()
    assert prompt == [1, 2]
    assert first == generate(model, prompt, 3)[2:].tolist()


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_stream_and_training_in_between(use_cache):
    """With the cache the text goes on with the weights it began with; without it each token comes from those of now."""
    model = spread_out(CLLM(CLLMConfig(50, d_model=8, n_heads=2, d_ff=8), seed=0))
    fixed = generate(model, [1, 2], 8)
    growing, tokens = stream(model, [1, 2], 8, use_cache=use_cache), [1, 2]
    for token, probabilities in growing:
        now = next_token_probabilities(model.logits([tokens])[0, -1])
        assert np.allclose(probabilities, now) == (len(tokens) == 2 or not use_cache)
        tokens.append(token)
        model.flat_parameters += 0.3 * np.random.default_rng(len(tokens)).standard_normal(model.flat_parameters.size)
    assert (tokens == fixed.tolist()) == use_cache


@pytest.mark.parametrize(
    ("prompt", "settings", "words"),
    [
        ([], {}, "shape .0,.: give a list of one or more"),
        ([[1, 2]], {}, "give a list"),
        ("is", {}, r"shape \(\): give a list"),
        ([6], {}, r"prompt_tokens\[0\] is 6, outside the vocabulary of 6"),
        ([1.0], {}, "prompt_tokens have dtype float64: token ids are integers"),
        ([1], {"max_new_tokens": 0}, "max_new_tokens is 0"),
        *(([1], choice, words) for choice, words in BAD_CHOICES),
    ],
)
@pytest.mark.parametrize("speak", [generate, stream])
def test_bad_requests_get_a_clear_error_at_the_call(model, speak, prompt, settings, words):
    with pytest.raises(ValueError, match=words):
        speak(model, prompt, **({"max_new_tokens": 1} | settings))


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_model_that_diverged_says_so_instead_of_a_word(use_cache, temperature):
    model = CLLM(CONFIG)
    model.flat_parameters[:] = np.nan
    with pytest.raises(ValueError, match="the logit of token 0 is nan .6 of 6 are like that.: the weights have diverged"):
        generate(model, [1], 2, temperature, use_cache=use_cache)


# Measuring repetition


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 4))
def test_distinct_n_counts_pieces_that_did_not_come_before(tokens, n):
    if len(tokens) < n:
        with pytest.raises(ValueError, match=f"{len(tokens)} tokens hold no {n}-gram: give {n} tokens at least, or a smaller n"):
            distinct_n(tokens, n)
        return
    pieces = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    new = [piece for i, piece in enumerate(pieces) if piece not in pieces[:i]]
    assert distinct_n(tokens, n) == distinct_n(np.array(tokens), n) == len(new) / len(pieces)


@pytest.mark.parametrize(
    ("text", "shares"), [("is the blue is the blue is the", [3 / 8, 3 / 7, 3 / 6]), ("why the sky is blue", [1.0, 1.0, 1.0])]
)
def test_the_patients_words_repeat_themselves(text, shares):
    assert [distinct_n(text.split(), n) for n in (1, 2, 3)] == shares


@pytest.mark.parametrize(
    ("tokens", "n", "words"),
    [
        ([1, 2], 0, "n is 0: give a whole number of at least 1"),
        ([[1, 2]], 1, r"tokens have shape \(1, 2\): give one sequence"),
        ("is the blue", 1, r"tokens have shape \(\): give one sequence of ids or words, such as text.split"),
        ([], 1, "0 tokens hold no 1-gram"),
    ],
)
def test_what_has_no_n_grams_says_so(tokens, n, words):
    with pytest.raises(ValueError, match=words):
        distinct_n(tokens, n)


@pytest.mark.parametrize(
    ("probabilities", "top_p", "kept"),
    [
        ([0.4, 0.3, 0.2, 0.1], 0.9, 3),
        ([0.4, 0.3, 0.2, 0.1], 0.7, 2),
        ([0.4, 0.3, 0.2, 0.1], 0.4, 1),
        ([0.4, 0.3, 0.2, 0.1], 0.9000001, 4),
        ([0.1] * 10, 0.8, 8),
        ([0.1] * 10, 0.9, 9),
        ([1 / 3] * 3, 2 / 3, 2),
        ([1 / 1000] * 1000, 0.7, 700),
        ([1 / 50_000] * 50_000, 0.3, 15_000),
    ],
)
def test_a_sum_that_reaches_top_p_but_for_rounding_reaches_it(probabilities, top_p, kept):
    assert np.count_nonzero(keep_top_p(np.array(probabilities), top_p)) == kept
    assert np.count_nonzero(next_token_probabilities(np.log(probabilities), top_p=top_p)) == kept
    assert np.count_nonzero(keep_top_p(np.array(probabilities)[::-1], top_p)) == kept


def test_a_top_p_just_below_one_keeps_what_there_is():
    probabilities = np.array([0.5, 0.25, 0.25])
    assert np.count_nonzero(keep_top_p(probabilities, 1.0 - 1e-6)) == 3
    assert np.count_nonzero(keep_top_p(probabilities * 0.9, 0.95)) == 3  # all together do not reach it
