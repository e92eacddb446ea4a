import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import difference_gradient, random_batch, reference_gradients, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import DistanceBiasAttention, RotarySelfAttention
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.positions import POSITIONS
from cllm_lib.model.transformer import TransformerLayer

SHAPES = {
    "one layer": dict(d_model=8, n_layers=1, n_heads=2, d_ff=6, batch=2, time=4),
    "three layers": dict(d_model=6, n_layers=3, n_heads=3, d_ff=5, batch=2, time=3),
    "one token": dict(d_model=8, n_layers=1, n_heads=4, d_ff=6, batch=3, time=1),
    "one head": dict(d_model=6, n_layers=2, n_heads=1, d_ff=4, batch=1, time=5),
    "prime width": dict(d_model=7, n_layers=1, n_heads=1, d_ff=3, batch=2, time=4),
    "prime width, a head for each column": dict(d_model=5, n_layers=3, n_heads=5, d_ff=11, batch=1, time=3),
    "learned positions, some not reached": dict(d_model=6, n_layers=1, n_heads=2, d_ff=5, batch=3, time=3, seq_len=5, positions="learned"),
    "sinusoidal": dict(d_model=6, n_layers=1, n_heads=2, d_ff=5, batch=2, time=4, positions="sinusoidal"),
    "spiral": dict(d_model=7, n_layers=1, n_heads=1, d_ff=5, batch=1, time=4, positions="spiral"),
    "clock": dict(d_model=4, n_layers=1, n_heads=2, d_ff=5, batch=1, time=14, positions="clock"),
    "prime": dict(d_model=6, n_layers=1, n_heads=3, d_ff=5, batch=2, time=3, positions="prime"),
    "rotary": dict(d_model=8, n_layers=2, n_heads=2, d_ff=5, batch=2, time=4, positions="rotary"),
    "distance bias": dict(d_model=6, n_layers=2, n_heads=3, d_ff=5, batch=2, time=4, positions="distance_bias"),
}


def build(tied, batch, time, vocab_size=9, seq_len=None, **sizes):
    config = CLLMConfig(vocab_size=vocab_size, seq_len=seq_len or time, tie_embeddings=tied, **sizes)
    return spread_out(CLLM(config, seed=1)), *random_batch(vocab_size, batch, time)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_agree_with_central_differences(shape, tied):
    model, tokens, targets = build(tied, **SHAPES[shape])
    _, gradients = model.loss_and_gradients(tokens, targets)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, array in model.parameters.items():
        numeric = difference_gradient(lambda: model.loss(tokens, targets), array)
        allowed = 1e-7 * max(np.abs(gradients[name]).max(), 1e-3 * largest)
        assert np.abs(gradients[name] - numeric).max() < allowed, name


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("start", ["spread out", "fresh"])
def test_gradients_agree_with_automatic_differentiation(shape, tied, start):
    sizes = SHAPES[shape]
    model, tokens, targets = build(tied, **sizes)
    if start == "fresh":
        model = CLLM(model.config, seed=5)
    loss, gradients = model.loss_and_gradients(tokens, targets)
    loss_of = sizes["n_layers"], sizes["n_heads"], tied, model.config.positions
    expected_loss, expected = reference_gradients(model.parameters, tokens, targets, *loss_of)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-10 * largest, err_msg=name)


@settings(max_examples=settings().max_examples // 4)
@given(
    head=st.integers(1, 4),
    n_heads=st.integers(1, 3),
    n_layers=st.integers(1, 2),
    batch=st.integers(1, 3),
    time=st.integers(1, 5),
    vocab_size=st.integers(1, 6),
    tied=st.booleans(),
    positions=st.sampled_from(sorted(POSITIONS)),
    seed=st.integers(0, 10_000),
)
def test_slope_along_any_direction_is_what_the_gradient_promises(head, n_heads, n_layers, batch, time, vocab_size, tied, positions, seed):
    head = head if positions in ("none", "learned") else 2 * head + 2
    sizes = dict(d_model=head * n_heads, n_layers=n_layers, n_heads=n_heads, d_ff=3, seq_len=time)
    config = CLLMConfig(vocab_size, tie_embeddings=tied, positions=positions, **sizes)
    model = spread_out(CLLM(config, seed=seed), seed)
    tokens, targets = random_batch(vocab_size, batch, time, seed)
    model.forward_backward(tokens, targets)
    direction = np.random.default_rng(seed + 1).standard_normal(model.flat_parameters.size)
    direction /= np.linalg.norm(direction)
    start, step, values = model.flat_parameters.copy(), 1e-4, []
    for factor in (1, -1, 2, -2):
        model.flat_parameters[:] = start + factor * step * direction
        values.append(model.loss(tokens, targets))
    measured = (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * step)
    assert measured == pytest.approx(model.flat_gradients @ direction, rel=1e-5, abs=1e-8)


def test_a_later_token_changes_no_earlier_logits():
    model, tokens, _ = build(True, **SHAPES["three layers"])
    before = model.logits(tokens)
    changed = tokens.copy()
    changed[:, 2] = (changed[:, 2] + 1) % 9
    after = model.logits(changed)
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert np.abs(before[:, 2] - after[:, 2]).max() > 1e-3


def test_an_earlier_token_changes_later_logits():
    model, tokens, _ = build(True, **SHAPES["one layer"])
    changed = tokens.copy()
    changed[:, 0] = (changed[:, 0] + 1) % 9
    assert np.abs(model.logits(tokens)[:, 3] - model.logits(changed)[:, 3]).max() > 1e-3


def test_parameters_and_gradients_are_views_of_one_buffer_each():
    model, tokens, targets = build(False, **SHAPES["one layer"])
    model.forward_backward(tokens, targets)
    for views, flat in ((model.parameters, model.flat_parameters), (model.gradients, model.flat_gradients)):
        assert all(np.shares_memory(view, flat) for view in views.values())
        np.testing.assert_array_equal(np.concatenate([view.ravel() for view in views.values()]), flat)


def test_gradients_handed_out_are_kept_when_the_next_are_computed():
    model, tokens, targets = build(True, **SHAPES["one layer"])
    _, first = model.loss_and_gradients(tokens, targets)
    kept = {name: gradient.copy() for name, gradient in first.items()}
    model.loss_and_gradients(targets, tokens)
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, kept[name])


def test_the_seed_decides_the_weights_and_float32_rounds_them():
    config = CLLMConfig(vocab_size=9, d_model=8)
    first, second, other = CLLM(config, seed=3), CLLM(config, seed=3), CLLM(config, seed=4)
    np.testing.assert_array_equal(first.flat_parameters, second.flat_parameters)
    assert (first.flat_parameters != other.flat_parameters).any()
    single = CLLM(CLLMConfig(vocab_size=9, d_model=8, dtype="float32"), seed=3)
    np.testing.assert_array_equal(single.flat_parameters, first.flat_parameters.astype(np.float32))
    assert single.logits([[1, 2]]).dtype == np.float32


def test_a_part_that_forgets_a_gradient_fails_at_once():
    from cllm_lib.model.attention import CausalSelfAttention

    class Forgetful(CausalSelfAttention):
        def backward(self, dy, cache):
            dx, gradients = super().backward(dy, cache)
            del gradients["key_weight"]
            return dx, gradients

    model = CLLM(CLLMConfig(vocab_size=5, d_model=4), attention=Forgetful())
    with pytest.raises(ValueError, match="backward of Forgetful gives no gradient for layers.1.attention.key_weight, of shape"):
        model.loss_and_gradients([[1, 2]], [[2, 3]])


@pytest.mark.parametrize(
    ("tokens", "targets", "words"),
    [
        ([[0, 9]], [[1, 2]], r"tokens\[0, 1\] is 9, outside the vocabulary of 9"),
        ([[0, -1]], [[1, 2]], r"tokens\[0, 1\] is -1"),
        ([[0.0, 1.0]], [[1, 2]], "token ids are integers"),
        ([[True, False]], [[1, 2]], "token ids are integers"),
        ([0, 1], [1, 2], r"shape \(2,\): give \(batch, time\)"),
        ([[]], [[]], r"shape \(1, 0\)"),
        ([[0, 1]], [[1, 2, 3]], r"targets have shape \(1, 3\), tokens \(1, 2\)"),
        ([[0, 1]], [[1, 40]], r"targets\[0, 1\] is 40"),
        ([[0] * 6], [[0] * 6], "6 long, the model reads 5"),
    ],
)
def test_bad_batches_get_a_clear_error(tokens, targets, words):
    model = CLLM(CLLMConfig(vocab_size=9, d_model=4, n_heads=2, seq_len=5))
    with pytest.raises(ValueError, match=words):
        model.loss_and_gradients(tokens, targets)


def test_unknown_initialiser_names_those_that_exist():
    with pytest.raises(ValueError, match=r"unknown init 'xavier': choose one of 'scaled_normal', 'zeros'"):
        CLLM(CLLMConfig(vocab_size=9), init="xavier")


def test_attention_and_layer_together_are_refused():
    with pytest.raises(ValueError, match="give one of them"):
        CLLM(CLLMConfig(vocab_size=9), attention=object(), layer=TransformerLayer())


@pytest.mark.parametrize("positions", ["rotary", "distance_bias"])
@pytest.mark.parametrize("part", [{"attention": RotarySelfAttention()}, {"layer": TransformerLayer()}])
def test_positions_that_bring_an_attention_take_no_other(positions, part):
    (seam,) = part
    with pytest.raises(ValueError, match=f"positions='{positions}' brings an attention of its own, and {seam} is given, too"):
        CLLM(CLLMConfig(vocab_size=9, positions=positions), **part)


def test_the_same_attention_can_be_given_as_a_part():
    tokens, targets = random_batch(9, 2, 4)
    for positions, part in (("rotary", RotarySelfAttention()), ("distance_bias", DistanceBiasAttention())):
        named = spread_out(CLLM(CLLMConfig(9, d_model=8, n_heads=2, positions=positions)))
        given = spread_out(CLLM(CLLMConfig(9, d_model=8, n_heads=2), attention=part))
        assert named.loss(tokens, targets) == given.loss(tokens, targets)
        assert named.is_sound
        assert given.is_sound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_the_same_parts_on_other_weights_are_a_model_of_its_own(positions, dtype):
    model = spread_out(CLLM(CLLMConfig(9, d_model=8, n_heads=2, positions=positions)))
    tokens, targets = random_batch(9, 2, 4)
    before, weights = model.loss(tokens, targets), model.flat_parameters.copy()
    twin = model.with_parameters(model.flat_parameters.astype(dtype))
    assert twin.config.dtype == twin.flat_gradients.dtype == twin.logits(tokens).dtype == dtype
    assert twin.loss(tokens, targets) == pytest.approx(before, rel=1e-12 if dtype == "float64" else 1e-5)
    twin.forward_backward(tokens, targets)
    twin.flat_parameters += 1.0
    np.testing.assert_array_equal(model.flat_parameters, weights)
    assert not model.flat_gradients.any()
    assert model.loss(tokens, targets) == before


def test_the_two_ends_are_parts_like_the_others():
    output, loss = LinearOutput(), CrossEntropy()
    model = CLLM(CLLMConfig(9), output=output, loss=loss)
    assert model.output is output
    assert model.loss_part is loss
    assert model.is_sound
    usual = CLLM(CLLMConfig(9))
    assert (type(usual.output), type(usual.loss_part)) == (LinearOutput, CrossEntropy)
    for seam, kind in (("output", LinearOutput), ("loss", CrossEntropy)):
        assert not CLLM(CLLMConfig(9), **{seam: type("Mine", (kind,), {})()}).is_sound
