"""Each cold case shows in its rebuild what its thread reports, the instruments tell it there, and repaired it learns."""

import dataclasses
import math
import re

import numpy as np
import pytest

from cllm_lib import casebook
from cllm_lib.instruments import kit

NAMES = list(casebook.COLD_CASES)
WORDS = {  # of the instruments that an ending names, typed here and not read from the case
    ("10.8259", "A"): {
        "weights": {"every matrix is zero"},
        "loss at the start": {"starts at ln V to the last digit"},
        "gradients": {"no gradient anywhere"},
    },
    ("rate 0.0", "A"): {
        "rate log": {"the rate is 0"},
        "changed tensors": {"nothing changed at all"},
        "update ratios": {"weights hardly move", "weights do not move"},
    },
    ("a branch asleep", "A"): {
        "gradients": {"the feed-forward network gets none"},
        "weights": {"some matrices are zero"},
        "activation statistics": {"hidden units that never change"},
    },
    ("no way back", "A"): {
        "gradients": {"keys get none", "part of queries, keys or values is exactly 0"},
        "changed tensors": {"queries and keys did not change"},
        "gradient check after training": {"wrong in queries, keys or values"},
    },
    ("10.3750", "A"): {"weights": {"every matrix is zero"}, "gradients": {"no gradient anywhere"}, "recompute the loss": set()},
    ("10.3750", "B"): {
        "weights": {"some matrices are zero"},
        "gradients": {"the embedding gets none"},
        "changed tensors": {"nothing changed at all"},
        "recompute the loss": set(),
    },
    ("10.3750", "C"): {
        "weights": set(),
        "gradients": set(),
        "changed tensors": set(),
        "recompute the loss": {"not the mean cross-entropy of the logits"},
    },
}


@pytest.fixture(scope="module")
def opened():
    """Every case, opened once: nothing here changes what it trained."""
    return {name: casebook.open_cold_case(name) for name in NAMES}


def uniform(case):
    """The loss of an even guess."""
    return math.log(case.settings.vocab_size)


def test_there_are_six_of_which_one_stays_open_and_one_is_an_acquittal():
    cases = casebook.COLD_CASES.values()
    assert len(cases) == 6
    assert [case.name for case in cases] == NAMES
    assert [case.name for case in cases if not case.closed] == ["10.3750"]
    assert [case.name for case in cases if not case.suspects] == ["starts at 10"]


@pytest.mark.parametrize("name", NAMES)
def test_a_case_names_its_threads_in_full_and_tells_them_shortly(name):
    case = casebook.COLD_CASES[name]
    threads = (case.source, *case.others)
    assert len(set(threads)) == len(threads)
    for thread in threads:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+|https://[^?\s]+", thread), thread
    assert 3 <= len(re.findall(r"[.?](?= |$)", case.told)) <= 6
    for text in (case.told, case.what_people_tried, case.ending, case.rebuilt, case.unknown):
        assert text == " ".join(text.split())
        assert text.endswith((".", "?"))
    assert {*case.telling, *case.innocent} <= set(kit.ALL)
    assert not {*case.telling} & {*case.innocent}


def test_ten_minutes_are_enough_for_all_six(opened):
    words = sum(len(f"{case.told} {case.close()}".split()) for case in opened.values())
    assert words <= 10 * 200


@pytest.mark.parametrize(("number", "outputs"), [("10.8259", 50_304), ("10.3750", 32_000)])
def test_the_numbers_of_two_threads_are_the_logarithms_that_the_cases_take_them_for(number, outputs):
    assert number in casebook.COLD_CASES[number].told
    assert f"ln {outputs:,}" in casebook.COLD_CASES[number].told
    grid = np.float16 if number == "10.3750" else np.float64
    assert abs(float(number) - float(grid(math.log(outputs)))) < 1e-4
    assert abs(float(number) - math.log(outputs - 50)) > 5e-4


def test_where_no_weight_was_filled_in_every_loss_is_ln_v(opened):
    case = opened["10.8259"]
    np.testing.assert_allclose(case.losses, uniform(case), atol=1e-6)
    assert len(case.losses) == case.settings.steps


def test_at_a_rate_of_0_each_loss_is_that_of_the_weights_before_training(opened, monkeypatch):
    case, batches = opened["rate 0.0"], []
    trainer = case._patient.begin()
    before, own = trainer.model.flat_parameters.copy(), trainer.step
    monkeypatch.setattr(trainer, "step", lambda *batch: batches.append(batch) or own(*batch))
    trainer.fit(steps=len(case.losses))
    np.testing.assert_array_equal(trainer.model.flat_parameters, before)
    losses = [case.repaired._patient.begun.model.loss(*batch) for batch in batches]
    np.testing.assert_allclose(case.losses, losses, rtol=1e-6)
    assert abs(np.mean(losses) - uniform(case)) < 0.05
    assert trainer.batches_per_epoch >= len(losses)  # the run ends within the epoch whose factor is 0


def test_the_branch_stays_at_0_and_the_loss_falls_without_it(opened):
    case, after = opened["a branch asleep"], {}
    for kind, rebuild in (("asleep", case), ("awake", case.repaired)):
        parameters = rebuild._patient.trained.model.parameters
        after[kind] = {part: np.abs(parameters[f"layers.0.feed_forward.{part}"]).max() for part in ("expand_weight", "contract_weight")}
        assert abs(rebuild.losses[0] - uniform(case)) < 0.1
        assert np.mean(rebuild.losses[-5:]) < uniform(case) - 1.0
    assert set(after["asleep"].values()) == {0.0}
    assert min(after["awake"].values()) > 0.01


def test_both_begin_alike_since_both_branches_are_silent_at_first(opened):
    assert opened["a branch asleep"].losses[0] == opened["a branch asleep"].repaired.losses[0]


def test_queries_and_keys_train_as_if_frozen_and_the_loss_falls(opened):
    case = opened["no way back"]
    before, after = (trainer.model.parameters for trainer in (case._patient.begun, case._patient.trained))
    still = {name for name in before if np.array_equal(before[name], after[name])}
    assert still == {f"layers.0.attention.{part}_{kind}" for part in ("query", "key") for kind in ("weight", "bias")}
    assert np.mean(case.losses[-5:]) < case.losses[0] - 1.0


def test_the_acquitted_training_begins_near_ln_v_and_no_instrument_finds_a_fault(opened):
    case = opened["starts at 10"]
    assert abs(case.losses[0] - uniform(case)) < 0.1
    assert np.mean(case.losses[-5:]) < uniform(case) - 1.0
    assert casebook.looks_healthy(case.losses, case.settings.vocab_size)
    assert {name: case.ask(name).words for name in kit.ALL if case.ask(name).words} == {}


def test_the_suspects_of_the_open_case_print_one_and_the_same_number_in_half_precision(opened):
    case = opened["10.3750"]
    printed = {np.float16(loss) for suspect in case.suspects.values() for loss in suspect.losses}
    assert printed == {np.float16(uniform(case))}
    assert f"{printed.pop():.4f}" in casebook.COLD_CASES["10.3750"].rebuilt
    assert list(case.suspects) == ["A", "B", "C"]


def test_no_two_suspects_get_the_same_words(opened):
    case = opened["10.3750"]
    words = {tuple(suspect.ask(name).words for name in casebook.COLD_CASES["10.3750"].telling) for suspect in case.suspects.values()}
    assert len(words) == 3


@pytest.mark.parametrize(("name", "letter"), WORDS)
def test_an_instrument_that_the_ending_names_says_its_word(opened, name, letter):
    case = casebook.COLD_CASES[name]
    assert set(WORDS[name, letter]) <= set(case.telling)
    for instrument, words in WORDS[name, letter].items():
        said = set(opened[name].suspects[letter].ask(instrument).words)
        assert said >= words if words else not said, instrument
    for instrument in case.telling:
        assert any(WORDS[key].get(instrument) for key in WORDS if key[0] == name), instrument


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_innocent_says_nothing(opened, name):
    for rebuild in (opened[name].suspects or {"": opened[name]}).values():
        for instrument in casebook.COLD_CASES[name].innocent:
            assert rebuild.ask(instrument).words == (), instrument


@pytest.mark.parametrize("name", NAMES)
def test_the_repaired_training_learns(opened, name):
    repaired = opened[name].repaired
    assert np.mean(repaired.losses[-5:]) < uniform(opened[name]) - 1.0
    assert repaired.settings == opened[name].settings


@pytest.mark.parametrize("name", NAMES)
def test_closing_tells_the_ending_the_words_and_what_is_not_known(opened, name):
    case, text = casebook.COLD_CASES[name], opened[name].close()
    assert text.startswith(case.ending)
    for part in (case.what_people_tried, case.rebuilt, case.unknown, case.source, *case.others, *case.innocent):
        assert part in text
    for (known, _), words in WORDS.items():
        if known == name:
            assert all(word in text for said in words.values() for word in said)
    assert text.count("suspect ") == (3 if name == "10.3750" else 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_on_the_table_offers_the_thread_the_settings_and_every_instrument(opened, name):
    case = opened[name]
    assert (case.told, case.source) == (casebook.COLD_CASES[name].told, casebook.COLD_CASES[name].source)
    assert case.instruments == {title: tool.cost for title, tool in kit.ALL.items()}
    assert str(case.settings.vocab_size) in str(case.settings)
    assert casebook.COLD_CASES[name].ending not in repr(case)


def test_a_question_asked_twice_is_measured_once(opened):
    assert opened["10.8259"].ask("weights") is opened["10.8259"].ask("weights")


def test_the_same_case_is_the_same_each_time():
    first, second = (casebook.open_cold_case("no way back") for _ in range(2))
    assert first is not second
    assert first.losses == second.losses


def test_wrong_names_are_answered_with_the_right_ones(opened):
    with pytest.raises(ValueError, match="unknown cold case 'nobody': choose one of '10.8259', 'rate 0.0'"):
        casebook.open_cold_case("nobody")
    with pytest.raises(ValueError, match="unknown instrument 'crystal ball': choose one of"):
        opened["10.8259"].ask("crystal ball")


def test_a_cold_case_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        casebook.COLD_CASES["10.8259"].closed = False
