"""Rules of the chapter on a model that answers. The model is fixed, so chance is in the texts and questions drawn."""

import functools

import numpy as np
from sentences.trials import rule

from cllm_lib.casebook import faulty_chat_model
from cllm_lib.model import cross_entropy_forward
from cllm_lib.pretrained import load_chat_model
from cllm_lib.text import read_text

SUSPECTS = ("base", "gains", "gate", "heads", "pairs")


@functools.cache
def sound():
    return load_chat_model()


def bits_a_byte(model, text):
    ids = model.encode(text)
    loss, _ = cross_entropy_forward(model.logits(ids[:-1]).astype(float), ids[1:])
    return float(loss * (len(ids) - 1) / (len(model.decode(ids[1:]).encode()) * np.log(2)))


def piece_of_prose(seed):
    """500 letters of the prose, from a place drawn at random."""
    prose = read_text("prose")
    begin = int(np.random.default_rng(seed).integers(len(prose) - 1000))
    return prose[begin : begin + 500]


# A fault that breaks nothing visible


def six_readers(seed):
    """By suspect, what a piece of prose costs beyond the sound model, in bits a byte, and how far off places 0 and 1 are."""
    text, found = piece_of_prose(seed), {}
    right, plain = sound().logits(sound().encode(text)[:2]), bits_a_byte(sound(), text)
    for name in (*SUSPECTS, "start"):
        model = faulty_chat_model(sound(), name)
        off = np.abs(model.logits(model.encode(text)[:2]) - right).max(axis=1)
        found[name] = {"places": off.tolist(), "bits": bits_a_byte(model, text) - plain}
    return found
