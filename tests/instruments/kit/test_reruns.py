"""Trainings once more: against the same trainings by hand."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from instruments.kit.patients import SMALL, each_word, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib.instruments import kit

HEART, NOBODY = "one batch cannot be learnt by heart", "it predicts words that nobody can"
TENTH, TEN, SAME = "a tenth of the rate is far better", "ten times the rate is far better", "the rate makes no difference"
SAID = {
    "overfit one batch": {
        "stale optimizer": {HEART},
        "rate zero": {HEART},
        "softmax twice": {HEART},
        "gradient ascent": {HEART},
        "zero initialisation": {HEART},
        "target is the word itself": set(),
        "targets of another sequence": set(),  # by heart anything can be learnt
        "frozen layer": set(),
        "healthy": set(),
    },
    "shuffled words": {
        "target is the word itself": {NOBODY},
        "padding counted in the loss": {NOBODY},
        "softmax over time": {NOBODY},
        "target is the word itself, by RMSProp": {NOBODY},
        "targets of another sequence": set(),
        "stale optimizer": set(),
        "simplified attention": set(),
        "healthy": set(),
    },
    "another rate": {
        "rate zero": {SAME},
        "stale optimizer": {SAME},
        "zero initialisation": {SAME},
        "rate a thousand times too high": {TENTH},
        "gradient ascent": {TENTH},
        "endless warm-up, by SGD": {TEN},
        "rate a thousand times too low": set(),  # ten times that is as good as nothing, too
        "frozen layer": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy())
@settings(max_examples=settings().max_examples // 6)
def test_nothing_is_said_of_healthy_trainings(patient):
    """A sign may be wrong now and then; of these it is not."""
    assert all(said(instrument, patient) == set() for instrument in SAID)


def test_an_acquittal_is_a_sign_and_a_rate_without_effect_is_certain():
    signs = {word.name for instrument in SAID for word in kit.ALL[instrument].words if not word.certain}
    assert signs == {HEART, NOBODY, TENTH, TEN}


def test_sixty_steps_on_one_batch_by_hand():
    one = ill("healthy")
    trainer, losses = one.begin(), []
    for _ in range(60):
        losses.append(trainer.model.loss(*one.batch))
        trainer.step(*one.batch)
    found = numbers("overfit one batch", one)
    assert found == {"begin": pytest.approx(losses[0]), "end": pytest.approx(sum(losses[-5:]) / 5)}


def test_rates_are_compared_over_the_same_steps():
    one, found = ill("healthy"), numbers("another rate", ill("healthy"))
    for name, factor in (("at a tenth", 0.1), ("as it is", 1.0), ("at ten times", 10.0)):
        other = patient(replace(SMALL, learning_rate=SMALL.learning_rate * factor))
        assert found[name] == pytest.approx(np.mean(other.trained.history.losses[45:50]), rel=1e-9)
    assert one.steps == 50


def test_the_unigram_entropy_is_that_counted_in_the_text():
    words = Counter(SMALL.corpus().tokens.tolist())
    shares = [count / SMALL.n_words for count in words.values()]
    found = numbers("shuffled words", ill("healthy"))
    assert found["unigram entropy"] == pytest.approx(-sum(share * math.log(share) for share in shares))


def test_of_shuffled_words_the_held_out_loss_is_not_below_their_entropy():
    """Nor is it of a model that has learnt all that there is: the frequencies in the training part."""
    found = numbers("shuffled words", ill("healthy"))
    tokens = SMALL.corpus().tokens[np.random.default_rng(0).permutation(SMALL.n_words)]
    counts = Counter(tokens[:680].tolist())
    by_frequency = -np.mean([math.log((counts[token] + 1) / (680 + 80)) for token in tokens[680:].tolist()])
    assert found["held-out loss"] > found["unigram entropy"] - 0.1
    assert by_frequency > found["unigram entropy"] - 0.1


def test_the_spoilt_text_is_shuffled_and_stays_spoilt():
    """Its words change their places; what is done to a batch is done as before."""
    found = numbers("shuffled words", ill("target is the word itself"))
    assert found["held-out loss"] < found["unigram entropy"] - 1.0
    assert found["unigram entropy"] == numbers("shuffled words", ill("healthy"))["unigram entropy"]


def test_rates_that_all_run_away_make_no_difference_that_can_be_told():
    assert kit.words_for(kit.ALL["another rate"], dict.fromkeys(("at a tenth", "at ten times", "as it is"), math.inf)) == ()
