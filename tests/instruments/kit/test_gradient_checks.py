"""The gradient check before and after training: against backward passes that are wrong by known amounts, and automatic differentiation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruments.kit.patients import SMALL, each_word, healthy, ill, just_these_words, numbers, patient, said

from cllm_lib.instruments import kit
from cllm_lib.model.transformer import CLLM

START, AFTER = "gradient check at the start", "gradient check after training"
SOMEWHERE, EVERYWHERE, FACTOR = "wrong somewhere", "wrong everywhere", "wrong by one factor everywhere"
EMBEDDING, REPEATED = "wrong in the embedding alone", "wrong in the embedding, right where no word stands twice"
INNER = {"wrong in queries, keys or values", "wrong in norms", "wrong in the feed-forward network"}
TOP = "right in the output's matrix or the last norm only"
BOTH = {
    "gradient of the sum": {FACTOR, SOMEWHERE} | INNER,
    "LayerNorm backward from another tensor": {EVERYWHERE, SOMEWHERE} | INNER,
    "gradient of another loss": {EVERYWHERE, SOMEWHERE} | INNER,
    "last sequence only": {EVERYWHERE, REPEATED, SOMEWHERE} | INNER,
    "detached below a layer": {EVERYWHERE, TOP, SOMEWHERE} | INNER,
    "outer-product backward": {EVERYWHERE, TOP, SOMEWHERE} | INNER,
    "missing attention gradient": {EVERYWHERE, TOP, SOMEWHERE} | INNER,
    "missing attention gradient, with one layer": {"wrong in queries, keys or values", SOMEWHERE},  # all above is right
    "lost embedding gradient": {EMBEDDING, SOMEWHERE},
    "lost embedding gradient, untied": {EMBEDDING, SOMEWHERE},
    "repeated words counted once": {EMBEDDING, REPEATED, SOMEWHERE},
    "repeated words counted once, in float32": {EMBEDDING, REPEATED, SOMEWHERE},
    "loss summed": set(),  # its gradient is that of the sum
    "softmax twice": set(),
    "no causal mask": set(),  # wrong forward passes with true gradients
    "softmax over queries": set(),
    "home-made exponential": set(),
    "LayerNorm over time": set(),
    "gradients not cleared": set(),  # each check begins with a clean buffer
    "gradient of the batch before": set(),  # it is spoilt later
    "gradient ascent": set(),
    "saturated units": set(),
    "healthy, in float32": set(),
    "healthy": set(),
}
SAID = {START: BOTH, AFTER: BOTH}


test_just_these_words_are_said = just_these_words(SAID)
test_each_word_is_said_of_a_patient = each_word(SAID)


@given(healthy(steps=25))
@settings(max_examples=settings().max_examples // 5)
def test_nothing_is_said_of_right_gradients(patient):
    for instrument in SAID:
        assert said(instrument, patient) == set()
        assert abs(numbers(instrument, patient)["factor"] - 1.0) < 1e-4


def bent(bend):
    """A patient whose gradients, by name, are bent after the backward pass."""

    class Bent(CLLM):
        def forward_backward(self, tokens, targets):
            loss = super().forward_backward(tokens, targets)
            for name, gradient in self.gradients.items():
                gradient[...] = bend(name, gradient)
            return loss

    return patient(replace(SMALL, tie_embeddings=False), lambda parts, stated: replace(parts, model=Bent))


@given(st.floats(0.2, 5.0))
@settings(max_examples=settings().max_examples // 10)
def test_a_factor_on_all_gradients_is_measured(factor):
    one = bent(lambda name, gradient: factor * gradient)
    found = numbers(START, one)
    assert found["factor"] == pytest.approx(factor, rel=1e-4)
    assert found["factor's spread"] < 1e-3
    assert (FACTOR in said(START, one)) == (abs(factor - 1.0) > 0.01)


GROUPS = {
    "embedding": (("embedding",), {EMBEDDING}),
    "positions": (("positions.table",), set()),
    "queries and keys": (("layers.0.attention.query_weight",), {"wrong in queries, keys or values"}),
    "values": (("layers.1.attention.value_weight",), {"wrong in queries, keys or values"}),
    "attention output": (("layers.0.attention.output_weight",), set()),
    "norms": (("layers.0.attention_norm.gain",), {"wrong in norms"}),
    "feed-forward": (("layers.1.feed_forward.expand_weight",), {"wrong in the feed-forward network"}),
    "output": (("output_weight",), set()),
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_single_wrong_tensor_is_told_by_its_group_and_by_how_far_it_is_off(group):
    """Along the gradient a promise that is 1.25 times too long is off by a fifth of itself."""
    names, words = GROUPS[group]
    one = bent(lambda name, gradient: 1.25 * gradient if name in names else gradient)
    found = numbers(START, one)
    assert found[group] == pytest.approx(0.2, abs=1e-3)
    assert all(found[other] == 0.0 for other in GROUPS if other != group)
    assert said(START, one) == {SOMEWHERE} | words


@pytest.mark.parametrize(("factor", "told"), [(1.005, False), (1.02, True)])
def test_a_hundredth_is_the_border(factor, told):
    one = bent(lambda name, gradient: factor * gradient if name == "layers.1.feed_forward.expand_weight" else gradient)
    assert said(START, one) == ({SOMEWHERE, "wrong in the feed-forward network"} if told else set())


def test_each_look_at_a_gradient_begins_with_a_clean_buffer():
    """Of a gradient twice as long that is added to what was there, too."""

    class AddsUp(CLLM):
        def forward_backward(self, tokens, targets):
            before = self.flat_gradients.copy()
            loss = super().forward_backward(tokens, targets)
            self.flat_gradients[...] = before + 2.0 * self.flat_gradients
            return loss

    found = numbers(START, patient(SMALL, lambda parts, stated: replace(parts, model=AddsUp)))
    assert found["factor"] == pytest.approx(2.0, rel=1e-5)
    assert [found["feed-forward"], found["embedding, no word twice"]] == pytest.approx([0.5, 0.5], abs=1e-4)


def test_a_tensor_without_its_gradient_is_found_by_nudging_it_at_random():
    one = bent(lambda name, gradient: 0.0 * gradient if "value_weight" in name else gradient)
    assert numbers(START, one)["values"] == 1.0


def test_a_part_that_is_missing_from_a_gradient_is_found_where_the_rest_is_right():
    """Along itself a gradient that lacks rows promises just what it finds: at random it does not."""

    def halved(name, gradient):
        gradient = gradient.copy()
        if name == "layers.0.feed_forward.contract_weight":
            gradient[::2] = 0.0
        return gradient

    assert said(START, bent(halved)) == {SOMEWHERE, "wrong in the feed-forward network"}


def test_in_a_model_that_ran_away_no_nudge_can_judge():
    """Weights of a million: a nudge of a hundred-millionth changes which word attention sees, and the gradient with it."""

    def plant(parts, stated):
        def init(parameters, generator):
            for array in parameters.values():
                array[...] = 1e6 * generator.standard_normal(array.shape)

        return replace(parts, seams={"init": init})

    drawn = [patient(replace(SMALL, seed=seed), plant) for seed in range(11)]
    assert all(said(START, one) == set() for one in drawn)


def test_the_slopes_of_a_sound_model_are_those_of_automatic_differentiation():
    """The gradients that the check believes, by a second implementation."""
    import autograd
    from oracles import reference_loss

    one = ill("healthy, with one layer")
    model, (tokens, targets) = one.first_twin, one.batch
    tokens, targets = tokens[:1, :5], targets[:1, :5]
    _, gradients = model.loss_and_gradients(tokens, targets)
    exact = autograd.grad(lambda p: reference_loss(p, tokens, targets, 1, 2, True, "learned"))(dict(model.parameters))
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, exact[name], rtol=1e-6, atol=1e-9)


def words(**changed):
    usual = dict.fromkeys(("embedding", "queries and keys", "values", "attention output", "norms", "feed-forward"), 0.0)
    extras = {"embedding, no word twice": 0.0, "topmost": 0.0, "factor": 1.0, "factor's spread": 1e-8}
    return set(kit.words_for(kit.ALL[START], usual | extras | changed))


def test_all_but_one_group_are_everywhere_and_all_but_two_are_not():
    wrong = dict.fromkeys(("queries and keys", "values", "attention output", "norms", "feed-forward"), 0.5)
    assert words() == set()
    assert EVERYWHERE in words(**wrong)
    assert TOP in words(**wrong)
    assert TOP not in words(**wrong, topmost=0.5)
    assert {EVERYWHERE, TOP}.isdisjoint(words(**{**wrong, "values": 0.0}))
    assert {EVERYWHERE, TOP}.isdisjoint(words(**wrong, factor=2.0))
    assert words(**{"factor": 2.0, "factor's spread": 0.1}) == set()
