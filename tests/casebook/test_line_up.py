from cllm_lib import casebook
from cllm_lib.casebook import faults
from cllm_lib.casebook.line_up import truth_of
from cllm_lib.instruments import kit


def test_three_patients_are_the_same_each_time_and_open():
    one, other = casebook.three_cases(), casebook.three_cases()
    assert [case.losses for case in one.values()] == [case.losses for case in other.values()]
    assert all(case.asked == () for case in one.values())


def test_two_are_sick_in_different_ways_and_one_is_not():
    truths = [truth_of(case) for case in casebook.three_cases().values()]
    sick = [defect for defect, _ in truths if defect != casebook.HEALTHY]
    assert len(set(sick)) == len(sick) == 2
    assert set(sick) <= set(faults.ALL)


def test_the_question_that_tells_most_says_a_word_of_the_sick():
    for case in casebook.three_cases().values():
        defect, question = truth_of(case)
        assert (question == "") == (defect == casebook.HEALTHY)
        assert not question or (question in kit.ALL and case.ask(question).words)


def test_the_procedure_finds_all_three():
    for case in casebook.three_cases().values():
        assert casebook.solve(case)[0] == truth_of(case)[0]
