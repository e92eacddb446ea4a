"""What the real chat model says: always the likeliest token, so it is the same text on every machine."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from notebooks.books import MACHINES, ROOT

from cllm_lib.pretrained import load_chat_model

LENGTH = 60
LEAST_MARGIN = 1e-3  # between the likeliest token and the next: fifty times what rounding does
ANSWERS = {}


def answer(model, question):
    """Ids of an answer, and how far the likeliest token's logit was ahead of the next, at the closest."""
    ids = [token for token, _ in model.stream_tokens(question, max_new_tokens=LENGTH)]
    prompt = model.prompt(question)
    logits = model.logits(np.concatenate([prompt, np.array(ids, np.int64)]))[len(prompt) - 1 :]
    best = np.sort(np.partition(logits, -2, axis=-1)[:, -2:], axis=-1)
    ended = len(ids) < LENGTH
    return ids, float((best[:, 1] - best[:, 0])[: len(ids) + ended].min())


def digest(ids):
    return hashlib.sha256(np.array(ids, "<i8").tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    found = {question: answer(load_chat_model(), question) for question in json.loads(sys.argv[1])}
    print(json.dumps({question: [digest(ids), margin] for question, (ids, margin) in found.items()}))
