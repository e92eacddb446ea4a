"""Letting a model speak: one token at a time, each drawn from what the model predicts after the ones before."""

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer, token_ids
from cllm_lib.model.layers import softmax


def generate(model, prompt_tokens, max_new_tokens, temperature=1.0, seed=0):
    """Continue a prompt.

    Parameters
    ----------
    model : CLLM
    prompt_tokens : array_like of int, shape (n,)
        At least one id.
    max_new_tokens : int
    temperature : float
        Divides the logits: below 1 bolder, above 1 more adventurous; 0 always takes the likeliest token.
    seed : int
        Of the draws.

    Returns
    -------
    ndarray of int64, shape (n + max_new_tokens,)
        The prompt and its continuation. Beyond `config.seq_len` tokens the model sees the last `seq_len` of them.

    Raises
    ------
    ValueError
        If the prompt is empty or not one-dimensional, an id is out of range, or a number makes no sense.
    """
    prompt = np.asarray(prompt_tokens)
    if prompt.ndim != 1 or prompt.size == 0:
        raise ValueError(f"the prompt has shape {prompt.shape}: give a list of one or more token ids; corpus.encode(text) makes one")
    tokens = token_ids(prompt, model.config.vocab_size, "prompt_tokens").tolist()
    temperature = non_negative_number(temperature, "temperature")
    generator = np.random.default_rng(seed)
    for _ in range(positive_integer(max_new_tokens, "max_new_tokens")):
        logits = model.logits([tokens[-model.config.seq_len :]])[0, -1].astype(np.float64)
        if temperature == 0.0:
            token = int(logits.argmax())
        else:
            # A draw by the cumulative sum: the first id at which it passes a uniform number.
            cumulative = np.cumsum(softmax(logits / temperature))
            token = int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
        tokens.append(token)
    return np.array(tokens, dtype=np.int64)
