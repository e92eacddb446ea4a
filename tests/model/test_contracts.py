import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.attention import CausalSelfAttention
from cllm_lib.model.contracts import checked_part, checked_shapes
from cllm_lib.model.transformer import TokenEmbedding, TransformerLayer

CONFIG = CLLMConfig(vocab_size=9, d_model=8, n_layers=2, n_heads=2, d_ff=6, seq_len=5)
TOKENS, TARGETS = [[1, 2, 3], [4, 5, 6]], [[2, 3, 4], [5, 6, 7]]
KINDS = {"attention": CausalSelfAttention, "layer": TransformerLayer, "embedding": TokenEmbedding}


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
    half = type(
        "Half", (), {name: None if name == "backward" else lambda self: None for name in ("parameter_shapes", "forward", "backward")}
    )
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


@pytest.mark.parametrize("seam", KINDS)
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
