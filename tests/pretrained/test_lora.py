"""Adapters: nothing is changed at the beginning, merged they are the same function, and a file gives them back or says why not."""

import json

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretrained.small_decoder import CONFIG, small_parameters
from safetensors.numpy import save

from cllm_lib.pretrained import load_lora, lora_init, lora_linear_backward, lora_linear_forward, merge, save_lora
from cllm_lib.pretrained.decoder_layers import Cache, decoder_forward
from cllm_lib.pretrained.lora import KEY, Lora, shapes

sizes = st.integers(1, 5)


def random_lora(rank=3, alpha=6.0, dtype=np.float64, seed=1):
    """Adapters off zero."""
    lora = lora_init(CONFIG, rank, seed, alpha, dtype)
    lora.flat[...] = np.random.default_rng(seed).normal(0.0, 0.3, lora.flat.size)
    return lora


def test_at_the_beginning_a_is_random_and_b_is_zero():
    lora, other = lora_init(CONFIG, 4, seed=0), lora_init(CONFIG, 4, seed=1)
    for name, array in lora.arrays.items():
        assert array.any() == name.endswith(".a")
        assert np.shares_memory(array, lora.flat)
    values = np.concatenate([lora_init(CONFIG, 4, seed).arrays["layers.0.query.a"].ravel() for seed in range(50)])
    assert values.std() == pytest.approx(16**-0.5, rel=0.05)
    assert not np.array_equal(lora.flat, other.flat)
    assert lora.scale == 2.0


def test_rank_4_on_queries_and_values_of_smollm2_are_230_400_numbers():
    config = CONFIG.__class__(49_152, 576, 30, 9, 3, 1_536, 8_192, 1e-5, 1e5)
    assert sum(n * m for n, m in shapes(config, 4).values()) == 230_400


@given(rows=sizes, n=sizes, m=sizes, rank=sizes, seed=st.integers(0, 1000))
def test_the_layer_and_its_gradients_are_those_of_the_formula(rows, n, m, rank, seed):
    generator = np.random.default_rng(seed)
    x, weight, a, b, dy = (generator.standard_normal(shape) for shape in ((rows, n), (n, m), (n, rank), (rank, m), (rows, m)))

    def reference(x, a, b):
        return anp.dot(x, weight + 1.5 * anp.dot(a, b))

    y, cache = lora_linear_forward(x, weight, a, b, 1.5)
    np.testing.assert_allclose(y, reference(x, a, b), atol=1e-12)
    dx, gradients = lora_linear_backward(dy, cache)
    for i, found in enumerate((dx, gradients["a"], gradients["b"])):
        exact = autograd.grad(lambda *arrays: anp.sum(reference(*arrays) * dy), i)(x, a, b)
        np.testing.assert_allclose(found, exact, atol=1e-11)


def test_merged_it_is_the_same_matrix_and_nothing_given_is_changed():
    parameters, lora = small_parameters(), random_lora()
    before = parameters["layers"][1]["attention"]["value_weight"].copy()
    merged = merge(parameters, lora)
    for i in range(2):
        ours, theirs = merged["layers"][i]["attention"], parameters["layers"][i]["attention"]
        for name in ("query", "value"):
            a, b = lora.arrays[f"layers.{i}.{name}.a"], lora.arrays[f"layers.{i}.{name}.b"]
            np.testing.assert_allclose(ours[f"{name}_weight"], theirs[f"{name}_weight"] + 2.0 * a @ b)
            assert np.linalg.matrix_rank(ours[f"{name}_weight"] - theirs[f"{name}_weight"]) == 3
        assert ours["key_weight"] is theirs["key_weight"]
    np.testing.assert_array_equal(parameters["layers"][1]["attention"]["value_weight"], before)
    ids = np.arange(9, dtype=np.int64)
    apart = [decoder_forward(ids, own, CONFIG, Cache(CONFIG, 9)) for own in (parameters, merged)]
    assert np.abs(apart[0] - apart[1]).max() > 0.01


@pytest.mark.parametrize("settings", [{"rank": 0}, {"rank": 9}, {"rank": 2.5}, {"alpha": 0.0}, {"alpha": np.nan}])
def test_numbers_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        lora_init(CONFIG, **settings)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 0.0), (np.float16, 1e-3)])
def test_a_file_gives_them_back(tmp_path, dtype, digits):
    lora, path = random_lora(dtype=np.float32), tmp_path / "lora.safetensors"
    save_lora(path, lora, dtype)
    found = load_lora(path, CONFIG)
    assert (found.rank, found.alpha, found.scale) == (3, 6.0, 2.0)
    np.testing.assert_allclose(found.flat, lora.flat, rtol=digits, atol=1e-7)


def told(**changes):
    return {KEY: json.dumps({"format": 1, "rank": 3, "alpha": 6.0} | changes)}


def without(arrays, name):
    return {other: array for other, array in arrays.items() if other != name}


@pytest.mark.parametrize(
    ("change", "metadata", "said"),
    [
        (lambda arrays: without(arrays, "layers.1.value.b"), told(), "does not fit a decoder of 2 layers: 'layers.1.value.b'"),
        (lambda arrays: arrays, told(rank=2), r"layers.0.query.a is float32 of shape \(16, 3\), and finite floats of \(16, 2\) fit"),
        (lambda arrays: arrays | {"layers.0.query.a": np.full((16, 3), np.nan, np.float32)}, told(), "finite floats"),
        (lambda arrays: arrays | {"layers.0.query.a": np.ones((16, 3), np.int64)}, told(), "is int64"),
        (lambda arrays: arrays, told(format=2), "has format 2"),
        (lambda arrays: arrays, told(rank="x"), "holds no adapters of this library"),
        (lambda arrays: arrays, {"a": "b"}, "holds no adapters of this library"),
        (lambda arrays: arrays, None, "holds no adapters of this library"),
    ],
)
def test_another_file_is_refused_with_a_reason(tmp_path, change, metadata, said):
    path = tmp_path / "lora.safetensors"
    arrays = {name: array.astype(np.float32) for name, array in random_lora().arrays.items()}
    path.write_bytes(save(change(arrays), metadata))
    with pytest.raises(ValueError, match=said):
        load_lora(path, CONFIG)


@given(cut=st.integers(0, 3000))
def test_a_file_that_was_cut_off_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    save_lora(folder / "whole", random_lora())
    data = (folder / "whole").read_bytes()
    (folder / "cut").write_bytes(data[: min(cut, len(data) - 1)])
    with pytest.raises(ValueError, match="cut"):
        load_lora(folder / "cut", CONFIG)


def test_nothing_is_half_written(tmp_path, monkeypatch):
    path = tmp_path / "lora.safetensors"
    save_lora(path, random_lora())
    before = path.read_bytes()
    monkeypatch.setattr("cllm_lib.files.os.replace", lambda *names: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        save_lora(path, random_lora(seed=2))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_arrays_are_views_of_what_the_optimiser_changes():
    lora = Lora(CONFIG, np.zeros(sum(n * m for n, m in shapes(CONFIG, 1).values())), 1, 1.0)
    lora.flat += 1.0
    assert all((array == 1.0).all() for array in lora.arrays.values())
    a, b = lora.adapter(1, "value")
    assert (a.shape, b.shape) == ((16, 1), (1, 8))
    assert lora.adapter(1, "key") is None
