import numpy as np
import pytest
from oracles import random_batch, spread_out

from cllm_lib import CLLM, CLLMConfig, defects
from cllm_lib.model.ends import CrossEntropy, LinearOutput
from cllm_lib.workbook import figures
from cllm_lib.workbook.figures.computation import gradients_of, record


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_recorded_graph_is_the_model(tied, n_layers):
    """Two roads to the same numbers: the model's own backward pass, and one rule applied along recorded edges."""
    model = spread_out(CLLM(CLLMConfig(11, d_model=6, n_layers=n_layers, n_heads=2, d_ff=10, tie_embeddings=tied)))
    batch = random_batch(11, 2, 5)
    operations = record(model, *batch)
    loss, gradients = model.loss_and_gradients(*batch)
    assert operations[-1].value == pytest.approx(loss, rel=1e-12)
    recorded = gradients_of(operations)
    assert recorded.keys() == gradients.keys()
    for name in gradients:
        np.testing.assert_allclose(recorded[name], gradients[name], rtol=1e-9, atol=1e-12)


def test_every_gradient_has_the_shape_of_what_it_belongs_to():
    model = CLLM(CLLMConfig(11, d_model=6, n_layers=2, n_heads=2, d_ff=10))
    for operation in record(model, *random_batch(11, 2, 5)):
        assert np.shape(operation.gradient) == np.shape(operation.value)
        for name, array in operation.parameters.items():
            assert operation.parameter_gradients[name].shape == array.shape


@pytest.mark.parametrize("setting", [{"norm": "rms"}, {"norm_first": True}, {"feed_forward": "swiglu"}, {"n_kv_heads": 1}])
def test_layers_that_it_does_not_record_are_refused(setting):
    model = CLLM(CLLMConfig(11, d_model=6, n_heads=2, d_ff=10, **setting))
    with pytest.raises(ValueError, match=f"the configuration says {next(iter(setting))}=.*: leave these settings out"):
        record(model, *random_batch(11, 2, 5))


class Scaled(LinearOutput):
    def forward(self, hidden, matrix):
        logits, cache = super().forward(hidden, matrix)
        return 1.1 * logits, cache


class Summed(CrossEntropy):
    """The mean as the loss, and the gradient of the sum."""

    def backward(self, cache):
        return super().backward(cache) * cache[1].size


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"attention": defects.NoCausalMask()}, "loss"),
        ({"output": Scaled()}, "loss"),
        ({"loss": Summed()}, "gradient"),
        ({"attention": defects.OuterProductAttention()}, "gradient"),
        ({"embedding": defects.LostEmbeddingGradient()}, "gradient"),
    ],
    ids=["no causal mask", "an output", "a loss", "outer-product backward", "lost embedding gradient"],
)
def test_another_part_is_refused(parts, what):
    model = spread_out(CLLM(CLLMConfig(11, d_model=6, n_layers=1, n_heads=2, d_ff=10), **parts))
    with pytest.raises(ValueError, match=f"the model's {what} is not that of the recorded operations: .*sound parts"):
        record(model, *random_batch(11, 2, 5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recording_leaves_the_model_as_it_was(dtype):
    model, batch = CLLM(CLLMConfig(11, d_model=6, n_layers=1, n_heads=2, d_ff=10, dtype=dtype)), random_batch(11, 2, 5)
    model.flat_gradients[:] = 7.0
    before = model.flat_parameters.copy()
    record(model, *batch)
    np.testing.assert_array_equal(model.flat_parameters, before)
    assert (model.flat_gradients == 7.0).all()


@pytest.mark.parametrize(("batch", "time", "width", "inner", "words"), [(2, 5, 8, 16, 10), (3, 4, 6, 7, 11)])
def test_computation_graph_shows_the_shapes_of_the_run(batch, time, width, inner, words):
    model = CLLM(CLLMConfig(words, d_model=width, n_layers=1, n_heads=2, d_ff=inner, seq_len=time))
    tokens = np.random.default_rng(0).integers(words, size=(batch, time))
    texts = [text.get_text() for text in figures.computation_graph(model, tokens, tokens).texts]
    assert f"look up\n{batch}×{time}×{width}\nE {words}×{width}" in texts
    assert f"expand\n{batch}×{time}×{inner}\nW {width}×{inner}\nb {inner}" in texts
    assert f"d expand\n{batch}×{time}×{inner}\nd W {width}×{inner}\nd b {inner}" in texts
    assert f"d look up\n{batch}×{time}×{width}\nd E {words}×{width}\nsum of 4" in texts  # query, key, value, residual
    assert "loss\n1 number" in texts
