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

LENGTH = 60  # tokens, or up to the end
LEAST_MARGIN = 1e-3  # of the likeliest token's logit before the next: rounding moves one by some 1e-5
ANSWERS = {  # digests of their tokens; the first six questions that were tried
    "Why is the sky blue?": "3fc2388a23c07447",
    "What is the capital of France?": "73246efd8bf3de95",
    "What is a prime number?": "307eb2c2bd6e0946",
    "How do I boil an egg?": "c59d87120d6db32d",
    "Write a short poem about the sea.": "63a13c756e74aa73",
    "What is 7 times 8?": "bdfc9aff9a79cb3f",
}


@pytest.fixture(scope="module")
def own():
    return load_chat_model()


def answer(model, question):
    """Ids of an answer, and how far the likeliest token's logit was ahead of the next, at the closest."""
    ids = [token for token, _ in model.stream_tokens(question, max_new_tokens=LENGTH)]
    prompt = model.prompt(question)
    logits = model.logits(np.concatenate([prompt, np.array(ids, np.int64)]))[len(prompt) - 1 :]
    first_two = np.sort(np.partition(logits, -2, axis=-1)[:, -2:], axis=-1)
    ended = len(ids) < LENGTH  # then the end token was chosen, too
    return ids, float((first_two[:, 1] - first_two[:, 0])[: len(ids) + ended].min())


def digest(ids):
    return hashlib.sha256(np.array(ids, "<i8").tobytes()).hexdigest()[:16]


def test_an_answer_is_the_stored_one_and_no_token_of_it_is_a_close_call(own):
    question, stored = next(iter(ANSWERS.items()))
    ids, margin = answer(own, question)
    assert "Rayleigh scattering" in own.decode(ids)
    assert digest(ids) == stored
    assert margin > LEAST_MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_six_answers_are_the_same_under_five_kinds_of_processor(machine):
    program = "import json, sys; sys.path.insert(0, 'tests'); from pretrained.test_chat_answers import said; print(json.dumps(said()))"
    environment = {**os.environ, **MACHINES[machine]}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    found = json.loads(done.stdout)
    assert {question: one for question, (one, _) in found.items()} == ANSWERS
    assert min(margin for _, margin in found.values()) > LEAST_MARGIN


def said():
    """Digest and margin of every answer; in a process of its own."""
    model = load_chat_model()
    found = {question: answer(model, question) for question in ANSWERS}
    return {question: (digest(ids), margin) for question, (ids, margin) in found.items()}
