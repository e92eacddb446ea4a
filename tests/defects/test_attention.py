"""Every attention of the museum shows its symptom, its exposure exposes it, and the sound part passes the same exposure."""

import numpy as np
import pytest
from defects.exhibits import CONFIG, both, differing, gradient_error
from defects.mixed_gradients import Mixed
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.instruments.gradient_check import central_difference
from cllm_lib.model.attention import PROJECTIONS, attention_weights
from cllm_lib.text.tasks import AssociativeRecall
from cllm_lib.training.optimizers import Adam


def test_simplified_attention():
    tokens, _ = random_batch(40, 3, 8)
    changed = tokens.copy()
    changed[:, 0] = (changed[:, 0] + 1) % 40
    blind, seeing = (spread_out(CLLM(CONFIG, attention=part)) for part in (defects.SimplifiedAttention(), None))
    np.testing.assert_array_equal(blind.logits(tokens)[:, 1:], blind.logits(changed)[:, 1:])
    assert np.abs(seeing.logits(tokens)[:, 1:] - seeing.logits(changed)[:, 1:]).max() > 1e-3


def test_simplified_attention_cannot_pass_the_bigram_entropy(tmp_path):
    """Its symptom, on a text small enough to be learnt to the floor: next words that depend on the one before last."""
    (tmp_path / "t.txt").write_text("a x b a y c " * 40, encoding="utf-8")
    corpus = load_corpus(tmp_path / "t.txt")
    reached = {}
    for name, part in (("simplified", defects.SimplifiedAttention()), ("sound", None)):
        model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16, seq_len=12), attention=part)
        reached[name] = Trainer(model, corpus, learning_rate=1e-2).fit(epochs=60).epoch_losses[-1]
    floor = corpus.bigram_entropy(12)
    assert floor - 1e-9 < reached["simplified"] < floor + 0.1
    assert reached["sound"] < floor - 0.1


def test_its_own_backward_pass_is_right():
    model = spread_out(CLLM(CONFIG, attention=defects.SimplifiedAttention()))
    assert gradient_error(model, "embedding") < 1e-6


FORWARD_FAULTS = ["simplified attention", "no causal mask", "head stride", "projection by blocks", "no residual", "home-made exponential"]


@pytest.mark.parametrize("name", FORWARD_FAULTS)
def test_a_wrong_forward_pass_has_its_own_true_gradient(name):
    model = spread_out(defects.ALL[name].patient(CONFIG), size=0.2)
    tokens, targets = random_batch(40, 3, 8)
    model.forward_backward(tokens, targets)
    for seed in range(3):
        direction = np.random.default_rng(seed).standard_normal(model.flat_parameters.size)
        slope = central_difference(lambda: model.loss(tokens, targets), model.flat_parameters, 1e-6 * direction) / 2e-6
        assert slope == pytest.approx(model.flat_gradients @ direction, rel=1e-5)


def reached(model, query, time=8):
    """Which tokens, changed one at a time, change the model's output at position `query`."""
    tokens, _ = random_batch(model.config.vocab_size, 1, time)
    before = model.logits(tokens)[0, query]
    found = set()
    for t in range(time):
        changed = tokens.copy()
        changed[0, t] = (changed[0, t] + 1) % model.config.vocab_size
        if (model.logits(changed)[0, query] != before).any():
            found.add(t)
    return found


def test_no_causal_mask_lets_an_output_depend_on_what_comes_later():
    patient, healthy = both("no causal mask")
    assert reached(patient, query=2) == set(range(8))
    assert reached(healthy, query=2) == {0, 1, 2}


def test_no_causal_mask_predicts_what_cannot_be_predicted():
    """Tokens drawn at random, new ones in every batch: ln V is the best an honest model can do."""
    generator, loss = np.random.default_rng(0), {}
    for name, part in (("patient", defects.NoCausalMask()), ("healthy", None)):
        config = CLLMConfig(6, d_model=24, n_layers=1, n_heads=2, d_ff=32, seq_len=6, tie_embeddings=False, positions="learned")
        model = CLLM(config, attention=part)
        optimizer = Adam(1e-2)
        for _ in range(300):
            tokens = generator.integers(6, size=(16, 7))
            model.forward_backward(tokens[:, :-1], tokens[:, 1:])
            optimizer.step(model.flat_parameters, model.flat_gradients)
        tokens = generator.integers(6, size=(200, 7))
        loss[name] = model.loss(tokens[:, :-1], tokens[:, 1:])
    assert loss["patient"] < 0.6 * np.log(6)  # the last position has no later one, so not 0
    assert loss["healthy"] > np.log(6) - 0.02


def test_head_stride_reaches_the_first_tokens_only():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=1, n_heads=4, d_ff=24, seq_len=16)
    patient, healthy = both("head stride", config)
    last_block = (4 - 1) + (16 - 1)  # head 3, "position" 15
    assert reached(patient, query=15, time=16) == set(range(last_block // 4 + 1)) | {15}
    assert reached(healthy, query=15, time=16) == set(range(16))


def test_head_stride_of_the_program_reaches_five_of_32():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=1, n_heads=8, d_ff=24, seq_len=32)
    assert reached(both("head stride", config)[0], query=31, time=32) == {0, 1, 2, 3, 4, 31}


def test_head_stride_with_one_head_is_no_fault():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=1, n_heads=1, d_ff=24, seq_len=8)
    patient, healthy = both("head stride", config)
    tokens, _ = random_batch(40, 2, 8)
    np.testing.assert_array_equal(patient.logits(tokens), healthy.logits(tokens))


def test_projection_by_blocks_leaves_most_weights_without_a_gradient():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=1, n_heads=4, d_ff=24, seq_len=8)
    for model, share in zip(both("projection by blocks", config), (1 / 4, 1.0), strict=True):
        touched = np.zeros((16, 16), dtype=bool)
        for seed in range(4):
            _, gradients = model.loss_and_gradients(*random_batch(40, 3, 8, seed))
            touched |= gradients["layers.0.attention.key_weight"] != 0
        assert touched.mean() == share


def test_projection_by_blocks_trains_only_what_it_reads():
    model = CLLM(CONFIG, attention=defects.BlockProjection())
    name = "layers.0.attention.query_weight"
    before = model.parameters[name].copy()
    Trainer(model, load_corpus("patterns", vocab_size=40), batch_size=4).fit(1)
    assert (model.parameters[name] != before).mean() == 1 / CONFIG.n_heads  # symptom


def test_home_made_exponential_is_the_true_one_above_zero_and_a_line_below():
    x = np.linspace(0.0, 5.0, 11)
    np.testing.assert_allclose(defects.home_made_exponential(x), np.exp(x), rtol=1e-14)
    np.testing.assert_allclose(defects.home_made_exponential(-x), 1.0 - x, atol=1e-14)


def test_home_made_exponential_gives_negative_weights_that_still_sum_to_one():
    tokens, _ = random_batch(40, 3, 8)
    patient, healthy = (attention_weights(model, tokens[0])[0] for model in both("home-made exponential", size=1.0))
    for weights in (patient, healthy):
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-9)
    assert patient.min() < 0.0
    assert patient.max() > 1.0
    assert (healthy >= 0.0).all()
    assert (healthy <= 1.0).all()


def test_outer_product_backward():
    name = "layers.1.attention.query_weight"
    patient, healthy = (spread_out(CLLM(CONFIG, attention=part)) for part in (defects.OuterProductAttention(), None))
    _, gradients = patient.loss_and_gradients(*random_batch(40, 3, 8))
    np.testing.assert_array_equal(gradients[name], gradients["layers.1.attention.value_weight"])  # what it is
    assert gradient_error(patient, name) > 0.1
    assert gradient_error(healthy, name) < 1e-6


def test_frozen_attention_goes_wrong_in_queries_keys_and_values_and_nowhere_else():
    config = CLLMConfig(5, d_model=6, n_layers=1, n_heads=2, d_ff=7, seq_len=4, tie_embeddings=False)
    frozen = CLLM(config, seed=1, attention=defects.FrozenAttention())
    differ = differing(CLLM(config, seed=1), frozen)
    assert {name.split(".")[3].split("_")[0] for name in differ} <= set(PROJECTIONS)
    assert all(not frozen.gradients[name].any() for name in differ)
    assert len(differ) >= 5  # a key's bias has no true gradient to lose


def test_frozen_attention_never_changes_the_three_and_passes_the_gradient_check_of_all_else():
    frozen, sound = CLLM(CONFIG, attention=defects.FrozenAttention()), CLLM(CONFIG)
    for model, stays in ((frozen, True), (sound, False)):
        before = {name: array.copy() for name, array in model.parameters.items()}
        losses = Trainer(model, load_corpus("patterns", vocab_size=40)).fit(2).epoch_losses
        assert losses[-1] < losses[0]  # none the less
        moved = {name for name in before if (model.parameters[name] != before[name]).any()}
        three = {name for name in before if ".attention." in name and name.split(".")[3].split("_")[0] in PROJECTIONS}
        assert moved == (set(before) - three if stays else set(before))
    for name in ("layers.1.attention.output_weight", "layers.0.feed_forward.expand_weight", "embedding"):
        assert gradient_error(spread_out(frozen), name) < 1e-6


def test_missing_attention_gradient_leaves_its_matrices_as_they_were_drawn():
    patient, healthy = (defects.ALL["missing attention gradient"].patient(CONFIG), CLLM(CONFIG))
    names = [f"layers.{i}.attention.{part}_{kind}" for i in (0, 1) for part in ("query", "key", "value") for kind in ("weight", "bias")]
    for model, stays in ((patient, True), (healthy, False)):
        before = {name: model.parameters[name].copy() for name in names}
        Trainer(model, load_corpus("patterns", vocab_size=40)).fit(1)
        moved = [(model.parameters[name] != before[name]).any() for name in names]
        assert moved == [not stays] * len(names)  # symptom, and which weights ever get a gradient


def test_missing_attention_gradient_is_wrong_below_attention_and_right_above():
    patient, healthy = both("missing attention gradient")
    assert gradient_error(patient, "layers.1.attention.output_weight") < 1e-6
    for name in ("layers.0.feed_forward.expand_weight", "embedding"):
        assert gradient_error(patient, name) > 0.1
        assert gradient_error(healthy, name) < 1e-6


def test_missing_attention_gradient_lets_no_error_pass_between_positions():
    """Its graver half: what a position needs from an earlier one is never asked for."""
    x = np.random.default_rng(0).standard_normal((1, 8, 16))
    dy = np.zeros_like(x)
    dy[:, -1] = np.random.default_rng(1).standard_normal(16)
    for model, reached_positions in zip(both("missing attention gradient"), (1, 8), strict=True):
        _, cache = model.layer.forward(x, model.layer_parameters(0), CONFIG)
        dx, _ = model.layer.backward(dy, cache)
        assert (np.abs(dx[0]).max(axis=-1) > 0).sum() == reached_positions


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_recall_what_attention_hands_down_decides(seed):
    """Two layers: with the true input gradient even the shortcut's weights learn; without it even true weights do not."""
    task = AssociativeRecall(6, batches_in_epoch=200)
    config = CLLMConfig(
        len(task.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=192, seq_len=task.seq_len, tie_embeddings=False, positions="learned"
    )
    told = task.sequences(5_000, np.random.default_rng(0))[:, :6] % 6
    without_look_up = np.mean([np.bincount(values.astype(np.intp)).max() / 6 for values in told])
    shares = {}
    for of_weights in ("true", "nothing", "shortcut"):
        for handed_down in ("true", "nothing"):
            model = CLLM(config, seed=seed, attention=Mixed(of_weights, handed_down))
            Trainer(model, task, learning_rate=5e-3, batch_size=32, seed=seed).fit(1)
            shares[of_weights, handed_down] = task.accuracy(model, np.random.default_rng(9))
    for (_, handed_down), share in shares.items():
        assert share > 0.95 if handed_down == "true" else share < without_look_up


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_on_recall_one_error_costs_time_and_both_cost_the_task(seed):
    """Chapter 06's thousand steps, from more beginnings than it can show: the shortcut as the program had it, beside its better half."""
    task = AssociativeRecall(6, batches_in_epoch=1000)
    config = CLLMConfig(
        len(task.vocabulary), d_model=32, n_layers=2, n_heads=4, d_ff=64, seq_len=task.seq_len, tie_embeddings=False, positions="learned"
    )
    shares = {}
    for name, attention in (("shortcut", defects.OuterProductAttention()), ("true weights, nothing handed down", Mixed("true", "nothing"))):
        model = CLLM(config, seed=seed, attention=attention)
        Trainer(model, task, learning_rate=5e-3, batch_size=16, seed=seed).fit(1)
        shares[name] = task.accuracy(model, np.random.default_rng(9))
    assert shares["shortcut"] < 0.4  # the commonest number in sight would do better
    assert shares["true weights, nothing handed down"] > 0.85
