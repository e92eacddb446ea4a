"""The gradient check as a judge: no innocent is convicted, no culprit let go, and what cannot be told is said."""

import warnings

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.instruments.gradient_check import check_gradients, layer_loss
from cllm_lib.model import attention, layers

GUILTY = 1e-3


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def squares(arrays):
    return float((arrays["x"] ** 2).sum()), {"x": 2 * arrays["x"]}


def by_autograd(formula):
    """Loss and gradients of a formula, by an automatic differentiation that is not ours."""
    both = autograd.value_and_grad(formula)

    def function(arrays):
        loss, gradients = both(arrays)
        return float(loss), gradients

    return function


def with_gradient(function, name, change):
    """The same function with one gradient changed."""

    def changed(arrays):
        loss, gradients = function(arrays)
        return loss, {**gradients, name: change(gradients[name])}

    return changed


# Layers of the library, each a function and its arrays, drawn at random.


def linear_case(generator, d):
    arrays = {"x": (d[0], d[1], d[2]), "weight": (d[2], d[3]), "bias": (d[3],)}
    return layer_loss(layers.linear_forward, layers.linear_backward), arrays


def norm_case(generator, d):
    width = d[2] + 2
    arrays = {"x": (d[0], d[1], width), "gain": (width,), "bias": (width,)}
    return layer_loss(layers.layer_norm_forward, layers.layer_norm_backward), arrays


def feed_forward_case(generator, d):
    arrays = {
        "x": (d[0], d[1], d[2]),
        "expand_weight": (d[2], d[3]),
        "expand_bias": (d[3],),
        "contract_weight": (d[3], d[2]),
        "contract_bias": (d[2],),
    }
    return layer_loss(layers.feed_forward_forward, layers.feed_forward_backward), arrays


def softmax_case(generator, d):
    def forward(x):
        weights = layers.softmax(x)
        return weights, weights

    return layer_loss(forward, lambda dy, weights: (layers.softmax_backward(dy, weights), {})), {"x": (d[0], d[1], d[2] + 1)}


def cross_entropy_case(generator, d):
    targets = generator.integers(d[3] + 1, size=(d[0], d[1])).astype(generator.choice([np.int16, np.int64]))

    def function(arrays):
        loss, cache = layers.cross_entropy_forward(arrays["x"], targets)
        return loss, {"x": layers.cross_entropy_backward(cache)}

    return function, {"x": (d[0], d[1], d[3] + 1)}


def embedding_case(generator, d):
    tokens = generator.integers(d[3] + 1, size=(d[0], d[1])).astype(generator.choice([np.int32, np.uint8]))

    def backward(dy, cache):
        return layers.embedding_backward(dy, cache), {}

    return layer_loss(lambda x: layers.embedding_forward(tokens, x), backward), {"x": (d[3] + 1, d[2])}


def scaled_dot_product_case(generator, d):
    def forward(query, key, value):
        return attention.scaled_dot_product_forward(query, key, value)

    def backward(dy, cache):
        d_query, d_key, d_value = attention.scaled_dot_product_backward(dy, cache)
        return d_query, {"key": d_key, "value": d_value}

    return layer_loss(forward, backward, first="query"), dict.fromkeys(("query", "key", "value"), (1, d[0], d[1] + 1, d[2]))


def attention_case(generator, d):
    part = generator.choice([attention.CausalSelfAttention, attention.RotarySelfAttention, attention.DistanceBiasAttention])()
    config = CLLMConfig(vocab_size=5, d_model=4, n_layers=1, n_heads=int(generator.integers(1, 3)), d_ff=4, seq_len=8)
    shapes = part.parameter_shapes(config)

    def forward(x, **parameters):
        return part.forward(x, parameters, config)

    return layer_loss(forward, part.backward), {"x": (d[0], d[1] + 1, 4), **shapes}


CASES = (
    linear_case,
    norm_case,
    feed_forward_case,
    softmax_case,
    cross_entropy_case,
    embedding_case,
    scaled_dot_product_case,
    attention_case,
)


def drawn_case(number):
    generator = np.random.default_rng(number)
    function, shapes = CASES[number % len(CASES)](generator, generator.integers(1, 4, 4))
    arrays = {name: generator.standard_normal(shape) * 10.0 ** generator.uniform(-1, 0.5) for name, shape in shapes.items()}
    if number % 3 == 0:
        arrays = {name: np.asfortranarray(array) for name, array in arrays.items()}
    if number % 5 == 0:  # gradients of another type than the arrays
        single = function

        def function(arrays):
            loss, gradients = single(arrays)
            return np.float64(loss), {name: gradient.astype(np.float32) for name, gradient in gradients.items()}

    return function, arrays


@pytest.mark.parametrize("number", range(56))
def test_no_layer_of_the_library_is_called_wrong(number):
    function, arrays = drawn_case(number)
    kept = {name: array.copy() for name, array in arrays.items()}
    report = check_gradients(function, arrays)
    assert report.max_relative_error < 1e-4
    assert not any("not smooth" in note or "NaN" in note for note in report.notes)
    for name, array in arrays.items():
        assert array.tobytes() == kept[name].tobytes()


def one_entry(gradient):
    wrong = gradient.copy()
    wrong[np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)] *= 1.05
    return wrong


WRONG = {
    "sign": lambda g: -g,
    "factor 2": lambda g: 2 * g,
    "forgotten": lambda g: 0 * g,
    "mean for sum": lambda g: g / 3.0,
    "one entry": one_entry,
    "missing term": lambda g: g - 0.1 * np.max(np.abs(g)),
    "one percent": lambda g: 1.01 * g,
    "transposed": lambda g: np.ascontiguousarray(g.T).reshape(g.shape),
    "last row only": lambda g: np.where(np.arange(len(g), dtype=np.intp).reshape(-1, *[1] * (g.ndim - 1)) == len(g) - 1, g, 0.0),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("number", range(24))
def test_every_wrong_gradient_is_convicted(kind, number):
    function, arrays = drawn_case(number)
    _, right = function(arrays)
    largest = max(np.max(np.abs(gradient)) for gradient in right.values())
    for name, gradient in right.items():
        wrong = WRONG[kind](gradient)
        size = np.max(np.abs(gradient))
        if size < 1e-6 * largest or np.max(np.abs(wrong - gradient)) < 5e-3 * size:
            continue  # the key's bias; a transposed number
        row = next(row for row in check_gradients(with_gradient(function, name, WRONG[kind]), arrays).rows if row.name == name)
        assert row.relative_error > GUILTY, name


@given(st.integers(0, 10_000), st.sampled_from(["tanh", "log-sum-exp", "product", "root"]), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_smooth_formulas_of_any_scale_pass_and_their_doubles_do_not(seed, name, size, weight):
    formula = {
        "tanh": lambda a: anp.sum(anp.tanh(a["x"] / 10.0**size) ** 2),
        "log-sum-exp": lambda a: anp.log(anp.sum(anp.exp(a["x"] / 10.0**size))),
        "product": lambda a: anp.prod(a["x"] / 10.0**size),
        "root": lambda a: anp.sqrt(anp.sum(a["x"] ** 2)),
    }[name]
    function = by_autograd(lambda a: 10.0**weight * formula(a))
    arrays = {"x": 10.0**size * np.random.default_rng(seed).uniform(0.3, 1.5, (2, 3))}
    assert check_gradients(function, arrays).max_relative_error < 1e-4
    assert check_gradients(with_gradient(function, "x", lambda g: 2 * g), arrays).max_relative_error > GUILTY


# Kinks


def relu(given):
    return float(np.maximum(given["x"], 0.0).sum()), {"x": (given["x"] > 0.0).astype(float)}


def absolute(given):
    return float(np.abs(given["x"]).sum()), {"x": np.where(given["x"] >= 0.0, 1.0, -1.0)}


def row_maxima(given):
    gradient = np.zeros_like(given["x"])
    gradient[np.arange(len(gradient), dtype=np.intp), given["x"].argmax(axis=1)] = 1.0
    return float(given["x"].max(axis=1).sum()), {"x": gradient}


def at_kinks():
    x = normal(3, 4)
    x[0, :] = x[0, 0]
    x[1, 1] = x[2, 3] = 0.0
    return x


@pytest.mark.parametrize(("function", "kinks"), [(relu, 2), (absolute, 2), (row_maxima, 4)])
def test_kinks_are_called_kinks_and_the_rest_is_judged(function, kinks):
    report = check_gradients(function, {"x": at_kinks()})
    assert report.max_relative_error < 1e-6
    assert report.rows[0].checked == 12 - kinks
    assert f"'x' at {kinks} of 12 entries" in str(report)
    assert "not smooth here" in str(report)


@pytest.mark.parametrize("function", [relu, absolute, row_maxima])
@pytest.mark.parametrize("kind", ["sign", "factor 2", "forgotten", "mean for sum", "one entry"])
def test_a_kink_excuses_no_wrong_gradient(function, kind):
    assert check_gradients(with_gradient(function, "x", WRONG[kind]), {"x": at_kinks()}).max_relative_error > GUILTY


@pytest.mark.parametrize("far", [3e-7, -3e-8, 9e-8, 2e-9, -1e-9])
def test_a_kink_nearby_is_seen_through(far):
    assert check_gradients(relu, {"x": np.array([far])}).max_relative_error < 1e-6
    assert check_gradients(with_gradient(relu, "x", lambda g: 1.0 - g), {"x": np.array([far])}).max_relative_error > 0.5


def test_where_all_is_kinks_there_is_no_verdict():
    report = check_gradients(relu, {"x": np.zeros((2, 3))})
    assert np.isnan(report.max_relative_error)
    assert report.rows[0].checked == 0
    assert "not smooth here" in str(report)


@pytest.mark.parametrize("gradient", [-1.0, 1.5])
def test_beyond_both_sides_of_a_kink_is_wrong(gradient):
    assert check_gradients(with_gradient(relu, "x", lambda g: 0 * g + gradient), {"x": np.zeros(3)}).max_relative_error > 0.3


def test_one_undecided_array_leaves_no_clean_bill_and_hides_no_culprit():
    def both(given):
        loss, gradients = squares({"x": given["y"]})
        return loss + relu(given)[0], {"x": relu(given)[1]["x"], "y": gradients["x"]}

    arrays = {"x": np.zeros(2), "y": normal(3)}
    assert np.isnan(check_gradients(both, arrays).max_relative_error)
    assert check_gradients(with_gradient(both, "y", lambda g: 2 * g), arrays).max_relative_error == pytest.approx(0.5)


def test_a_jump_is_no_slope():
    def floor(given):
        return float(np.floor(given["x"]).sum()), {"x": np.zeros_like(given["x"])}

    report = check_gradients(floor, {"x": np.array([2.0, 0.5, 1.0 - 4e-7])})
    assert report.max_relative_error < 1e-6
    assert "not smooth" in str(report)


def test_beside_the_edge_of_the_domain_there_is_no_verdict():
    def roots(given):
        with np.errstate(all="ignore"):
            return float(np.sqrt(given["x"]).sum()), {"x": 0.5 / np.sqrt(given["x"] + 1e-300)}

    report = check_gradients(roots, {"x": np.array([0.0, 1.0, 2.0])})
    assert report.max_relative_error < 1e-6
    assert report.rows[0].checked == 2
    assert "the loss beside it is NaN or infinite" in str(report)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_steeper_than_the_step_is_looked_at_with_a_shorter_one(factor):
    def logarithms(given):
        with np.errstate(all="ignore"):
            return float(np.log(given["x"]).sum()), {"x": factor / given["x"]}

    assert (check_gradients(logarithms, {"x": np.array([1e-9, 1e-7, 1e-4])}).max_relative_error > GUILTY) == (factor != 1.0)


# Few digits


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_few_digits_inside_are_named_and_nothing_else_is_accused(kind, factor, size):
    weight = normal(4, 6, seed=1) / size
    functions = (
        lambda a: (float((a["x"].astype(kind).astype(float) ** 2).sum()), {"x": factor * 2 * a["x"]}),
        lambda a: (float((a["x"].astype(kind) ** 2).sum(dtype=np.float64)), {"x": factor * 2 * a["x"]}),
        lambda a: (
            float(np.tanh(a["x"] @ weight).astype(kind).astype(float).sum()),
            {"x": factor * (1 - np.tanh(a["x"] @ weight) ** 2) @ weight.T},
        ),
    )
    for function in functions:
        with pytest.raises(ValueError, match="moves in steps: .* float32 or float16 .* compute in float64"):
            check_gradients(function, {"x": size * normal(3, 4)})


def test_few_digits_are_laid_to_the_array_they_are_lost_in():
    def mixed(given):
        y = given["y"].astype(np.float32).astype(float)
        return float((given["x"] ** 2).sum() + (y**2).sum()), {"x": 2 * given["x"], "y": 2 * given["y"]}

    with pytest.raises(ValueError, match="as 'y' moves, the loss moves in steps"):
        check_gradients(mixed, {"x": normal(3), "y": normal(3, seed=1)})


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_loss_of_few_digits_is_named(kind):
    with pytest.raises(ValueError, match=rf"the loss is {np.dtype(kind)}, rounded to \d digits: compute in float64"):
        check_gradients(lambda a: ((a["x"] ** 2).sum().astype(kind), {"x": 2 * a["x"]}), {"x": normal(3)})


def test_a_model_in_float32_inside_is_named():
    model = CLLM(CLLMConfig(vocab_size=7, d_model=4, n_layers=1, n_heads=2, d_ff=4, seq_len=4, dtype="float32"))
    spread_out(model)
    batch, arrays = random_batch(7, 2, 4), {name: array.astype(np.float64) for name, array in model.parameters.items()}

    def function(given):
        for name, array in given.items():
            model.parameters[name][...] = array
        return model.loss_and_gradients(*batch)

    with pytest.raises(ValueError, match="float32"):
        check_gradients(function, {"embedding": arrays["embedding"]}, coordinates=6)


# Rounding


def test_the_keys_bias_alone_passes_and_a_wrong_one_does_not():
    """Softmax ignores it: its true gradient is 0, what is measured is rounding."""
    model = spread_out(CLLM(CLLMConfig(vocab_size=7, d_model=4, n_layers=1, n_heads=2, d_ff=4, seq_len=4)))
    batch, name = random_batch(7, 2, 4), "layers.0.attention.key_bias"
    alone = {name: model.parameters[name]}
    report = check_gradients(lambda _: model.loss_and_gradients(*batch), alone)
    assert report.max_relative_error < 1e-6
    wrong = with_gradient(lambda _: model.loss_and_gradients(*batch), name, lambda g: g + 1e-5)
    assert check_gradients(wrong, alone).max_relative_error > GUILTY
    doubtful = with_gradient(lambda _: model.loss_and_gradients(*batch), name, lambda g: g + 1.5e-9)
    assert np.isnan(check_gradients(doubtful, alone).max_relative_error)
    assert "cannot tell: rounding" in str(check_gradients(doubtful, alone))


@pytest.mark.parametrize("height", [0.0, 1e3, 1e6, 1e9, 1e12])
def test_a_large_loss_convicts_nobody_and_a_wrong_gradient_far_above_its_rounding_is_seen(height):
    def high(given):
        loss, gradients = squares(given)
        return loss + height, gradients

    arrays = {"x": 1.0 + np.abs(normal(3, 4))}
    assert not check_gradients(high, arrays).max_relative_error > 1e-4
    doubled = check_gradients(with_gradient(high, "x", lambda g: 2 * g), arrays).max_relative_error
    assert doubled > 0.4 if height < 1e10 else np.isnan(doubled)


@pytest.mark.parametrize("eps", [1e-1, 1e-3, 1e-9, 1e-12])
def test_an_unhappy_step_convicts_nobody_and_lets_nobody_go(eps):
    function = by_autograd(lambda a: anp.sum(anp.sin(a["x"]) + anp.exp(a["x"])))
    arrays = {"x": normal(2, 3)}
    assert not check_gradients(function, arrays, eps=eps).max_relative_error > 1e-4
    assert check_gradients(with_gradient(function, "x", lambda g: -g), arrays, eps=eps).max_relative_error > 0.5


@pytest.mark.parametrize("size", [1e-8, 1e4, 1e8, 1e12])
def test_inputs_far_from_1_are_nudged_in_proportion(size):
    function = by_autograd(lambda a: anp.sum(anp.sin(a["x"] / size)))
    arrays = {"x": size * normal(2, 3)}
    assert check_gradients(function, arrays).max_relative_error < 1e-4
    assert check_gradients(with_gradient(function, "x", lambda g: 2 * g), arrays).max_relative_error > 0.4


def test_a_small_gradient_beside_a_large_one_is_judged_by_itself():
    def both(given):
        return float(1e9 * given["x"] + given["y"]), {"x": 1e9, "y": 2.0}

    report = check_gradients(both, {"x": np.array(1e-9), "y": np.array(0.5)})
    assert {row.name: row.relative_error > 0.4 for row in report.rows} == {"x": False, "y": True}


# Views


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[::2, ::-1], lambda x: x[1], lambda x: x[2, 3, ...], lambda x: x[:, None]])
def test_views_are_judged_like_arrays(view):
    base = normal(6, 4)
    kept = base.copy()
    assert check_gradients(squares, {"x": view(base)}).max_relative_error < 1e-6
    assert check_gradients(with_gradient(squares, "x", lambda g: 2 * g), {"x": view(base)}).max_relative_error == pytest.approx(0.5)
    np.testing.assert_array_equal(base, kept)


def test_a_healthy_report_says_no_more_than_its_table():
    report = check_gradients(squares, {"x": normal(2, 2)})
    assert report.notes == ()
    assert len(str(report).splitlines()) == 2
    assert repr(report).startswith("GradientReport(rows=(GradientRow(name='x', checked=4, size=4, index=(")
    assert "notes" not in repr(report)


def test_no_warning_comes_from_places_that_only_the_check_went_to():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong = with_gradient(by_autograd(lambda a: anp.sum(anp.log(a["x"])) + 1e4), "x", lambda g: g * (1 + 1e-4))
        check_gradients(wrong, {"x": np.array([1e-3, 2e-2, 1.0])})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_wrong(wrong):
    report = check_gradients(with_gradient(squares, "x", lambda g: np.where(g == g.max(), wrong, g)), {"x": normal(4)})
    assert report.max_relative_error == np.inf
    assert str(wrong) in str(report)
