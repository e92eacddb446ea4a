"""Verdicts: no sound model is accused, every planted fault is, and what cannot be told is said so."""

import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig, Trainer, load_corpus
from cllm_lib.instruments.diagnosis import NOTHING_WRONG, examine
from cllm_lib.model.attention import CausalSelfAttention, attention_forward, scaled_dot_product_forward
from cllm_lib.model.attention import causal_mask as true_mask

CONFIG = CLLMConfig(60, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8)


def batch(config=CONFIG, rows=4, length=8, seed=0):
    stream = np.random.default_rng(seed).integers(config.vocab_size, size=rows * length + 1)
    return stream[:-1].reshape(rows, length), stream[1:].reshape(rows, length)


def random_model(seed, corpus, wild):
    g = np.random.default_rng(seed)
    heads = int(g.choice([1, 2, 4]))
    width = 2 * heads * int(g.integers(1, 9))
    config = CLLMConfig(
        len(corpus.vocabulary),
        d_model=width,
        n_layers=int(g.integers(1, 4)),
        n_heads=heads,
        d_ff=int(g.integers(2, 4 * width)),
        seq_len=int(g.choice([2, 4, 8, 16])),
        dtype=str(g.choice(["float32", "float64"])),
        tie_embeddings=bool(g.integers(2)),
        positions=str(g.choice(["none", "learned", "sinusoidal", "rotary"])),
    )
    model = CLLM(config, seed=seed)
    for array in model.parameters.values():
        if wild and array.ndim == 2:
            array *= wild
    return model, g


def trained(model, corpus, g, rate, steps):
    names = ["adam", "adamw", "rmsprop", "momentum", "sgd"]
    trainer = Trainer(model, corpus, optimizer=str(g.choice(names)), learning_rate=rate, seed=0, stop_when_not_finite=False)
    with np.errstate(all="ignore"):
        trainer.fit(steps=steps) if steps else None
    return next(corpus.batches(3, model.config.seq_len, g))


@pytest.mark.parametrize("steps", [0, 20])
@pytest.mark.parametrize("seed", range(8))
def test_healthy_models_of_every_kind_have_nothing_wrong(seed, steps):
    corpus = load_corpus(["sayings", "patterns"][seed % 2])
    model, g = random_model(seed, corpus, wild=0)
    report = examine(model, *trained(model, corpus, g, 1e-3, steps))
    assert report.verdict == NOTHING_WRONG, report.verdict
    assert "the targets are the words that follow" in report.looked_at or model.config.seq_len == 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(12))
def test_no_sound_model_is_accused_however_it_was_mistreated(seed):
    """Rates up to divergence, matrices up to 16 times too large: there is much to say, and nothing about the code."""
    corpus = load_corpus("sayings")
    model, g = random_model(100 + seed, corpus, wild=float(2 ** (seed % 5)))
    report = examine(model, *trained(model, corpus, g, 10.0 ** g.uniform(-2, 1), int(g.choice([0, 1, 5, 40]))))
    assert not report.accuses, report.verdict


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("optimizer", "steps"), [("sgd", 30), ("sgd", 200), ("momentum", 20), ("momentum", 100)])
@pytest.mark.parametrize("seed", range(3))
def test_far_beyond_divergence_nobody_is_accused(optimizer, steps, seed):
    """Weights of a billion: the loss moves with a tensor whose gradient is 0, as rounding pleases."""
    corpus = load_corpus("sayings")
    model = CLLM(CLLMConfig(len(corpus.vocabulary), d_model=8, n_layers=2, n_heads=2, d_ff=12, seq_len=6, tie_embeddings=False), seed=seed)
    trainer = Trainer(model, corpus, optimizer=optimizer, learning_rate=7.0, seed=seed, stop_when_not_finite=False)
    with np.errstate(all="ignore"):
        trainer.fit(steps=steps)
    report = examine(model, *next(corpus.batches(3, 6, np.random.default_rng(seed))))
    assert not report.accuses, report.verdict


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("wild", [0, 1], ids=["healthy", "mistreated"])
def test_of_hundreds_of_sound_models_none_is_accused(wild):
    corpora = [load_corpus(name) for name in ("sayings", "prose", "patterns")]
    accused = []
    for seed in range(300 - 100 * wild):
        corpus = corpora[seed % 3]
        model, g = random_model(1000 + seed, corpus, wild=wild and float(2 ** (seed % 5)))
        rate, steps = (10.0 ** g.uniform(-2, 1), int(g.choice([0, 5, 60, 200]))) if wild else (1e-3, int(g.choice([0, 20, 200])))
        report = examine(model, *trained(model, corpus, g, rate, steps))
        accused += [report.verdict] if report.accuses else []
    assert accused == []


class Wrong(CausalSelfAttention):
    """A backward pass with one thing wrong in it."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def backward(self, dy, cache):
        dx, gradients = super().backward(dy, cache)
        return self.fault(dx, dict(gradients))


def half_forgotten(dx, gradients):
    gradients["value_weight"][: len(dx.T) // 2] = 0.0
    return dx, gradients


def one_entry(dx, gradients):
    gradients["output_weight"][0, 0] *= -1
    return dx, gradients


FAULTS = {
    "a sign": lambda dx, gradients: (dx, gradients | {"query_weight": -gradients["query_weight"]}),
    "a factor": lambda dx, gradients: (dx, gradients | {"value_weight": 1.1 * gradients["value_weight"]}),
    "transposed": lambda dx, gradients: (dx, gradients | {"output_weight": gradients["output_weight"].T.copy()}),
    "half of it forgotten, the other half right": half_forgotten,
    "all of it forgotten": lambda dx, gradients: (dx, gradients | {"key_weight": 0 * gradients["key_weight"]}),
    "a bias": lambda dx, gradients: (dx, gradients | {"output_bias": gradients["output_bias"] / 2}),
    "nothing handed on": lambda dx, gradients: (0 * dx, gradients),
    "too much handed on": lambda dx, gradients: (2 * dx, gradients),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_backward_pass_is_convicted(fault, dtype):
    config = CLLMConfig(60, d_model=16, n_layers=2, n_heads=2, d_ff=24, seq_len=8, dtype=dtype)
    for seed in range(3):
        report = examine(CLLM(config, seed=seed, attention=Wrong(FAULTS[fault])), *batch(seed=seed))
        assert report.accuses, report.verdict
        assert "backward pass" in report.verdict


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_huge_weights_are_no_alibi(fault):
    """A wrong backward pass is wrong beside weights of any size."""
    for seed in range(3):
        model = CLLM(CONFIG, seed=seed, attention=Wrong(FAULTS[fault]))
        model.flat_parameters *= 1e3
        report = examine(model, *batch(seed=seed))
        assert report.accuses, report.verdict


def test_a_model_that_is_random_is_called_so_and_nothing_else_is():
    class Dropout(CausalSelfAttention):
        generator = np.random.default_rng(0)

        def forward(self, x, parameters, config):
            y, cache = super().forward(x, parameters, config)
            keep = (self.generator.random(y.shape) < 0.9) / 0.9
            return y * keep, (cache, keep)

        def backward(self, dy, cache):
            return super().backward(dy * cache[1], cache[0])

    report = examine(CLLM(CONFIG, attention=Dropout()), *batch())
    assert "does not give the same twice" in report.verdict
    assert not report.accuses


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_part_of_low_precision_is_called_so_and_nothing_else_is(kind):
    class Low(CausalSelfAttention):
        def forward(self, x, parameters, config):
            y, cache = super().forward(x.astype(kind), {name: array.astype(kind) for name, array in parameters.items()}, config)
            return y.astype(x.dtype), cache

    report = examine(CLLM(CONFIG, attention=Low()), *batch())
    assert f"computes in {np.dtype(kind)}" in report.verdict
    assert not report.accuses


def test_a_row_that_is_masked_whole_is_of_this_step():
    class Padded(CausalSelfAttention):
        def forward(self, x, parameters, config):
            mask = true_mask(x.shape[1]).copy()
            mask[0] = False
            with np.errstate(all="ignore"):
                return attention_forward(x, parameters, config.n_heads, lambda q, k, v: scaled_dot_product_forward(q, k, v, mask))

    report = examine(CLLM(CONFIG, attention=Padded()), *batch())
    assert "earlier step" not in report.verdict
    assert not report.accuses


def test_one_token_is_too_few_to_judge_attention():
    report = examine(CLLM(CONFIG), *batch(rows=8, length=1))
    assert report.verdict.startswith("Cannot tell from one token: layers.0.attention.query_weight")
    assert not report.accuses


def test_a_batch_of_one_word_is_no_fault_of_the_model():
    report = examine(CLLM(CONFIG), np.full((2, 8), 5, dtype=np.int64), np.full((2, 8), 9, dtype=np.int64))
    assert not report.accuses


def test_saturated_units_are_called_so():
    model = CLLM(CONFIG)
    model.parameters["layers.0.feed_forward.expand_bias"][...] = 300.0
    report = examine(model, *batch())
    assert "layers.0.feed_forward.expand_weight" in report.verdict
    assert "saturated" in report.verdict
    assert not report.accuses


def test_overflow_in_the_models_own_precision_names_the_rate():
    config = CLLMConfig(60, d_model=16, n_layers=1, n_heads=2, d_ff=24, seq_len=8, dtype="float32")
    model = CLLM(config)
    model.parameters["layers.0.attention.value_weight"][...] *= 1e30
    report = examine(model, *batch())
    assert "rate" in report.verdict
    assert not report.accuses


def test_shifted_targets_are_said_after_the_code_was_found_sound():
    tokens, targets = batch(length=9, rows=4)
    assert "shifted twice" in examine(CLLM(CONFIG), tokens[:, :-1], targets[:, 1:]).verdict
    assert "inputs themselves" in examine(CLLM(CONFIG), tokens[:, :-1], tokens[:, :-1]).verdict


def test_weights_are_as_they_were_after_every_question():
    for length in (1, 8):
        model = CLLM(CONFIG)
        model.parameters["layers.0.feed_forward.expand_bias"][...] = 300.0
        before = model.flat_parameters.copy()
        examine(model, *batch(length=length))
        np.testing.assert_array_equal(model.flat_parameters, before)
