"""What depends on what: by models whose every dependence is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from instruments.kit.patients import SMALL, each_word, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib.instruments import kit
from cllm_lib.model.attention import CausalSelfAttention, causal_mask, scaled_dot_product_forward

LATER, NONE, SOME = "an earlier output changes", "no earlier token reaches the last output", "some earlier tokens do not reach it"
SAID = {
    "perturb a later token": {
        "no causal mask": {LATER},
        "transposed mask": {LATER},
        "mask after softmax": {LATER},
        "softmax over queries": {LATER},
        "heads merged without transposing": {LATER},
        "LayerNorm over time": {LATER},
        "head stride": set(),
        "home-made exponential": set(),
        "batch taken for time": set(),
        "healthy, in float32": set(),
        "healthy": set(),
    },
    "perturb an earlier token": {
        "simplified attention": {NONE},
        "transposed mask": {NONE},
        "batch taken for time": {NONE},
        "only embeddings initialised": {NONE},
        "zero initialisation": {NONE},
        "head stride": {SOME},
        "no causal mask": set(),
        "projection by blocks": set(),
        "missing attention gradient": set(),
        "healthy, without positions": set(),
        "healthy": set(),
    },
    "perturb another sequence": {
        "batch taken for time": {"another sequence's outputs change"},
        "last sequence only": set(),
        "targets of another sequence": set(),
        "LayerNorm over time": set(),
        "healthy, one sequence at a time": set(),
        "healthy": set(),
    },
    "nudge a row": {
        "tied by copy": {"a word's logit does not follow its embedding"},
        "tied by copy, in float32": {"a word's logit does not follow its embedding"},
        "lost embedding gradient": set(),
        "only embeddings updated": set(),
        "stale optimizer": set(),
        "healthy, untied": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_healthy_models(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


class SeesTheLast(CausalSelfAttention):
    """Attention to the last few words only."""

    def __init__(self, reach):
        self.reach = reach

    def attend(self, query, key, value):
        return scaled_dot_product_forward(query, key, value, np.triu(causal_mask(query.shape[2]), 1 - self.reach))


@pytest.mark.parametrize(("reach", "layers"), [(1, 1), (2, 1), (2, 2), (5, 1), (5, 2), (16, 1)])
def test_the_share_of_tokens_that_reach_is_that_of_a_window_of_attention(reach, layers):
    """Through each layer what is `reach` - 1 words away comes one window nearer."""
    one = patient(replace(SMALL, n_layers=layers), lambda parts, stated: replace(parts, seams={"attention": SeesTheLast(reach)}))
    found = numbers("perturb an earlier token", one)
    assert found["share that reach"] == pytest.approx(min(15, layers * (reach - 1)) / 15)
    assert (found["the nearest"] > 1e-9) == (reach > 1)
    assert (found["the farthest"] > 1e-9) == (layers * (reach - 1) >= 15)


class LooksAhead(CausalSelfAttention):
    """Attention that sees a little of the next word as soon as it has been trained: biases begin at 0."""

    def forward(self, x, parameters, config):
        y, cache = super().forward(x, parameters, config)
        return y + (1e-3 * np.roll(x, -1, axis=1) if parameters["output_bias"].any() else 0.0), cache


def test_a_look_ahead_that_begins_in_training_is_seen():
    one, other = (patient(SMALL, lambda parts, stated: replace(parts, seams={"attention": LooksAhead()})) for _ in range(2))
    assert said("perturb a later token", one) == {LATER}
    other.trained = other.begun
    assert said("perturb a later token", other) == set()


def test_a_model_of_no_numbers_is_reached_by_what_nobody_can_say():
    def plant(parts, stated):
        def init(parameters, generator):
            for array in parameters.values():
                array[...] = 1e200 * generator.standard_normal(array.shape)

        return replace(parts, seams={"init": init})

    one = patient(SMALL, plant)
    with np.errstate(all="ignore"):
        assert np.isnan(one.begun.model.loss(*one.batch))
    assert all(said(instrument, one) == set() for instrument in SAID)


@pytest.mark.parametrize("described", ["no causal mask", "healthy"])
def test_the_outputs_that_move_are_those_before_the_word_that_was_changed(described):
    one = ill(described)
    tokens, moved = one.batch[0][:1], []
    for model in (one.begin().model, one.copy().model):
        before = model.logits(tokens)
        for place in (8, 15):
            other = tokens.copy()
            other[0, place] = (other[0, place] + 40) % 80
            after = model.logits(other)
            moved.append(max(np.abs(after[0, t] - before[0, t]).max() for t in range(place)) / np.abs(before).max())
    assert numbers("perturb a later token", one)["earlier outputs"] == pytest.approx(max(moved), rel=1e-6, abs=1e-12)


def test_a_logit_follows_its_row_by_the_hidden_states_times_the_nudge():
    """Of a word that the input does not have the logit is hidden state . row, so it moves by hidden state . nudge."""
    one = ill("healthy")
    tokens, moves = one.batch[0][:1], []
    nudge = 0.1 * np.random.default_rng(0).standard_normal(16)
    for model in (one.begin().model, one.copy().model):
        hidden = np.linalg.lstsq(model.parameters["embedding"], model.logits(tokens)[0].T, rcond=None)[0]  # logits = E hidden
        moves.append(np.abs(nudge @ hidden).max())
    found = numbers("nudge a row", one)
    assert found == {"tied": 1.0, "the word's logit": pytest.approx(max(moves), rel=1e-6)}
    assert numbers("nudge a row", ill("healthy, untied")) == {"tied": 0.0, "the word's logit": 0.0}


def test_a_text_of_few_words_leaves_one_to_be_nudged():
    """Where a sequence is longer than the vocabulary, all its words may be in it."""
    one = patient(replace(SMALL, vocab_size=8))
    assert len(set(one.batch[0][0].tolist())) <= 8
    assert all(said(instrument, one) == set() for instrument in SAID)


@pytest.mark.parametrize("instrument", SAID)
def test_what_is_no_number_is_no_word(instrument):
    nothing = dict.fromkeys(numbers(instrument, ill("healthy")), np.nan)
    assert kit.words_for(kit.ALL[instrument], nothing) == ()
