import numpy as np
import pytest

from benchmarks import chat_reference
from cllm_lib.pretrained import load_chat_model


@pytest.fixture(scope="module")
def stored():
    with np.load(chat_reference.STORED) as kept:
        return dict(kept)


def test_what_is_stored_is_of_this_text_and_the_book_agrees(stored):
    try:
        model = load_chat_model()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    ids = model.encode(chat_reference.TEXT)
    assert stored["ids"].tolist() == ids.tolist()
    found = model.logits(ids)[:, :: chat_reference.EVERY]
    assert np.abs(found - stored["logits"]).max() < 1e-4 * np.abs(stored["logits"]).max()


def test_the_shapes_and_the_text(stored):
    count = len(stored["ids"])
    assert stored["text"].item().decode() == chat_reference.TEXT
    assert stored["first"].shape == stored["last"].shape == (count, 576)
    assert all(np.isfinite(stored[name]).all() for name in ("first", "last", "logits"))


@pytest.mark.slow
def test_transformers_says_so_again(stored):
    for needed in ("torch", "transformers", "gguf", "accelerate"):
        pytest.importorskip(needed)
    first, last, logits = chat_reference.reference(stored["ids"])
    for name, now in (("first", first), ("last", last), ("logits", logits[:, :: chat_reference.EVERY])):
        assert np.abs(stored[name] - now).max() < 1e-4 * np.abs(now).max(), name
