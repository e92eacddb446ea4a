"""The chat model beside transformers: who says other words is no quicker, and the page is what was stored."""

import json

import numpy as np
import pytest

from benchmarks import chat
from cllm_lib.pretrained import load_chat_model

CONTENT = {
    "conditions": ["a machine", "settings", "busy"],
    "speeds": [
        {"work": "a token after 40", "threads": 1, "ours": 0.05, "peer": 0.1, "value": 0.5, "low": 0.4, "high": 0.6},
        {"work": "a prompt of 400", "threads": 2, "ours": 2.0, "peer": 1.0, "value": 2.0, "low": 2.0, "high": 2.0},
    ],
    "load_seconds": {chat.OURS: [1.0, 9.0, 1.2], chat.PEER: [5.0, 6.0, 7.0]},
    "peak_bytes": {chat.OURS: [7e8] * 3, chat.PEER: [16e8] * 3},
    "readings": [{"file": -10.0, "gpt2": -12.0, "tokens": [3, 4]}, {"file": -10.0, "gpt2": -9.0, "tokens": [3, 4]}],
}


@pytest.fixture(scope="module")
def model():
    return load_chat_model()


def test_the_prompts_are_as_long_as_they_are_called(model):
    assert {length: len(model.prompt(question)) for length, question in chat.QUESTIONS.items()} == {40: 40, 400: 400}


def test_a_step_is_a_token_of_one_answer_after_the_other(model):
    ours = chat.Ours(40, 3)
    found = ours.tokens(6)
    assert found[:3] == found[3:] == [token for token, _ in model.stream_tokens(chat.QUESTION, max_new_tokens=3)]
    seconds, n_bytes = ours.costs()
    assert seconds > 0.0
    assert n_bytes > 5e8


@pytest.mark.slow
def test_transformers_says_the_same(monkeypatch):
    pytest.importorskip("transformers", reason="a peer; `make test-all` installs it")
    pytest.importorskip("gguf", reason="a peer; `make test-all` installs it")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    chat.check(chat.Ours(40, 4).tokens(8), chat.Transformers(40, 4).tokens(8))
    with pytest.raises(SystemExit, match="different things"):
        chat.check([1, 2], [1, 3])


def test_both_rules_are_asked_of_texts_in_which_they_part(model):
    found = chat.readings(model, chat.READ[:2])
    assert all(one["tokens"][0] < one["tokens"][1] for one in found)
    ids = model.encode(f"<|endoftext|>{chat.READ[0]}")
    logits = model.logits(ids).astype(np.float64)
    by_hand = sum(row[i] - np.logaddexp.reduce(row) for row, i in zip(logits[:-1], ids[1:], strict=True))
    assert found[0]["file"] == pytest.approx(by_hand)
    assert len(set(chat.READ)) == len(chat.READ) >= 20


def test_the_page_says_what_was_found():
    page = chat.page(CONTENT)
    assert "| a token after 40 | 1       | 20.0                  | 10.0         | 0.50  | 0.40 to 0.60 | 1.0      | reached     |" in page
    assert "| a prompt of 400  | 2       | 200.0                 | 400.0        | 2.00  | 2.00 to 2.00 | 1.0      | not reached |" in page
    assert "| load, s         | 1.2  | 6.0 " in page
    assert "| peak memory, GB | 0.70 | 1.60         | 0.75     | reached |" in page
    assert "the model finds 1 of them likelier by the rule of the file, by 0.5 nats a text (" in page
    assert page.index("a machine") < page.index("busy")


@pytest.mark.skipif(not chat.RESULTS.exists(), reason="not measured yet")
def test_the_stored_page_is_that_of_the_stored_numbers(model):
    stored = json.loads(chat.RESULTS.read_text(encoding="utf-8"))
    assert chat.page(stored) == chat.PAGE.read_text(encoding="utf-8")
    assert len(stored["readings"]) == len(chat.READ)
    again = chat.readings(model, chat.READ[:1])
    assert again[0]["tokens"] == stored["readings"][0]["tokens"]
    assert again[0]["file"] == pytest.approx(stored["readings"][0]["file"], abs=1e-3)
