"""What the tests of the kit share: small patients with a given defect, drawn healthy ones, and what is said of them."""

from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest
from hypothesis import strategies as st

from cllm_lib.casebook import faults
from cllm_lib.casebook.building import assembled
from cllm_lib.casebook.settings import Settings, draw_settings
from cllm_lib.instruments import kit
from cllm_lib.instruments.kit.patient import Patient

SMALL = Settings(
    texts=("sayings", "prose"),
    n_words=800,
    vocab_size=80,
    d_model=16,
    n_layers=2,
    n_heads=2,
    dtype="float64",
    positions="learned",
    tie_embeddings=True,
    optimizer="adamw",
    learning_rate=6e-3,
    schedule="warmup_cosine",
    clip_norm=1.0,
    batch_size=4,
    steps=50,
    seed=1,
)
VARIANTS = {  # what may stand behind the name of a defect
    "by SGD": {"optimizer": "sgd", "learning_rate": 0.5},
    "by momentum": {"optimizer": "momentum", "learning_rate": 0.1},
    "by RMSProp": {"optimizer": "rmsprop", "learning_rate": 4e-3},
    "by Adam": {"optimizer": "adam"},
    "untied": {"tie_embeddings": False},
    "in float32": {"dtype": "float32"},
    "with one layer": {"n_layers": 1},
    "without clipping": {"clip_norm": None},
    "without schedule": {"schedule": "constant"},
    "without positions": {"positions": "none"},
    "sinusoidal": {"positions": "sinusoidal"},
    "rotary": {"positions": "rotary"},
    "distance bias": {"positions": "distance_bias"},
    "with wide heads": {"d_model": 128},
    "one sequence at a time": {"batch_size": 1},
    "in one batch": {"batch_size": 42},  # as many as the text has
}


def patient(settings, plant=None):
    """A patient of these settings."""
    return Patient(settings, partial(assembled, settings, plant), settings.steps)


@lru_cache
def ill(described):
    """A small patient: "healthy" or a defect, and variants of the settings behind commas."""
    name, *variants = described.split(", ")
    settings = SMALL
    for variant in variants:
        settings = replace(settings, **VARIANTS[variant])
    fault = faults.ALL.get(name)
    assert fault is None or fault.applies(settings), f"{name} has no effect in these settings"
    return patient(settings, fault and fault.plant)


def healthy(steps=None):
    """Healthy patients with settings as cases have them; the run cut to so many steps, for tests that need not see its end."""

    def drawn(seed):
        settings = draw_settings(np.random.default_rng(seed))
        return patient(settings if steps is None else replace(settings, steps=steps))

    return st.integers(0, 2**32 - 1).map(drawn)


def said(instrument, someone):
    """The words that an instrument says, as a set."""
    return set(kit.ALL[instrument].read(someone).words)


def numbers(instrument, someone):
    """What an instrument measures."""
    return kit.ALL[instrument].read(someone).numbers


def cases(table):
    """(instrument, described patient) for each entry of a table {instrument: {described patient: words}}."""
    return [(instrument, described) for instrument, entries in table.items() for described in entries]


def all_words(instrument):
    """Every word that an instrument knows."""
    return {word.name for word in kit.ALL[instrument].words}


def just_these_words(table):
    """The test that of each patient of a table {instrument: {described patient: words}} just these words are said."""

    @pytest.mark.parametrize(("instrument", "described"), cases(table))
    def check(instrument, described):
        found = said(instrument, ill(described))
        assert found == table[instrument][described], f"said: {found}; expected: {table[instrument][described]}"

    return check


def each_word(table):
    """The test that a table has a patient for every word of its instruments."""

    @pytest.mark.parametrize("instrument", table)
    def check(instrument):
        shown = set().union(*table[instrument].values())
        assert shown == all_words(instrument), f"differ in: {shown ^ all_words(instrument)}"

    return check
