import numpy as np

from cllm_lib import casebook
from cllm_lib.casebook import faults
from cllm_lib.instruments import kit


def belief():
    return casebook.prior(casebook.draw_settings(np.random.default_rng(1)))


def test_on_the_trunk_every_question_is_the_best_one_after_silence():
    before, asked = belief(), []
    for question, _, healthy in casebook.trunk(before, 6):
        assert question == casebook.best_question(before, asked)
        asked.append(question)
        before = casebook.updated(before, question, ())
        assert healthy == before["healthy"]
    assert len(set(asked)) == 6


def test_what_branches_off_is_possible_is_told_there_and_leaves_once():
    before = belief()
    steps = casebook.trunk(before, 12)
    left = [name for _, found, _ in steps for name in found]
    assert len(set(left)) == len(left)
    assert all(before[name] > 0.0 for name in left)
    patients = casebook.words_of_patients()
    for question, found, _ in steps:
        for name in found:
            said = [bool(readings[question]) for defect, readings in patients if defect == name]
            assert np.mean(said) >= 0.5, (question, name)


def test_silence_speaks_for_health():
    shares = [healthy for *_, healthy in casebook.trunk(belief(), 12)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_shares_told_are_those_of_the_table_counted_by_hand():
    shares, patients = casebook.shares_told(), casebook.words_of_patients()
    assert list(shares) == list(kit.ALL)
    for name, defect in (("rate log", "rate zero"), ("attention drill", "no causal mask"), ("overlap", "no causal mask")):
        usual = {word for who, readings in patients if who == "healthy" for word in readings[name]}
        told = [any(word not in usual for word in readings[name]) for who, readings in patients if who == defect]
        assert shares[name][defect] == told.count(True) / len(told)
    assert shares["rate log"]["rate zero"] == 1.0
    assert shares["overlap"]["no causal mask"] == 0.0


def test_every_defect_has_a_place_and_its_patients_are_told_by_something():
    assert set(casebook.places()) == set(faults.ALL)
    shares = casebook.shares_told()
    assert all(max(row[name] for row in shares.values()) == 1.0 for name in faults.ALL)


def test_what_was_measured_is_there_for_every_defect():
    found = casebook.measured()
    assert set(found["separation"]) == set(faults.ALL)
    for one in (found["five-fold"], found["fresh"]):
        assert one["right"] == one["cases"] - sum(count for *_, count in one["confused"])
