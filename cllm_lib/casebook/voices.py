"""Five voices of one trained model, by letter: the weights are the same, the way from them to the words is not."""

import numpy as np

from cllm_lib import defects
from cllm_lib.model.generation import draw, generate
from cllm_lib.model.layers import softmax

VOICES = {"A": "ten best", "B": "other pass", "C": "first five", "D": "bold", "E": "likeliest"}


def five_voices(model, corpus, prompts, count=27, seed=0):
    """Let a model speak in five ways: exercise 11.3.

    Parameters
    ----------
    model : CLLM
        Of sound parts.
    corpus : Corpus
        Whose words it knows.
    prompts : sequence of str
    count : int
        Words after each prompt.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to list of ndarray of int64, each of shape (count,)
        For each letter what was said after each prompt, the prompt left out.
    """
    ways = {
        "ten best": lambda prompt: generate(model, prompt, count, top_k=10, seed=seed),
        "other pass": lambda prompt: generate(defects.inference_model(model), prompt, count, temperature=0),
        "first five": lambda prompt: _from_the_first_five(model, prompt, count, seed),
        "bold": lambda prompt: generate(model, prompt, count, temperature=1.5, seed=seed),
        "likeliest": lambda prompt: generate(model, prompt, count, temperature=0),
    }
    starts = [corpus.encode(prompt) for prompt in prompts]
    return {letter: [ways[way](start)[len(start) :] for start in starts] for letter, way in VOICES.items()}


def _from_the_first_five(model, prompt, count, seed):
    """Drawn from the first five ids, as the program's top-k had it."""
    tokens, uniform = prompt.tolist(), np.random.default_rng(seed).random
    for _ in range(count):
        window = tokens[-model.config.seq_len :]
        tokens.append(draw(defects.keep_first_k(softmax(model.logits([window])[0, -1]), 5), uniform()))
    return np.array(tokens, dtype=np.int64)
