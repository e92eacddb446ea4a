"""The catalogue: words of numbers, what a reading looks like, and what all instruments have in common."""

import math

import pytest
from hypothesis import given, settings
from instruments.kit.patients import all_words, healthy, ill, said

from cllm_lib.instruments import kit
from cllm_lib.instruments.kit import catalogue
from cllm_lib.instruments.kit.catalogue import Instrument, Reading, Word, instrument, words_for

SOUND = [  # other trainings than cases draw
    "healthy, rotary",
    "healthy, distance bias",
    "healthy, with one layer, untied, without positions",
    "healthy, by momentum, in float32",
    "healthy, by SGD, without clipping",
    "healthy, by RMSProp, without schedule, in float32",
    "healthy, with wide heads, one sequence at a time",
    "healthy, in one batch",
]
RAN_AWAY = {  # numbers that overflow, and the instruments that have something to say of it
    "rate a thousand times too high, by momentum, in float32, without clipping": {"rate log", "shadow optimizer"},
    "loss summed, by momentum, without clipping": {"loss at the start"},
    "gradient of the sum, by SGD, without clipping, in float32": {"gradient check at the start"},
}
ABOUT_SIZE = {"update ratios", "another rate", "overfit one batch"}  # these may speak of any model that ran away
SEES_ANY_MODEL = {  # nothing that these measure needs the same loss twice
    "count the text",
    "print a batch",
    "rate log",
    "repeat",
    "weights",
    "changed tensors",
    "overlap",
    "update ratios",
    "another rate",
    "overfit one batch",
    "shuffled words",
}


@pytest.fixture
def own_catalogue(monkeypatch):
    """A catalogue that forgets what a test puts into it."""
    monkeypatch.setattr(catalogue, "_INSTRUMENTS", dict(catalogue._INSTRUMENTS))
    return catalogue._INSTRUMENTS


def thermometer(patient):
    """How warm it is.

    In degrees.
    """
    return {"degrees": patient}


HOT = Word("hot", lambda numbers: numbers["degrees"] > 30.0, "theory")


def test_a_measurement_becomes_an_instrument_that_asks_its_first_line(own_catalogue):
    assert instrument("thermometer", 2, HOT, needs_sameness=False)(thermometer) is thermometer
    tool = own_catalogue["thermometer"]
    assert (tool.cost, tool.asks, tool.words) == (2, "How warm it is.", (HOT,))
    assert tool.read(31.0) == Reading("thermometer", {"degrees": 31.0}, ("hot",))
    assert tool.read(30.0).words == tool.read(math.nan).words == ()


def test_two_instruments_of_one_name_are_refused_and_the_same_twice_is_not(own_catalogue):
    def other(patient):
        """Another one."""

    instrument("thermometer", 2, HOT)(thermometer)
    instrument("thermometer", 3, HOT)(thermometer)  # as when its module is loaded again
    with pytest.raises(ValueError, match=r"other and thermometer are both called 'thermometer': give each a name of its own"):
        instrument("thermometer", 2, HOT)(other)
    assert own_catalogue["thermometer"].measure is thermometer


def test_an_instrument_that_does_not_say_what_it_asks_is_refused(own_catalogue):
    with pytest.raises(ValueError, match="has no docstring: say in its first line what the instrument asks"):
        instrument("mute", 2)(lambda patient: {})


def test_a_reading_shows_its_words_and_a_number_a_line():
    shown = str(Reading("scales", {"grams": 12345.678, "stones": 2e9, "pounds": math.inf, "ounces": 0.000123}, ("heavy", "not light")))
    assert shown.splitlines()[0] == "scales: heavy; not light"
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["grams", "1.23e+04"],
        ["stones", "2.0e+09"],
        ["pounds", "inf"],
        ["ounces", "0.000123"],
    ]
    assert str(Reading("scales", {}, ())) == "scales: nothing stands out"


def test_what_refused_says_the_word_for_it_and_no_other():
    assert words_for(Instrument("thermometer", 2, thermometer, (HOT,), ""), {}) == (kit.REFUSED,)


def test_the_cheapest_come_first_each_with_a_sentence_and_words_with_a_reason():
    assert list(kit.ALL) == sorted(kit.ALL, key=lambda name: (kit.ALL[name].cost, name))
    for name, tool in kit.ALL.items():
        assert tool.name == name
        assert tool.asks[0].isupper()
        assert tool.asks[-1] in ".?"
        assert len(tool.asks) <= 130
        assert len(all_words(name)) == len(tool.words) > 0
        assert all(word.because for word in tool.words)


def test_a_module_has_no_other_late_names():
    with pytest.raises(AttributeError, match="has no attribute 'EVERYTHING'"):
        catalogue.EVERYTHING


@pytest.mark.elsewhere
@pytest.mark.parametrize("described", SOUND)
@pytest.mark.parametrize("name", kit.ALL)
def test_of_a_sound_training_no_certain_word_is_said(name, described):
    signs = {word.name for word in kit.ALL[name].words if not word.certain}
    assert said(name, ill(described)) <= signs


@pytest.mark.parametrize("described", RAN_AWAY)
@pytest.mark.parametrize("name", kit.ALL)
def test_a_model_that_overflowed_raises_nothing_and_says_nothing_false(name, described):
    patient = ill(described)
    assert not math.isfinite(patient.trained.history.losses[-1])
    assert not said(name, patient) or name in RAN_AWAY[described] | ABOUT_SIZE


@pytest.mark.parametrize("name", kit.ALL)
def test_a_model_that_does_not_give_the_same_twice_is_refused_by_those_that_need_it(name):
    reading = kit.ALL[name].read(ill("dropout at evaluation"))
    assert ((reading.words, reading.numbers) == ((kit.REFUSED,), {})) == (name not in SEES_ANY_MODEL)
    assert kit.ALL[name].needs_sameness == (name not in SEES_ANY_MODEL)


@pytest.mark.slow
@given(healthy())
@settings(max_examples=40)
def test_of_whole_healthy_trainings_no_certain_word_is_said(patient):
    for name, tool in kit.ALL.items():
        certain = {word.name for word in tool.words if word.certain} | {kit.REFUSED}
        assert not said(name, patient) & certain, (name, str(patient.settings))
