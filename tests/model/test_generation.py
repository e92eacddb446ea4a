import numpy as np
import pytest

from cllm_lib import CLLM, CLLMConfig
from cllm_lib.model.generation import generate
from cllm_lib.model.layers import softmax


@pytest.fixture(scope="module")
def model():
    return CLLM(CLLMConfig(vocab_size=6, d_model=8, n_heads=2, d_ff=8, seq_len=4), seed=0)


def test_temperature_zero_takes_the_likeliest_token(model):
    tokens = generate(model, [1, 2], 5, temperature=0)
    for position in range(2, 7):
        context = tokens[max(0, position - 4) : position]
        assert tokens[position] == model.logits(context[None])[0, -1].argmax()


def test_draws_follow_the_predicted_probabilities(model):
    expected = softmax(model.logits([[3]])[0, -1])
    draws = [generate(model, [3], 1, seed=seed)[-1] for seed in range(2000)]
    shares = np.bincount(draws, minlength=6) / len(draws)
    assert np.abs(shares - expected).max() < 5 * np.sqrt(0.25 / len(draws))


def test_the_seed_decides_and_the_prompt_stays(model):
    first, second = generate(model, [1, 5], 8, seed=3), generate(model, [1, 5], 8, seed=3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[:2], [1, 5])
    assert len(first) == 10


@pytest.mark.parametrize(
    ("prompt", "settings", "words"),
    [
        ([], {}, "shape .0,.: give a list of one or more"),
        ([[1, 2]], {}, "give a list"),
        ([6], {}, "outside the vocabulary of 6"),
        ([1], {"temperature": -1}, "temperature is -1"),
        ([1], {"temperature": float("nan")}, "temperature is nan"),
        ([1], {"max_new_tokens": 0}, "max_new_tokens is 0"),
    ],
)
def test_bad_requests_get_a_clear_error(model, prompt, settings, words):
    with pytest.raises(ValueError, match=words):
        generate(model, prompt, **({"max_new_tokens": 1} | settings))
