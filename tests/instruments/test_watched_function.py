"""What a function under the gradient check is given and returns: each thing that cannot be used gets its sentence."""

import numpy as np
import pytest

from cllm_lib.instruments.gradient_check import check_gradients


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def squares(arrays):
    return float((arrays["x"] ** 2).sum()), {"x": 2 * arrays["x"]}


# Arrays that the function changes


def test_a_function_that_works_in_place_is_named_and_the_array_is_restored():
    x = normal(3, 4)
    before = x.copy()

    def in_place(arrays):
        np.abs(arrays["x"], out=arrays["x"])
        return float(arrays["x"].sum()), {"x": np.ones((3, 4))}

    with pytest.raises(ValueError, match=r"changed 'x', which it was given: .* copy"):
        check_gradients(in_place, {"x": x})
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("call", [1, 2, 3, 8, 20])
def test_a_change_at_any_call_and_in_any_array_is_seen(call):
    arrays, calls = {"x": normal(3), "y": normal(4, 2).T}, [0]
    kept = {name: array.copy() for name, array in arrays.items()}

    def function(given):
        calls[0] += 1
        if calls[0] == call:
            given["y"][1, 2] += 1e-9
        return float((kept["x"] * given["x"]).sum()), {"x": kept["x"], "y": np.zeros((2, 4))}

    with pytest.raises(ValueError, match="changed 'y'"):
        check_gradients(function, arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize("error", [KeyError, ValueError, KeyboardInterrupt])
def test_arrays_are_restored_when_the_function_raises(error):
    x, calls = normal(5), [0]
    before = x.copy()

    def function(arrays):
        calls[0] += 1
        if calls[0] == 4:
            arrays["x"][...] = 7.0
            raise error("of the function itself")
        return squares(arrays)

    with pytest.raises(error, match="of the function itself"):
        check_gradients(function, {"x": x})
    np.testing.assert_array_equal(x, before)


def test_names_bound_anew_belong_to_the_function_unless_they_are_the_callers():
    x = normal(4)
    arrays = {"x": x}

    def own(given):
        given["x"] = np.abs(given["x"])
        return float(given["x"].sum()), {"x": np.sign(x)}

    assert check_gradients(own, arrays).max_relative_error < 1e-6

    def the_callers(_):
        arrays["x"] = arrays["x"] * 0.9
        return squares(arrays)

    with pytest.raises(ValueError, match="changed 'x'"):
        check_gradients(the_callers, arrays)
    assert arrays["x"] is x


def test_arrays_in_one_place_of_memory_are_not_called_wrong():
    x = normal(3)

    def product(arrays):
        return float((arrays["x"] * arrays["y"]).sum()), {"x": arrays["y"], "y": arrays["x"]}

    with pytest.raises(ValueError, match="'x' and 'y' share memory"):
        check_gradients(product, {"x": x, "y": x})
    assert check_gradients(product, {"x": x, "y": x.copy()}).max_relative_error < 1e-6
    halves = normal(6)
    assert check_gradients(product, {"x": halves[::2], "y": halves[1::2]}).max_relative_error < 1e-6


# Random functions


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(4))
def test_dropout_is_called_random(kept, seed):
    generator = np.random.default_rng(seed)

    def dropout(given):
        mask = (generator.random((4, 5)) < kept) / kept
        return float((given["x"] * mask).sum()), {"x": mask}

    with pytest.raises(ValueError, match=r"two different losses .* random \(dropout\?\)"):
        check_gradients(dropout, {"x": normal(4, 5)})


def test_dropout_with_its_seed_set_inside_passes():
    def dropout(given):
        mask = np.random.default_rng(0).random((4, 5)) < 0.5
        return float((given["x"] * mask).sum()), {"x": mask}

    assert check_gradients(dropout, {"x": normal(4, 5)}).max_relative_error < 1e-6


def test_gradients_that_add_up_from_call_to_call_are_named():
    total = np.zeros(3)

    def adding(given):
        total[...] += 2 * given["x"]
        return squares(given)[0], {"x": total}

    with pytest.raises(ValueError, match="two different gradients for 'x'.*start gradients from zero"):
        check_gradients(adding, {"x": normal(3)})


# What cannot be used, a sentence each; and what can


def returning(loss=0.0, gradients=None):
    return lambda arrays: (loss, {"x": np.zeros(3)} if gradients is None else gradients)


READ_ONLY = np.zeros(3)
READ_ONLY.setflags(write=False)
X = {"x": np.ones(3)}


@pytest.mark.parametrize(
    ("function", "arrays", "words"),
    [
        (squares, np.ones(3), r"arrays is an array of float64 and shape \(3,\): give a dictionary such as"),
        (squares, [np.ones(3)], "arrays is a list of 1: give a dictionary"),
        (squares, (np.ones(3),), "arrays is a tuple of 1: give a dictionary"),
        (squares, None, "arrays is None: give a dictionary"),
        (squares, {}, "arrays is an empty dictionary, with nothing to check"),
        (squares, {"x": [1.0, 2.0]}, r"'x' is a list of 2: give an array, .* x = np.array\(x, dtype=float\)"),
        (squares, {"x": 2.0}, "'x' is 2.0: give an array"),
        (squares, {"x": None}, "'x' is None: give an array"),
        (squares, {"x": np.arange(3, dtype=np.int64)}, r"'x' is int64: check in float64.*astype\(np.float64\)"),
        (squares, {"x": np.ones(3, complex)}, "'x' is complex128: check in float64"),
        (squares, {"x": READ_ONLY}, r"'x' is read-only, .* \.copy\(\)"),
        (squares, {"x": np.zeros((2, 0))}, r"'x' is empty, of shape \(2, 0\)"),
        (squares, {"x": np.lib.stride_tricks.sliding_window_view(np.ones(5), 3, writeable=True)}, "several entries of 'x' share one place"),
        (None, X, "function is None: give a callable"),
        (lambda arrays: 1.0, X, r"the function returned 1.0: return the loss and the gradients, \(loss, {'x': gradient}\)"),
        (lambda arrays: (1.0, X, 2), X, "the function returned a tuple of 3"),
        (returning(loss=np.nan), X, "the loss is nan: nothing can be compared"),
        (returning(loss=-np.inf), X, "the loss is -inf: nothing can be compared"),
        (returning(loss="0.5"), X, "the loss is the text '0.5': return one real number"),
        (returning(loss=None), X, "the loss is None: return one real number"),
        (returning(loss=1j), X, "the loss is 1j: return one real number"),
        (returning(loss=True), X, "the loss is True: return one real number"),
        (returning(loss=np.ones(3)), X, r"the loss is an array of float64 and shape \(3,\): return one real number"),
        (returning(gradients=(np.ones(3),)), X, "the gradients are a tuple of 1: return a dictionary"),
        (returning(gradients=np.ones(3)), X, r"the gradients are an array of float64 and shape \(3,\): return a dictionary"),
        (returning(gradients={}), X, "no gradient for 'x': it gave none at all"),
        (returning(gradients={"x": None}), X, r"the gradient of 'x' is None: give real numbers, in an array of shape \(3,\)"),
        (returning(gradients={"x": "zero"}), X, "the gradient of 'x' is the text 'zero'"),
        (returning(gradients={"x": np.ones(3, complex)}), X, "the gradient of 'x' is an array of complex128"),
        (returning(gradients={"x": [[1.0], [1.0, 2.0]]}), X, "the gradient of 'x' has rows of different lengths"),
        (returning(gradients={"x": np.ones((3, 1))}), X, r"the gradient of 'x' has shape \(3, 1\), the array \(3,\)"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(function, arrays, words):
    with pytest.raises(ValueError, match=words):
        check_gradients(function, arrays)


@pytest.mark.parametrize("eps", [0, 0.0, -1e-6, np.nan, np.inf, None, "small", 1e-300])
def test_a_step_that_is_none_is_refused(eps):
    with pytest.raises(ValueError, match="eps is .*: give a number of at least 1e-13, less is lost in rounding; about 1e-6 suits float64"):
        check_gradients(squares, {"x": np.ones(3)}, eps=eps)


def test_the_last_digits_of_a_loss_may_differ_from_call_to_call():
    """As where threads add in another order; the parts of this loss are a million times as large as their sum."""
    calls = [0]

    def function(given):
        calls[0] += 1
        jitter = 1e-16 * (-1) ** calls[0]
        return float(given["x"][0] - given["x"][1]) + jitter, {"x": np.array([1.0, -1.0])}

    report = check_gradients(function, {"x": np.array([1.0, 1.0 - 1e-6])})
    assert report.max_relative_error < 1e-6


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_losses_and_gradients_in_other_clothes_are_taken(shape):
    x = {"x": normal(3)}
    assert check_gradients(lambda a: (np.full(shape, (a["x"] ** 2).sum()), {"x": list(2 * a["x"])}), x).max_relative_error < 1e-6
    assert check_gradients(lambda a: [a["x"].sum(), {"x": np.ones(3, np.int64), "more": None}], x).max_relative_error < 1e-6
    assert check_gradients(lambda a: (float(a["x"]) ** 2, {"x": 2 * float(a["x"])}), {"x": np.array(1.5)}).max_relative_error < 1e-6
