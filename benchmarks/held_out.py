"""Texts that a chat model is judged on, in pieces of one length, and its loss on each: nats a token, bits a byte."""

import math

import numpy as np

from cllm_lib.model.layers import cross_entropy_forward

LENGTH = 256  # tokens of a piece: each is read on its own, and its first token is given


def pieces(model, text, count, length=LENGTH, end=False):
    """So many pieces of a text, one behind the other, from its beginning or up to its end.

    Parameters
    ----------
    model : ChatModel
    text : str
    count, length : int
    end : bool

    Returns
    -------
    ndarray of int64, shape (count, length)
    """
    ids = model.tokenizer.encode(text, special=False)
    if len(ids) < count * length:
        raise ValueError(f"the text has {len(ids):,} tokens, and {count} pieces of {length} take {count * length:,}: ask for fewer")
    ids = ids[len(ids) - count * length :] if end else ids[: count * length]
    return ids.reshape(count, length)


def losses(model, rows):
    """Mean loss of each piece, in nats a token, its first token given.

    Returns
    -------
    list of float
    """
    return [cross_entropy_forward(model.logits(row[:-1]), row[1:])[0] for row in rows]


def n_bytes(model, rows):
    """Bytes of the tokens that are judged."""
    return sum(len(model.tokenizer.vocabulary[token]) for row in rows for token in row[1:])


def bits_per_byte(nats, length, size):
    """From the mean losses of pieces to bits a byte of all of them."""
    return float(np.sum(nats)) * (length - 1) / math.log(2.0) / size
