"""The rows about the program around the model: each verdict turns when its measurement does."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from cllm_lib import CLLM, CLLMConfig, claims, defects
from cllm_lib.claims import Run, judging, program
from cllm_lib.claims import registry as evidence


@pytest.fixture
def stored_runs(monkeypatch):
    """Let judges read runs made up here: a dict from variant to a dict from measure to a list, one value a seed."""

    def store(name, numbers):
        made = {Run(v, "", seed, m): float(x) for v, found in numbers.items() for m, xs in found.items() for seed, x in enumerate(xs)}
        monkeypatch.setattr(evidence, "runs", {name: made}.get)
        monkeypatch.setattr(program, "runs", {name: made}.get)

    return store


def test_attention_that_is_more_than_twice_the_input_would_turn_the_row(monkeypatch):
    assert program.twice_the_input()[1] == claims.HOLDS
    monkeypatch.setattr(program, "SimplifiedAttention", lambda: defects_with(lambda x: 2 * x + x.mean(axis=1, keepdims=True)))
    assert program.twice_the_input()[1] == claims.FAILS


def defects_with(forward):
    part = defects.SimplifiedAttention()
    part.forward = lambda x, parameters, config: (forward(x), None)
    return part


def test_fifty_digits_and_scipy_agree_on_the_loss():
    logits = np.random.default_rng(3).uniform(-1000, 1000, (5, 9))
    targets = np.array([0, 8, 3, 3, 1], dtype=np.int64)
    expected = (logsumexp(logits, axis=1) - logits[np.arange(5, dtype=np.int64), targets]).mean()
    assert program.cross_entropy_in_50_digits(logits, targets) == pytest.approx(expected, rel=1e-14)


def test_a_clamped_loss_would_not_hold(monkeypatch):
    assert program.loss_computation()[1] == claims.HOLDS
    monkeypatch.setattr(program, "cross_entropy_forward", lambda logits, targets: (program.clamped_cross_entropy(logits, targets), None))
    assert program.loss_computation()[1] == claims.FAILS


def test_the_clamp_lets_no_loss_be_larger_than_the_number_it_was_stuck_near():
    logits = np.array([[-1000.0, 1000.0]])
    assert program.clamped_cross_entropy(logits, np.array([0], dtype=np.int64)) == pytest.approx(-math.log(1e-10))
    assert program.clamped_cross_entropy(logits, np.array([1], dtype=np.int64)) == pytest.approx(0.0)


def test_an_epoch_has_the_batches_of_the_log(monkeypatch):
    assert program.batches_per_epoch()[1] == claims.HOLDS
    monkeypatch.setattr(program, "BATCH", 5)
    assert program.batches_per_epoch()[1] == claims.FAILS


def start_up(pool, floats, cache):
    return {
        "command": "somehow",
        "alone": {"lattice cache, one entry at a time": cache, "pool of 3 threads": pool, "5,120,000 floats from a file": floats},
    }


@pytest.mark.parametrize(("pool", "floats"), [(claims.FAILS, claims.HOLDS), (claims.HOLDS, claims.FAILS)])
def test_a_cause_of_a_slow_start_takes_a_tenth_of_it(pool, floats):
    run = start_up(*(501.0 if words == claims.HOLDS else 499.0 for words in (pool, floats)), cache=51.0)
    assert program.threads_at_start.__wrapped__(run)[1] == pool
    assert program.loading_at_start.__wrapped__(run)[1] == floats


@pytest.mark.parametrize(("idle", "two", "verdict"), [(1.2, 1.1, claims.HOLDS), (1.0, 1.1, claims.FAILS), (1.2, 0.8, claims.FAILS)])
def test_threads_are_overhead_if_they_cost_and_bring_nothing(idle, two, verdict):
    rows = [
        {"size": "s", "with": name, "ratio": r, "low": r - 0.05, "high": r}
        for name, r in (("an idle pool of 3", idle), ("two threads", two))
    ]
    assert program.threads_in_training.__wrapped__({"command": "somehow", "measurements": rows})[1] == verdict


@pytest.mark.parametrize(("high", "verdict"), [(0.5, claims.HOLDS), (0.6, claims.FAILS), (1.0, claims.FAILS)])
def test_reduced_rows_would_have_to_take_half_the_time_in_every_use(high, verdict):
    works = [{"work": work, "ratio": r - 0.05, "high": r} for work, r in (("look-ups", 0.4), ("dot products", high))]
    run = {"command": "somehow", "rows": 2, "width": 2, "reduced rows": 2, "reduced width": 2, "measurements": works}
    assert program.speed_of_reduced_rows.__wrapped__(run)[1] == verdict


def test_percentages_with_the_right_mean_would_hold(monkeypatch):
    assert program.components_complete()[1] == claims.FAILS
    monkeypatch.setattr(program, "COMPONENTS", program.COMPONENTS | {"Lattice Integration": 90})
    assert program.components_complete()[1] == claims.HOLDS


def test_what_nothing_could_decide_is_said_to_be_so():
    for judge in (program.production_ready, program.unresponsive):
        _, words, effects = judge()
        assert words.startswith(claims.UNTESTABLE)
        assert effects == []


def rates(best):
    return {rate: [1.0 + abs(math.log10(float(rate)) - math.log10(best))] * 10 for rate in program.RATES}


@pytest.mark.parametrize(
    ("narrow", "wide", "verdict"),
    [
        (3e-4, 1e-3, claims.HOLDS),
        (1e-2, 1e-3, "holds only if the model is wide (256 numbers a word; the documented one has 512)"),
        (1e-2, 3e-3, claims.FAILS),
    ],
)
def test_the_rate_is_typical_where_the_best_lies_in_the_range(narrow, wide, verdict, stored_runs, monkeypatch):
    stored_runs("learning_rates", {"narrow": rates(narrow), "wide": rates(wide)})
    monkeypatch.setattr(judging, "comparisons", lambda: 20)
    assert program.best_rates("narrow") == pytest.approx([narrow] * 10)
    assert program.typical_learning_rate()[1] == verdict


def printed(weight, gradient):
    return {"weight embed, batch 1": [weight] * 10, "gradient embed max, batch 1": gradient}


@pytest.mark.parametrize(
    ("gradient", "narrow", "wide"),
    [
        ([1e-3] * 10, claims.HOLDS, claims.HOLDS),
        ([5e-2] * 10, "holds only if either end", claims.HOLDS),
        ([1e-7] * 10, claims.FAILS, claims.FAILS),
    ],
)
def test_ranges_are_judged_by_what_is_printed(gradient, narrow, wide, stored_runs):
    stored_runs("magnitudes", {variant: printed(0.02, gradient) for variant in program.INITIALISERS})
    assert program.weight_range()[1] == claims.HOLDS
    assert program.gradient_range()[1].startswith(narrow)
    assert program.wider_gradient_range()[1].startswith(wide)


def test_the_printout_is_that_of_document_002():
    model = CLLM(CLLMConfig(400, d_model=128, seq_len=8), seed=0)
    tokens = np.random.default_rng(0).integers(0, 400, (2, 2, 8))
    model.loss_and_gradients(*tokens)
    model.gradients["embedding"][:3] = 1e-12  # too small to be counted
    found = program.printed_magnitudes(model)
    embedding, gradient = model.parameters["embedding"].ravel(), np.abs(model.gradients["embedding"].ravel()[:10_000])
    assert found["weight embed"] == pytest.approx(np.abs(embedding[:100]).mean())
    assert found["gradient embed max"] == gradient.max()
    assert found["gradient embed avg"] == pytest.approx(gradient[gradient > 1e-10].mean())
    assert found["gradient attn max"] == np.abs(model.gradients["layers.0.attention.query_weight"].ravel()[:10_000]).max()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"weight ff": 0.0}, "weights are zeros"),
        ({"gradient attn max": 0.0}, "gradients are zeros"),
        ({"gradient embed max": 1.5}, "gradients are huge (>1.0)"),
        ({"gradient attn max": 1e-7}, "gradients are tiny (<1e-6)"),
    ],
)
def test_each_rule_fires_on_its_condition_alone(change, rule):
    sound = {"weight embed": 0.02, "weight ff": 0.02, "gradient embed max": 0.1, "gradient attn max": 1e-3, "gradient embed avg": 1e-9}
    assert not any(program.accused_by_rules(sound).values())
    assert [name for name, fired in program.accused_by_rules(sound | change).items() if fired] == [rule]


def test_every_fault_that_a_rule_has_a_word_for_is_in_the_museum():
    assert set(program.GUILTY) < set(defects.ALL)
    assert set(program.GUILTY.values()) < set(program.RULES.values())


def test_rules_that_name_every_fault_would_hold(stored_runs, monkeypatch):
    assert program.diagnostic_rules()[1].startswith("holds only if the fault is one of these: silent zero initialisation")
    fired = {rule: {name: [float(GUILTY_OF.get(name) == part)] * 10 for name in (program.HEALTHY, *defects.ALL)} for rule, part in RULES}
    monkeypatch.setattr(program, "GUILTY", GUILTY_OF)
    stored_runs("rules", {name: {rule: fired[rule][name] for rule in fired} for name in (program.HEALTHY, *defects.ALL)})
    assert program.diagnostic_rules()[1] == claims.HOLDS


RULES = tuple(program.RULES.items())
GUILTY_OF = dict.fromkeys(defects.ALL, "backward pass")


@pytest.mark.parametrize(("real", "verdict"), [(0.9, claims.HOLDS), (0.3, claims.FAILS)])
def test_varied_output_is_a_difference_to_simplified_attention(real, verdict, stored_runs):
    varied = np.linspace(-0.02, 0.02, 10)
    stored_runs("sentences", {"real": {"distinct triples": real + varied}, "simplified": {"distinct triples": 0.3 - varied}})
    assert program.varied_output()[1] == verdict


@pytest.mark.parametrize(("real", "verdict"), [([1.0] * 10, "holds only if the text has the sentence"), ([0.0] * 10, claims.FAILS)])
def test_a_sentence_that_the_text_has_not_cannot_be_said(real, verdict, stored_runs):
    stored_runs("sentences", {"real": {"sentence": real}, "simplified": {"sentence": [0.0] * 10}})
    found, words, _ = program.after_the_fix()
    assert "2 of its words (scattering, atmosphere)" in found
    assert words.startswith(verdict)


@pytest.mark.parametrize("name", ["rules", "learning_rates"])
def test_a_few_runs_made_now_are_those_stored(name):
    """To four digits: another processor rounds sums elsewhere."""
    stored = claims.runs(name)
    for run, value in claims.recompute(name).items():
        assert value == pytest.approx(stored[run], rel=1e-4), run


@pytest.mark.slow
def test_a_long_run_made_now_is_the_one_stored():
    stored = claims.runs("magnitudes")
    for run, value in claims.recompute("magnitudes", variants=["scaled"], seeds=[4]).items():
        assert value == pytest.approx(stored[run], rel=1e-3), run
