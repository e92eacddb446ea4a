import numpy as np
import pytest

from benchmarks import learning_curve
from benchmarks.learning_curve import ShiftedText, Split, best_weight, measure, model_probabilities, perplexity
from cllm_lib import CLLM, CLLMConfig, load_corpus
from cllm_lib.model.layers import softmax


def test_the_split_keeps_the_order_and_loses_nothing():
    corpus = load_corpus("prose")
    split = Split.of(corpus)
    np.testing.assert_array_equal(np.concatenate([split.train, split.held_out, split.test]), corpus.tokens)
    assert len(split.test) == pytest.approx(0.1 * len(corpus.tokens), abs=1)
    np.testing.assert_array_equal(split.share(0.25), split.train[-int(0.25 * len(split.train)) :])
    np.testing.assert_array_equal(split.share(1.0), split.train)


def test_a_shifted_text_gives_each_token_its_next_one_and_other_cuts_in_other_epochs():
    text = ShiftedText("numbers", np.arange(100, dtype=np.int64), tuple(map(str, range(100))), n_validation=10)
    generator, firsts = np.random.default_rng(0), set()
    for _ in range(20):
        batches = list(text.batches(3, 7, generator))
        assert len(batches) == text.batches_per_epoch(3, 7)
        for inputs, targets in batches:
            np.testing.assert_array_equal(targets, inputs + 1)
            assert targets.max() < 90
            assert inputs.shape == (3, 7)
        firsts.add(min(inputs.min() for inputs, _ in batches) % 7)
    assert len(firsts) > 4


@pytest.mark.parametrize("n", [10, 14, 23, 40])
def test_each_token_is_scored_once_with_half_a_sequence_of_context(n):
    model = CLLM(CLLMConfig(11, d_model=8, n_heads=2, d_ff=6, seq_len=8, positions="learned"), seed=1)
    tokens = np.random.default_rng(n).integers(11, size=n)
    found = model_probabilities(model, tokens, rows=2)
    assert found.shape == (n - 1,)
    possible = []
    for i in range(1, n):
        contexts = [model.logits([tokens[start : start + 8]])[0, i - 1 - start] for start in range(max(0, i - 8), min(i, n - 8))]
        possible.append([softmax(logits)[tokens[i]] for logits in contexts])
    for i, (chance, chances) in enumerate(zip(found, possible, strict=True)):
        allowed = chances if i < 8 else chances[: 8 - 4 + 1]  # the earliest starts give the longest contexts
        assert any(chance == pytest.approx(other, rel=1e-9) for other in allowed), i


def test_the_best_weight_of_a_mixture():
    good, bad = np.full(10, 0.5), np.full(10, 0.1)
    assert best_weight(good, bad) == 1.0
    assert best_weight(bad, good) == 0.0
    assert best_weight(np.array([0.9, 0.1]), np.array([0.1, 0.9])) == 0.5
    assert perplexity(np.full(7, 0.25)) == pytest.approx(4.0)


def test_the_whole_measurement_at_a_tiny_size(monkeypatch):
    monkeypatch.setattr(learning_curve, "SIZES", dict(d_model=8, n_layers=1, n_heads=2, d_ff=8, seq_len=8))
    monkeypatch.setattr(learning_curve, "EPOCHS", {0.5: 2})
    split = Split.of(load_corpus("sayings"))
    said = []
    found = measure(split, 0.5, seeds=(0, 1), report=said.append)
    assert len(found["model"]) == len(said) == 2
    assert min(found["model"]) > 1.0
    assert found["all together"] <= max(found["models together"], found["counting"]) * 1.05
    line = learning_curve.row(0.5, found)
    assert line[0] == "50%"
    text = learning_curve.page(split, [line], "It took a while.")
    assert "| 50%   |" in text
    assert "://" not in text
