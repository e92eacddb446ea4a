"""Every exhibit shows its symptom, its exposure exposes it, and the sound part passes the same exposure."""

import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, Trainer, defects, load_corpus
from cllm_lib.model.attention import PROJECTIONS, CausalSelfAttention, attention_weights
from cllm_lib.tasks import AssociativeRecall
from cllm_lib.training.gradient_check import central_difference, check_gradients
from cllm_lib.training.optimizers import SGD, Adam

CONFIG = CLLMConfig(vocab_size=40, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8)


def largest_weight(model):
    return np.abs(model.flat_parameters).max()


def gradient_error(model, name, seed=0):
    """Relative gap between the promised and the measured slope along a random direction in one tensor."""
    tokens, targets = random_batch(model.config.vocab_size, 3, 8, seed)
    _, gradients = model.loss_and_gradients(tokens, targets)
    direction = np.random.default_rng(seed).standard_normal(gradients[name].shape)
    array, before, values = model.parameters[name], model.parameters[name].copy(), []
    for sign in (1, -1):
        array[...] = before + sign * 1e-5 * direction
        values.append(model.loss(tokens, targets))
    array[...] = before
    measured, promised = (values[0] - values[1]) / 2e-5, float((gradients[name] * direction).sum())
    return abs(measured - promised) / max(abs(measured), abs(promised))


def test_silent_zero_initialisation():
    patient, healthy = CLLM(CONFIG, init=defects.SilentZeroInit()), CLLM(CONFIG)
    loss, gradients = patient.loss_and_gradients(*random_batch(40, 3, 8))
    assert loss == pytest.approx(np.log(40), abs=1e-12)  # symptom
    assert all((gradient == 0).all() for gradient in gradients.values())
    assert largest_weight(patient) == 0.0  # exposure
    assert largest_weight(healthy) > 0.0


def test_filling_the_missing_block_would_not_have_helped():
    block = np.zeros(100)
    patient = CLLM(CONFIG, init=defects.SilentZeroInit(weight_block=block))
    assert block.any()
    assert largest_weight(patient) == 0.0


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


class Mixed(CausalSelfAttention):
    """Sound attention with either of its two gradients replaced."""

    def __init__(self, of_weights, handed_down):
        self.of_weights, self.handed_down = of_weights, handed_down

    def forward(self, x, parameters, config):
        y, cache = super().forward(x, parameters, config)
        return y, (x, cache)

    def backward(self, dy, cache):
        x, cache = cache
        dx, gradients = super().backward(dy, cache)
        if self.of_weights != "true":
            factor = 1.0 if self.of_weights == "shortcut" else 0.0
            for name in PROJECTIONS:
                gradients[f"{name}_weight"] = factor * np.einsum("bti,btj->ij", x, dy)
                gradients[f"{name}_bias"] = factor * dy.sum(axis=(0, 1))
        return dx if self.handed_down == "true" else 0.0 * dy, gradients


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


def both(name, config=CONFIG, size=0.4):
    """The patient and the healthy model, both moved away from their start."""
    exhibit = defects.ALL[name]
    return [spread_out(model, size=size) for model in (exhibit.patient(config), exhibit.healthy(config))]


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


def test_no_residual_lets_nothing_through_once_attention_is_silent():
    for model, passes in zip(both("no residual"), (False, True), strict=True):
        for name, array in model.parameters.items():
            if "value" in name:
                array[...] = 0.0
        logits = model.logits(random_batch(40, 3, 8)[0])
        assert (np.ptp(logits, axis=(0, 1)).max() > 1e-6) == passes


def test_no_residual_learns_worse(tmp_path):
    """Its symptom, on the bigram task the residual path alone would solve."""
    corpus = load_corpus("sayings", vocab_size=40)
    loss = {}
    for name, model in zip(("patient", "healthy"), (defects.ALL["no residual"].patient(CONFIG), CLLM(CONFIG)), strict=True):
        loss[name] = Trainer(model, corpus, learning_rate=1e-2).fit(5).epoch_losses[-1]
    assert loss["patient"] > loss["healthy"] + 0.1


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


def test_layer_norm_from_the_wrong_tensor():
    patient, healthy = both("LayerNorm from the wrong tensor")
    for name in ("layers.1.feed_forward_norm.gain", "layers.1.feed_forward.expand_weight", "embedding"):
        assert gradient_error(patient, name, seed=1) > 0.1
        assert gradient_error(healthy, name, seed=1) < 1e-6


def test_layer_norm_from_the_wrong_tensor_scales_the_gradient_by_a_ratio_of_spreads():
    """Its symptom, and where it comes from: layer by layer, 1 / spread of attention's output for 1 / spread of x + it."""
    exhibit = defects.ALL["LayerNorm from the wrong tensor"]
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=4, n_heads=2, d_ff=24, seq_len=8)
    sizes = []
    for model in (exhibit.patient(config), exhibit.healthy(config)):
        _, gradients = model.loss_and_gradients(*random_batch(40, 3, 8))
        sizes.append([np.linalg.norm(gradients[f"layers.{i}.feed_forward.expand_weight"]) for i in reversed(range(4))])
    growth = np.divide(*sizes)
    assert (np.diff(growth) > 0).all()  # further from the truth with every layer downwards
    assert growth[-1] > 10


def test_gradient_of_another_loss_moves_the_weights_and_not_the_loss():
    corpus = load_corpus("sayings")
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=24)
    inputs, targets = next(corpus.batches(4, 32, np.random.default_rng(0)))
    exhibit, change = defects.ALL["gradient of another loss"], {}
    for name, model in (("patient", exhibit.patient(config)), ("healthy", exhibit.healthy(config))):
        before, start = model.loss(inputs, targets), model.flat_parameters.copy()
        losses = Trainer(model, corpus).fit(4).losses
        assert len(set(losses)) == len(losses)  # something moves at every step
        assert (model.flat_parameters != start).any()
        change[name] = model.loss(inputs, targets) - before
    assert change["patient"] > 0.0
    assert change["healthy"] < -0.1


@pytest.mark.parametrize("name", ["embedding", "layers.0.attention.value_weight", "layers.1.feed_forward_norm.gain"])
def test_gradient_of_another_loss_is_exposed_by_the_check_against_the_printed_loss(name):
    patient, healthy = both("gradient of another loss")
    assert gradient_error(patient, name) > 0.1
    assert gradient_error(healthy, name) < 1e-6


@pytest.mark.parametrize("name", ["missing attention gradient", "outer-product backward", "gradient of another loss"])
def test_at_zero_weights_the_gradient_check_acquits_every_one(name):
    exhibit = defects.ALL[name]
    for model in (exhibit.patient(CONFIG), exhibit.healthy(CONFIG)):
        model.flat_parameters[...] = 0.0
        batch = random_batch(40, 3, 8)
        report = check_gradients(lambda _, model=model, batch=batch: model.loss_and_gradients(*batch), model.parameters, coordinates=4)
        assert report.max_relative_error == report.largest_gradient == 0.0


def test_lost_embedding_gradient():
    patient, healthy = (spread_out(CLLM(CONFIG, embedding=part)) for part in (defects.LostEmbeddingGradient(), None))
    assert gradient_error(patient, "embedding") > 0.1
    assert gradient_error(healthy, "embedding") < 1e-6


def test_half_repair_moves_once_and_is_lost():
    config = CLLMConfig(vocab_size=2_000, d_model=64, n_layers=6, n_heads=4, d_ff=128, dtype="float32")
    with np.errstate(all="ignore"):
        losses = (
            Trainer(defects.half_repaired(config), load_corpus("sayings"), optimizer="sgd", stop_when_not_finite=False).fit(epochs=1).losses
        )
    assert losses[0] == pytest.approx(np.log(2_000), abs=1e-5)
    assert losses[0] != losses[1]
    assert np.isnan(losses[-1])


def test_half_repair_is_exposed_by_the_variance_that_enters_each_norm():
    config = CLLMConfig(vocab_size=40, d_model=16, n_layers=6, n_heads=2, d_ff=24)
    model = defects.half_repaired(config)
    tokens, targets = random_batch(40, 3, 8)
    x = model.parameters["embedding"][tokens]
    for i in range(6):
        x, (_, attended, _, _) = model.layer.forward(x, model.layer_parameters(i), config)
        assert attended.var() == 0.0
    _, gradients = model.loss_and_gradients(tokens, targets)
    sizes = [np.abs(gradients[f"layers.{i}.feed_forward_norm.bias"]).max() for i in range(6)]
    growth = np.array(sizes[:-1]) / sizes[1:]
    np.testing.assert_allclose(growth, 1e-5**-0.5, rtol=0.2)
    healthy_variance = CLLM(config).parameters["embedding"][tokens].var()
    assert healthy_variance > 0.0


def test_layer_of_the_half_repair_has_a_wrong_backward_pass():
    patient = spread_out(CLLM(CONFIG, layer=defects.LayerOfTheHalfRepair()))
    assert gradient_error(patient, "layers.0.feed_forward.expand_weight") > 0.1
    assert gradient_error(spread_out(CLLM(CONFIG)), "layers.0.feed_forward.expand_weight") < 1e-6


def moved_by_one_step(model, optimizer):
    """Names of the tensors that one step of training changes, in their last bit at least."""
    before = {name: array.copy() for name, array in model.parameters.items()}
    model.forward_backward(*random_batch(model.config.vocab_size, 3, 8))
    optimizer.step(model.flat_parameters, model.flat_gradients)
    return {name for name, array in model.parameters.items() if (array != before[name]).any()}


@pytest.mark.parametrize("make", [SGD, Adam])
def test_only_embeddings_is_exposed_by_what_one_step_moves(make):
    patient, healthy = spread_out(CLLM(CONFIG)), spread_out(CLLM(CONFIG))
    assert moved_by_one_step(patient, defects.OnlyEmbeddings(patient, make(1e-2))) == {"embedding"}
    still = set(healthy.parameters) - moved_by_one_step(healthy, make(1e-2))
    assert all(name.endswith("key_bias") for name in still)  # softmax does not see what shifts all scores alike: no gradient
    np.testing.assert_array_equal(patient.parameters["embedding"], healthy.parameters["embedding"])


def test_the_catalogue_makes_the_optimiser_for_a_model():
    exhibit = defects.ALL["only embeddings updated"]
    patient, healthy = exhibit.patient(CONFIG), exhibit.healthy(CONFIG)
    assert moved_by_one_step(patient, exhibit.part(patient)) == {"embedding"}
    assert len(moved_by_one_step(healthy, exhibit.sound(healthy))) > 20


def test_only_embeddings_is_plain_sgd_as_in_the_program():
    model = CLLM(CONFIG)
    before = model.parameters["embedding"].copy()
    gradients = model.loss_and_gradients(*random_batch(40, 3, 8))[1]
    moved_by_one_step(model, defects.OnlyEmbeddings(model))
    np.testing.assert_allclose(model.parameters["embedding"], before - 1e-3 * gradients["embedding"], rtol=1e-12)


def test_only_embeddings_learns_and_stops_early_where_attention_is_needed():
    corpus = load_corpus("patterns")
    config = CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=2, n_heads=2, d_ff=32, seq_len=10)
    reached = {}
    for name, make in (("patient", lambda model: defects.OnlyEmbeddings(model, Adam(3e-3))), ("sound", lambda model: Adam(3e-3))):
        model = CLLM(config, seed=0)
        history = Trainer(model, corpus, optimizer=make(model), batch_size=32).fit(epochs=6)
        reached[name] = history.epoch_losses
    assert reached["patient"][-1] < reached["patient"][0] - 0.1  # it seems to work
    assert reached["patient"][-1] > corpus.best_loss + 0.5  # and stops
    assert reached["sound"][-1] < corpus.best_loss + 0.25


def test_a_schedule_reaches_the_optimiser_inside():
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=16, n_layers=1, n_heads=2, d_ff=16), seed=0)
    start = model.flat_parameters.copy()
    Trainer(model, corpus, optimizer=defects.OnlyEmbeddings(model), schedule=lambda step: 0.0).fit(epochs=1)
    np.testing.assert_array_equal(model.flat_parameters, start)


@pytest.mark.parametrize("name", defects.ALL)
def test_the_catalogue_is_complete_and_every_part_fits_its_seam(name):
    exhibit = defects.ALL[name]
    assert exhibit.symptom.endswith(".")
    assert exhibit.exposure.endswith(".")
    for model in (exhibit.patient(CONFIG), exhibit.healthy(CONFIG)):
        assert np.isfinite(model.loss_and_gradients(*random_batch(40, 2, 8))[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_recall_what_attention_hands_down_decides(seed):
    """Two layers: with the true input gradient even the shortcut's weights learn; without it even true weights do not."""
    task = AssociativeRecall(6, batches_in_epoch=200)
    config = CLLMConfig(
        len(task.vocabulary), d_model=48, n_layers=2, n_heads=4, d_ff=192, seq_len=task.seq_len, tie_embeddings=False, positions="learned"
    )
    told = task.sequences(5_000, np.random.default_rng(0))[:, :6] % 6
    without_look_up = np.mean([np.bincount(values).max() / 6 for values in told])
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
    """Chapter 03's thousand steps, from more beginnings than it can show: the shortcut as the program had it, beside its better half."""
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
