"""Weights, gradients, changes and update ratios: against loops over tensors, and trainings taken step by step."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import SMALL, all_words, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.tensors import GROUPS, group_of
from cllm_lib.model.transformer import CLLM

NO_ATTENTION, PART = "queries, keys and values get none", "part of queries, keys or values is exactly 0"
LAYER, FEED, POSITIONS = "a whole lower layer gets none", "the feed-forward network gets none", "positions get none"
FEED_PART = "part of the feed-forward network is exactly 0"
SAID = {
    "weights": {
        "zero initialisation": {"every matrix is zero"},
        "only embeddings initialised": {"some matrices are zero"},
        "constant initialisation": {"a matrix holds one number only"},
        "dead units": {"a matrix has columns or rows of zeros"},
        "saturated units": {"a matrix makes vectors far longer"},
        "unscaled initialisation": {"a matrix makes vectors far longer", "embeddings far too large as well"},
        "dropout at evaluation": set(),
        "stale optimizer": set(),
        "healthy, with wide heads": set(),
        "healthy": set(),
    },
    "gradients": {
        "zero initialisation": {"no gradient anywhere"},
        "missing attention gradient": {NO_ATTENTION},
        "only embeddings initialised": {NO_ATTENTION, FEED},
        "gradient of another loss": {NO_ATTENTION, LAYER, FEED, POSITIONS},
        "projection by blocks": {PART},
        "keys by the query's weights": {PART, "keys get none"},
        "detached below a layer": {PART, LAYER, FEED_PART, POSITIONS},
        "detached below a layer, untied": {PART, LAYER, FEED_PART, POSITIONS, "the embedding gets none"},
        "dead units": {FEED_PART},
        "lost embedding gradient": set(),  # the output's share is left
        "lost embedding gradient, untied": {"the embedding gets none"},
        "positions not added": {POSITIONS},
        "positions not added, sinusoidal": set(),  # none that learn
        "half-precision gradients, in float32": {PART, "every number fits into 16 bits"},
        "repeated words counted once": set(),
        "gradient of the sum": set(),
        "frozen layer": set(),
        "healthy, untied, in float32": set(),
        "healthy": set(),
    },
    "changed tensors": {
        "stale optimizer": {"nothing changed at all"},
        "rate zero": {"nothing changed at all"},
        "only embeddings updated": {"only the embedding changed", "a matrix did not change"},
        "frozen layer": {"a layer did not change", "a matrix did not change"},
        "norms left out of the optimizer": {"no gain of a norm changed"},
        "missing attention gradient, by Adam": {"queries and keys did not change", "a matrix did not change"},
        "missing attention gradient": set(),  # AdamW's decay changes them all the same
        "lost embedding gradient, untied, by Adam": {"the embedding did not change", "a matrix did not change"},
        "positions not added, by Adam": {"the positions did not change", "a matrix did not change"},
        "clipped to nothing, by SGD": set(),
        "rate a thousand times too low": set(),
        "gradient ascent": set(),
        "healthy, in float32": set(),
        "healthy": set(),
    },
    "update ratios": {
        "stale optimizer": {"weights hardly move", "weights do not move"},
        "rate zero": {"weights hardly move", "weights do not move"},
        "clipped to nothing, by SGD": {"weights hardly move"},
        "rate a thousand times too high, by momentum, in float32, without clipping": {"a step is longer than all weights"},
        "gradient of the sum": set(),
        "frozen layer": set(),
        "endless warm-up, by SGD": set(),
        "healthy, by SGD": set(),
        "healthy": set(),
    },
}


test_just_these_words_are_said = just_these_words(SAID)


@pytest.mark.parametrize("instrument", SAID)
def test_each_word_is_said_of_a_patient(instrument):
    missing = all_words(instrument) - set().union(*SAID[instrument].values())
    assert missing == ({"NaN or infinite"} if instrument == "gradients" else set())  # below


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples * 2 // 5)
def test_nothing_is_said_of_healthy_tensors(patient):
    assert all(said(instrument, patient) == set() for instrument in SAID)


def test_every_tensor_belongs_to_a_group():
    names = list(ill("healthy, untied").begun.model.parameters)
    assert {group_of(name) for name in names} == set(GROUPS)
    inner = {group: {name.split(".", 2)[2] for name in names if name.startswith("layers.") and group_of(name) == group} for group in GROUPS}
    assert inner["queries and keys"] == {f"attention.{part}_{kind}" for part in ("query", "key") for kind in ("weight", "bias")}
    assert inner["values"] == {"attention.value_weight", "attention.value_bias"}
    assert inner["attention output"] == {"attention.output_weight", "attention.output_bias"}
    assert inner["norms"] == {f"{part}_norm.{kind}" for part in ("attention", "feed_forward") for kind in ("gain", "bias")}
    assert inner["feed-forward"] == {f"feed_forward.{part}_{kind}" for part in ("expand", "contract") for kind in ("weight", "bias")}
    alone = {group_of(name): name for name in names if not name.startswith("layers.")}
    assert alone == {"embedding": "embedding", "positions": "positions.table", "output": "output_weight"}


@pytest.mark.parametrize("described", ["healthy, untied", "dead units", "constant initialisation", "only embeddings initialised"])
def test_weights_are_those_counted_row_by_row(described):
    matrices = {name: a for name, a in ill(described).begin().model.parameters.items() if a.ndim == 2}
    found, lines, stretches = numbers("weights", ill(described)), 0, []
    for name, array in matrices.items():
        rows = [row.tolist() for row in array] + [column.tolist() for column in array.T]
        if len(set(array.ravel().tolist())) > 1:
            lines += sum(not any(row) for row in rows)
        if name.startswith("layers."):
            stretches.append(math.sqrt(len(array) * sum(x * x for x in array.ravel().tolist()) / array.size))
    assert found["matrices"] == len(matrices)
    assert found["matrices at zero"] == sum(set(array.ravel().tolist()) == {0.0} for array in matrices.values())
    assert found["matrices of one number"] == sum(len(set(a.ravel().tolist())) == 1 and a[0, 0] != 0 for a in matrices.values())
    assert found["rows or columns at zero"] == lines
    assert found["largest stretch"] == pytest.approx(max(stretches))
    embedding = matrices["embedding"].ravel().tolist()
    assert found["embedding, root mean square"] == pytest.approx(math.sqrt(sum(x * x for x in embedding) / len(embedding)))


def test_a_matrix_makes_a_vector_longer_by_its_stretch():
    """Of random vectors, in the mean."""
    matrix = ill("saturated units, with one layer").begin().model.parameters["layers.0.feed_forward.expand_weight"]
    vectors = np.random.default_rng(0).standard_normal((4000, len(matrix)))
    longer = math.sqrt(np.mean((vectors @ matrix) ** 2) / np.mean(vectors**2))
    assert numbers("weights", ill("saturated units, with one layer"))["largest stretch"] == pytest.approx(longer, rel=0.02)


@pytest.mark.parametrize(
    "described", ["healthy", "projection by blocks", "keys by the query's weights", "dead units", "positions not added"]
)
def test_shares_of_zeros_are_those_counted_in_one_gradient(described):
    one, found = ill(described), numbers("gradients", ill(described))
    _, gradients = one.begin().model.loss_and_gradients(*one.batch)

    def share(*endings):
        values = [x for name, g in gradients.items() if name.endswith(endings) for x in g.ravel().tolist()]
        return sum(x == 0.0 for x in values) / len(values)

    assert found["zero: queries, keys, values"] == pytest.approx(share("query_weight", "key_weight", "value_weight"))
    assert found["zero: keys"] == pytest.approx(share("key_weight"))
    assert found["zero: feed-forward"] == pytest.approx(share("expand_weight", "contract_weight"))
    assert found["zero: positions"] == float(share("positions.table") == 1.0)
    assert found["length"] == pytest.approx(math.sqrt(sum(x * x for g in gradients.values() for x in g.ravel().tolist())))


def spoilt(spoil):
    """A patient whose gradients are spoilt after the backward pass."""

    class Spoilt(CLLM):
        def forward_backward(self, tokens, targets):
            loss = super().forward_backward(tokens, targets)
            self.flat_gradients[...] = spoil(self.flat_gradients)
            return loss

    return patient(replace(SMALL, steps=25), lambda parts, stated: replace(parts, model=Spoilt))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("everywhere", [True, False])
def test_a_gradient_with_a_number_that_is_none_is_told_and_nothing_else(number, everywhere):
    one = spoilt(lambda gradients: np.where(everywhere | (np.arange(len(gradients), dtype=np.intp) == 5), number, gradients))
    assert said("gradients", one) == {"NaN or infinite"}


@pytest.mark.parametrize(("digits", "told"), [(10, True), (11, False), (23, False)])
def test_numbers_of_so_many_binary_digits_fit_into_16_bits(digits, told):
    """float16 keeps ten digits behind the first."""

    def cut(gradients):
        mantissa, exponent = np.frexp(1e3 * gradients)
        return np.ldexp(np.round(np.ldexp(mantissa, digits + 1)), exponent - digits - 1)

    one = spoilt(lambda gradients: np.where(np.abs(gradients) > 1e-7, cut(gradients), 0.0))
    assert ("every number fits into 16 bits" in said("gradients", one)) == told


def test_changes_are_those_between_two_trainers():
    one, found = ill("frozen layer, untied"), numbers("changed tensors", ill("frozen layer, untied"))
    before, after = one.begin().model.parameters, one.copy().model.parameters
    moved = {name for name, array in before.items() if array.ndim == 2 and (array != after[name]).any()}
    assert found["tensors"] == 15
    assert found["changed"] == len(moved) == 9
    assert found["layers unchanged"] == 1
    assert found["queries and keys"] == len([name for name in moved if "query" in name or "key" in name]) == 2
    assert found["gains"] == 2
    assert found["embedding"] == found["positions"] == 1.0


@pytest.mark.parametrize("described", ["healthy", "rate a thousand times too low, by SGD", "healthy, in float32"])
def test_update_ratios_are_those_of_a_run_taken_step_by_step(described):
    one, ratios = ill(described), []
    trainer = one.begin()
    steps = trainer.run(steps=one.steps)
    for _ in range(one.steps):
        before = trainer.model.flat_parameters.astype(np.float64)
        next(steps)
        step = trainer.model.flat_parameters - before
        ratios.append(math.sqrt(step @ step) / math.sqrt(before @ before))
    found = numbers("update ratios", one)
    assert found["largest"] == pytest.approx(max(ratios), rel=1e-9)
    assert found["median"] == pytest.approx(sorted(ratios)[24] / 2 + sorted(ratios)[25] / 2, rel=1e-9)


@given(st.floats(1e-3, 1.0))
def test_a_step_of_a_thousandth_to_all_of_the_weights_is_no_finding(ratio):
    assert kit.words_for(kit.ALL["update ratios"], {"largest": ratio, "median": ratio}) == ()
