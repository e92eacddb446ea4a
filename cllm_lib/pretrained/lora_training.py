"""Training adapters on questions and answers: examples, batches, the loop.

Shapes: T tokens.
"""

import numpy as np

from cllm_lib.checks import positive_integer
from cllm_lib.model.attention import causal_mask
from cllm_lib.model.layers import cross_entropy_forward
from cllm_lib.pretrained.chat import END
from cllm_lib.pretrained.decoder_backward import Places, adapted_decoder_forward, loss_and_gradients
from cllm_lib.pretrained.lora import lora_init
from cllm_lib.training.optimizers import Adam
from cllm_lib.training.schedules import warmup_cosine

AT_ONCE = 16  # examples that are asked together
WARMUP = 10  # steps, or a tenth of all where that is less


def training_example(model, question, answer):
    """One example in the model's chat format: the ids of a conversation, and which of them are to be learnt.

    Parameters
    ----------
    model : ChatModel
    question, answer : str

    Returns
    -------
    ids : ndarray of int64, shape (T,)
    is_target : ndarray of bool, shape (T,)
        True at the answer's tokens and the mark that ends it.

    Raises
    ------
    ValueError
        If the answer is empty, or the two are longer than the model can read.
    """
    if not answer:
        raise ValueError(f"the answer to {question!r:.60} is empty: there is nothing to learn")
    prompt = model.prompt(question)
    learnt = np.concatenate([model.tokenizer.encode(answer, special=False), model.encode(END)])
    ids = np.concatenate([prompt, learnt])
    if len(ids) > model.config.seq_len:
        raise ValueError(f"question and answer are {len(ids):,} tokens, and the model reads {model.config.seq_len:,}: shorten them")
    return ids, np.arange(len(ids), dtype=np.int64) >= len(prompt)


def pack_examples(examples):
    """Examples as one sequence: what all begin with stands there once, and behind it the rest of each, which sees it and itself.

    Conversations begin with the same message of the system. Read once for all it saves half of the work, and each token stands
    at the position, and sees the tokens, that it would alone.

    Parameters
    ----------
    examples : list of pairs of ndarray
        From :func:`training_example`; one at least.

    Returns
    -------
    ids : ndarray of int64, shape (1, T)
    is_target : ndarray of bool, shape (1, T)
    places : Places
    """
    if not examples:
        raise ValueError("there is no example: give one at least")
    shared = _shared(examples)
    rest = [len(ids) - shared for ids, _ in examples]
    owner = np.repeat(np.arange(-1, len(examples), dtype=np.int64), [shared, *rest])  # -1: everybody's
    positions = np.concatenate([np.arange(shared, dtype=np.int64), *(np.arange(shared, shared + n, dtype=np.int64) for n in rest)])
    packed = [np.concatenate([examples[0][part][:shared], *(one[part][shared:] for one in examples)])[None] for part in (0, 1)]
    mask = causal_mask(len(owner)) & ((owner == -1) | (owner == owner[:, None]))
    return *packed, Places(positions, mask)


def _shared(examples):
    """How many tokens all examples begin with; the token before the first target is each example's own."""
    most = min(int(np.argmax(is_target)) for _, is_target in examples) - 1
    first = examples[0][0]
    return next((t for t in range(most) if any(ids[t] != first[t] for ids, _ in examples)), max(most, 0))


def answer_losses(model, examples):
    """Of each example: the loss of its answer, and whether the likeliest token is the right one at every place.

    Parameters
    ----------
    model : ChatModel
    examples : list of pairs of ndarray
        From :func:`training_example`.

    Returns
    -------
    losses : ndarray of float64
        In nats a token.
    by_heart : ndarray of bool
        Where it is True, the answer at temperature 0 is this one, word for word, for each choice leads to the next.
    """
    losses, by_heart = [], []
    for start in range(0, len(examples), AT_ONCE):
        some = examples[start : start + AT_ONCE]
        ids, is_target, places = pack_examples(some)
        hidden, _ = adapted_decoder_forward(ids, model.parameters, model.config, None, places)
        logits = hidden[:, :-1][is_target[:, 1:]] @ model.parameters["output_weight"]
        ends = np.cumsum([np.count_nonzero(learnt) for _, learnt in some], dtype=np.int64)[:-1]
        for rows, targets in zip(np.split(logits, ends), np.split(ids[is_target], ends), strict=True):
            losses.append(cross_entropy_forward(rows, targets)[0])
            by_heart.append((rows.argmax(axis=-1) == targets).all())
    return np.array(losses, dtype=np.float64), np.array(by_heart, dtype=bool)


def train_lora(model, examples, rank=4, alpha=8.0, learning_rate=2e-3, batch_size=4, epochs=6, seed=0, report=None):
    """Train adapters of a frozen chat model on examples, by Adam; the rate rises in some steps and falls along half a cosine.

    Parameters
    ----------
    model : ChatModel
        Stays as it is: :func:`~cllm_lib.pretrained.lora.adapted` makes one with the adapters.
    examples : list of pairs of ndarray
        From :func:`training_example`.
    rank, alpha
        See :func:`~cllm_lib.pretrained.lora.lora_init`.
    learning_rate : float
        The highest.
    batch_size, epochs : int
    seed : int
        Of A and of the order.
    report : callable, optional
        Called after each step with its number, from 1, the number of all, the loss, and the adapters as they are.

    Returns
    -------
    lora : Lora
    losses : list of float
        Of every step, in nats a token, before it was taken.

    Raises
    ------
    ValueError
        If a number makes no sense, or there is no example.
    """
    batch_size, epochs = positive_integer(batch_size, "batch_size"), positive_integer(epochs, "epochs")
    lora = lora_init(model.config, rank, seed, alpha, model.parameters["embedding"].dtype)
    batches = _batches(len(examples), batch_size, epochs, np.random.default_rng(seed))
    optimizer = Adam(learning_rate)
    schedule, losses = warmup_cosine(max(1, min(WARMUP, len(batches) // 10)), len(batches) + 1), []
    for step, rows in enumerate(batches):
        ids, is_target, places = pack_examples([examples[i] for i in rows])
        loss, gradients = loss_and_gradients(ids, is_target, model.parameters, model.config, lora, places)
        optimizer.learning_rate = learning_rate * schedule(step)
        optimizer.step(lora.flat, np.concatenate([gradients[name].ravel() for name in lora.arrays]))
        losses.append(loss)
        if report is not None:
            report(step + 1, len(batches), loss, lora)
    return lora, losses


def _batches(n_examples, batch_size, epochs, generator):
    """Rows of examples for every step: each example once an epoch, in a new order."""
    if n_examples == 0:
        raise ValueError("there is no example: give one at least")
    orders = [generator.permutation(n_examples) for _ in range(epochs)]
    return [order[i : i + batch_size] for order in orders for i in range(0, n_examples, batch_size)]
