"""Causes and the findings that convict: each word is one that an instrument says, each cause has its word, and its sentence."""

import pytest

from benchmarks.torch_setups import case
from cllm_lib.instruments.torch import CAUSES
from cllm_lib.instruments.torch.causes import CONVICTS

REASON = "PyTorch is large; `make test-all` installs it"
SAID_BY_THE_KIT_ONLY = set()  # words of instruments here that convict nobody


def test_each_word_convicts_of_a_cause_that_is_known():
    assert set(CONVICTS.values()) <= set(CAUSES)


def test_each_cause_has_a_word_that_convicts_of_it():
    assert set(CAUSES) <= set(CONVICTS.values())


def test_what_set_ups_are_made_with_is_what_the_doctor_can_name():
    assert set(case.CAUSES) <= set(CAUSES)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_is_told_in_one_line_that_begins_and_ends_as_a_sentence(cause):
    text = CAUSES[cause]
    assert text[0].isupper()
    assert text[-1] in ".?"
    assert "\n" not in text
    assert len(text) < 200


def test_what_an_instrument_says_and_what_convicts_are_the_same_words():
    pytest.importorskip("torch", reason=REASON)
    from instruments.torch.subjects import INSTRUMENTS

    words = {(name, word.name) for name, (tool, _) in INSTRUMENTS.items() for word in tool.words}
    assert set(CONVICTS) == words


def test_instruments_bear_different_names():
    pytest.importorskip("torch", reason=REASON)
    from instruments.torch.subjects import INSTRUMENTS, ROOMS

    assert len(INSTRUMENTS) == 1 + sum(len(room.INSTRUMENTS) for room in ROOMS)
