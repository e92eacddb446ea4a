import copy
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from cllm_lib import CLLMConfig
from cllm_lib.model.config import LATER


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"vocab_size": 0}, "vocab_size is 0: give a whole number of at least 1"),
        ({"vocab_size": 2.5}, "vocab_size is 2.5"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"vocab_size": "10"}, "vocab_size is '10'"),
        ({"d_model": 130, "n_heads": 4}, "d_model = 130 is not divisible by n_heads = 4"),
        ({"n_layers": -1}, "n_layers is -1"),
        ({"seq_len": 0}, "seq_len is 0"),
        ({"dtype": "float16"}, "unknown dtype 'float16': choose one of 'float32', 'float64'"),
        ({"positions": "sideways"}, "unknown positions 'sideways': choose one of 'none', 'sinusoidal', 'spiral'"),
        ({"positions": "rotary", "d_model": 12, "n_heads": 4}, "d_model / n_heads = 3 is odd: choose d_model as an even multiple of"),
        ({"positions": "clock", "d_model": 1, "n_heads": 1}, "d_model is 1: a position shows as a sine and a cosine"),
        (
            {"positions": "prime", "seq_len": 1_000_001},
            "seq_len is 1,000,001: angles of so many positions would be inexact; give 1,000,000 at most",
        ),
        ({"tie_embeddings": 1}, "tie_embeddings is 1: give True or False"),
        ({"norm_first": "yes"}, "norm_first is 'yes': give True or False"),
        ({"norm": "batch"}, "unknown norm 'batch': choose one of 'layer', 'rms'"),
        ({"norm": None}, "unknown norm None"),
        ({"feed_forward": "relu"}, "unknown feed_forward 'relu': choose one of 'tanh', 'gelu', 'swiglu'"),
        ({"n_kv_heads": 3}, "n_heads = 4 is not divisible by n_kv_heads = 3: .* so choose a divisor of 4"),
        ({"n_kv_heads": 8}, "n_heads = 4 is not divisible by n_kv_heads = 8"),
        ({"n_kv_heads": 0}, "n_kv_heads is 0: give a whole number of at least 1"),
        ({"positions": "rotary", "rope_pairs": "thirds"}, "unknown rope_pairs 'thirds': choose one of 'neighbours', 'halves'"),
    ],
)
def test_bad_sizes_get_a_clear_error(arguments, words):
    with pytest.raises(ValueError, match=words):
        CLLMConfig(**({"vocab_size": 100} | arguments))


def test_numpy_numbers_and_types_are_welcome():
    config = CLLMConfig(vocab_size=np.int64(50), dtype=np.float32)
    assert (config.vocab_size, type(config.vocab_size), config.dtype) == (50, int, "float32")


def test_head_width():
    assert CLLMConfig(vocab_size=10, d_model=12, n_heads=3).d_head == 4


def test_what_turns_goes_with_rotary_positions():
    assert CLLMConfig(9).rope_base == 10_000.0
    assert CLLMConfig(9, positions="rotary", rope_base=500_000).rope_base == 500_000.0
    with pytest.raises(ValueError, match="rope_base is 500000, and positions='none' turn nothing: it goes with positions='rotary'"):
        CLLMConfig(9, rope_base=5e5)
    with pytest.raises(ValueError, match="rope_pairs is 'halves', and positions='learned' turn nothing: it goes with positions='rotary'"):
        CLLMConfig(9, positions="learned", rope_pairs="halves")
    for base in (0, -1.0, float("nan"), float("inf"), "10k", None):
        with pytest.raises(ValueError, match="rope_base is .*: give a finite number above 0"):
            CLLMConfig(9, positions="rotary", rope_base=base)


def test_the_older_name_of_the_base_is_understood():
    config = CLLMConfig(9, positions="rotary", rotary_base=50.0)
    assert config == CLLMConfig(9, positions="rotary", rope_base=50.0)
    assert config.rotary_base == config.rope_base == 50.0
    assert replace(config, rotary_base=7).rope_base == replace(config, rope_base=7).rope_base == 7.0
    assert replace(config, n_layers=1).rope_base == 50.0
    assert "rotary_base" not in asdict(config)
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config
    with pytest.raises(TypeError, match="turning_base"):
        CLLMConfig(9, turning_base=7)


def test_what_is_not_given_is_the_layer_of_2017():
    config = CLLMConfig(9)
    later = {name: getattr(config, name) for name in LATER}
    assert later == LATER
    assert (config.n_kv_heads, config.kv_heads) == (None, 4)
    assert replace(config, n_heads=8).kv_heads == 8
    assert CLLMConfig(9, n_kv_heads=np.int64(2)).kv_heads == 2
