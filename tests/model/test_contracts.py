import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.contracts import METHODS, checked_part, checked_shapes
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.model.transformer import TokenEmbedding, TransformerLayer

CONFIG = CLLMConfig(vocab_size=9, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5)
TOKENS, TARGETS = [[1, 2, 3], [4, 5, 6]], [[2, 3, 4], [5, 6, 7]]
INNER = {"attention": CausalSelfAttention, "layer": TransformerLayer, "embedding": TokenEmbedding}
KINDS = INNER | {"output": LinearOutput, "loss": CrossEntropy}


def spoilt(seam, method, change):
    """A sound part, one of whose methods hands back something else."""
    kind = KINDS[seam]

    def instead(self, *arguments, **named):
        return change(getattr(kind, method)(self, *arguments, **named), arguments)

    return CLLM(CONFIG, **{seam: type("Mine", (kind,), {method: instead})()})


@pytest.mark.parametrize("seam", KINDS)
def test_a_class_or_a_thing_without_the_methods_is_refused(seam):
    kind = KINDS[seam]
    with pytest.raises(
        ValueError, match=rf"{seam} is the class {kind.__name__} itself: give one of its objects, {seam}={kind.__name__}\(...\)"
    ):
        CLLM(CONFIG, **{seam: kind})
    with pytest.raises(ValueError, match=f"{seam} is 'rotary', without .*forward and backward: give an object with the methods"):
        CLLM(CONFIG, **{seam: "rotary"})
    half = type("Half", (), {name: None if name == "backward" else lambda self: None for name in METHODS[seam]})
    with pytest.raises(ValueError, match=f"{seam} is a Half, without backward"):
        checked_part(half(), seam)
    assert checked_part(kind(), seam)


def test_a_layer_looks_at_its_attention_too():
    with pytest.raises(ValueError, match="attention is the class CausalSelfAttention itself"):
        TransformerLayer(CausalSelfAttention)


@pytest.mark.parametrize("seam", ["attention", "layer"])
@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (None, r"returned None: return a dictionary from names to shapes, \{\} if it trains nothing"),
        ([(8, 8)], "returned a list"),
        ({"gain": 8}, r"says 8 for 'gain': give a tuple, such as \(16,\)"),
        ({"gain": (8.0,)}, "says .* for 'gain'"),
        ({"gain": (0,)}, "says .* for 'gain'"),
        ({"norm": {"gain": None}}, "says None for 'gain'"),
    ],
)
def test_shapes_are_a_dictionary_of_tuples(seam, shapes, words):
    with pytest.raises(ValueError, match=rf"{seam} Mine: parameter_shapes {words}"):
        spoilt(seam, "parameter_shapes", lambda result, arguments: shapes)
    assert checked_shapes(None, seam, {"a": {"gain": (8,)}, "b": ()}) == {"a": {"gain": (8,)}, "b": ()}


FORWARD = {
    "nothing": (lambda result, arguments: None, "forward returned None: return two things, its output and its cache"),
    "one": (lambda result, arguments: result[0], "forward returned an array of shape .*: return two things"),
    "three": (lambda result, arguments: (*result, 1), "forward returned a tuple of 3"),
    "no array": (lambda result, arguments: (None, result[1]), "returned an output that is None: it has to be of shape"),
    "one sequence": (
        lambda result, arguments: (result[0][0], result[1]),
        r"array of shape \(3, 8\) and type float64: .* shape \(2, 3, 8\)",
    ),
    "one row": (lambda result, arguments: (result[0][:, :1], result[1]), r"array of shape \(2, 1, 8\)"),
    "swapped": (lambda result, arguments: result[::-1], "an output that is"),
    "whole numbers": (lambda result, arguments: (result[0].astype(np.int64), result[1]), "type int64: it has to be .* type float64"),
}


@pytest.mark.parametrize("seam", INNER)
@pytest.mark.parametrize("case", FORWARD)
def test_forward_gives_an_output_like_its_input_and_a_cache(seam, case):
    change, words = FORWARD[case]
    model = spoilt(seam, "forward", change)
    for call in (model.loss, model.forward_backward, lambda tokens, _: model.logits(tokens)):
        with pytest.raises(
            ValueError, match=rf"{seam} Mine: {words}" if words.startswith("forward") else rf"{seam} Mine: forward .*{words}"
        ):
            call(TOKENS, TARGETS)


BACKWARD = {
    "nothing": (lambda result, arguments: None, "backward returned None: return two things, the gradient of its input and a dictionary"),
    "one": (lambda result, arguments: result[0], "backward returned an array of shape .*: return two things"),
    "no names": (lambda result, arguments: (result[0], list(result[1].values())), r"backward returned a tuple of 2 \(.*, a list\)"),
    "no gradients": (lambda result, arguments: (result[0], None), r"backward returned a tuple of 2 \(.*, None\)"),
    "none": (lambda result, arguments: (None, result[1]), "a gradient of its input that is None"),
    "one sequence": (lambda result, arguments: (result[0][0], result[1]), r"a gradient of its input that is an array of shape \(3, 8\)"),
    "a number": (lambda result, arguments: (0.0, result[1]), "a gradient of its input that is a float"),
    "whole numbers": (lambda result, arguments: (result[0].astype(np.int64), result[1]), "type int64: it has to be .* type float64"),
}


@pytest.mark.parametrize("seam", ["attention", "layer"])
@pytest.mark.parametrize("case", BACKWARD)
def test_backward_gives_a_gradient_like_its_input_and_those_of_its_parameters(seam, case):
    change, words = BACKWARD[case]
    with pytest.raises(ValueError, match=rf"{seam} Mine: .*{words}"):
        spoilt(seam, "backward", change).forward_backward(TOKENS, TARGETS)


GRADIENTS = {
    "forgotten": (lambda gradient: None, r"gives no gradient for layers.1.attention.query_bias, of shape \(8,\): it names .* of zeros if"),
    "one row": (
        lambda gradient: gradient[:1],
        r"gives for layers.1.attention.query_bias an array of shape \(1,\) and type float64: the parameter is \(8,\)",
    ),
    "of each sequence": (lambda gradient: np.stack([gradient, gradient]), r"array of shape \(2, 8\)"),
    "a number": (lambda gradient: 0.0, "gives for layers.1.attention.query_bias a float"),
    "a list": (lambda gradient: gradient.tolist(), "query_bias a list"),
    "complex": (lambda gradient: gradient + 0j, "type complex128"),
}


@pytest.mark.parametrize("seam", ["attention", "layer"])
@pytest.mark.parametrize("case", GRADIENTS)
def test_each_gradient_has_the_shape_of_its_parameter(seam, case):
    change, words = GRADIENTS[case]

    def wrong(result, arguments):
        gradients = result[1] if seam == "attention" else result[1]["attention"]
        gradients["query_bias"] = change(gradients["query_bias"])
        if gradients["query_bias"] is None:
            del gradients["query_bias"]
        return result

    said = "Mine" if seam == "attention" else "CausalSelfAttention"
    with pytest.raises(ValueError, match=f"backward of {said} .*{words}"):
        spoilt(seam, "backward", wrong).forward_backward(TOKENS, TARGETS)


def test_a_layer_that_forgets_a_whole_part_names_it():
    model = spoilt("layer", "backward", lambda result, arguments: (result[0], {k: v for k, v in result[1].items() if k != "feed_forward"}))
    with pytest.raises(ValueError, match="backward of Mine gives no gradient for layers.1.feed_forward.expand_weight"):
        model.forward_backward(TOKENS, TARGETS)


def test_an_embedding_adds_to_what_is_there():
    model = spoilt("embedding", "backward", lambda result, arguments: np.zeros((9, 8)))
    with pytest.raises(
        ValueError, match=r"embedding Mine: backward returned an array of shape \(9, 8\).*, which nobody reads: add the gradient to out"
    ):
        model.forward_backward(TOKENS, TARGETS)

    class GivesBack(TokenEmbedding):
        def backward(self, dx, cache, out):
            super().backward(dx, cache, out)
            return out

    sound, same = CLLM(CONFIG), CLLM(CONFIG, embedding=GivesBack())
    assert sound.forward_backward(TOKENS, TARGETS) == same.forward_backward(TOKENS, TARGETS)
    np.testing.assert_array_equal(sound.flat_gradients, same.flat_gradients)


def test_a_part_that_trains_nothing_gives_an_empty_dictionary():
    class Nothing(CausalSelfAttention):
        def parameter_shapes(self, config):
            return {}

        def forward(self, x, parameters, config):
            return x.copy(), None

        def backward(self, dy, cache):
            return dy, {}

    model = CLLM(CONFIG, attention=Nothing())
    model.forward_backward(TOKENS, TARGETS)
    assert np.abs(model.gradients["embedding"]).max() > 0


# The two ends

LOGITS = {
    "nothing": (lambda result, arguments: None, "forward returned None: return two things, its output and its cache"),
    "one": (lambda result, arguments: result[0], "forward returned an array of shape .*: return two things"),
    "the last position": (
        lambda result, arguments: (result[0][:, -1:], result[1]),
        r"forward .* array of shape \(2, 1, 9\) and type float64: it has to be of shape \(2, 3, 9\)",
    ),
    "hidden states": (lambda result, arguments: (arguments[0], result[1]), r"forward .* array of shape \(2, 3, 8\)"),
    "whole numbers": (lambda result, arguments: (result[0].astype(np.int64), result[1]), ".*type int64: it has to be .* type float64"),
}


@pytest.mark.parametrize("case", LOGITS)
def test_an_output_gives_a_score_for_each_word_and_a_cache(case):
    change, words = LOGITS[case]
    model = spoilt("output", "forward", change)
    for call in (model.loss, model.forward_backward, lambda tokens, _: model.logits(tokens)):
        with pytest.raises(ValueError, match=f"output Mine: {words}"):
            call(TOKENS, TARGETS)


LOSSES = {
    "nothing": (lambda result, arguments: None, "returned None"),
    "one": (lambda result, arguments: result[0], "returned a float"),
    "three": (lambda result, arguments: (*result, 1), "returned a tuple of 3"),
    "no number": (lambda result, arguments: (None, result[1]), r"returned a tuple of 2 \(None, a tuple of 2"),
    "a text": (lambda result, arguments: ("2.2", result[1]), r"returned a tuple of 2 \(a str"),
    "yes": (lambda result, arguments: (True, result[1]), r"returned a tuple of 2 \(a bool"),
    "one for each position": (lambda result, arguments: (np.ones((2, 3)), result[1]), r"an array of shape \(2, 3\)"),
    "an array of one": (lambda result, arguments: (np.ones(1), result[1]), r"an array of shape \(1,\)"),
    "ragged": (lambda result, arguments: ([[1.0], [1.0, 2.0]], result[1]), r"returned a tuple of 2 \(a list"),
    "complex": (lambda result, arguments: (result[0] + 0j, result[1]), r"returned a tuple of 2 \(a complex"),
    "complex, of NumPy": (lambda result, arguments: (np.complex128(result[0]), result[1]), "type complex128"),
    "swapped": (lambda result, arguments: result[::-1], r"returned a tuple of 2 \(a tuple of 2"),
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_gives_one_number_and_a_cache(case):
    change, words = LOSSES[case]
    model = spoilt("loss", "forward", change)
    for call in (model.loss, model.forward_backward):
        with pytest.raises(ValueError, match=f"loss Mine: forward .*{words}.*: return two things, one number and its cache"):
            call(TOKENS, TARGETS)


@pytest.mark.parametrize("kind", [int, float, np.float64, np.float32, np.array])
def test_any_kind_of_number_is_handed_on_as_a_float(kind):
    model = spoilt("loss", "forward", lambda result, arguments: (kind(result[0]), result[1]))
    assert type(model.forward_backward(TOKENS, TARGETS)) is type(model.loss(TOKENS, TARGETS)) is float


GRADIENT = {
    "nothing": (lambda result, arguments: None, "that is None"),
    "two": (lambda result, arguments: (result, {}), r"that is a tuple of 2 \("),
    "a number": (lambda result, arguments: 0.0, "that is a float"),
    "rows": (lambda result, arguments: result.reshape(6, -1), r"that is an array of shape \(6, [89]\)"),
    "one sequence": (lambda result, arguments: result[:1], r"that is an array of shape \(1, 3, [89]\)"),
    "whole numbers": (lambda result, arguments: result.astype(np.int64), ".*type int64: it has to be .* type float64"),
}


@pytest.mark.parametrize(("seam", "what"), [("output", "the hidden state"), ("loss", "the logits")])
@pytest.mark.parametrize("case", GRADIENT)
def test_backward_of_an_end_gives_a_gradient_like_what_came_in(seam, what, case):
    change, words = GRADIENT[case]
    model = spoilt(seam, "backward", change)
    model.loss(TOKENS, TARGETS)  # the way forward is sound
    with pytest.raises(ValueError, match=f"{seam} Mine: backward returned a gradient of {what} {words}"):
        model.forward_backward(TOKENS, TARGETS)


@pytest.mark.parametrize("seam", ["output", "loss"])
def test_a_gradient_of_fewer_digits_is_let_through(seam):
    sound, narrow = CLLM(CONFIG), spoilt(seam, "backward", lambda result, arguments: result.astype(np.float32))
    assert narrow.forward_backward(TOKENS, TARGETS) == pytest.approx(sound.forward_backward(TOKENS, TARGETS), rel=1e-12)
    np.testing.assert_allclose(narrow.flat_gradients, sound.flat_gradients, atol=1e-6)
    assert (narrow.flat_gradients != sound.flat_gradients).any()
