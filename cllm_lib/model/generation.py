"""Letting a model speak: one token at a time, each drawn from what the model predicts after the ones before.

Shapes: V vocabulary, n tokens.
"""

import numbers

import numpy as np

from cllm_lib.checks import non_negative_number, positive_integer, token_ids
from cllm_lib.model.key_value_cache import KeyValueCache, can_cache
from cllm_lib.model.layers import softmax

ROUNDINGS = 8  # that softmax leaves in a probability, at most


def generate(model, prompt_tokens, max_new_tokens, temperature=1.0, top_k=None, top_p=None, seed=0, use_cache=True):
    """Autoregressive generation: continue a prompt, token by token.

    Parameters
    ----------
    model : CLLM
    prompt_tokens : array_like of int, shape (n,)
        At least one id.
    max_new_tokens : int
    temperature, top_k, top_p
        How boldly to choose: see :func:`next_token_probabilities`.
    seed : int
        Of the draws.
    use_cache : bool
        Keep keys and values from token to token: see :func:`stream`.

    Returns
    -------
    ndarray of int64, shape (n + max_new_tokens,)
        The prompt and its continuation.

    Raises
    ------
    ValueError
        If the prompt is empty or not one-dimensional, an id is out of range, a number makes no sense, or the model's
        logits are NaN.
    """
    drawn = stream(model, prompt_tokens, max_new_tokens, temperature, top_k, top_p, seed, use_cache)
    return np.array([*prompt_tokens, *(token for token, _ in drawn)], dtype=np.int64)


def stream(model, prompt_tokens, max_new_tokens, temperature=1.0, top_k=None, top_p=None, seed=0, use_cache=True):
    """Streaming generation: continue a prompt as :func:`generate` does, and hand out each token as soon as it is drawn.

    Beyond `config.seq_len` tokens the window slides: the model sees the last `seq_len` of them, as if the text began
    there. Then every token in the window has lost the first one of its context, and moved to another position, so all
    keys and values have to be computed anew for each token: from there on the cache saves nothing, and changes nothing.

    Parameters
    ----------
    model, prompt_tokens, max_new_tokens, temperature, top_k, top_p, seed
        As for :func:`generate`, and checked at the call.
    use_cache : bool
        Whether to keep keys and values in a :class:`~cllm_lib.model.key_value_cache.KeyValueCache`. The tokens are the same, to the
        rounding of the logits. The cache is made with the first token and stays with the weights of that moment, should
        the model be trained while the text grows; without it each token comes from the weights as they are. A model with
        other parts than the sound ones always goes without.

    Yields
    ------
    token : int
    probabilities : ndarray, shape (V,)
        What it was drawn from.

    Raises
    ------
    ValueError
        As :func:`generate`.

    Examples
    --------
    >>> from cllm_lib import CLLM, CLLMConfig
    >>> model = CLLM(CLLMConfig(vocab_size=7, d_model=8, n_heads=2, d_ff=16))
    >>> for token, probabilities in stream(model, [1, 2], max_new_tokens=100, top_k=3):
    ...     if probabilities[token] < 0.5:
    ...         break
    """
    prompt = np.asarray(prompt_tokens)
    if prompt.ndim != 1 or prompt.size == 0:
        raise ValueError(f"the prompt has shape {prompt.shape}: give a list of one or more token ids; corpus.encode(text) makes one")
    tokens = token_ids(prompt, model.config.vocab_size, "prompt_tokens").tolist()
    choice = checked_choice(temperature, top_k, top_p)
    uniform = np.random.default_rng(seed).random
    return _continue(model, tokens, positive_integer(max_new_tokens, "max_new_tokens"), choice, uniform, use_cache)


def _continue(model, tokens, count, choice, uniform, use_cache):
    cache = KeyValueCache(model) if use_cache and can_cache(model) else None
    for _ in range(count):
        probabilities = next_token_probabilities(_next_logits(model, cache, tokens), *choice)
        token = draw(probabilities, uniform())
        tokens.append(token)
        yield token, probabilities


def _next_logits(model, cache, tokens):  # list of n ints -> (V,)
    window = tokens[-model.config.seq_len :]
    if cache is None:
        return model.logits([window])[0, -1]
    if len(tokens) > len(window):
        cache.truncate()
    return cache.extend([window[cache.length :]])[0]


def next_token_probabilities(logits, temperature=1.0, top_k=None, top_p=None):  # (V,) -> (V,)
    """Temperature, top-k and top-p: from logits to the probabilities that the next token is drawn from.

    1. softmax of logits / temperature;
    2. of these, the `top_k` best;
    3. of what is left, the smallest set of best tokens whose probability together reaches `top_p`.

    After 2 and after 3 the tokens left share all probability, in the old ratio. Of equal probabilities the lower id
    counts as better.

    Parameters
    ----------
    logits : array_like, shape (V,)
        -inf marks what must not come.
    temperature : float
        Below 1 bolder, above 1 more adventurous; 0 gives everything to the likeliest token (of equals, the lowest id).
    top_k : int, optional
        At least 1; V or more keeps all, as does None.
    top_p : float, optional
        Above 0 and at most 1, which keeps all, as does None.

    Returns
    -------
    ndarray of float64, shape (V,)

    Raises
    ------
    ValueError
        If a logit is NaN or +inf, none is finite, they are not one-dimensional, or a setting makes no sense.

    Notes
    -----
    Top-k: Fan, Lewis, Dauphin 2018, "Hierarchical Neural Story Generation". Top-p, or nucleus sampling: Holtzman et al.
    2020, "The Curious Case of Neural Text Degeneration", section 3.1.

    Examples
    --------
    >>> next_token_probabilities([0.0, 0.0, 0.0, -1.0], top_k=2).tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    logits = checked_logits(logits)
    temperature, top_k, top_p = checked_choice(temperature, top_k, top_p)
    if temperature == 0.0:
        probabilities = np.zeros(logits.size)
        probabilities[logits.argmax()] = 1.0
        return probabilities
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to -inf, which is weight 0
        probabilities = softmax((logits - logits.max()) / temperature)
    return keep_top_p(keep_top_k(probabilities, top_k), top_p)


def keep_top_k(probabilities, top_k):  # (V,) -> (V,)
    """Top-k filtering: the `top_k` best tokens share all probability; None keeps all. Of equals the lower id is better."""
    if top_k is None or top_k >= probabilities.size:
        return probabilities
    worst_kept = np.partition(probabilities, -top_k)[-top_k]  # finding the k-th best costs far less than sorting V ids
    better = np.flatnonzero(probabilities > worst_kept)
    equal = np.flatnonzero(probabilities == worst_kept)[: top_k - better.size]
    ids = np.concatenate([better, equal])
    kept = np.zeros_like(probabilities)
    kept[ids] = probabilities[ids] / probabilities[ids].sum()
    return kept


def keep_top_p(probabilities, top_p):  # (V,) -> (V,)
    """Top-p (nucleus) filtering: the fewest best tokens that together reach `top_p` share all probability; None keeps all."""
    if top_p is None or top_p == 1.0:
        return probabilities
    sums = np.cumsum(np.sort(probabilities)[::-1])
    # A sum of n numbers is right to n roundings only: 0.4 + 0.3 + 0.2 is a little below 0.9, and reaches it.
    roundings = np.arange(ROUNDINGS, ROUNDINGS + sums.size, dtype=np.int64) * np.finfo(sums.dtype).eps
    count = 1 + np.count_nonzero(sums < top_p * (1.0 - roundings))  # up to the first sum that is not below top_p
    return keep_top_k(probabilities, count)


def draw(probabilities, uniform):  # (V,) -> int
    """Sampling by inversion: the first id at which the cumulative probability passes a number drawn evenly from [0, 1).

    An id's share of that interval is its probability, so it is drawn that often; one of probability 0 never.
    """
    cumulative = np.cumsum(probabilities)
    return int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))


def distinct_n(tokens, n):
    """Distinct-n, how varied a text is: the share of its n-grams that are distinct.

    1 where nothing is repeated; near 0 for "is the blue is the blue is the ...".

    Parameters
    ----------
    tokens : sequence of int or str
        Ids, or words.
    n : int
        1 for words, 2 for pairs, and so on.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        If `tokens` are not one-dimensional or fewer than `n`, or `n` is not a whole number of at least 1.

    Notes
    -----
    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", which divides by the number
    of tokens; dividing by that of n-grams makes 1 the most for every n. Longer texts score lower: compare texts of one
    length.

    Examples
    --------
    >>> distinct_n("is the blue is the blue is the".split(), 2)
    0.42857142857142855
    """
    n = positive_integer(n, "n")
    if np.ndim(tokens) != 1:
        raise ValueError(f"tokens have shape {np.shape(tokens)}: give one sequence of ids or words, such as text.split()")
    if len(tokens) < n:
        raise ValueError(f"{len(tokens)} tokens hold no {n}-gram: give {n} tokens at least, or a smaller n")
    tokens = np.asarray(tokens).tolist()
    n_grams = list(zip(*(tokens[i:] for i in range(n)), strict=False))
    return len(set(n_grams)) / len(n_grams)


def checked_logits(logits):
    """Return the logits in float64, or say why nothing can be drawn from them.

    Raises
    ------
    ValueError
        If they are not (V,), one is NaN or +inf, or none is finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 1 or logits.size == 0:
        raise ValueError(f"logits have shape {logits.shape}: give those of one position, such as model.logits([tokens])[0, -1]")
    wrong = np.isnan(logits) | (logits == np.inf)
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"the logit of token {i} is {logits[i]} ({wrong.sum()} of {logits.size} are like that): the weights have diverged; "
            "look where the training loss stopped being a number, and lower the learning rate or clip"
        )
    if logits.max() == -np.inf:
        raise ValueError(f"all {logits.size} logits are -inf: every token is forbidden, so leave one of them finite at least")
    return logits


def checked_choice(temperature, top_k, top_p):
    """Return the three settings of :func:`next_token_probabilities` as numbers or None, or say what is wrong with one.

    Raises
    ------
    ValueError
        If `temperature` is below 0 or not finite, `top_k` no whole number of at least 1, or `top_p` not in (0, 1].
    """
    temperature = non_negative_number(temperature, "temperature")
    if top_k is not None:
        top_k = positive_integer(top_k, "top_k")
    if top_p is not None:
        is_number = isinstance(top_p, numbers.Real) and not isinstance(top_p, bool)
        if not is_number or not 0.0 < top_p <= 1.0:
            raise ValueError(f"top_p is {top_p!r}: give a probability above 0 and at most 1, or None to keep every token")
        top_p = float(top_p)
    return temperature, top_k, top_p
