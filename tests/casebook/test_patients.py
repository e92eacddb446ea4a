import numpy as np
import pytest

from cllm_lib import CLLMConfig, casebook, load_corpus
from cllm_lib.casebook.patients import ATTENTION_FAULTS, GRADIENT_FAULTS, QUANTIZER_FAULTS, STUCK_FAULTS, TEXT_FAULTS
from cllm_lib.text import Corpus

CONFIG = CLLMConfig(vocab_size=30, d_model=16, n_layers=1, n_heads=2, d_ff=24, seq_len=8)


def links(training, inputs, targets):
    """The chain from a weight to its move: embedding, gradient as computed and as it arrived, rate, move, and what the loss did."""
    model, old = training.model, training.model.flat_parameters.copy()
    size = np.abs(model.parameters["embedding"]).max()
    before, gradients = model.loss_and_gradients(inputs, targets)
    computed = max(np.abs(gradient).max() for gradient in gradients.values())
    rate = training.fit(epochs=1).learning_rates[-1]
    arrived, moved = np.abs(model.flat_gradients).max(), np.abs(model.flat_parameters - old).max()
    return size, computed, arrived, rate, moved, before - model.loss(inputs, targets)


@pytest.mark.parametrize("seed", range(3))
def test_four_trainings_stand_still_each_by_another_broken_link_and_the_sound_one_learns(seed):
    corpus = load_corpus("sayings")
    inputs, targets = next(corpus.batches(4, 32, np.random.default_rng(seed)))
    config = CLLMConfig(vocab_size=len(corpus.vocabulary), d_model=32, n_layers=1, n_heads=4, d_ff=64)
    trainings = casebook.stuck_trainers(config, corpus, seed)
    assert list(trainings) == [*STUCK_FAULTS, "S"]
    found = {}
    for letter, training in trainings.items():
        size, computed, arrived, rate, moved, fell = links(training, inputs, targets)
        if letter == "S":
            assert fell > 0.3
            continue
        assert abs(fell) < 1e-6
        if size == 0:
            assert all(array.any() for name, array in training.model.parameters.items() if name.endswith(("gain", "_weight")))
            assert computed == arrived == 0
            found[letter] = "zero embedding"
        elif arrived < 1e-6 * computed:
            found[letter] = "clip"
        elif rate < 1e-6:
            assert moved > 0
            found[letter] = "rate"
        elif moved == 0:
            found[letter] = "copy"
    assert found == STUCK_FAULTS


@pytest.mark.parametrize(
    ("make", "faults"), [(casebook.attention_patients, ATTENTION_FAULTS), (casebook.gradient_patients, GRADIENT_FAULTS)]
)
def test_each_has_one_fault_the_sound_one_none_and_all_the_same_weights(make, faults):
    patients = make(CONFIG, seed=3)
    assert list(patients) == [*faults, "S"]
    assert len(set(faults.values())) == len(faults)
    tokens = np.random.default_rng(0).integers(0, 30, (2, 8))
    for patient in patients.values():
        np.testing.assert_array_equal(patient.flat_parameters, patients["S"].flat_parameters)
    differ = [
        any((p != s).any() for p, s in zip(*(m.loss_and_gradients(tokens, tokens)[1].values() for m in (one, patients["S"])), strict=True))
        for letter, one in patients.items()
        if letter != "S"
    ]
    assert all(differ)


def test_texts_have_one_fault_each_and_the_sound_one_none():
    texts, sound = casebook.spoilt_texts(), load_corpus(["sayings", "prose"], validation_fraction=0.15)
    assert list(texts) == [*TEXT_FAULTS, "S"]
    np.testing.assert_array_equal(texts["S"].train_tokens, sound.train_tokens)


@pytest.mark.parametrize("letter", QUANTIZER_FAULTS)
def test_a_faulty_quantiser_returns_integers_and_none_is_as_good_as_gptq(letter):
    from cllm_lib.quantization import gptq, input_hessian, largest_scales, layer_error

    generator = np.random.default_rng(1)
    weights = generator.standard_normal((32, 12))
    hessian = input_hessian(generator.standard_normal((200, 12)) @ generator.standard_normal((12, 12)))
    scales = largest_scales(weights, 4)
    integers = casebook.faulty_quantizer(letter)(weights, hessian, scales)
    assert integers.dtype == np.int64
    assert layer_error(weights, scales * integers, hessian) > 1.1 * layer_error(weights, gptq(weights, hessian, 4).dequantized, hessian)


def test_the_five_texts_are_told_apart_by_counting_as_the_answers_say():
    texts = casebook.spoilt_texts()
    assert set(texts) == {*TEXT_FAULTS, "S"}
    assert all(isinstance(text, Corpus) for text in texts.values())
    sound, found = texts["S"], {}
    assert sound.fingerprint == load_corpus(["sayings", "prose"], validation_fraction=0.15).fingerprint
    for letter, text in texts.items():
        inputs, targets = next(text.batches(16, 32, np.random.default_rng(2)))
        if len(text.tokens) < len(sound.tokens):
            found[letter] = "one file"
        elif len(np.unique(text.tokens)) < len(np.unique(sound.tokens)):
            found[letter] = "shared ids"
        elif (inputs == targets).all():
            found[letter] = "own word"
        elif (targets[:, :-1] == inputs[:, 1:]).mean() < 0.5:
            found[letter] = "sorted"
        elif len(text.train_tokens) + len(text.validation_tokens) > len(text.tokens):
            found[letter] = "leak"
    assert found == TEXT_FAULTS
